"""Where the head is in a scan: for figures that air cannot flatter, and for pictures without empty borders.

Made for any contrast (T1w, T2w, FLAIR), whole heads and stripped brains, clean and noisy air. The mask is of all that
is left of the head (of a stripped scan the brain); it does not look for the brain inside a head. NumPy and SciPy only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy import ndimage

_SHARE = 0.3  # of the tissue's level: what is brighter is head; skull and fluid, darker, lie inside and get filled
_SMOOTHING_MM = 0.8  # so that single noisy voxels of the air do not stick to the skin
_CLOSING_MM = 2.5  # sulci and folds narrower than twice this are inside
_PART = 0.05  # of the largest: a scalp that dark skull parts from its brain is head, a speck in the air is not
SAMPLES = 1_000_000
ROUNDS = 50


def tissue_level(volume: np.ndarray) -> float:
    """The intensity of typical tissue: the median of all voxels brighter than half of that median.

    `volume` is in any unit, its air near zero. How much air the picture holds has no influence; bright vessels and fat
    have little, since the search begins among the voxels brighter than the mean, where most of a head's tissue is. A
    volume without a positive voxel has no tissue: 0.0.

    >>> air, tissue = np.zeros(900), np.full(100, 80.0)
    >>> tissue_level(np.concatenate([air, tissue]))
    80.0
    """
    positive = _thinned(volume)
    positive = positive[positive > 0]
    if not positive.size:
        return 0.0
    level = float(positive[positive >= positive.mean(dtype=np.float64)].mean(dtype=np.float64))
    for _ in range(ROUNDS):
        before, level = level, float(np.median(positive[positive >= 0.5 * level]))
        if abs(level - before) <= 1e-4 * level:
            break
    return level


def head_mask(volume: np.ndarray, spacing: Sequence[float] = (1.0, 1.0, 1.0)) -> np.ndarray:
    """A boolean array on `volume`'s grid, True inside the head; `spacing` is the voxels' size in mm along each axis.

    Connected parts brighter than 0.3 of the tissue's level, specks in the air apart, their folds closed and their holes
    filled, in three dimensions and in every slice of the three planes. Where nothing stands out, as in a flat volume,
    all voxels are head.
    """
    volume, least = np.asarray(volume, np.float32), _SHARE * tissue_level(volume)
    smooth = ndimage.gaussian_filter(volume, [_SMOOTHING_MM / mm for mm in spacing])
    # Both: smoothing alone would spread bright skin a voxel into the air.
    bright = (smooth > least) & (volume > least)
    if bright.all() or not bright.any():
        return np.ones(bright.shape, bool)
    bright = large_parts(bright, _PART)
    mask = np.zeros(bright.shape, bool)
    box = ndimage.find_objects(bright.astype(np.uint8))[0]
    mask[box] = _filled(_closed(bright[box], spacing))
    return mask


def bounding_box(mask: np.ndarray, border: int | Sequence[int] = 0) -> tuple[slice, ...]:
    """The smallest box around the True voxels, grown by `border` voxels (one number, or one an axis)
    on both sides as far as the array goes.

    >>> mask = np.zeros((9, 9), bool); mask[3:5, 6] = True
    >>> bounding_box(mask, border=2)
    (slice(1, 7, None), slice(4, 9, None))
    """
    borders = [border] * mask.ndim if isinstance(border, int) else border
    found = ndimage.find_objects(np.asarray(mask).astype(np.uint8))
    if not found:
        return tuple(slice(0, size) for size in mask.shape)
    return tuple(
        slice(max(0, part.start - more), min(size, part.stop + more))
        for part, size, more in zip(found[0], mask.shape, borders, strict=True)
    )


def thinning_step(size: int) -> int:
    """From one voxel that counts to the next, so that of `size` about SAMPLES do.

    It has no divisor in common with `size`: a step as long as an axis would see a single slice.

    >>> thinning_step(1_999_999), thinning_step(1024 * 1024 * 16)
    (1, 17)
    """
    step = max(1, size // SAMPLES)
    while math.gcd(step, size) > 1:
        step += 1
    return step


def _thinned(volume: np.ndarray) -> np.ndarray:
    """About a million voxels, evenly spread: a median needs no more."""
    flat = np.asarray(volume).ravel()
    return flat[:: thinning_step(flat.size)]


def large_parts(mask: np.ndarray, share: float) -> np.ndarray:
    """The connected parts of a boolean array that hold at least that share of the largest one's elements."""
    labels, _ = ndimage.label(mask)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return (sizes >= share * sizes.max())[labels]


def _closed(mask: np.ndarray, spacing: Sequence[float]) -> np.ndarray:
    """Grown and shrunk by the same box, with room around it, so that the array's border holds nothing back."""
    reach = [max(1, round(_CLOSING_MM / mm)) for mm in spacing]
    closed = np.pad(mask, [(steps, steps) for steps in reach]).astype(np.uint8)
    # Axis by axis: a box needs no more, and a large scan takes a second instead of half a minute.
    for grow in (ndimage.maximum_filter1d, ndimage.minimum_filter1d):
        for axis, steps in enumerate(reach):
            closed = grow(closed, 2 * steps + 1, axis, mode="constant")
    inside = tuple(slice(steps, steps + size) for steps, size in zip(reach, mask.shape, strict=True))
    return closed[inside].astype(bool) | mask


def _filled(mask: np.ndarray) -> np.ndarray:
    filled = ndimage.binary_fill_holes(mask)
    # A ventricle or sinus may be open towards the neck and still be enclosed in some plane.
    for axis in range(3):
        for place in range(mask.shape[axis]):
            section = tuple(place if a == axis else slice(None) for a in range(3))
            filled[section] |= ndimage.binary_fill_holes(mask[section])
    return filled
