"""The network for thick slices beside interpolation, at every factor that it was trained for.

    python benchmarks/thick_slices.py --data=FOLDER_OF_SCANS --test=sub-11,... [--development=...] [--model=NAME]

Scans of thin slices become axial slices 2 to 5 times as thick: `box`, slices excited one by one and touching, and
`kspace`, slabs that were phase-encoded through the slices as well. Sinc and cubic interpolation and the network bring
them back. Compared inside the head, on the 24 middle sagittal slices. Writes
benchmarks/results/thick_slices.json and docs/results.md anew.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from benchmarks import pages
from benchmarks.data_helpers import read_ras
from benchmarks.scan_by_scan import measure, parser_of, tables
from mdcsrn_tf.inference.engines import Engine, load_engine
from mdcsrn_tf.inference.self_check import psnr_inside
from mdcsrn_tf.inference.settings import Settings
from mdcsrn_tf.inference.volume import run
from mdcsrn_tf.run_record import RunRecord
from mdcsrn_tf.scans.head import head_mask
from mdcsrn_tf.scans.kspace import degrade
from mdcsrn_tf.scans.slice_profile import SliceProfile

RESULTS = pages.RESULTS / "thick_slices.json"
MODEL = "fast-through-plane-b4u4k16"
AXIS, SLAB = 2, 24
TILE = (SLAB, 70, 70)  # nothing beside the slab is computed
PROFILES = ("box", "kspace")
METHODS = ("cubic", "sinc", "network")


def main() -> None:
    """Measure every scan at every factor, print a line for each, write the record and the page."""
    parser = parser_of(__doc__, MODEL)
    parser.add_argument("--factors", default="2,3,4,5", help="how many times as thick")
    arguments = parser.parse_args()
    engine = load_engine(arguments.model, Settings())
    factors = [int(factor) for factor in arguments.factors.split(",")]
    config = {"model": Path(arguments.model).stem, "factors": factors, "profiles": PROFILES, "slab": SLAB}
    record = RunRecord.begin(config, data={"notes": engine.card.notes})
    measure(arguments, lambda path: examine(path, engine, factors), record, RESULTS)


def examine(path: Path, engine: Engine, factors: list[int]) -> dict[str, dict[str, float]]:
    """PSNR inside the head (dB) by `PROFILE FACTOR` and method."""
    whole, spacing = read_ras(path)
    start = (whole.shape[0] - SLAB) // 2
    middle = np.ascontiguousarray(whole[start : start + SLAB], np.float32)
    found = {}
    for factor in factors:
        truth = middle[..., : middle.shape[AXIS] - middle.shape[AXIS] % factor]
        head = head_mask(truth, spacing)
        for profile in PROFILES:
            images = restored(truth, factor, profile, engine)
            found[f"{profile} {factor}"] = {
                name: round(psnr_inside(image, truth, head), 3) for name, image in images.items()
            }
    return found


def restored(truth: np.ndarray, factor: int, profile: str, engine: Engine) -> dict[str, np.ndarray]:
    """The slab [LR, AP, IS] made thick along IS, brought back by every method."""
    slices = SliceProfile("box", float(factor)) if profile == "box" else None
    cubic, sinc = (degrade(truth, (factor,), (AXIS,), method, slices=slices) for method in ("cubic", "sinc"))
    return {"cubic": cubic, "sinc": sinc, "network": run(engine, sinc, Settings(tile=TILE)).data}


def section(record: dict[str, Any]) -> str:
    """This benchmark's part of docs/results.md."""
    lines = [
        f"## Thick slices: {record['config']['model']}",
        "",
        f"{pages.circumstances(record)} Axial slices 2 to 5 times as thick, brought back to the thin grid: PSNR of "
        f"cubic / sinc / the network inside the head, dB, on {record['config']['slab']} sagittal slices. `box`: slices "
        "that touch; `kspace`: phase-encoded slabs.",
        "",
    ]
    head = [f"{profile}, {factor}x" for profile in PROFILES for factor in record["config"]["factors"]]
    lines += tables(record["results"], head, lambda found: [_cell(found[_key(title)]) for title in head])
    splits = record["results"].items()
    gains = {split: [_gain(case) for cases in scans.values() for case in cases.values()] for split, scans in splits}
    means = ", ".join(f"{np.mean(found):+.2f} dB on {split} scans" for split, found in gains.items() if found)
    every = [gain for found in gains.values() for gain in found]
    better = sum(gain > 0 for gain in every)
    lines += [f"Over the better interpolation, in the mean: {means}; above it in {better} of {len(every)} cases.", ""]
    return "\n".join(lines)


def _gain(case: dict[str, float]) -> float:
    """The network's PSNR less that of the better interpolation (dB)."""
    return case["network"] - max(case["cubic"], case["sinc"])


def _key(title: str) -> str:
    return title.replace(",", "").removesuffix("x")


def _cell(found: dict[str, float]) -> str:
    return " / ".join(f"{found[name]:.2f}" for name in METHODS)


if __name__ == "__main__":
    main()
