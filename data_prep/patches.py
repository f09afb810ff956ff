"""Draw patch corners where there is something to learn, then cut (NumPy only)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mdcsrn_tf.errors import UserError

# A patch counts when this part of it is brighter than the scan's mean, the rule that also chooses the voxels of
# the normalisation: the papers draw patches "randomly", and most of a scan's field of view is air.
MIN_FOREGROUND = 0.25
_TRIES = 50


def draw_corners(
    rng: np.random.Generator, foreground: np.ndarray, size: int, count: int, min_foreground: float = MIN_FOREGROUND
) -> np.ndarray:
    """`count` corners [count, 3] of patches of `size`^3, uniform over those with enough foreground.

    Where chance finds no such patch in 50 tries, the best of them is taken, so every scan gives `count`.
    """
    room = np.array(foreground.shape) - size + 1
    if (room < 1).any():
        shape = "x".join(str(n) for n in foreground.shape)
        raise UserError(f"a volume of {shape} holds no patch of {size}^3; choose a smaller --patch.")
    return np.array([_one_corner(rng, foreground, size, room, min_foreground) for _ in range(count)])


def cut_patches(volume: np.ndarray, corners: np.ndarray, size: int) -> Iterator[np.ndarray]:
    """The patches [size, size, size] of `volume` at `corners` [count, 3], as views of it."""
    for i, j, k in corners:
        yield volume[i : i + size, j : j + size, k : k + size]


def _one_corner(
    rng: np.random.Generator, foreground: np.ndarray, size: int, room: np.ndarray, enough: float
) -> np.ndarray:
    best, best_part = None, -1.0
    for corner in rng.integers(0, room, size=(_TRIES, 3)):
        (patch,) = cut_patches(foreground, corner[None], size)
        part = float(np.count_nonzero(patch)) / patch.size
        if part >= enough:
            return corner
        if part > best_part:
            best, best_part = corner, part
    assert best is not None
    return best
