"""Cut a volume into overlapping cubes and put their cores back: pure geometry, NumPy only.

J section 4.1 cuts 70^3 cubes with a margin of 3 voxels and merges the 64^3 cores without averaging. Beyond
its border a volume continues as its mirror image (the border voxel itself is not repeated), never as zeros.
The last tile of a row is moved back so that it ends one margin beyond the volume, where the volume is long
enough: its statistics then come from as much real anatomy as possible, and it keeps only what is not kept yet.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from mdcsrn_tf.errors import UserError


@dataclass(frozen=True)
class Span:
    """A tile along one axis: where it starts in the volume, and which voxels it keeps.

    The tile covers volume positions `start` to `start + tile`, partly outside the volume; it keeps the volume's
    voxels `keep_from` to `keep_to`, which are its own `keep_from - start` to `keep_to - start`.
    """

    start: int
    keep_from: int
    keep_to: int


@dataclass(frozen=True)
class Tile:
    """A cube: one span along each axis."""

    spans: tuple[Span, ...]

    @property
    def kept(self) -> tuple[slice, ...]:
        """What it keeps, in the volume."""
        return tuple(slice(span.keep_from, span.keep_to) for span in self.spans)

    @property
    def core(self) -> tuple[slice, ...]:
        """The same voxels, in the tile."""
        return tuple(slice(s.keep_from - s.start, s.keep_to - s.start) for s in self.spans)


def check_tile(tile: int, margin: int) -> None:
    """Refuse a pair that leaves no core."""
    if tile < 1 or margin < 0 or tile <= 2 * margin:
        raise UserError(
            f"A tile of {tile} voxels with a margin of {margin} keeps no core: "
            f"take a tile of at least {2 * max(margin, 0) + 1} voxels, or a smaller margin."
        )


def spans_of(length: int, tile: int, margin: int) -> list[Span]:
    """The tiles along an axis of `length` voxels; what they keep partitions it."""
    check_tile(tile, margin)
    core = tile - 2 * margin
    spans = []
    for keep_from in range(0, length, core):
        keep_to = min(keep_from + core, length)
        start = min(keep_from, max(length - core, 0)) - margin
        spans.append(Span(start, keep_from, keep_to))
    return spans


def tiles_of(shape: Sequence[int], tile: int, margin: int) -> list[Tile]:
    """All tiles of a volume, the last axis fastest."""
    if any(length < 1 for length in shape):
        raise UserError(f"A volume of shape {tuple(shape)} has no voxels to tile.")
    along = [spans_of(length, tile, margin) for length in shape]
    return [Tile((i, j, k)) for i in along[0] for j in along[1] for k in along[2]]


def mirrored(positions: np.ndarray, length: int) -> np.ndarray:
    """Positions inside and outside `0..length - 1`, brought inside by reflection, however far they are."""
    if length == 1:
        return np.zeros_like(positions)
    period = 2 * (length - 1)
    folded = np.mod(positions, period)
    return np.minimum(folded, period - folded)


def cut(volume: np.ndarray, where: Tile, tile: int) -> np.ndarray:
    """The cube's voxels, C-contiguous and never a view of the volume."""
    indices = [
        mirrored(np.arange(span.start, span.start + tile), length)
        for span, length in zip(where.spans, volume.shape, strict=True)
    ]
    return np.ascontiguousarray(volume[np.ix_(*indices)])


def batches(tiles: Sequence[Tile], size: int) -> Iterator[Sequence[Tile]]:
    """The tiles in order, `size` at a time; the last batch may be smaller."""
    for first in range(0, len(tiles), size):
        yield tiles[first : first + size]


def whole(volume: np.ndarray, margin: int) -> np.ndarray:
    """The volume with `margin` mirrored voxels on every side: what a whole-volume pass is run on."""
    indices = [mirrored(np.arange(-margin, length + margin), length) for length in volume.shape]
    return np.ascontiguousarray(volume[np.ix_(*indices)])


def seam_positions(length: int, tile: int, margin: int) -> list[int]:
    """The voxels along an axis at which another tile's core begins (the border lies before them)."""
    return [span.keep_from for span in spans_of(length, tile, margin)[1:]]


def seam_figure(volume: np.ndarray, tile: int, margin: int) -> float | None:
    """`seam_figure_at` the borders between the cores of such tiles."""
    return seam_figure_at(volume, [seam_positions(length, tile, margin) for length in volume.shape])


def seam_figure_at(volume: np.ndarray, positions: Sequence[Sequence[int]]) -> float | None:
    """Mean gradient across the tile borders over the mean gradient elsewhere; about 1 where no seam shows.

    `positions` are the borders along each axis, each before that voxel. A border is compared with the gradients
    one to three voxels beside it, on both sides, so that the figure measures seams and not where the anatomy
    happens to be. None if the volume is a single tile.
    """
    across = beside = 0.0
    for axis, length in enumerate(volume.shape):
        for seam in positions[axis]:
            first, last = max(seam - 4, 0), min(seam + 4, length)
            window = np.take(volume, np.arange(first, last), axis=axis)
            gradients = np.abs(np.diff(window, axis=axis)).mean(axis=_other_axes(axis), dtype=np.float64)
            at = seam - first - 1
            across += float(gradients[at])
            beside += float(np.delete(gradients, at).mean()) if len(gradients) > 1 else float(gradients[at])
    return across / beside if beside > 0.0 else None


def _other_axes(axis: int) -> tuple[int, ...]:
    return tuple(other for other in range(3) if other != axis)
