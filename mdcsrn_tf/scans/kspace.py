"""Low-resolution MRI by keeping the centre of k-space, and the way back to the full grid (NumPy/SciPy only).

J section 3.4, M section 2.6: FFT of the whole volume, keep the centre along the phase-encoded axes, inverse
FFT on the small matrix, linear interpolation to the original size.

Conventions, all of them tested:

- An axis of n samples and factor f keeps m = n // f of them. The field of view stays, so sample i of the
  small matrix lies at index i * n / m of the large one: exactly i * f where f divides n. Both grids share
  sample 0, never the corner of the first voxel (a half-pixel-centre resizer would shift by half a voxel).
- Amplitudes are scaled by m / n: the mean intensity is kept.
- Of an even m the sample at the Nyquist frequency has no partner. Its real part is kept, which is what the
  real part of the small image holds; so a real volume stays real and the whole operation stays linear.
- Only the degraded axes need a transform, and of a real volume half a spectrum is enough: keeping the first
  m // 2 + 1 samples of it is keeping the centre of the centred spectrum.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.fft
import scipy.ndimage

from mdcsrn_tf.scans.slice_profile import SliceProfile

METHODS = ("nearest", "linear", "cubic", "sinc")


def small_size(size: int, factor: int) -> int:
    """How many of `size` k-space samples factor `factor` keeps."""
    return max(1, size // factor)


def small_shape(shape: Sequence[int], factors: Sequence[int], axes: Sequence[int]) -> tuple[int, ...]:
    """The shape of the truncated matrix.

    >>> small_shape((320, 320, 256), (2, 2), (0, 1))
    (160, 160, 256)
    """
    sizes = list(shape)
    for axis, factor in zip(axes, factors, strict=True):
        sizes[axis] = small_size(sizes[axis], factor)
    return tuple(sizes)


def small_affine(
    affine: np.ndarray, factors: Sequence[int], axes: Sequence[int], shape: Sequence[int] | None = None
) -> np.ndarray:
    """The affine of the small grid: larger steps along the degraded axes, the same first sample.

    `shape` is the large grid's; without it the factors are taken to divide it (the step is n / m voxels).
    """
    scaled = np.array(affine, dtype=np.float64)
    for axis, factor in zip(axes, factors, strict=True):
        step = factor if shape is None else shape[axis] / small_size(shape[axis], factor)
        scaled[:3, axis] *= step
    return scaled


def truncate(volume: np.ndarray, factors: Sequence[int], axes: Sequence[int], *, workers: int = 1) -> np.ndarray:
    """The image of the centre of `volume`'s k-space on the small matrix (`small_shape`); the mean intensity is kept."""
    _check(volume, factors, axes)
    small = _floating(volume)
    for axis, factor in zip(axes, factors, strict=True):
        small = _truncate_axis(small, small_size(small.shape[axis], factor), axis, workers)
    return small


def interpolate(
    small: np.ndarray,
    shape: Sequence[int],
    factors: Sequence[int],
    axes: Sequence[int],
    method: str = "linear",
    *,
    workers: int = 1,
) -> np.ndarray:
    """Bring a truncated image back to the grid of `shape`, by `nearest`, `linear`, `cubic` or `sinc`.

    `nearest` takes sample floor(x / f); `cubic` is the interpolating B-spline; `sinc` fills k-space with
    zeros. Beyond the last sample `nearest` and `linear` repeat it, `cubic` mirrors and `sinc` is periodic.
    """
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}, not {method!r}")
    if small.shape != small_shape(shape, factors, axes):
        raise ValueError(f"{small.shape} is not {tuple(shape)} truncated by {tuple(factors)} along {tuple(axes)}")
    image = _floating(small)
    for axis in axes:
        image = resize_axis(image, shape[axis], axis, method, workers=workers)
    return np.ascontiguousarray(image)


def resize_axis(samples: np.ndarray, size: int, axis: int, method: str, *, workers: int = 1) -> np.ndarray:
    """`interpolate` of one axis to `size` voxels, whatever the factor: sample i comes to lie at i * size / samples."""
    if method == "sinc":
        return _pad_axis(samples, size, axis, workers)
    return _interpolate_axis(samples, size, axis, method)


