"""Cut a volume into overlapping tiles and put their cores back: pure geometry.

A tile and its margin are one number for all axes, or one for each: a network that sees a slice and its neighbours
takes tiles three voxels thick with a margin of 1 there.

J section 4.1 cuts 70^3 cubes with a margin of 3 voxels and merges the 64^3 cores without averaging. Beyond
its border a volume continues as its mirror image (the border voxel itself is not repeated), never as zeros.
The last tile of a row is moved back so that it ends one margin beyond the volume, where the volume is long
enough: its statistics then come from as much real anatomy as possible. It keeps only voxels that no tile
before it has kept.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from mdcsrn_tf.errors import UserError
from mdcsrn_tf.scans.kspace import mirrored

PerAxis = int | Sequence[int]


def per_axis(number: PerAxis, axes: int = 3) -> tuple[int, ...]:
    """The number of each axis.

    >>> per_axis(70), per_axis((3, 64, 64))
    ((70, 70, 70), (3, 64, 64))
    """
    numbers = (number,) * axes if isinstance(number, int) else tuple(number)
    if len(numbers) != axes:
        raise UserError(f"{number} must be one number, or one for each of {axes} axes.")
    return numbers


def size_text(tile: PerAxis) -> str:
    """`70^3` or `70 x 70 x 3`.

    >>> size_text(70), size_text((3, 64, 64))
    ('70^3', '3 x 64 x 64')
    """
    return f"{tile}^3" if isinstance(tile, int) else " x ".join(map(str, tile))


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
    """One span along each axis."""

    spans: tuple[Span, ...]

    @property
    def kept(self) -> tuple[slice, ...]:
        """What it keeps, in the volume."""
        return tuple(slice(span.keep_from, span.keep_to) for span in self.spans)

    @property
    def core(self) -> tuple[slice, ...]:
        """The same voxels, in the tile."""
        return tuple(slice(s.keep_from - s.start, s.keep_to - s.start) for s in self.spans)


def check_tile(tile: PerAxis, margin: PerAxis) -> None:
    """Refuse a pair that leaves no core."""
    axes = max(len(number) if isinstance(number, Sequence) else 1 for number in (tile, margin))
    for edge, border in zip(per_axis(tile, axes), per_axis(margin, axes), strict=True):
        if edge < 1 or border < 0 or edge <= 2 * border:
            raise UserError(
                f"A tile of {edge} voxels with a margin of {border} keeps no core: "
                f"take a tile of at least {2 * max(border, 0) + 1} voxels, or a smaller margin."
            )


def spans_of(length: int, tile: int, margin: int, multiple: int = 1) -> list[Span]:
    """The tiles along an axis of `length` voxels; what they keep partitions it.

    Where cores are of a `multiple` of voxels, all tiles begin a multiple of it apart.

    >>> [(span.start, span.keep_from, span.keep_to) for span in spans_of(130, 70, 3)]
    [(-3, 0, 64), (61, 64, 128), (63, 128, 130)]
    >>> [span.start for span in spans_of(129, 70, 3)], [span.start for span in spans_of(129, 70, 3, multiple=2)]
    ([-3, 61, 62], [-3, 61, 63])
    """
    check_tile(tile, margin)
    core = tile - 2 * margin
    spans = []
    for keep_from in range(0, length, core):
        keep_to = min(keep_from + core, length)
        last = -(-max(length - core, 0) // multiple) * multiple
        spans.append(Span(min(keep_from, last) - margin, keep_from, keep_to))
    return spans


def tiles_of(shape: Sequence[int], tile: PerAxis, margin: PerAxis, multiple: int = 1) -> list[Tile]:
    """All tiles of a volume, the last axis fastest; see `spans_of`.

    >>> len(tiles_of((320, 320, 256), 70, 3))
    100
    """
    if any(length < 1 for length in shape):
        raise UserError(f"A volume of shape {tuple(shape)} has no voxels to tile.")
    return [Tile(spans) for spans in product(*_along(shape, tile, margin, multiple))]


def _along(shape: Sequence[int], tile: PerAxis, margin: PerAxis, multiple: int = 1) -> list[list[Span]]:
    """The spans along each axis."""
    numbers = zip(shape, per_axis(tile, len(shape)), per_axis(margin, len(shape)), strict=True)
    return [spans_of(*along, multiple) for along in numbers]


def even_tiles(shape: Sequence[int], edge: int, margin: int, multiple: int = 1) -> tuple[int, ...]:
    """Tiles of about `edge` voxels at most whose cores divide each axis evenly: none does again what another has done.

    Cores are rounded up to eights, so that volumes of many shapes need tiles of few, and to the `multiple`.

    >>> even_tiles((256, 320, 20), 102, 17)
    (98, 98, 58)
    """
    step = math.lcm(8, multiple)
    counts = [-(-length // (edge - 2 * margin)) for length in shape]
    cores = [-(-length // count) for length, count in zip(shape, counts, strict=True)]
    return tuple(-(-core // step) * step + 2 * margin for core in cores)


def no_longer(shape: Sequence[int], tile: PerAxis, margin: PerAxis, multiple: int = 1) -> int | tuple[int, ...]:
    """The tile, along an axis that is shorter than its core no longer than the axis and its margins, in eights.

    >>> no_longer((256, 256, 24), 70, 3), no_longer((128, 128, 64), 70, 3)
    ((70, 70, 32), 70)
    """
    step, axes = math.lcm(8, multiple), len(shape)
    numbers = zip(shape, per_axis(tile, axes), per_axis(margin, axes), strict=True)
    edges = tuple(min(edge, -(-(length + 2 * border) // step) * step) for length, edge, border in numbers)
    return tile if isinstance(tile, int) and set(edges) == {tile} else edges


def computed(shape: Sequence[int], tile: PerAxis, margin: PerAxis) -> int:
    """The voxels of all tiles of a volume together.

    >>> computed((128, 64, 64), 70, 3) == 2 * 70**3
    True
    """
    return len(tiles_of(shape, tile, margin)) * math.prod(per_axis(tile))


def even_columns(shape: Sequence[int], area: float, margin: int) -> tuple[int, ...]:
    """Columns as long as the volume and its margins, of a cross-section of `area` voxels at most, margins included.

    Their cores divide the other axes evenly, in eights; the axis with the longer cores is divided first.

    >>> even_columns((256, 256, 256), 90000, 17), even_columns((256, 320, 256), 90000, 17)
    ((290, 290, 290), (290, 194, 290))
    """
    counts, least = [1, 1], 2 * margin + 8
    while True:
        cores = [-(-length // count) for length, count in zip(shape[1:], counts, strict=True)]
        sides = [-(-core // 8) * 8 + 2 * margin for core in cores]
        if math.prod(sides) <= area or sides == [least, least]:
            return (shape[0] + 2 * margin, *sides)
        counts[cores.index(max(cores))] += 1


def cut(volume: np.ndarray, where: Tile, tile: PerAxis, around: int = 0) -> np.ndarray:
    """The tile's voxels, C-contiguous and never a view of the volume.

    The array holds `around` voxels more on every side than the volume that was tiled.
    """
    indices = [
        mirrored(np.arange(span.start, span.start + edge) + around, length)
        for span, length, edge in zip(where.spans, volume.shape, per_axis(tile, volume.ndim), strict=True)
    ]
    return np.ascontiguousarray(volume[np.ix_(*indices)])


def whole(volume: np.ndarray, margin: int) -> np.ndarray:
    """The volume with `margin` mirrored voxels on every side: what a whole-volume pass is run on."""
    indices = [mirrored(np.arange(-margin, length + margin), length) for length in volume.shape]
    return np.ascontiguousarray(volume[np.ix_(*indices)])


def seam_figure(volume: np.ndarray, tile: PerAxis, margin: PerAxis) -> float | None:
    """`seam_figure_at` the borders that the cores of such tiles have in the volume; tile, margin in voxels."""
    return seam_figure_at(volume, seams_of(volume.shape, tile, margin))


def seams_of(shape: Sequence[int], tile: PerAxis, margin: PerAxis) -> list[list[int]]:
    """The voxels along each axis of a volume at which another tile's core begins: the border lies before them.

    >>> seams_of((4, 10, 9), (3, 8, 9), (1, 2, 0))
    [[1, 2, 3], [4, 8], []]
    """
    return [[span.keep_from for span in spans[1:]] for spans in _along(shape, tile, margin)]


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
