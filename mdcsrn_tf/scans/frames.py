"""Turn a scan into the orientation in which its network was trained, and its result back; no resampling.

A network is not symmetric: a scan stored flipped would come out slightly different. With anatomical axes the
array is turned to RAS+ first, as the training scans were; where other axes are degraded than those of the
training scans they are swapped into their place; and an axis whose first measured sample is not the first voxel
(because the scan was turned after its interpolation) is turned over.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from nibabel.orientations import io_orientation

from mdcsrn_tf.scans.axes import from_ras, to_ras


@dataclass(frozen=True)
class Frame:
    """`into` the network's orientation and `back`, by way of RAS+ if `anatomical`."""

    affine: np.ndarray
    anatomical: bool
    order: tuple[int, ...] = (0, 1, 2)  # network axis -> RAS (or stored) axis
    flipped: tuple[int, ...] = ()  # network axes that run backwards

    def straighten(self, stored: np.ndarray) -> np.ndarray:
        """Stored -> RAS+ (or as stored, where axes are indices)."""
        return to_ras(stored, self.affine)[0] if self.anatomical else stored

    def unstraighten(self, straight: np.ndarray) -> np.ndarray:
        """RAS+ -> stored."""
        return from_ras(straight, self.affine) if self.anatomical else straight

    def turns_over(self, stored_axis: int) -> bool:
        """Whether the array's axis runs the other way in RAS+."""
        return self.anatomical and io_orientation(self.affine)[stored_axis, 1] < 0

    def enter(self, straight: np.ndarray) -> np.ndarray:
        """RAS+ -> the network's orientation."""
        return np.ascontiguousarray(np.flip(np.transpose(straight, self.order), self.flipped))

    def leave(self, array: np.ndarray) -> np.ndarray:
        """The network's orientation -> RAS+."""
        return np.ascontiguousarray(np.transpose(np.flip(array, self.flipped), np.argsort(self.order)))

    def leave_positions(self, positions: Sequence[Sequence[int]], shape: Sequence[int]) -> list[list[int]]:
        """Borders before voxels of the network's axes, as borders before voxels of the RAS+ axes."""
        turned = [
            [size - position for position in borders] if axis in self.flipped else list(borders)
            for axis, (borders, size) in enumerate(zip(positions, shape, strict=True))
        ]
        back = np.argsort(self.order)
        straight, sizes = [turned[axis] for axis in back], [shape[axis] for axis in back]
        if self.anatomical:
            return straight
        found: list[list[int]] = [[], [], []]
        for borders, size, (world, way) in zip(straight, sizes, io_orientation(self.affine), strict=True):
            found[int(world)] = borders if way > 0 else [size - position for position in borders]
        return found


def order_for(degraded: Sequence[int], trained: Sequence[int]) -> tuple[int, ...]:
    """The order of axes that puts the scan's degraded axes where the training scans had theirs."""
    if set(degraded) == set(trained) or len(degraded) != len(trained):
        return (0, 1, 2)
    order = [-1, -1, -1]
    for place, axis in zip(sorted(trained), sorted(degraded), strict=True):
        order[place] = axis
    rest = iter(axis for axis in range(3) if axis not in degraded)
    return tuple(next(rest) if axis < 0 else axis for axis in order)
