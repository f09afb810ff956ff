"""The window by which a scanner weighted k-space, told by how power falls along its axes, and taken back.

Scanners fade k-space out towards its edge against ringing and noise (Hamming's, Hann's, Fermi's window and others).
What anatomy itself does there differs little from head to head, and how it does is known: so each window that scanners
use is asked how likely it is, and what is taken back is the mean of all. Noise was weighted with the signal and comes
back with it, no more of it beside the signal than before. NumPy and SciPy only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np
import scipy.fft

from mdcsrn_tf.scans.window_shapes import Shape, likely_shapes

_FIRST = 0.1  # of the highest measured frequency
# Power in equal parts of the frequencies from there on, dB beside that of the third to the fifth part: the mean over
# the training scans at 2x2, and the three patterns by which these differ from it most (benchmarks/window_law.py).
NATURAL_DB = (5.3, 3.4, 1.5, 0.0, -1.5, -2.9, -4.1, -5.4, -6.5, -7.5, -8.5, -9.3, -10.2, -10.9, -11.7, -12.4)
PATTERNS_DB = (
    (-0.5, -0.4, -0.1, 0.0, 0.1, 0.2, 0.4, 0.6, 0.9, 1.1, 1.3, 1.4, 1.5, 1.6, 1.7, 1.8),
    (0.8, 0.5, 0.2, 0.0, -0.1, -0.2, -0.2, -0.2, -0.1, -0.1, 0.0, 0.0, 0.1, 0.1, 0.2, 0.3),
    (-0.4, 0.1, 0.1, 0.1, -0.2, -0.3, -0.4, -0.3, -0.2, -0.2, 0.0, 0.0, 0.1, 0.1, 0.1, 0.1),
)
_BESIDE = slice(2, 5)
_APART_DB = 0.8  # by how much each part may differ besides
_TOLD_DB = 5.0  # less at the edge may be anatomy
_FEWEST = 40  # measured samples: of fewer a part holds one or two frequencies
_LEAST = 0.08  # amplitude: what was weighted by less is not all given back
_UNLIKELY = 1e-4  # beside the likeliest
_LINES, _PLANES = 20_000, 64  # about as many are looked at
# Between these rings power falls by 9.5 dB at most with any window but those that leave little (Hann's), and by 13.4 at
# least where an ellipse was measured. What is told to have been lost at three quarters of the frequencies (the mean of
# both axes) is 3.6 dB at most there, and 13.9 at least with Hann's; 2.0 at most without a window or with Fermi's, and
# 3.1 at least with a bell's. All of training scans (window_law.json).
_RINGS = (0.9, 0.98), (1.02, 1.1)
_CLIFF_DB = 10.5
_INNER = 0.75
_TOO_MUCH_DB, _LITTLE_DB = 8.0, 2.5


@dataclass(frozen=True)
class Window:
    """The windows that a scanner may have used, and how likely each is."""

    shapes: tuple[Shape, ...]
    shares: tuple[float, ...]  # their sum is 1

    def gain(self, share: np.ndarray | float) -> np.ndarray:
        """By how much an amplitude has to grow at u, the share of the highest frequency that seems to be measured.

        Beyond that, where windows may end that have faded out before, likewise.
        """
        u = np.asarray(share, dtype=np.float64)
        gains = (part / np.maximum(shape(u), _LEAST) for shape, part in zip(self.shapes, self.shares, strict=True))
        return np.asarray(sum(gains))

    @property
    def edge_db(self) -> float:
        """By how much the highest measured frequency was weakened."""
        return float(20 * np.log10(self.gain(1.0)))

    def inner_db(self, edge: float = 1.0) -> float:
        """By how much the frequency at three quarters of `edge`, a share as in `gain`, was weakened."""
        return float(20 * np.log10(self.gain(min(_INNER * edge, 1.0))))


def window_of(image: np.ndarray, axis: int, measured: float = 1.0) -> Window | None:
    """The window along an axis of a scan [i, j, k] of magnitudes; None where it shows none.

    measured: the share of the axis's frequencies that was measured; zero-filled twofold, a half.
    """
    if image.shape[axis] * measured < _FEWEST:
        return None
    lost = np.asarray(NATURAL_DB) - power_by_part(image, axis, measured)
    window = likely_window(lost) if np.isfinite(lost).all() else None
    return window if window and window.edge_db >= _TOLD_DB else None


def windows_of(image: np.ndarray, measured: Mapping[int, float]) -> dict[int, Window]:
    """The windows along those axes of a scan [i, j, k] that show one; measured: of each axis, as in `window_of`.

    None where an ellipse of k-space was measured: its axes fall as those of a mild filter do.
    """
    found = {axis: window_of(image, axis, share) for axis, share in measured.items()}
    windows = {axis: window for axis, window in found.items() if window}
    little = _lost_within(windows, dict.fromkeys(measured, 1.0)) < _TOO_MUCH_DB
    return {} if windows and little and shows_ellipse(image, measured) else windows


def weakened_within(samples: np.ndarray, measured: Mapping[int, float]) -> bool:
    """Whether windows along those axes took of samples [i, j, k] more than the outermost of all their frequencies.

    Detail beyond the edge is foretold from what lies within it, and no longer can be. measured: as in `windows_of`; a
    window that fades out leaves an edge that seems not to have been measured.
    """
    edges = {axis: 1 / share for axis, share in measured.items()}
    return _lost_within(windows_of(samples, measured), edges) > _LITTLE_DB


def _lost_within(windows: Mapping[int, Window], edges: Mapping[int, float]) -> float:
    """What windows along some of these axes took within k-space up to that edge, dB: the mean of all axes."""
    return sum(window.inner_db(edges[axis]) for axis, window in windows.items()) / len(edges)


def without_window(image: np.ndarray, axis: int, window: Window, measured: float = 1.0) -> np.ndarray:
    """The scan [i, j, k] as it would be without the window along that axis, float32; magnitudes stay such."""
    size = image.shape[axis]
    share = np.arange(size // 2 + 1) / (size / 2 * measured)
    spectrum = scipy.fft.rfft(np.asarray(image, np.float32), axis=axis)
    spectrum *= window.gain(share).astype(np.float32).reshape([-1 if place == axis else 1 for place in range(3)])
    restored = scipy.fft.irfft(spectrum, size, axis=axis)
    return np.abs(restored) if np.min(image) >= 0 else restored


def shows_ellipse(image: np.ndarray, measured: Mapping[int, float]) -> bool:
    """Whether an ellipse of the k-space of two axes of a scan [i, j, k] was measured: its corners are empty.

    measured: by axis, the share of its frequencies that was measured along it. False where they are not two.
    """
    return len(measured) == 2 and cliff_db(image, measured) > _CLIFF_DB


def cliff_db(image: np.ndarray, measured: Mapping[int, float]) -> float:
    """By how much power falls where the ellipse of two axes ends, aslant of both, dB; 0 where nothing lies there."""
    axes = sorted(measured)
    planes = np.moveaxis(image, axes, (0, 1))
    planes = planes[..., :: max(1, planes.shape[2] // _PLANES)].astype(np.float64)
    power = np.square(scipy.fft.dctn(planes, axes=(0, 1))).sum(axis=2)
    u, v = (np.arange(size) / (size * measured[axis]) for axis, size in zip(axes, power.shape, strict=True))
    u, v = np.meshgrid(u, v, indexing="ij")
    radius, oblique = np.hypot(u, v), (np.minimum(u, v) > np.maximum(u, v) / 2) & (np.maximum(u, v) < 1)
    within, beyond = (power[oblique & (radius >= low) & (radius < high)] for low, high in _RINGS)
    if not (within.size and beyond.size and within.any()):
        return 0.0
    with np.errstate(divide="ignore"):  # beyond it there may be nothing at all
        return float(10 * np.log10(within.mean() / beyond.mean()))


def power_by_part(image: np.ndarray, axis: int, measured: float = 1.0) -> np.ndarray:
    """The power of each part of the frequencies, dB as in `NATURAL_DB`, of as many lines along the axis as tell it."""
    lines = np.moveaxis(image, axis, -1).reshape(-1, image.shape[axis])
    lines = lines[:: max(1, len(lines) // _LINES)].astype(np.float64)
    power = np.square(np.abs(scipy.fft.rfft(np.concatenate([lines, lines[:, ::-1]], axis=1)))).sum(axis=0)
    places = np.rint(_edges() * (image.shape[axis] * measured)).astype(int)
    with np.errstate(divide="ignore", invalid="ignore"):  # where nothing was measured
        decibels = 10 * np.log10([power[first : max(last, first + 1)].mean() for first, last in pairwise(places)])
        return decibels - decibels[_BESIDE].mean()


def likely_window(lost: np.ndarray) -> Window:
    """The windows that may have lowered the power by part so (dB), given how heads differ."""
    shapes, prior, falls = _candidates()
    patterns = np.asarray(PATTERNS_DB)
    covariance = patterns.T @ patterns + _APART_DB**2 * np.eye(len(NATURAL_DB))
    off = lost - falls
    likelihood = np.log(prior) - np.einsum("ni,ij,nj->n", off, np.linalg.inv(covariance), off) / 2
    shares = np.exp(likelihood - likelihood.max())
    kept = np.flatnonzero(shares > _UNLIKELY)
    return Window(tuple(shapes[place] for place in kept), tuple(shares[kept] / shares[kept].sum()))


@cache
def _candidates() -> tuple[list[Shape], np.ndarray, np.ndarray]:
    """All windows, how likely each is at first, and how each lowers the power of each part, dB (windows x parts)."""
    shapes, prior = zip(*likely_shapes(), strict=True)
    places = np.linspace(_edges()[:-1], _edges()[1:], 8).T  # within each part
    power = np.stack([np.square(shape(places)).mean(axis=1) for shape in shapes])
    falls = -10 * np.log10(np.maximum(power, 1e-6))
    return list(shapes), np.asarray(prior), falls - falls[:, _BESIDE].mean(axis=1, keepdims=True)


def _edges() -> np.ndarray:
    return np.linspace(_FIRST, 1, len(NATURAL_DB) + 1)
