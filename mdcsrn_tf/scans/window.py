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

# Power of what was measured at 2 voxels a sample along LR and AP, in equal parts of the frequencies from a tenth of the
# highest on, dB beside that of the third to the fifth part: means over the training scans, which lie about them by 1.8
# at the last part (standard deviation; 3.9 at most).
_FIRST = 0.1
_NATURAL_DB = (
    5.17,
    3.25,
    1.59,
    -0.04,
    -1.54,
    -3.03,
    -4.25,
    -5.48,
    -6.58,
    -7.67,
    -8.62,
    -9.53,
    -10.36,
    -11.11,
    -11.81,
    -12.6,
)
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
    power = _power_by_part(image, axis, measured)
    if power.min() <= 0:
        return None
    decibels = 10 * np.log10(power)
    lost = np.asarray(_NATURAL_DB) - (decibels - decibels[_BESIDE].mean())
    parts = _edges()
    fall = np.stack([((parts[1:] + parts[:-1]) / 2) ** p for p in _POWERS], axis=1) * 20 / np.log(10)
    coefficients, _ = scipy.optimize.nnls(fall - fall[_BESIDE].mean(axis=0), lost)
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


def _edges() -> np.ndarray:
    return np.linspace(_FIRST, 1, len(_NATURAL_DB) + 1)


def _power_by_part(image: np.ndarray, axis: int, measured: float) -> np.ndarray:
    """The mean power of each part of the frequencies, over as many lines along the axis as tell it."""
    lines = np.moveaxis(image, axis, -1).reshape(-1, image.shape[axis])
    lines = lines[:: max(1, len(lines) // _LINES)].astype(np.float64)
    power = np.square(np.abs(scipy.fft.rfft(np.concatenate([lines, lines[:, ::-1]], axis=1)))).sum(axis=0)
    places = np.rint(_edges() * (image.shape[axis] * measured)).astype(int)
    return np.array([power[first : max(last, first + 1)].mean() for first, last in pairwise(places)])
