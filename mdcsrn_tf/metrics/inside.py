"""PSNR, SSIM and NRMSE inside a mask: figures that air cannot flatter.

The papers' figures count every voxel. In a stripped scan most of them are air, and a method that makes the air a little
darker gains more than one that restores an edge. Here errors are averaged over the mask's voxels alone. Before the
similarity is computed, the image's air is replaced by the reference's, so that SSIM windows across the mask's border
see no error there either.
"""

from __future__ import annotations

import numpy as np

from mdcsrn_tf.metrics import fidelity


def slice_scores_inside(
    reference: np.ndarray,
    image: np.ndarray,
    mask: np.ndarray,
    axis: int,
    *,
    data_range: float,
    window: fidelity.Window = "gaussian",
    sample_covariance: bool = False,
    denominator: fidelity.Denominator = "euclidean",
    threads: int | None = None,
) -> dict[str, np.ndarray]:
    """`psnr`, `ssim` and `nrmse` of every slice across `axis`, inside the boolean `mask` on the same grid.

    Three arrays as long as the volume is there; NaN for a slice without mask, and the SSIM of a slice whose mask lies
    within half a window of the slice's edge, or into which the window does not fit. The slices themselves are compared,
    windows are two-dimensional.
    """
    x, y, inside = _aligned(reference, image, mask, axis)
    length = max(1, fidelity.SLAB_VOXELS // max(1, x[0].size))

    def measure(start: int) -> tuple[np.ndarray, ...]:
        part = slice(start, start + length)
        return _measure(x[part], y[part], inside[part], (1, 2), data_range, window, sample_covariance, denominator)

    columns = zip(*fidelity.in_threads(measure, range(0, len(x), length), threads), strict=True)
    return dict(zip(("psnr", "ssim", "nrmse"), map(np.concatenate, columns), strict=True))


def volume_scores_inside(
    reference: np.ndarray,
    image: np.ndarray,
    mask: np.ndarray,
    *,
    data_range: float,
    window: fidelity.Window = "gaussian",
    sample_covariance: bool = False,
    denominator: fidelity.Denominator = "euclidean",
    threads: int | None = None,
) -> dict[str, float]:
    """The 3D versions: over all voxels of the boolean `mask`, SSIM with a window of three dimensions."""
    x, y, inside = _aligned(reference, image, mask, 0)
    radius = fidelity.window_radius(window)
    length = max(1, fidelity.SLAB_VOXELS // max(1, x[0].size))

    def total(start: int) -> tuple[float, int]:
        part = slice(start - radius, min(start + length, len(x) - radius) + radius)
        similarity = fidelity.ssim_map(x[part], y[part], (0, 1, 2), data_range, window, sample_covariance)
        middle = inside[part][(slice(radius, -radius),) * 3]
        return float(similarity[middle].sum()), int(np.count_nonzero(middle))

    starts = range(radius, len(x) - radius, length) if fidelity.window_fits(x.shape, window) else ()
    sums = fidelity.in_threads(total, starts, threads)
    voxels = sum(size for _, size in sums)
    error, scale = _error_and_scale(x[inside], y[inside], denominator)
    return {
        "psnr": float(fidelity.psnr_of(error, data_range)),
        "ssim": sum(value for value, _ in sums) / voxels if voxels else float("nan"),
        "nrmse": float(fidelity.ratio(np.sqrt(error), scale)),
    }


def _aligned(reference: np.ndarray, image: np.ndarray, mask: np.ndarray, axis: int) -> tuple[np.ndarray, ...]:
    """`axis` first; the image with the reference's values outside the mask."""
    if not np.shape(reference) == np.shape(image) == np.shape(mask):
        raise ValueError(f"the shapes differ: {np.shape(reference)}, {np.shape(image)} and mask {np.shape(mask)}")
    inside = np.asarray(mask, bool)
    filled = np.where(inside, image, reference)
    return tuple(np.moveaxis(array, axis, 0) for array in (reference, filled, inside))


def _measure(x, y, inside, axes, data_range, window, sample_covariance, denominator) -> tuple[np.ndarray, ...]:
    radius = fidelity.window_radius(window)
    x, y = np.ascontiguousarray(x, np.float64), np.ascontiguousarray(y, np.float64)
    middle = inside[:, radius:-radius, radius:-radius]
    similarity = np.zeros(middle.shape)
    if fidelity.window_fits(x.shape[1:], window):
        similarity = fidelity.ssim_map(x, y, axes, data_range, window, sample_covariance)
    found = [_error_and_scale(one[m], two[m], denominator) for one, two, m in zip(x, y, inside, strict=True)]
    error, scale = (np.array(column) for column in zip(*found, strict=True))
    means = np.array([_mean(s[m]) for s, m in zip(similarity, middle, strict=True)])
    return fidelity.psnr_of(error, data_range), means, fidelity.ratio(np.sqrt(error), scale)


def _error_and_scale(x: np.ndarray, y: np.ndarray, denominator: fidelity.Denominator) -> tuple[float, float]:
    """Mean squared error and what its root is divided by, over the voxels given; NaN where there are none."""
    if not x.size:
        return float("nan"), float("nan")
    return float(fidelity.mean_squared_error(x, y)), float(fidelity.nrmse_scale(x, denominator, None))


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if values.size else float("nan")
