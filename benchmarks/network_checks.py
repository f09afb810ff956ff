"""What no table of scores shows: is a result shifted, inconsistent with its input, patterned, trustworthy?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from skimage.registration import phase_cross_correlation

from benchmarks.data_helpers import read_ras
from mdcsrn_tf.evaluation.subjects import subject_name
from mdcsrn_tf.metrics import spectra
from mdcsrn_tf.scans.head import bounding_box, head_mask
from mdcsrn_tf.scans.kspace import acquire, degrade, truncate
from mdcsrn_tf.scans.volumes import find_volumes

FACTORS, AXES = (2, 2), (0, 1)
CHECKERBOARD = (2.0, 4.0)  # strides that a network might leave behind
TILES = 64.0  # tiles of 70 less a margin of 3 on both sides
SHIFT_EDGE = 96


def all_checks(scans: Path, finished: dict[str, Path]) -> dict[str, Any]:
    """Every row's checks, scan by scan: row -> scan -> measures; `sinc` among the rows."""
    found: dict[str, Any] = {name: {} for name in ("sinc", *finished)}
    for path in map(Path, scans.read_text(encoding="utf-8").splitlines()):
        scan = path.name.split(".")[0]
        high, spacing = read_ras(path)
        mask = head_mask(high, spacing)
        images = {"sinc": degrade(high, FACTORS, AXES, "sinc")}
        images |= {name: straight(result_of(folder, path)) for name, folder in finished.items()}
        for name, image in images.items():
            found[name][scan] = check(high, image, mask)
        for name, folder in finished.items():
            found[name][scan]["self_check_db"] = self_check(result_of(folder, path))
    return found


def result_of(folder: Path, scan: Path) -> Path:
    """The result of `scan` in a folder that infer.py wrote, which adds `desc-sr` to a BIDS name."""
    return next(path for path in find_volumes(folder) if subject_name(path) == subject_name(scan))


def straight(path: Path) -> np.ndarray:
    """A scan's voxels, axes R, A, S."""
    return read_ras(path)[0]


def check(high: np.ndarray, image: np.ndarray, mask: np.ndarray) -> dict[str, Any]:
    """Shift in voxels, error in the measured k-space (share of its RMS), patterns in dB; all on the original's grid."""
    difference = (image - high)[bounding_box(mask)]
    patterns = np.max([spectra.pattern_db(difference, axis, *CHECKERBOARD, TILES) for axis in range(3)], axis=0)
    middle = middle_of(mask)
    return {
        "shift_voxels": shift(high[middle], image[middle]),
        "measured_error": measured_error(high, image),
        "checkerboard_db": float(patterns[: len(CHECKERBOARD)].max()),
        "tiles_db": float(patterns[-1]),
    }


def middle_of(mask: np.ndarray) -> tuple[slice, ...]:
    """The middle of the head, at most 96 voxels an edge: enough to register by."""
    parts = []
    for part in bounding_box(mask):
        cut = max(0, part.stop - part.start - SHIFT_EDGE) // 2
        parts.append(slice(part.start + cut, part.stop - cut))
    return tuple(parts)


def shift(reference: np.ndarray, image: np.ndarray) -> list[float]:
    """By how many voxels along each axis `image` lies beside `reference`, by the peak of their cross-correlation.

    Not normalised: a low-resolution image has no phase worth the name in the outer k-space.
    """
    found, _, _ = phase_cross_correlation(reference, image, upsample_factor=50, normalization=None)
    return [float(value) for value in found]


def measured_error(high: np.ndarray, image: np.ndarray) -> float:
    """How far the result's own low-resolution image is from the one it was made of: RMS of the error over its RMS."""
    measured, again = acquire(high, FACTORS, AXES), truncate(image, FACTORS, AXES)
    return float(np.sqrt(np.mean((again - measured) ** 2) / np.mean(measured**2)))


def self_check(result: Path) -> float | None:
    """What infer.py's --self_check found: the network's gain over sinc in dB on the scan degraded once more."""
    sidecar = result.with_name(f"{result.name.split('.')[0]}.json")
    found = json.loads(sidecar.read_text(encoding="utf-8")).get("SelfCheck")
    return found and float(found["gain_db"])