def low_pass_axis(volume: np.ndarray, kept: int, axis: int) -> np.ndarray:
    """The volume without what lies outside the `kept` central samples of the axis's k-space, on its own grid."""
    size = volume.shape[axis]
    if kept >= size:
        return volume
    spectrum = scipy.fft.rfft(volume, axis=axis)
    _part(spectrum, axis, slice(kept // 2 + 1, None))[...] = 0
    return scipy.fft.irfft(spectrum, n=size, axis=axis, overwrite_x=True)


def mirrored_low_pass(volume: np.ndarray, kept: Sequence[int], axes: Sequence[int]) -> np.ndarray:
    """The volume without all but the `kept` lowest frequencies of its cosine transform along each of `axes`; float32.

    As `low_pass_axis`, but each axis goes on as its mirror image: its ends need not meet, as they would in k-space.

    >>> waves = np.cos(np.pi * 6 * (np.arange(8) + 0.5) / 8)[:, None, None]  # beyond the lowest four of eight
    >>> bool(np.allclose(mirrored_low_pass(waves + 7, [4], [0]), 7))
    True
    """
    image = np.asarray(volume, np.float32)
    for axis, count in zip(axes, kept, strict=True):
        spectrum = scipy.fft.dct(image, axis=axis, norm="ortho")
        _part(spectrum, axis, slice(count, None))[...] = 0
        image = scipy.fft.idct(spectrum, axis=axis, norm="ortho", overwrite_x=True)
    return image


def acquire(
    volume: np.ndarray,
    factors: Sequence[int],
    axes: Sequence[int],
    *,
    noise_snr: float | None = None,
    rng: np.random.Generator | None = None,
    slices: SliceProfile | None = None,
    workers: int = 1,
) -> np.ndarray:
    """`truncate` as a scanner would deliver it: a magnitude image, with Rician noise if `noise_snr` is given.

    Truncation rings, below zero at the edges of the head. A scanner stores magnitudes, so a volume without
    negative voxels (a magnitude image itself) gives one; any other volume stays signed. With a slice profile
    the one axis is not truncated but sampled by thick slices, at the same places.

    >>> acquire(np.ones((8, 8, 4)), (2, 2), (0, 1)).shape
    (4, 4, 4)
    """
    if slices is None:
        small = truncate(volume, factors, axes, workers=workers)
    else:
        _check(volume, factors, axes)
        (axis,) = axes
        small = slices.thick_slices(_floating(volume), small_size(volume.shape[axis], factors[0]), axis)
    if noise_snr is not None:
        return add_noise(small, noise_snr, rng or np.random.default_rng())
    return np.abs(small) if volume.min() >= 0 else small


def degrade(
    volume: np.ndarray,
    factors: Sequence[int],
    axes: Sequence[int],
    method: str = "linear",
    *,
    noise_snr: float | None = None,
    rng: np.random.Generator | None = None,
    slices: SliceProfile | None = None,
    workers: int = 1,
) -> np.ndarray:
    """The low-resolution image on the volume's own grid: `acquire`, then `interpolate`.

    >>> degrade(np.ones((8, 8, 4)), (2, 2), (0, 1)).shape
    (8, 8, 4)
    """
    small = acquire(volume, factors, axes, noise_snr=noise_snr, rng=rng, slices=slices, workers=workers)
    return interpolate(small, volume.shape, factors, axes, method, workers=workers)


def put_back_centre(
    image: np.ndarray, measured_small: np.ndarray, factors: Sequence[int], axes: Sequence[int], *, workers: int = 1
) -> np.ndarray:
    """`image` with the centre of its k-space replaced by the measured one (data consistency).

    image: on the large grid; measured_small: in the same unit on the small matrix, `small_shape` of the image's.
    Afterwards `truncate` gives `measured_small` again; frequencies outside the centre are untouched.
    """
    missing = measured_small - truncate(image, factors, axes, workers=workers)
    for axis in axes:
        # The real part of a Nyquist pair is all that was measured: both of its halves get it in full.
        missing = _pad_axis(missing, image.shape[axis], axis, workers, nyquist=1.0)
    return image + missing


def add_noise(small: np.ndarray, snr: float, rng: np.random.Generator) -> np.ndarray:
    """The magnitude of `small` with complex Gaussian noise: Rician, as a scanner's magnitude images are.

    `snr` is the signal over the standard deviation of the noise's real part; the signal is the mean of the
    voxels brighter than the mean, which leaves the empty background out.
    """
    if snr <= 0:
        raise ValueError(f"the signal-to-noise ratio must be positive, not {snr}")
    deviation = np.mean(small[small >= small.mean()], dtype=np.float64) / snr
    noise = rng.standard_normal((2, *small.shape), dtype=np.float32) * np.float32(deviation)
    return np.hypot(small + noise[0], noise[1])


def _check(volume: np.ndarray, factors: Sequence[int], axes: Sequence[int]) -> None:
    if len(set(axes)) != len(axes) or len(factors) != len(axes):
        raise ValueError(f"each axis needs one factor and may occur once: axes {axes}, factors {factors}")
    if any(factor < 1 or factor != int(factor) for factor in factors):
        raise ValueError(f"factors must be whole numbers from 1, not {factors}")
    if any(not 0 <= axis < volume.ndim for axis in axes):
        raise ValueError(f"axes {axes} do not exist in a volume of shape {volume.shape}")


def _floating(array: np.ndarray) -> np.ndarray:
    return array if array.dtype in (np.float32, np.float64) else array.astype(np.float32)


def _truncate_axis(array: np.ndarray, kept: int, axis: int, workers: int) -> np.ndarray:
    size = array.shape[axis]
    if kept == size:
        return array
    spectrum = scipy.fft.rfft(array, axis=axis, workers=workers)
    centre = _part(spectrum, axis, slice(0, kept // 2 + 1)) * _scale(array, kept / size)
    # irfft reads the real part of the last sample of an even length: the treatment of Nyquist above.
    return scipy.fft.irfft(centre, n=kept, axis=axis, workers=workers, overwrite_x=True)


def _pad_axis(array: np.ndarray, size: int, axis: int, workers: int, nyquist: float = 0.5) -> np.ndarray:
    kept = array.shape[axis]
    if kept == size:
        return array
    centre = scipy.fft.rfft(array, axis=axis, workers=workers)
    centre *= _scale(array, size / kept)
    if kept % 2 == 0:
        # One Nyquist sample becomes a pair, half in each, so that the old samples are met exactly.
        _part(centre, axis, slice(kept // 2, None))[...] *= _scale(array, nyquist)
    return scipy.fft.irfft(centre, n=size, axis=axis, workers=workers, overwrite_x=True)


def _interpolate_axis(array: np.ndarray, size: int, axis: int, method: str) -> np.ndarray:
    kept = array.shape[axis]
    if kept == size:
        return array
    if method == "cubic":
        array = scipy.ndimage.spline_filter1d(array, 3, axis, output=array.dtype, mode="mirror")
    column = [1] * array.ndim
    column[axis] = size
    image = None
    for samples, weights in _taps(kept, size, method):
        term = np.take(array, samples, axis=axis)
        term *= weights.astype(array.dtype).reshape(column)
        if image is None:
            image = term
        else:
            image += term
    assert image is not None
    return image


def _taps(kept: int, size: int, method: str) -> list[tuple[np.ndarray, np.ndarray]]:
    """(samples, weights) of each term of the interpolation stencil at the `size` positions i * kept / size."""
    positions = np.arange(size) * kept
    below = positions // size
    t = (positions % size) / size
    if method == "nearest":
        return [(below, np.ones(size))]
    if method == "linear":
        return [(below, 1 - t), (np.minimum(below + 1, kept - 1), t)]
    weights = spline_weights(t)
    return [(mirrored(below + offset, kept), weight) for offset, weight in zip((-1, 0, 1, 2), weights, strict=True)]


def spline_weights(t: np.ndarray) -> tuple[np.ndarray, ...]:
    """The cubic B-spline's weights of four coefficients for places `t` (0 to 1) behind the second of them."""
    return ((1 - t) ** 3 / 6, 2 / 3 - t**2 + t**3 / 2, 2 / 3 - (1 - t) ** 2 + (1 - t) ** 3 / 2, t**3 / 6)


def mirrored(positions: np.ndarray, size: int) -> np.ndarray:
    """Positions inside and outside `0..size - 1`, brought inside by reflection at the first and the last sample.

    >>> mirrored(np.arange(-2, 6), 4)
    array([2, 1, 0, 1, 2, 3, 2, 1])
    """
    if size == 1:
        return np.zeros_like(positions)
    period = 2 * (size - 1)
    folded = np.mod(positions, period)
    return np.minimum(folded, period - folded)


def _part(array: np.ndarray, axis: int, part: slice) -> np.ndarray:
    index: list[slice] = [slice(None)] * array.ndim
    index[axis] = part
    return array[tuple(index)]


def _scale(array: np.ndarray, factor: float) -> np.floating:
    return array.dtype.type(factor)
