"""Which slices of a volume are measured, and how they become 8-bit pictures."""

from __future__ import annotations

import numpy as np


def slice_axis(degraded_axes: tuple[int, ...]) -> int:
    """The axis across the most degraded plane: the one that is not degraded (J: "cross-section (2x2)").

    With one degraded axis every plane that holds it is equally degraded; the last such axis is taken.

    >>> slice_axis((0, 1)), slice_axis((2,))
    (2, 1)
    """
    left = [axis for axis in range(3) if axis not in degraded_axes]
    if not left:
        raise ValueError("all three axes are degraded: there is no most degraded plane, name one")
    return left[-1]


def foreground_share(volume: np.ndarray, axis: int, level: float) -> np.ndarray:
    """For every slice across `axis`, the share of its voxels above `level` times the volume's maximum."""
    other = tuple(a for a in range(3) if a != axis)
    return (volume > level * float(volume.max())).mean(axis=other)


def eight_bit(image: np.ndarray, top: float) -> np.ndarray:
    """Intensities 0 to `top` as whole numbers 0 to 255, clipped (float64): what an image file would hold.

    >>> eight_bit(np.array([-1.0, 0.5, 2.0]), top=1.0)
    array([  0., 128., 255.])
    """
    return np.round(np.clip(np.asarray(image, dtype=np.float64) / top, 0.0, 1.0) * 255)
