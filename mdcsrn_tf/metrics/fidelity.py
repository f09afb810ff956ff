"""PSNR, SSIM and NRMSE against a reference, slice by slice and in 3D (J section 4.1, "Quality Metrics").

The papers leave the data range, the SSIM window and NRMSE's denominator open. Here each is an argument:
`data_range` has no default, because a silent one decides the number.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import numpy as np
from scipy import ndimage

from mdcsrn_tf.workers import available_cores

Window = Literal["gaussian", "uniform"]
Denominator = Literal["euclidean", "range", "mean"]

# Wang et al. 2004: an 11 x 11 Gaussian of standard deviation 1.5; scikit-image truncates it at 3.5 of them.
GAUSSIAN_SIGMA = 1.5
GAUSSIAN_RADIUS = 5
UNIFORM_SIZE = 7
K1, K2 = 0.01, 0.03
SLAB_VOXELS = 400_000  # a slab's float64 working set then stays in a core's cache


def mean_squared_error(reference: np.ndarray, image: np.ndarray, axes: Sequence[int] | None = None) -> np.ndarray:
    """The mean of the squared differences over `axes` (default: all), in float64."""
    difference = np.subtract(reference, image, dtype=np.float64)
    return np.mean(np.square(difference, out=difference), axis=None if axes is None else tuple(axes))


def psnr(reference: np.ndarray, image: np.ndarray, *, data_range: float) -> float:
    """The peak signal-to-noise ratio in dB of two images of one shape and unit; infinite where they are identical.

    data_range: the peak, in the images' unit.

    >>> psnr(np.zeros((4, 4)), np.full((4, 4), 0.1), data_range=1.0)
    20.0
    """
    _require_same_shape(reference, image)
    return float(psnr_of(mean_squared_error(reference, image), data_range))


def nrmse(reference: np.ndarray, image: np.ndarray, *, denominator: Denominator = "euclidean") -> float:
    """The root mean squared error of two images of one shape over the reference's RMS, range or mean.

    The RMS ("euclidean") is the papers'.

    Only the Euclidean form fits the papers' PSNR and NRMSE columns together. A reference that is zero (or
    flat, for "range") has none: the result is NaN.

    >>> nrmse(np.full((4, 4), 2.0), np.full((4, 4), 1.0))
    0.5
    """
    _require_same_shape(reference, image)
    error = np.sqrt(mean_squared_error(reference, image))
    return float(ratio(error, nrmse_scale(np.asarray(reference), denominator, axes=None)))


def ssim(
    reference: np.ndarray,
    image: np.ndarray,
    *,
    data_range: float,
    window: Window = "gaussian",
    sample_covariance: bool = False,
) -> float:
    """The mean structural similarity of two images or volumes of any dimension (Wang et al. 2004)."""
    _require_same_shape(reference, image)
    axes = tuple(range(np.ndim(reference)))
    return float(np.mean(ssim_map(reference, image, axes, data_range, window, sample_covariance)))


def slice_scores(
    reference: np.ndarray,
    image: np.ndarray,
    axis: int,
    *,
    data_range: float,
    window: Window = "gaussian",
    sample_covariance: bool = False,
    denominator: Denominator = "euclidean",
    threads: int | None = None,
) -> dict[str, np.ndarray]:
    """PSNR, SSIM and NRMSE of every slice across `axis`: three arrays as long as the volume is there.

    The SSIM of slices into which its window does not fit is NaN.
    """
    _require_same_shape(reference, image)
    reference, image = np.moveaxis(reference, axis, 0), np.moveaxis(image, axis, 0)
    length = max(1, SLAB_VOXELS // max(1, reference[0].size))
    starts = range(0, len(reference), length)

    def measure(start: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        x = np.ascontiguousarray(reference[start : start + length], dtype=np.float64)
        y = np.ascontiguousarray(image[start : start + length], dtype=np.float64)
        error = mean_squared_error(x, y, axes=(1, 2))
        similarity = slice_similarity(x, y, data_range, window, sample_covariance)
        scaled = ratio(np.sqrt(error), nrmse_scale(x, denominator, axes=(1, 2)))
        return psnr_of(error, data_range), similarity, scaled

    columns = list(zip(*in_threads(measure, starts, threads), strict=True))
    return {name: np.concatenate(parts) for name, parts in zip(("psnr", "ssim", "nrmse"), columns, strict=True)}


def volume_scores(
    reference: np.ndarray,
    image: np.ndarray,
    *,
    data_range: float,
    window: Window = "gaussian",
    sample_covariance: bool = False,
    denominator: Denominator = "euclidean",
    threads: int | None = None,
) -> dict[str, float]:
    """The 3D versions: PSNR and NRMSE over all voxels, SSIM with a window of three dimensions.

    The SSIM of a volume into which that window does not fit is NaN.
    """
    _require_same_shape(reference, image)
    radius = window_radius(window)
    length = max(1, SLAB_VOXELS // max(1, reference[0].size))
    starts = range(radius, len(reference) - radius, length)

    def total(start: int) -> tuple[float, int]:
        # A slab with the window's margin on both sides, so that slabs tile the cropped map exactly.
        part = slice(start - radius, min(start + length, len(reference) - radius) + radius)
        similarity = ssim_map(reference[part], image[part], (0, 1, 2), data_range, window, sample_covariance)
        return float(similarity.sum()), similarity.size

    sums = in_threads(total, starts, threads) if window_fits(reference.shape, window) else []
    return {
        "psnr3d": psnr(reference, image, data_range=data_range),
        "ssim3d": sum(value for value, _ in sums) / sum(size for _, size in sums) if sums else float("nan"),
        "nrmse3d": nrmse(reference, image, denominator=denominator),
    }


def slice_similarity(
    x: np.ndarray, y: np.ndarray, data_range: float, window: Window, sample_covariance: bool
) -> np.ndarray:
    """The SSIM of each slice [k, :, :]; NaN where its window does not fit into one."""
    if not window_fits(x.shape[1:], window):
        return np.full(len(x), np.nan)
    return ssim_map(x, y, (1, 2), data_range, window, sample_covariance).mean(axis=(1, 2))


def ssim_map(
    reference: np.ndarray,
    image: np.ndarray,
    axes: Sequence[int],
    data_range: float,
    window: Window,
    sample_covariance: bool,
) -> np.ndarray:
    """The similarity at every window that lies wholly inside, windows spanning `axes` only."""
    if not window_fits([np.shape(reference)[axis] for axis in axes], window):
        raise ValueError(f"an image of shape {np.shape(reference)} is smaller than the SSIM window")
    x, y = np.asarray(reference, dtype=np.float64), np.asarray(image, dtype=np.float64)
    mean_x, mean_y = _local_mean(x, axes, window), _local_mean(y, axes, window)
    product = mean_x * mean_y
    squares = mean_x**2 + mean_y**2
    samples = (2 * window_radius(window) + 1) ** len(axes)
    unbias = samples / (samples - 1) if sample_covariance else 1.0
    covariance = unbias * (_local_mean(x * y, axes, window) - product)
    variances = unbias * (_local_mean(x**2 + y**2, axes, window) - squares)
    c1, c2 = (K1 * data_range) ** 2, (K2 * data_range) ** 2
    return ((2 * product + c1) * (2 * covariance + c2)) / ((squares + c1) * (variances + c2))


def _local_mean(image: np.ndarray, axes: Sequence[int], window: Window) -> np.ndarray:
    """The windowed mean along `axes`, cropped to where the window lies wholly inside."""
    radius = window_radius(window)
    for axis in axes:
        if window == "gaussian":
            image = ndimage.gaussian_filter1d(image, GAUSSIAN_SIGMA, axis, radius=GAUSSIAN_RADIUS)
        else:
            image = ndimage.uniform_filter1d(image, UNIFORM_SIZE, axis)
        inside: list[slice] = [slice(None)] * image.ndim
        inside[axis] = slice(radius, image.shape[axis] - radius)
        image = image[tuple(inside)]
    return image


def window_radius(window: Window) -> int:
    """How far a window reaches from its middle, in voxels."""
    return GAUSSIAN_RADIUS if window == "gaussian" else UNIFORM_SIZE // 2


def window_fits(shape: Sequence[int], window: Window) -> bool:
    """Whether an image of that shape, in voxels along the window's dimensions, holds the whole window anywhere."""
    return min(shape) > 2 * window_radius(window)


