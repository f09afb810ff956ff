"""A synthetic T1-weighted head, for tests, benchmarks and a run with no data at all (NumPy/SciPy only).

It is no anatomy: it has what makes super-resolution hard or easy, so that methods rank on it as they do on
scans. Folded sheets two to four voxels thick, smooth regions, thin bright lines, air, a bias field and noise.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.ndimage
import scipy.special

# Intensities, as fractions of white matter's.
_SKIN, _BONE, _FLUID, _GREY, _WHITE, _VESSEL = 0.85, 0.08, 0.22, 0.62, 1.0, 1.25
_WHITE_MATTER_UNITS = 1000.0


def make_phantom(shape: Sequence[int], seed: int, *, noise: float = 0.02) -> np.ndarray:
    """A float32 head of `shape`, in scanner-like units; `noise` is the Rician noise's sigma over white matter."""
    rng = np.random.default_rng(seed)
    shape = tuple(shape)
    voxel = 2.0 / min(shape)  # in the coordinates below, where the head is a ball of radius 0.9
    x = _coordinates(rng, shape)
    radius = np.sqrt(x[0] ** 2 + x[1] ** 2 + x[2] ** 2)
    head = _head(radius, _folds(rng, shape), voxel)
    head = _blend(head, _FLUID, _ventricles(rng, x), voxel)
    head = _blend(head, _VESSEL, _vessels(rng, shape, voxel), voxel)
    image = head * _bias_field(rng, shape)
    parts = rng.standard_normal((2, *shape), dtype=np.float32) * np.float32(noise)
    return (np.hypot(image + parts[0], parts[1]) * _WHITE_MATTER_UNITS).astype(np.float32)


def _coordinates(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Coordinates in which a slightly squeezed, shifted head is a ball around 0."""
    axes = [
        (np.linspace(-1, 1, size, dtype=np.float32) + rng.uniform(-0.04, 0.04)) * rng.uniform(1.0, 1.1)
        for size in shape
    ]
    return np.stack(np.meshgrid(*axes, indexing="ij")).astype(np.float32)


def _smooth_noise(rng: np.random.Generator, shape: tuple[int, ...], waves: float) -> np.ndarray:
    """Unit-variance noise with about `waves` periods along the shortest axis."""
    white = rng.standard_normal(shape, dtype=np.float32)
    smooth = scipy.ndimage.gaussian_filter(white, min(shape) / (4.0 * waves), mode="wrap", truncate=3.0)
    return smooth / smooth.std()


def _folds(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return 0.03 * _smooth_noise(rng, shape, 4.0) + 0.05 * _smooth_noise(rng, shape, 11.0)


def _head(radius: np.ndarray, folds: np.ndarray, voxel: float) -> np.ndarray:
    """Nested shells from outside in: skin, bone, fluid, folded grey matter, white matter."""
    head = np.zeros_like(radius)
    for value, surface in (
        (_SKIN, 0.90 + 0.1 * folds),
        (_BONE, 0.84 + 0.1 * folds),
        (_FLUID, 0.78 + 0.1 * folds),
        (_GREY, np.minimum(0.72 + folds, 0.76)),
        (_WHITE, np.minimum(0.62 + 2.2 * folds, 0.69)),
    ):
        head = _blend(head, value, surface - radius, voxel)
    return head


def _ventricles(rng: np.random.Generator, x: np.ndarray) -> np.ndarray:
    """Approximate distance into a pair of tilted ellipsoids."""
    inside = np.full(x.shape[1:], -1.0, np.float32)
    for side in (-1, 1):
        centre = np.array([side * 0.13, 0.05, 0.08]) + rng.uniform(-0.03, 0.03, 3)
        size = np.array([0.07, 0.24, 0.12]) * rng.uniform(0.8, 1.2, 3)
        scaled = [(x[axis] - centre[axis]) / size[axis] for axis in range(3)]
        ball = np.sqrt(scaled[0] ** 2 + scaled[1] ** 2 + scaled[2] ** 2)
        inside = np.maximum(inside, (1 - ball) * size.min())
    return inside.astype(np.float32)


def _vessels(rng: np.random.Generator, shape: tuple[int, ...], voxel: float) -> np.ndarray:
    """Distance into a few winding tubes about one and a half voxels wide."""
    lines = np.zeros(shape, bool)
    for _ in range(12):
        position, direction = rng.uniform(-0.6, 0.6, 3), rng.standard_normal(3)
        for _ in range(2 * min(shape)):
            direction += 0.15 * rng.standard_normal(3)
            direction /= np.linalg.norm(direction)
            position = position + direction * voxel / 2
            index = np.round((position + 1) / 2 * (np.array(shape) - 1)).astype(int)
            if np.linalg.norm(position) < 0.75 and (index >= 0).all() and (index < shape).all():
                lines[tuple(index)] = True
    return ((0.9 - scipy.ndimage.distance_transform_edt(~lines)) * voxel).astype(np.float32)


def _bias_field(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """A smooth multiplicative field of some ten percent, a quadratic in the coordinates."""
    field = np.zeros(shape, np.float32)
    for axis, size in enumerate(shape):
        line = np.linspace(-1, 1, size, dtype=np.float32)
        slope, bend = rng.uniform(-0.1, 0.1, 2)
        field += np.expand_dims(slope * line + bend * line**2, [a for a in range(3) if a != axis])
    return np.exp(field)


def _blend(image: np.ndarray, value: float, inside: np.ndarray, voxel: float) -> np.ndarray:
    """`value` where `inside` (a distance) is positive, with an edge about one voxel wide as partial volumes make."""
    part = scipy.special.expit(inside * np.float32(4.0 / voxel))
    return image + part * (value - image)
