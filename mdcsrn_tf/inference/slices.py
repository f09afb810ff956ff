"""Run a slice network over a volume: cut planes and stacks of slices, tile them, stitch the results. NumPy only.

A slice network sees one slice, or it and its neighbours as channels. Slices go through whole, or in square tiles
whose results are cropped and laid side by side (`core`) or averaged where they overlap (`mean`). Beyond its border
a slice continues as its mirror image; beyond the volume the last slice is repeated, as in training.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal

import numpy as np

from mdcsrn_tf.errors import UserError
from mdcsrn_tf.inference.settings import Progress
from mdcsrn_tf.inference.tiling import Span, check_tile, spans_of
from mdcsrn_tf.scans.kspace import mirrored

ApplySlices = Callable[[np.ndarray], np.ndarray]  # float32 [batch, h, w, channels in] to [batch, h, w, channels out]


@dataclass(frozen=True)
class SliceTiling:
    """How slices are cut; a `tile` of None takes them whole."""

    tile: int | None = None
    crop: int = 0  # pixels of a tile's edge that are not kept
    stride: int = 0  # between tiles that are averaged; with `core` they lie so that what they keep is side by side
    merge: Literal["core", "mean"] = "core"
    inside: bool = (
        False  # no tile reaches beyond the slice: what a whole slice gives, where `crop` is as far as it sees
    )
    batch: int = 1
    channels: int = 1  # slices that the network sees
    multiple: int = 1  # of which the sides of what it takes must be multiples

    def check(self) -> None:
        """UserError where such tiles cannot be cut, or leave gaps."""
        if self.tile is None:
            return
        check_tile(self.tile, self.crop)
        if self.tile % self.multiple:
            raise UserError(
                f"This network takes tiles of multiples of {self.multiple} pixels, not {self.tile}: take "
                f"{-(-self.tile // self.multiple) * self.multiple}."
            )
        kept = self.tile - 2 * self.crop
        if self.merge == "mean" and not 0 < self.stride <= kept:
            raise UserError(
                f"Tiles of {self.tile} pixels without {self.crop} on each side keep {kept}: a stride of {self.stride} "
                f"leaves gaps or goes nowhere; take 1 to {kept}."
            )


def super_resolve_planes(
    apply: ApplySlices,
    volume: np.ndarray,
    axes: Sequence[int],
    tiling: SliceTiling,
    on_progress: Progress | None = None,
) -> np.ndarray:
    """The mean of the (normalised) volume's results along each of `axes`: the axes that the slices follow."""
    total = np.zeros(volume.shape, np.float32)
    slices = sum(volume.shape[axis] for axis in axes)
    done = 0
    for axis in axes:
        for index, result in _along(apply, np.moveaxis(volume, axis, 0), tiling):
            np.moveaxis(total, axis, 0)[index] += result
            done += 1
            if on_progress:
                on_progress(done, slices)
    return total / np.float32(len(axes))


def stack(slices: np.ndarray, index: int, channels: int) -> np.ndarray:
    """Slice `index` of [slices, h, w] and its neighbours in their order, [h, w, channels]."""
    half = channels // 2
    around = np.clip(np.arange(index - half, index - half + channels), 0, len(slices) - 1)
    return np.moveaxis(slices[around], 0, -1)


def windows(length: int, tiling: SliceTiling) -> list[Span]:
    """The tiles along one side of `length` pixels, and which pixels of the slice each keeps."""
    if tiling.tile is None or (tiling.inside and tiling.tile >= length):
        return [Span(0, 0, length)]
    if tiling.inside:
        return _spans_inside(length, tiling.tile, tiling.crop)
    if tiling.merge == "core":
        return spans_of(length, tiling.tile, tiling.crop)
    kept = tiling.tile - 2 * tiling.crop
    # The last one is moved back so that it ends with the slice.
    firsts = [*range(0, max(length - kept, 0), tiling.stride), max(length - kept, 0)]
    return [Span(first - tiling.crop, first, min(first + kept, length)) for first in firsts]


def _spans_inside(length: int, tile: int, crop: int) -> list[Span]:
    """Tiles that begin and end within `length` pixels; the first and the last keep the border of the slice.

    >>> [(span.start, span.keep_from, span.keep_to) for span in _spans_inside(10, 6, 2)]
    [(0, 0, 4), (2, 4, 6), (4, 6, 10)]
    """
    spans = [Span(0, 0, tile - crop)]
    while spans[-1].keep_to < length:
        start = min(spans[-1].keep_to - crop, length - tile)
        end = length if start == length - tile else start + tile - crop
        spans.append(Span(start, spans[-1].keep_to, end))
    return spans


def cut_sides(sides: Sequence[int], tiling: SliceTiling) -> list[int]:
    """The sides of what the network gets of a slice with those `sides`."""
    whole = [-(-side // tiling.multiple) * tiling.multiple for side in sides]
    if tiling.tile is None:
        return whole
    return [min(tiling.tile, side) for side in whole] if tiling.inside else [tiling.tile] * len(whole)


def _along(apply: ApplySlices, slices: np.ndarray, tiling: SliceTiling) -> Iterator[tuple[int, np.ndarray]]:
    """Each slice's number and result; `slices` is [slices, h, w]."""
    tiling.check()
    along = [windows(length, tiling) for length in slices.shape[1:]]
    sides = cut_sides(slices.shape[1:], tiling)
    places = [(i, j) for i in along[0] for j in along[1]]
    times = np.zeros(slices.shape[1:], np.float32)
    for place in places:
        times[_kept(place)] += 1
    for index in range(len(slices)):
        total = np.zeros(slices.shape[1:], np.float32)
        image = stack(slices, index, tiling.channels)
        tiles = (_cut(image, place, sides) for place in places)
        for place, result in zip(places, _in_batches(apply, tiles, tiling.batch), strict=True):
            total[_kept(place)] += result[_core(place)]
        yield index, total / times


def _in_batches(apply: ApplySlices, tiles: Iterator[np.ndarray], size: int) -> Iterator[np.ndarray]:
    """The middle output channel of each tile; all batches have one shape (the last repeats its last tile)."""
    while group := list(islice(tiles, size)):
        padded = group + group[-1:] * (size - len(group))
        outputs = apply(np.stack(padded).astype(np.float32, copy=False))
        # Of three slices out, the middle one is the slice that went in.
        yield from outputs[: len(group), ..., outputs.shape[-1] // 2]


def _cut(image: np.ndarray, place: tuple[Span, Span], sides: Sequence[int]) -> np.ndarray:
    rows, columns = (
        mirrored(np.arange(span.start, span.start + side), length)
        for span, side, length in zip(place, sides, image.shape[:2], strict=True)
    )
    return image[np.ix_(rows, columns)]


def _kept(place: tuple[Span, Span]) -> tuple[slice, slice]:
    return tuple(slice(span.keep_from, span.keep_to) for span in place)  # type: ignore[return-value]


def _core(place: tuple[Span, Span]) -> tuple[slice, slice]:
    return tuple(slice(s.keep_from - s.start, s.keep_to - s.start) for s in place)  # type: ignore[return-value]
