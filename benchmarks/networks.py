"""Every bundled network on scans that none was trained on, by the commands a user would type.

    python benchmarks/networks.py --data=FOLDER [--tests=sub-07,sub-08]

The test scans are degraded 2x2 along LR and AP by mdcsrn-degrade, super-resolved by infer.py in every way (WAYS), and
measured by eval.py with the interpolations beside them. NIQE's model is fitted on the training scans for blocks of 48
pixels, since small scans hold no two blocks of 96. Writes benchmarks/results/networks.json and docs/results.md anew.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import results_doc
from benchmarks.data_helpers import DEGRADATION, run, scans_beginning
from mdcsrn_tf.evaluation.plan import Conventions
from mdcsrn_tf.evaluation.statistics import compare
from mdcsrn_tf.models.files import read_card
from mdcsrn_tf.run_record import RunRecord
from mdcsrn_tf.weights import find_model, list_models

METRICS = ("psnr", "ssim", "nrmse", "psnr3d", "ssim3d", "nrmse3d", "piqe", "niqe", "dice")
# Beside the card's own way, in which eval.py runs a network itself.
# A seamless result does not depend on its tiles: larger ones waste less on margins.
WAYS = {
    "paper": ("--bn=batch",),
    "seamless": ("--seamless", "--tile=104"),
    "consistent": ("--seamless", "--tile=104", "--consistency"),
}
PRECISION = "--precision=bfloat16"
NIQE_BLOCK = 48


def main() -> None:
    """Degrade, super-resolve, evaluate, keep the record, regenerate the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--tests", default="sub-07,sub-08", help="beginnings of their names")
    parser.add_argument("--niqe_scans", default="sub-01,sub-02,sub-03,sub-04,sub-05")
    arguments = parser.parse_args()
    models = list_models()
    record = RunRecord.begin(
        {"metrics": METRICS, "axes": "LR,AP", "factor": [2, 2], "ways": WAYS, "way_precision": PRECISION,
         "niqe_block": NIQE_BLOCK},
        data={"models": {name: asdict(read_card(find_model(name))) for name in models}},
    )
    with tempfile.TemporaryDirectory() as folder:
        workdir = Path(folder)
        tests = list_file(arguments.data, arguments.tests, workdir / "tests.txt")
        niqe_scans = list_file(arguments.data, arguments.niqe_scans, workdir / "niqe.txt")
        finished, seconds = super_resolve(tests, models, workdir)
        record.results = {**evaluate(tests, niqe_scans, models, finished, workdir), "way_seconds": seconds}
    record.write(results_doc.RESULTS / "networks.json", folders_kept=False)
    results_doc.main()


def list_file(data: Path, beginnings: str, path: Path) -> Path:
    """A list of the scans in `data` whose names begin so, as the commands take it."""
    path.write_text("".join(f"{scan.absolute()}\n" for scan in scans_beginning(data, beginnings)), encoding="utf-8")
    return path


def super_resolve(tests: Path, models: Sequence[str], workdir: Path) -> tuple[dict[str, Path], dict[str, float]]:
    """A folder of results for every network and way, and the seconds of the command, by the name of the row."""
    small = workdir / "small"
    run("-m", "data_prep.degrade", f"--input={tests}", f"--output={small}", "--grid=small", *DEGRADATION)
    finished, seconds = {}, {}
    for model in models:
        for way, flags in WAYS.items():
            name = f"{model} {way}"
            finished[name] = workdir / name.replace(" ", "-")
            places = (f"--input={small}", f"--output={finished[name]}", "--grid=small")
            started = time.monotonic()
            run("infer.py", *places, f"--model={model}", *DEGRADATION, *flags, PRECISION, "--quiet")
            seconds[name] = round(time.monotonic() - started, 2)
    return finished, seconds


def evaluate(
    tests: Path, niqe_scans: Path, models: Sequence[str], finished: dict[str, Path], workdir: Path
) -> dict[str, Any]:
    """eval.py's results over all rows, and each scan's paired differences."""
    output, niqe = workdir / "evaluation", workdir / f"niqe{NIQE_BLOCK}.npz"
    run("eval.py", f"--fit_niqe={niqe}", f"--hr={niqe_scans}", f"--niqe_block={NIQE_BLOCK}", "--quiet")
    folders = ",".join(f"{name}={folder}" for name, folder in finished.items())
    run("eval.py", f"--hr={tests}", f"--models={','.join(models)}", f"--sr={folders}", f"--output={output}",
        f"--metrics={','.join(METRICS)}", "--segmenter=builtin", f"--niqe_model={niqe}", "--nofigures")  # fmt: skip
    results = json.loads((output / "run.json").read_text(encoding="utf-8"))["results"]
    subjects = [json.loads(path.read_text(encoding="utf-8")) for path in sorted((output / "subjects").glob("*.json"))]
    return {**results, "paired": list(paired_over_slices(subjects, models))}


def paired_over_slices(subjects: Sequence[dict[str, Any]], models: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Differences slice by slice of one scan, since two people are too few for an interval.

    Each network less the smooth interpolations, each way less the network's own, the default less each other network.
    """
    default, *others = models
    pairs = [(model, interpolation) for model in models for interpolation in ("bicubic", "sinc")]
    pairs += [(f"{model} {way}", model) for model in models for way in WAYS]
    pairs += [(default, other) for other in others]
    for subject in subjects:
        for first, second in pairs:
            for metric in ("psnr", "ssim"):
                one, two = (subject["methods"][name]["slices"][metric] for name in (first, second))
                yield {"scan": subject["subject"], **asdict(compare(metric, first, second, one, two, Conventions()))}


if __name__ == "__main__":
    main()
