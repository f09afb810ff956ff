"""What detail a method restores, frequency by frequency, and whether it leaves a pattern of its own.

Three questions that no mean error answers: how much power there is in the k-space that degradation removed (too little:
blur, too much: invention), how much of it is the original's (correlation), and whether the difference from the original
repeats with the period of the tiles or of a stride.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.fft

BINS = 48
FLOOR_DB = -100.0  # nothing there: zero-filled k-space holds rounding errors only
_NEIGHBOURS = 6  # samples on either side of a frequency that say how high the spectrum is around it
_SPREAD = 1  # samples beside the frequency that a peak may reach into


def radial_power(volume: np.ndarray, axis: int, slices: np.ndarray, bins: int = BINS) -> np.ndarray:
    """Mean power in rings from 0 to the Nyquist frequency of the slices across `axis`, over those slices."""
    chosen = np.moveaxis(volume, axis, 0)[slices]
    window = np.multiply.outer(np.hanning(chosen.shape[1]), np.hanning(chosen.shape[2]))
    total = np.zeros(bins)
    radius = np.hypot(np.fft.fftfreq(chosen.shape[1])[:, None] / 0.5, np.fft.rfftfreq(chosen.shape[2])[None, :] / 0.5)
    ring = np.minimum((radius * bins).astype(int), bins)  # corners beyond Nyquist go to a ring that is dropped
    counts = np.bincount(ring.ravel(), minlength=bins + 1)[:bins]
    for picture in chosen:
        power = np.abs(np.fft.rfft2((picture - picture.mean()) * window)) ** 2
        total += np.bincount(ring.ravel(), power.ravel(), minlength=bins + 1)[:bins]
    return total / np.maximum(counts, 1) / max(1, len(chosen))


def ring_centres(bins: int = BINS) -> np.ndarray:
    """The middle of every ring as a fraction of the Nyquist frequency."""
    return (np.arange(bins) + 0.5) / bins


def band(volume: np.ndarray, axes: Sequence[int], low: Sequence[float], high: Sequence[float]) -> np.ndarray:
    """The part of `volume` whose frequencies lie in a frame of k-space: not within `low`, but within `high`.

    Both limits are fractions of the Nyquist frequency, one for each of `axes`; the frame is the box up to `high` less
    the box up to `low`. With `low` 1 / factor and `high` 1 it is all that degradation removes. Float32, same grid.
    """
    return _box(volume, axes, high) - _box(volume, axes, low)


def power_db(reference: np.ndarray, image: np.ndarray, mask: np.ndarray | None = None) -> float:
    """Power of `image` over that of `reference`, in dB, over `mask` (None: everywhere); not below -100.

    >>> one = np.array([1.0, -1.0, 1.0, -1.0])
    >>> round(power_db(one, one / 2), 2)
    -6.02
    """
    powers = [float(np.mean(np.square(_chosen(part, mask), dtype=np.float64))) for part in (image, reference)]
    if not powers[1] > 0:
        return float("nan")
    return max(FLOOR_DB, float(10 * np.log10(max(powers[0] / powers[1], 1e-30))))


def correlation(reference: np.ndarray, image: np.ndarray, mask: np.ndarray | None = None) -> float:
    """The correlation of two bands (which have no mean) over `mask`: 1 is the original's detail, 0 invention.

    NaN where one of them is zero everywhere.

    >>> one = np.array([1.0, -1.0, 1.0, -1.0])
    >>> correlation(one, 3 * one), correlation(one, np.array([1.0, 1.0, -1.0, -1.0]))
    (1.0, 0.0)
    """
    x, y = (_chosen(part, mask).astype(np.float64).ravel() for part in (reference, image))
    norm = float(np.sqrt((x @ x) * (y @ y)))
    return float(x @ y) / norm if norm > 0 else float("nan")


def pattern_db(difference: np.ndarray, axis: int, *periods: float) -> list[float]:
    """How far the mean spectrum along `axis` stands out at the harmonics of each period: the highest in dB.

    `difference` is a result less its original. The mean is over all lines; each harmonic is compared with the median of
    its neighbours, so that a spectrum which merely slopes gives about 0. A period is the tiles' stride, or a stride of
    the network: 2 for a checkerboard.
    """
    lines = np.moveaxis(np.asarray(difference), axis, -1)
    size = lines.shape[-1]
    spectrum = np.abs(scipy.fft.rfft(lines, axis=-1)) ** 2
    power = np.asarray(np.mean(spectrum, axis=tuple(range(lines.ndim - 1)), dtype=np.float64))
    highest = []
    for period in periods:
        places = {round(size * harmonic / period) for harmonic in range(1, int(period // 2) + 1)}
        highest.append(max((_stands_out(power, k) for k in places if 0 < k < len(power)), default=0.0))
    return highest


def _box(volume: np.ndarray, axes: Sequence[int], limits: Sequence[float]) -> np.ndarray:
    """`volume` with all frequencies above `limits` removed, axis by axis."""
    image = np.asarray(volume, np.float32)
    for axis, limit in zip(axes, limits, strict=True):
        if limit >= 1:
            continue
        spectrum = scipy.fft.rfft(image, axis=axis)
        frequency = np.fft.rfftfreq(image.shape[axis]) / 0.5
        # The sample exactly at the limit is kept by half: its pair counts as measured and as removed.
        weight = (frequency < limit - 1e-9) + 0.5 * np.isclose(frequency, limit)
        shape = [1] * image.ndim
        shape[axis] = -1
        spectrum *= weight.reshape(shape).astype(np.float32)
        image = scipy.fft.irfft(spectrum, n=image.shape[axis], axis=axis)
    return image


def _stands_out(power: np.ndarray, place: int) -> float:
    low, high = max(1, place - _SPREAD - _NEIGHBOURS), place + _SPREAD + _NEIGHBOURS + 1
    around = [power[k] for k in range(low, min(high, len(power))) if abs(k - place) > _SPREAD]
    usual = float(np.median(around)) if around else 0.0
    return 10 * float(np.log10(power[place] / usual)) if usual > 0 and power[place] > 0 else 0.0


def _chosen(part: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
    return np.asarray(part) if mask is None else np.asarray(part)[mask]
