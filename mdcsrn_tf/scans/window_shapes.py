"""The windows by which scanners weight k-space: the amplitude at u, the share of the highest frequency."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

Shape = Callable[[np.ndarray], np.ndarray]


def raised_cosine(u: np.ndarray, level: float) -> np.ndarray:
    """Hann's window at a level of 0.5, Hamming's at 0.54."""
    return level + (1 - level) * np.cos(np.pi * u)


def gauss(u: np.ndarray, steepness: float) -> np.ndarray:
    """A bell."""
    return np.exp(-steepness * u**2)


def welch(u: np.ndarray, depth: float) -> np.ndarray:
    """A parabola, down to 1 - depth."""
    return 1 - depth * u**2


def tukey(u: np.ndarray, tapered: float) -> np.ndarray:
    """Flat, then half a cosine over the part of the frequencies that is tapered."""
    return 0.5 + 0.5 * np.cos(np.pi * np.clip((u - 1) / tapered + 1, 0, 1))


def fermi(u: np.ndarray, radius: float, width: float) -> np.ndarray:
    """Flat, then a soft cliff around the radius."""
    return (1 + np.exp(-radius / width)) / (1 + np.exp((u - radius) / width))


_KINDS: tuple[tuple[Shape, ...], ...] = (
    tuple(partial(raised_cosine, level=level) for level in (0.5, 0.54, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9)),
    tuple(partial(gauss, steepness=one) for one in (0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 2.5, 3.0)),
    tuple(partial(welch, depth=depth) for depth in (0.3, 0.45, 0.6, 0.75, 0.9)),
    tuple(partial(tukey, tapered=part) for part in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.75, 0.9)),
    tuple(partial(fermi, radius=r, width=w) for r in (0.7, 0.8, 0.9, 1.0) for w in (0.03, 0.06, 0.1)),
)
# A window may end farther out than what seems to be measured: what it left of the outermost is lost in noise.
_REACHED = (1.0, 0.95, 0.9, 0.85, 0.8, 0.75)


def likely_shapes() -> Iterator[tuple[Shape, float]]:
    """No window, and many of every kind, each with how likely it is before a scan was seen: each kind as any other."""
    kind = 1 / (len(_KINDS) + 1)
    yield np.ones_like, kind
    for shapes in _KINDS:
        for shape in shapes:
            for reached in _REACHED:
                yield partial(_up_to, shape, reached), kind / len(shapes) / len(_REACHED)


def _up_to(shape: Shape, reached: float, u: np.ndarray) -> np.ndarray:
    """The shape whose end lies at 1 / reached."""
    return np.where(u * reached <= 1, shape(u * reached), 1.0)
