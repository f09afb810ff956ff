"""Up to which voxels, and up to how thick slices, the bundled networks gain anything.

    python benchmarks/voxel_sizes.py --data=FOLDER_OF_SCANS --test=sub-11,... [--development=...]

Scans of about 1 mm are brought to larger voxels by leaving out the outer k-space along all three axes, and to thick
slices, each the mean over its extent. The default and the fast network get either with the k-space cut 2x2 along LR and
AP and filled with zeros; the networks for three axes and for thick slices get the former as theirs is: cut along all
axes, and as slices of three voxels. All are run as mdcsrn-infer runs them and compared inside the head, on axial slices
around the middle. Writes benchmarks/results/voxel_sizes.json and docs/results.md anew.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import scipy.signal

from benchmarks import pages
from benchmarks.data_helpers import read_ras
from benchmarks.scan_by_scan import measure, parser_of
from mdcsrn_tf.inference.engines import load_engine
from mdcsrn_tf.inference.scan import super_resolve_scan
from mdcsrn_tf.inference.self_check import psnr_inside
from mdcsrn_tf.inference.settings import ScanSettings, Settings
from mdcsrn_tf.run_record import RunRecord
from mdcsrn_tf.scans import kspace
from mdcsrn_tf.scans.head import head_mask
from mdcsrn_tf.scans.slice_profile import SliceProfile
from mdcsrn_tf.scans.volume import Volume, new_header

RESULTS = pages.RESULTS / "voxel_sizes.json"
MODEL, FAST = "mdcsrn-b4u4k12", "fast-b4u4k16"
THREE_AXES, THROUGH = "fast-three-axes-b4u4k16", "fast-through-plane-b4u4k16"
VOXELS = (1.25, 1.5, 1.75, 2.0)  # mm along all axes
SLICES = (2, 3, 4, 5, 6)  # mm, in planes of the scan's own voxels
THICK = 3  # voxels a slice, for the network through them
MEASURED, EDGE = 12, 6  # slices that are compared, and those on either side that the network sees
SETTINGS = Settings(precision="bfloat16")
Sizes = list[float]  # mm, by axis
Made = tuple[np.ndarray, Sizes]  # magnitudes [LR, AP, IS]


def main() -> None:
    """Measure every scan at every size, print a line for each, write the record and the page."""
    arguments = parser_of(__doc__).parse_args()
    config = {"model": MODEL, "measured": MEASURED, "thick": THICK, "precision": SETTINGS.precision}
    record = RunRecord.begin(config)
    measure(arguments, examine, record, RESULTS)


def examine(path: Path) -> dict[str, list[float]]:
    """By what was made of the scan: PSNR inside the head (dB) of zero-filled sinc and of the network."""
    whole, spacing = read_ras(path)
    larger = [(f"{size:g} mm", at_voxels_of(size, whole, spacing)) for size in VOXELS]
    thicker = [(f"{size} mm slices", in_slices_of(size, whole, spacing)) for size in SLICES]
    in_planes, along_all = partial(zero_filled, axes=(0, 1)), partial(zero_filled, axes=(0, 1, 2))
    found: dict[str, list[float]] = {}
    for network, coarsen, cases in (
        (MODEL, in_planes, larger + thicker),
        (FAST, in_planes, [(f"{name}, fast", made) for name, made in larger + thicker]),
        (THREE_AXES, along_all, [(f"{name}, three axes", made) for name, made in larger]),
        (THROUGH, thick_slices, [(f"{name}, thick slices", made) for name, made in larger]),
    ):
        found |= {name: compared(*made, network, coarsen, path) for name, made in cases}
    return found


def at_voxels_of(size: float, whole: np.ndarray, spacing: Sizes) -> Made:
    """The scan at so large voxels."""
    image = whole.astype(np.float64)
    for axis, mm in enumerate(spacing):
        image = scipy.signal.resample(image, 2 * round(whole.shape[axis] * mm / size / 2), axis=axis)
    return np.abs(image), [size] * 3


def in_slices_of(size: float, whole: np.ndarray, spacing: Sizes) -> Made:
    """The scan with so thick slices."""
    times = size / spacing[2]
    count = int(whole.shape[2] / times)
    kept = whole[..., : round(count * times)].astype(np.float64)
    return SliceProfile("box", times).thick_slices(kept, count, 2), [*spacing[:2], size]


def zero_filled(truth: np.ndarray, axes: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray, ScanSettings]:
    """The scan with half the k-space along each axis: as the network gets it, by sinc, and what is asked of it."""
    low = kspace.degrade(truth, (2,) * len(axes), axes, "sinc").astype(np.float32)
    names = ",".join(("LR", "AP", "IS")[axis] for axis in axes)
    return low, low, ScanSettings(axes=names, factor="2", grid="same", force=True)


def thick_slices(truth: np.ndarray) -> tuple[np.ndarray, np.ndarray, ScanSettings]:
    """The scan as thick slices, by sinc, and what is asked of it."""
    slices = SliceProfile("box", THICK).thick_slices(truth, truth.shape[2] // THICK, 2)
    by_sinc = kspace.interpolate(slices, truth.shape, (THICK,), (2,), "sinc")
    return slices, by_sinc, ScanSettings(axes="IS", factor=str(THICK), grid="small", force=True)


def compared(image: np.ndarray, sizes: Sizes, network: str, coarsen: Callable[..., Any], path: Path) -> list[float]:
    """The PSNR of sinc and of the network's result, dB inside the head, around the middle of `image`."""
    first = max((image.shape[2] - MEASURED) // 2 - EDGE, 0)
    slab = slice(first, first + MEASURED + 2 * EDGE)
    truth = np.ascontiguousarray(image[..., slab], np.float32)
    head = head_mask(image.astype(np.float32), sizes)[..., slab]
    given, by_sinc, wanted = coarsen(truth)
    affine = np.diag([*(mm * n / m for mm, n, m in zip(sizes, truth.shape, given.shape, strict=True)), 1.0])
    scan = Volume(given, affine, path, new_header(affine), np.dtype(np.float32))
    result = super_resolve_scan(scan, load_engine(network, SETTINGS), SETTINGS, wanted).data
    edge = (truth.shape[2] - MEASURED) // 2
    inner = (..., slice(edge, edge + MEASURED))
    return [round(psnr_inside(one[inner], truth[inner], head[inner]), 3) for one in (by_sinc, result)]


def section(record: dict[str, Any]) -> str:
    """This benchmark's part of docs/results.md."""
    config = record["config"]
    splits = {split: list(found.values()) for split, found in record["results"].items() if found}
    rows = [[case, *cells(case, splits)] for case in next(iter(splits.values()))[0]]
    heads = [f"{split}: {what}" for split in splits for what in ("mean gain", "least", "above sinc")]
    lines = [
        "## Larger voxels and thicker slices",
        "",
        f"{pages.circumstances(record)} Scans of about 1 mm brought to larger voxels along all axes, and to thick "
        f"slices in planes of their own voxels. What {config['model']} and the fast network gain over sinc where these "
        "are cut to 2x2 along LR and AP; what the networks for three axes and for thick slices gain where they are cut "
        f"to 2x2x2, and as slices of {config['thick']} voxels ({config['precision']}). dB inside the head, on "
        f"{config['measured']} axial slices. Up to these sizes the networks' cards take scans without a word.",
        "",
    ]
    return "\n".join([*lines, *pages.table(["", *heads], rows), ""])


def cells(case: str, splits: dict[str, list[dict[str, list[float]]]]) -> Iterator[str]:
    """Of each split's scans: the mean gain, the least, and how many gain."""
    for scans in splits.values():
        gains = [found[case][1] - found[case][0] for found in scans]
        yield from (f"{np.mean(gains):+.2f}", f"{min(gains):+.2f}", f"{sum(g > 0 for g in gains)} of {len(gains)}")


if __name__ == "__main__":
    main()
