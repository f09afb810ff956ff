# make setup | test | demo | lint | bench | train-smoke | pairs-smoke: each sets up what it needs.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# What the tests exercise; a user picks extras as they need them.
EXTRAS := dev,dicom,cluster,openvino,segmentation,registration,forest,reference
READY := $(VENV)/.ready

.PHONY: setup test browser demo lint bench bench-setup hostile train-smoke pairs-smoke clean

setup: $(READY)

$(READY): setup.py constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[$(EXTRAS)]'
	touch $@

# Three processes of one thread each: on two cores more threads would only wait for one another, and tests wait now and
# then for what they started or stopped, when the third goes on. A file stays in one process, which makes its fixtures
# once; tests/conftest.py says which files begin. Python keeps what it compiles even where the environment says not to:
# a hundred processes would each compile every module.
test: $(READY) browser
	PYTHONDONTWRITEBYTECODE= TF_NUM_INTRAOP_THREADS=1 OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 \
		$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder

# The report is tested in a real headless Chromium; where it is missing and we may, Debian's package is installed.
browser:
	command -v chromedriver >/dev/null || [ "$$(id -u)" != 0 ] || \
		(apt-get update -qq && apt-get install -qq -y --no-install-recommends chromium chromium-driver)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/hadolint docker/*.Dockerfile

# A bundled low-resolution scan by the bundled network, beside interpolation and the truth.
demo: $(READY)
	$(BIN)/python demo/run.py --output=demo_output

# Phantoms to a trained, exported and applied model, in minutes and with no data at all.
train-smoke: $(READY)
	rm -rf runs/smoke
	.ci/train_smoke $(BIN) runs/smoke

# Two scans of each person, as DICOM files of phantoms, to a trained and applied slice network.
pairs-smoke: $(READY)
	rm -rf runs/pairs_smoke
	.ci/pairs_smoke $(BIN) runs/pairs_smoke

# PyTorch and MONAI, which the benchmarks compare with, are heavy: only here.
bench-setup: $(READY)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt '.[bench]'

# Every benchmark that needs no scans; with DATA=FOLDER_OF_SCANS those that do, too. Hours on 2 cores.
BENCHMARKS := degrade make_shards read_shards train_step slice_step infer_volume startup evaluate gan_learning
DATA_BENCHMARKS := interpolation kspace_check infer_quality baselines networks default_network whole_heads field_of_view scan_versions mirrors through_plane field_study

bench: bench-setup
	set -e; for name in $(BENCHMARKS); do $(BIN)/python benchmarks/$$name.py; done
	set -e; for name in $(if $(DATA),$(DATA_BENCHMARKS)); do $(BIN)/python benchmarks/$$name.py --data=$(DATA); done
	$(BIN)/python benchmarks/results_doc.py
	$(BIN)/python benchmarks/scale.py

# 100 times kill -9 and 2,000 malformed files: an hour on 2 cores.
hostile: $(READY)
	$(BIN)/python benchmarks/kills.py
	$(BIN)/python benchmarks/malformed.py
	$(BIN)/python benchmarks/malformed.py --readers=scans --count=1000 --output=benchmarks/results/malformed_scans.json

clean:
	rm -rf $(VENV) build dist *.egg-info
