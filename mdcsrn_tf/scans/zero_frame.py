"""Zeros that somebody put around a picture, as padding to a common matrix does: known, taken off and put back.

To a network the border between tissue and such a frame would be an edge, and to k-space a cliff; and how much of it
there is would decide where tiles lie. Air that a mask set to zero is no frame: it follows the head, not the picture.
NumPy only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from mdcsrn_tf.scans.volume import Volume

_FILLED = 0.5  # of the plane beside a frame: where less of it is above zero, the zeros are a mask's
_SMALLEST = 16  # voxels along an axis, of what is left


@dataclass(frozen=True)
class ZeroFrame:
    """How many planes of zeros lie before the picture and behind it, along each axis."""

    before: tuple[int, int, int] = (0, 0, 0)
    behind: tuple[int, int, int] = (0, 0, 0)

    def __bool__(self) -> bool:
        return any(self.before) or any(self.behind)

    def inside(self, data: np.ndarray, times: Sequence[int] = (1, 1, 1)) -> np.ndarray:
        """The picture alone, `times` as large along each axis as when the frame was found."""
        if not self:
            return data
        ends = zip(self.before, self.behind, data.shape, times, strict=True)
        return np.ascontiguousarray(data[tuple(slice(a * t, n - b * t) for a, b, n, t in ends)])

    def around(self, picture: np.ndarray, times: Sequence[int] = (1, 1, 1)) -> np.ndarray:
        """The picture [i, j, k] or [i, j, k, volume] with its frame: what `inside` took off."""
        if not self:
            return picture
        ends = [(a * t, b * t) for a, b, t in zip(self.before, self.behind, times, strict=True)]
        return np.pad(picture, [*ends, *[(0, 0)] * (picture.ndim - 3)])

    def volume(self, whole: Volume) -> Volume:
        """The scan without the frame, where it lies."""
        if not self:
            return whole
        affine = whole.affine.copy()
        affine[:3, 3] += affine[:3, :3] @ self.before
        return replace(whole, data=self.inside(whole.data), affine=affine)


def zero_frame(volumes: Sequence[np.ndarray]) -> ZeroFrame:
    """The frame that volumes [i, j, k] of one grid have in common.

    >>> picture = np.ones((16, 20, 24))
    >>> zero_frame([np.pad(picture, ((2, 0), (0, 0), (3, 4)))])
    ZeroFrame(before=(2, 0, 3), behind=(0, 0, 4))
    """
    filled = volumes[0] != 0
    for volume in volumes[1:]:  # one after the other: of hundreds, all their masks at once would fill the memory
        filled |= volume != 0
    planes = [np.flatnonzero(filled.any(axis=tuple(a for a in range(3) if a != axis))) for axis in range(3)]
    if not all(len(found) for found in planes):
        return ZeroFrame()
    box = tuple(slice(int(found[0]), int(found[-1]) + 1) for found in planes)
    before, behind = [0, 0, 0], [0, 0, 0]
    for axis, (part, size) in enumerate(zip(box, filled.shape, strict=True)):
        if part.stop - part.start < _SMALLEST:
            continue
        first, last = (np.take(filled[box], end, axis=axis).mean() > _FILLED for end in (0, -1))
        before[axis], behind[axis] = part.start if first else 0, size - part.stop if last else 0
    return ZeroFrame(tuple(before), tuple(behind))  # type: ignore[arg-type]
