"""PSNR of the ways to run a network: the paper's and the seamless, in both precisions, with and without consistency.

    python benchmarks/infer_quality.py --data=DIR [--scans=sub-07,sub-08] [--model=FILE.keras]

Each high-resolution scan is degraded 2x2 along LR and AP as the model's card says, and super-resolved by every
way. PSNR and SSIM are means over the axial slices of which over a tenth is head, the volume's maximum as range.
Writes benchmarks/results/infer_quality.json.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from benchmarks import pages
from benchmarks.data_helpers import read_ras
from mdcsrn_tf.inference.memory import keep_freed_memory
from mdcsrn_tf.inference.settings import Settings
from mdcsrn_tf.inference.volume import run
from mdcsrn_tf.metrics.fidelity import slice_scores
from mdcsrn_tf.run_record import RunRecord
from mdcsrn_tf.scans.kspace import acquire, interpolate, put_back_centre
from mdcsrn_tf.scans.volumes import find_volumes

RESULTS = Path(__file__).parent / "results" / "infer_quality.json"
FACTORS, AXES = (2, 2), (0, 1)
WAYS = {
    "paper float32": Settings(bn="batch"),
    "paper bfloat16": Settings(bn="batch", precision="bfloat16"),
    "moving float32": Settings(bn="moving"),
    "moving bfloat16": Settings(bn="moving", precision="bfloat16"),
    "seamless bfloat16": Settings(seamless=True, precision="bfloat16"),
}


def main() -> None:
    """Measure every way on every scan and write the record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--scans", default="sub-07,sub-08", help="parts of their names")
    parser.add_argument("--model")
    parser.add_argument("--ways", default=",".join(WAYS))
    parser.add_argument("--output", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    keep_freed_memory()
    from mdcsrn_tf.inference.engines import load_engine

    card = load_engine(arguments.model, Settings()).card
    record = RunRecord.begin({"ways": arguments.ways}, data={"model": card, "scans": arguments.scans})
    for path in find_volumes(arguments.data):
        if any(name in path.name for name in arguments.scans.split(",")):
            record.results[path.name] = measure(path, arguments.model, card, arguments.ways.split(","))
    record.write(arguments.output, folders_kept=False)


def measure(path: Path, model: str | None, card, ways: list[str]) -> dict[str, dict[str, float | None]]:
    """One scan by every way."""
    from mdcsrn_tf.inference.engines import load_engine

    high, _ = read_ras(path)
    small = acquire(high, FACTORS, AXES)
    low = interpolate(small, high.shape, FACTORS, AXES, card.interpolation).astype(np.float32)
    images = {method: interpolate(small, high.shape, FACTORS, AXES, method) for method in ("linear", "cubic", "sinc")}
    rows: dict[str, dict[str, float | None]] = {name: dict(score(high, image)) for name, image in images.items()}
    for way in ways:
        result = run(load_engine(model, WAYS[way]), low, WAYS[way])
        rows[way] = {**score(high, result.data), "seam_figure": result.seam_figure}
        rows[f"{way}, consistent"] = dict(score(high, put_back_centre(result.data, small, FACTORS, AXES)))
    for name, row in rows.items():
        print(f"{path.name[:12]} {name:32s}", {key: round(value, 4) for key, value in row.items() if value}, flush=True)
    return rows


def score(high: np.ndarray, image: np.ndarray) -> dict[str, float]:
    """Mean PSNR and SSIM over the slices that show head."""
    shown = (high > 0.05 * high.max()).mean(axis=(0, 1)) > 0.1
    scores = slice_scores(high, image.astype(np.float32), 2, data_range=float(high.max()))
    return {name: float(np.mean(scores[name][shown])) for name in ("psnr", "ssim")}


def section(record: dict[str, Any]) -> str:
    """The default network in both precisions, with and without consistency."""
    card, scans = record["data"]["model"], record["results"]
    lines = [
        "## The default network in both precisions",
        "",
        f"{pages.circumstances(record)} PSNR (dB) / SSIM of {card['preset']} (step {card['notes']['step']:,}): "
        "`moving` takes the trained statistics, `paper` each tile's own; `consistent` is `--consistency`.",
        "",
    ]
    rows = []
    for way in next(iter(scans.values())):
        cells = [[pages.number(scan[way][metric], metric) for metric in ("psnr", "ssim")] for scan in scans.values()]
        rows.append([way, *(" / ".join(cell) for cell in cells)])
    return "\n".join([*lines, *pages.table(["", *(name.split(".")[0] for name in scans)], rows), ""])


if __name__ == "__main__":
    main()
