"""At which distances an axis's samples may lie if it was interpolated: the rhythm of the knots between its pieces.

A spline is a polynomial between two samples and another one behind the next. The differences that a polynomial has none
of (the second of lines, the fourth of cubics) are therefore larger around the samples than between them, over and over
at their distance, whatever that is: a line in the spectrum of their size, which anatomy does not have. NumPy and SciPy
only.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import scipy.ndimage

_DIFFERENCES = {"linear": 2, "cubic": 4}
_LINE = 9.0  # times the median of the spectrum: most full scans 2 to 8, interpolated ones of 64 voxels 13 and more
_SLOWEST = 0.12  # cycles a voxel: what is slower is anatomy
_FINER = 8  # so many places of the spectrum for one of its lines, as the distance has to be told to a small part
_STRAIGHT = 1e-6  # of the largest difference: air that was set to zero
_NEIGHBOURS = 9  # voxels, over which the size of differences is compared


def likely_steps(lines: np.ndarray, method: str, least: float, most: float) -> list[float]:
    """Distances of samples that lines [lines, voxels] may have if `method`, linear or cubic, made them.

    In voxels, from `least` to `most`. More than one, since a rhythm faster than two voxels looks like a slower one, and
    the first of its overtones may be the loudest. None where there is no rhythm; who finds one, tries: anatomy has one
    now and then.
    """
    rate = _rhythm(lines, _DIFFERENCES[method])
    if rate is None:
        return []
    return list(dict.fromkeys(step for step in _steps_of(rate) if least <= step <= most))


def _rhythm(lines: np.ndarray, order: int) -> float | None:
    """Cycles a voxel, up to a half, of the size of the differences of that order, if they have a rhythm."""
    size = np.sqrt(np.mean(np.square(np.diff(lines, order, axis=1)), axis=0))
    usual = scipy.ndimage.uniform_filter1d(size, _NEIGHBOURS, mode="nearest")
    bent = usual > _STRAIGHT * size.max()
    relative = np.where(bent, size / np.where(bent, usual, 1.0) - 1, 0.0) * np.hanning(len(size))
    places = _FINER * len(size)
    spectrum = np.abs(np.fft.rfft(relative, places))
    slowest = int(_SLOWEST * places)
    loudest = slowest + int(np.argmax(spectrum[slowest:]))
    clear = spectrum[loudest] > _LINE * np.median(spectrum[slowest:])
    return loudest / places if clear else None


def _steps_of(rate: float) -> Iterator[float]:
    """Steps whose knots, or whose knots' first overtone, have this rate where it is counted by whole voxels."""
    for overtone in (1, 2):
        for turns in (0, 1, 2):
            for seen in (turns + rate, turns - rate):
                if seen > 0:
                    yield overtone / seen
