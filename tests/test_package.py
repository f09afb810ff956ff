"""What an installation gives: the packages, the commands, their help, and a wheel with everything in it."""

import re
import shutil
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from command_helpers import call

ROOT = Path(__file__).resolve().parents[1]
COMMANDS = (
    "mdcsrn-train",
    "mdcsrn-infer",
    "mdcsrn-eval",
    "mdcsrn-export",
    "mdcsrn-degrade",
    "mdcsrn-shards",
    "mdcsrn-variants",
    "mdcsrn-pairs",
    "mdcsrn-bids",
)


def run(*command):
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_commands_are_installed():
    installed = {entry.name for entry in metadata.distribution("mdcsrn-tf").entry_points}
    assert installed == set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command):
    done = run(Path(sys.executable).parent / command, "--help")
    assert done.returncode == 0
    words = "BIDS_FOLDER OUTPUT_FOLDER participant " if command == "mdcsrn-bids" else ""
    assert f"usage: {command} {words}[flags]" in done.stdout
    assert done.stdout.count("  --") >= 3
    # At most 15 flags, or under headings of at most 15 each.
    groups = re.split(r"^[A-Z][^\n]*:$", done.stdout.partition("usage:")[2], flags=re.MULTILINE)
    assert all(len(re.findall(r"^  (?:-\w, )?--", group, flags=re.MULTILINE)) <= 15 for group in groups)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_mistyped_flag_is_one_sentence(command, capfd):
    assert call([command, "--no_such_flag=1"]) == 1
    said = capfd.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert "no_such_flag" in said.err and f"see {command} --help" in said.err


@pytest.mark.parametrize("script", ["train.py", "infer.py", "eval.py"])
def test_the_root_scripts_are_shims_of_the_same_commands(script):
    assert len((ROOT / script).read_text().splitlines()) < 20
    done = run(sys.executable, ROOT / script, "--help")
    assert done.returncode == 0
    assert f"usage: mdcsrn-{script[:-3]} [flags]" in done.stdout


def test_the_wheel_holds_code_types_weights_and_nothing_else(tmp_path):
    source = tmp_path / "source"
    for package in ("mdcsrn_tf", "data_prep"):
        shutil.copytree(ROOT / package, source / package, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.py", "pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, source)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", tmp_path]
    subprocess.run([*command, source], check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {"mdcsrn_tf/py.typed", "data_prep/py.typed", "mdcsrn_tf/cli/infer.py", "data_prep/degrade.py"} <= set(names)
    assert {f"mdcsrn_tf/weights/{path.name}" for path in (ROOT / "mdcsrn_tf/weights").glob("*.keras")} <= set(names)
    assert "mdcsrn_tf/metrics/niqe_brain_mri.npz" in names
    assert {name.split("/")[0] for name in names} == {"mdcsrn_tf", "data_prep", f"{wheel.name[:15]}.dist-info"}
    assert wheel.stat().st_size < 10 * 2**20


def test_python_versions_and_core_dependencies_are_declared():
    meta = metadata.metadata("mdcsrn-tf")
    assert meta["Requires-Python"] == ">=3.10"
    core = {line.split(";")[0].strip() for line in meta.get_all("Requires-Dist") if "extra ==" not in line}
    names = {"".join(c for c in line.split(">")[0].split("<")[0] if c not in " []") for line in core}
    assert {"tensorflow", "keras", "numpy", "scipy", "nibabel", "scikit-image", "absl-py", "tqdm"} <= names
    assert {"gpu", "dicom", "openvino", "cluster", "segmentation", "bench", "dev"} <= set(
        meta.get_all("Provides-Extra")
    )
