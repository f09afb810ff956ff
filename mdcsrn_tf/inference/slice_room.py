"""Slices in the memory at hand: fewer at a time, then smaller tiles, before anything is allocated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from mdcsrn_tf.errors import UserError
from mdcsrn_tf.inference import room
from mdcsrn_tf.inference.slices import SliceTiling, cut_sides

if TYPE_CHECKING:
    from mdcsrn_tf.inference.engines import SliceEngine


def fitting(
    engine: SliceEngine, tiling: SliceTiling, volume: np.ndarray, axes: Sequence[int]
) -> tuple[SliceTiling, list[SliceTiling]]:
    """The tiling that the memory at hand can be expected to hold, and those that it cannot; see `volume._fitting`.

    volume: [i, j, k]; `axes`: those that the slices follow.
    """
    unfit: list[SliceTiling] = []
    if engine.feature_channels is None or not engine.runs_on_processor():
        return tiling, unfit
    # Beside the feature maps: the sum of the results, and the scan's copies on its way out.
    left = room.room_at_hand() - 4 * volume.nbytes - engine.overhead
    while not room.check_room(engine.feature_channels, largest_cut(volume.shape, axes, tiling), tiling.batch, left):
        if tiling.batch > 1:
            tiling = replace(tiling, batch=tiling.batch // 2)
            continue
        unfit.append(tiling)
        tiling = smaller(engine, tiling, volume.shape, axes, left)
    return tiling, unfit


def largest_cut(shape: Sequence[int], axes: Sequence[int], tiling: SliceTiling) -> list[int]:
    """The sides of the largest image that the network gets of a volume's slices along any of `axes`."""
    slices = ([length for other, length in enumerate(shape) if other != axis] for axis in axes)
    return max((cut_sides(sides, tiling) for sides in slices), key=np.prod)


def smaller(
    engine: SliceEngine, tiling: SliceTiling, shape: Sequence[int], axes: Sequence[int], left: float | None = None
) -> SliceTiling:
    """Tiles of three quarters of the edge; UserError where none can be, naming how many bytes are `left`.

    Whole slices are cut where the tiles give what the slice would: a network that sees equally far everywhere, by its
    trained statistics.
    """
    sides = largest_cut(shape, axes, tiling)
    found = None
    if tiling.tile is not None and not tiling.inside:
        found = _smaller_tile(tiling)
    elif engine.bn == "moving" and engine.radius is not None and tiling.multiple == 1:
        found = replace(tiling, tile=2 * (3 * max(sides) // 8), crop=engine.radius, inside=True)
    if found is None or found.tile is None or found.tile <= 2 * found.crop:
        needed = room.needed_bytes(engine.feature_channels or 0, sides, tiling.batch) / 2**20
        amounts = "" if left is None else f" need about {needed:.0f} MiB, {max(left, 0) / 2**20:.0f} MiB are left"
        raise UserError(
            f"The memory does not suffice for {engine.card.preset}: {' x '.join(map(str, sides))} pixels at a time"
            f"{amounts or ' are too many'}; free memory, raise its limit, or take a smaller --tile."
        )
    return found


def _smaller_tile(tiling: SliceTiling) -> SliceTiling:
    assert tiling.tile is not None
    tile = 3 * tiling.tile // 4 // tiling.multiple * tiling.multiple
    return replace(tiling, tile=tile, stride=min(tiling.stride, max(tile - 2 * tiling.crop, 0)))
