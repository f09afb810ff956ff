"""Thick slices whose planes were interpolated: by the network through the slices alone, and after one in the planes.

    python benchmarks/interpolated_planes.py --data=FOLDER_OF_SCANS --test=sub-11,... [--development=...]

Of scans with thin slices thick ones are made, each the mean over its extent; the k-space of their planes is cut 2x2 and
filled with zeros, as scanners do that store 512 x 512 pixels of 256 x 256 samples. The networks are chosen and run as
mdcsrn-infer does, which takes two, and the one through the slices by its name. Compared inside the head with the scan
itself, on a slab around the middle. Writes benchmarks/results/interpolated_planes.json and docs/results.md anew.
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from benchmarks import pages
from benchmarks.data_helpers import read_ras
from benchmarks.scan_by_scan import measure, parser_of, tables
from mdcsrn_tf.inference.choice import choose_steps
from mdcsrn_tf.inference.engines import load_engine
from mdcsrn_tf.inference.passes import super_resolve_by
from mdcsrn_tf.inference.self_check import psnr_inside
from mdcsrn_tf.inference.settings import ScanSettings, Settings
from mdcsrn_tf.inference.sight import look
from mdcsrn_tf.run_record import RunRecord
from mdcsrn_tf.scans import kspace
from mdcsrn_tf.scans.head import head_mask
from mdcsrn_tf.scans.slice_profile import SliceProfile
from mdcsrn_tf.scans.volume import Volume, new_header

RESULTS = pages.RESULTS / "interpolated_planes.json"
THROUGH = "fast-through-plane-b4u4k16"
FACTORS = (3, 5)  # thin slices in a thick one
SLICES, EDGE = 12, 2  # thick slices of the slab, and of these at either end those that are not compared
SETTINGS = Settings(precision="bfloat16")
WAYS = ("sinc", "slices alone", "planes first")


def main() -> None:
    """Measure every scan at every thickness, print a line for each, write the record and the page."""
    arguments = parser_of(__doc__).parse_args()
    config = {"factors": FACTORS, "slices": SLICES - 2 * EDGE, "precision": SETTINGS.precision}
    measure(arguments, examine, RunRecord.begin(config), RESULTS)


def examine(path: Path) -> dict[str, dict[str, float]]:
    """PSNR inside the head (dB) by thickness and way."""
    whole, spacing = read_ras(path)
    return {f"{factor}": compared(whole, spacing, factor, path) for factor in FACTORS}


def compared(whole: np.ndarray, spacing: list[float], factor: int, path: Path) -> dict[str, float]:
    """Of one scan with slices of that many thin ones: PSNR inside the head (dB) by way."""
    depth = SLICES * factor
    slab = slice(start := (whole.shape[2] - depth) // 2, start + depth)
    truth, head = np.ascontiguousarray(whole[..., slab], np.float32), head_mask(whole, spacing)[..., slab]
    inner = (..., slice(EDGE * factor, -EDGE * factor))
    thick = SliceProfile("box", factor).thick_slices(truth, SLICES, 2)
    low = kspace.degrade(thick, (2, 2), (0, 1), "sinc").astype(np.float32)
    affine = np.diag([*spacing[:2], spacing[2] * factor, 1.0])
    scan = Volume(low, affine, path, new_header(affine), np.dtype(np.float32))
    by_sinc = kspace.interpolate(low, truth.shape, (factor,), (2,), "sinc")
    images = by_sinc, super_resolved(scan, THROUGH), super_resolved(scan)
    pairs = zip(WAYS, images, strict=True)
    return {way: round(psnr_inside(image[inner], truth[inner], head[inner]), 3) for way, image in pairs}


def super_resolved(scan: Volume, name: str | None = None) -> np.ndarray:
    """By the networks that the command would take."""
    sight = look(scan)
    steps = choose_steps(sight, ScanSettings(), name)
    return super_resolve_by(steps, scan, sight, partial(load_engine, settings=SETTINGS), SETTINGS).volumes[0]


def section(record: dict[str, Any]) -> str:
    """This benchmark's part of docs/results.md."""
    config = record["config"]
    keys = [str(factor) for factor in config["factors"]]
    lines = [
        "## Thick slices with interpolated planes",
        "",
        f"{pages.circumstances(record)} Slices of {' or '.join(keys)} thin ones, their planes cut 2x2 and filled with "
        "zeros; PSNR of sinc along all axes / of the network through the slices alone / of that after the fast "
        f"network in the planes, as `mdcsrn-infer` does ({config['precision']}): dB inside the head, in a slab of "
        f"{config['slices']} thick slices.",
        "",
    ]
    heads = [f"{key}x" for key in keys]
    lines += tables(record["results"], heads, lambda found: [_cell(found[key]) for key in keys])
    cases = [case for scans in record["results"].values() for found in scans.values() for case in found.values()]
    for way, than in (("planes first", "slices alone"), ("planes first", "sinc"), ("slices alone", "sinc")):
        gains = [case[way] - case[than] for case in cases]
        lines.append(f"- {way} over {than}: {np.mean(gains):+.2f} dB in the mean, {min(gains):+.2f} dB at least.")
    return "\n".join([*lines, ""])


def _cell(case: dict[str, float]) -> str:
    return " / ".join(f"{case[way]:.2f}" for way in WAYS)


if __name__ == "__main__":
    main()
