"""The window by which a scanner weighted k-space, told by how power falls along an axis, and taken back.

Scanners fade k-space out towards its edge against ringing and noise (Hamming's, Hann's, Fermi's window and others).
What anatomy itself does there hardly differs from head to head, so that the rest is the window's. Noise was weighted
with the signal and comes back with it, no more of it beside the signal than before. NumPy and SciPy only.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import scipy.fft
import scipy.optimize

_FIRST = 0.1  # of the highest measured frequency
# Power in equal parts of the frequencies from there on, dB beside that of the third to the fifth part: means over the
# training scans at 2x2, and by how much these lie about them (standard deviations; benchmarks/window_law.py).
NATURAL_DB = (5.3, 3.4, 1.5, 0.0, -1.5, -2.9, -4.1, -5.4, -6.5, -7.5, -8.5, -9.3, -10.2, -10.9, -11.7, -12.4)
SPREAD_DB = (1.0, 0.7, 0.3, 0.2, 0.3, 0.4, 0.6, 0.8, 0.9, 1.1, 1.3, 1.4, 1.5, 1.6, 1.7, 1.8)
_BESIDE = slice(2, 5)
_POWERS = (2, 4, 8, 16)  # of the frequency, in the exponent of a window: from a bell to a cliff
_TOLD_DB = 5.0  # less at the edge may be anatomy
_LEAST = 0.08  # amplitude: what was weighted by less is not all given back
_LINES = 20_000


@dataclass(frozen=True)
class Window:
    """exp(-sum of c u^p): the amplitude that is left at u, the share of the highest measured frequency."""

    coefficients: tuple[float, ...]  # none negative: it falls from 1 on

    def amplitude(self, share: np.ndarray | float) -> np.ndarray:
        """What is left at those shares, from 0 to 1."""
        powers = np.stack([np.asarray(share, dtype=np.float64) ** power for power in _POWERS], axis=-1)
        return np.exp(-powers @ np.asarray(self.coefficients))

    @property
    def edge_db(self) -> float:
        """By how much the highest measured frequency was weakened."""
        return float(-20 * np.log10(self.amplitude(1.0)))


def window_of(image: np.ndarray, axis: int, measured: float = 1.0) -> Window | None:
    """The window along an axis of a scan [i, j, k] of magnitudes; None where it shows none.

    measured: the share of the axis's frequencies that were measured; zero-filled twofold, a half.
    """
    lost = np.asarray(NATURAL_DB) - power_by_part(image, axis, measured)
    if not np.isfinite(lost).all():
        return None
    parts = _edges()
    fall = np.stack([((parts[1:] + parts[:-1]) / 2) ** p for p in _POWERS], axis=1) * 20 / np.log(10)
    fall -= fall[_BESIDE].mean(axis=0)
    surety = 1 / np.asarray(SPREAD_DB)
    coefficients, _ = scipy.optimize.nnls(fall * surety[:, None], lost * surety)
    window = Window(tuple(map(float, coefficients)))
    return window if window.edge_db >= _TOLD_DB else None


def without_window(image: np.ndarray, axis: int, window: Window, measured: float = 1.0) -> np.ndarray:
    """The scan [i, j, k] as it would be without the window along that axis, float32; magnitudes stay such."""
    size = image.shape[axis]
    share = np.arange(size // 2 + 1) / (size / 2 * measured)
    gain = np.where(share <= 1, 1 / np.maximum(window.amplitude(np.minimum(share, 1)), _LEAST), 1.0)
    spectrum = scipy.fft.rfft(np.asarray(image, np.float32), axis=axis)
    spectrum *= gain.astype(np.float32).reshape([-1 if place == axis else 1 for place in range(3)])
    restored = scipy.fft.irfft(spectrum, size, axis=axis)
    return np.abs(restored) if np.min(image) >= 0 else restored


def power_by_part(image: np.ndarray, axis: int, measured: float = 1.0) -> np.ndarray:
    """The power of each part of the frequencies, dB as in `NATURAL_DB`, of as many lines along the axis as tell it."""
    lines = np.moveaxis(image, axis, -1).reshape(-1, image.shape[axis])
    lines = lines[:: max(1, len(lines) // _LINES)].astype(np.float64)
    power = np.square(np.abs(scipy.fft.rfft(np.concatenate([lines, lines[:, ::-1]], axis=1)))).sum(axis=0)
    places = np.rint(_edges() * (image.shape[axis] * measured)).astype(int)
    with np.errstate(divide="ignore", invalid="ignore"):  # where nothing was measured
        decibels = 10 * np.log10([power[first : max(last, first + 1)].mean() for first, last in pairwise(places)])
        return decibels - decibels[_BESIDE].mean()


def _edges() -> np.ndarray:
    return np.linspace(_FIRST, 1, len(NATURAL_DB) + 1)