def psnr_of(error: np.ndarray | float, data_range: float) -> np.ndarray:
    """The PSNR in dB of mean squared errors (of any shape), `data_range` in the images' unit."""
    with np.errstate(divide="ignore"):
        return np.asarray(10 * np.log10(data_range**2 / np.asarray(error)))


def nrmse_scale(reference: np.ndarray, denominator: Denominator, axes: Sequence[int] | None) -> np.ndarray:
    """What the root mean squared error is divided by: the reference's RMS, range or mean over `axes` (None: all)."""
    over = None if axes is None else tuple(axes)
    if denominator == "euclidean":
        return np.asarray(np.sqrt(np.mean(np.square(reference, dtype=np.float64), axis=over)))
    if denominator == "range":
        return np.asarray(np.ptp(reference, axis=over), dtype=np.float64)
    return np.asarray(np.mean(reference, axis=over, dtype=np.float64))


def ratio(error: np.ndarray | float, scale: np.ndarray | float) -> np.ndarray:
    """`error / scale`, element by element; NaN where the scale is zero."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(np.asarray(scale) == 0, np.nan, np.asarray(error) / scale))


def in_threads(function, items, threads: int | None) -> list:
    """`function` of every item, in order, by as many threads (None: one a core)."""
    # SciPy's filters release the interpreter lock, so plain threads keep both cores busy.
    with ThreadPoolExecutor(threads or available_cores()) as pool:
        return list(pool.map(function, items))


def _require_same_shape(reference: np.ndarray, image: np.ndarray) -> None:
    if np.shape(reference) != np.shape(image):
        raise ValueError(f"the shapes differ: {np.shape(reference)} and {np.shape(image)}")
