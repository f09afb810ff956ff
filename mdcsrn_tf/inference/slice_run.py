"""A slice network on a volume: which planes, which tiles, normalised and undone."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from mdcsrn_tf.errors import UserError, is_out_of_memory
from mdcsrn_tf.inference.settings import Result, Settings
from mdcsrn_tf.inference.slice_pixels import asked_planes
from mdcsrn_tf.inference.slice_room import fitting, smaller
from mdcsrn_tf.inference.slices import Progress, SliceTiling, super_resolve_planes, windows
from mdcsrn_tf.inference.tiling import seam_figure_at
from mdcsrn_tf.inference.words import with_and
from mdcsrn_tf.scans.normalisation import Normalisation
from mdcsrn_tf.scans.stack import PLANES

if TYPE_CHECKING:
    from mdcsrn_tf.inference.engines import SliceEngine


def planes_of(engine: SliceEngine, settings: Settings) -> tuple[str, ...]:
    """The planes whose results are averaged: as asked, else those that the network was trained in."""
    return asked_planes(settings.plane, engine.card)


def tiling_of(engine: SliceEngine, settings: Settings) -> SliceTiling:
    """How slices are cut: as asked, else as the network's card says; UserError where that is impossible."""
    card = engine.card
    if settings.seamless:
        raise UserError(
            f"--seamless is for networks on volumes; {card.preset} works slice by slice, and whole slices (--tile=0) "
            "have no seams."
        )
    tile = _edge(card.tile if settings.tile is None else settings.tile)
    _check_asked(tile, settings)
    crop = _edge(card.margin if settings.margin is None else settings.margin)
    stride = card.stride if settings.stride is None else settings.stride
    averaged = stride > 0 if settings.merge is None else settings.merge == "mean"
    found = SliceTiling(
        tile=tile or None,
        crop=crop if tile else 0,
        stride=stride if averaged else 0,
        merge="mean" if averaged else "core",
        batch=settings.batch_tiles,
        channels=engine.channels,
        multiple=engine.multiple,
    )
    found.check()
    return found


def _check_asked(tile: int, settings: Settings) -> None:
    """UserError for what is asked of tiles where it would mean nothing."""
    asked = {"--margin": settings.margin, "--stride": settings.stride, "--merge": settings.merge}
    named = [name for name, value in asked.items() if value is not None]
    if named and not tile:
        raise UserError(f"Slices are taken whole here, without tiles: leave out {with_and(named)}, or give a --tile.")
    if settings.stride is not None and (settings.merge == "core" or settings.stride < 1):
        raise UserError(
            f"--stride={settings.stride} is how far apart tiles lie that are averaged: take 1 pixel or more with "
            "--merge=mean; tiles side by side are --merge=core alone."
        )


def _edge(size: int | tuple[int, ...]) -> int:
    """The edge of a square, which is what slices are cut into."""
    return size if isinstance(size, int) else max(size)


def run_planes(
    engine: SliceEngine, low_res: np.ndarray, settings: Settings, on_progress: Progress | None = None
) -> Result:
    """Super-resolve a volume in RAS+ order, whose units the result has."""
    axes = [PLANES[plane] for plane in planes_of(engine, settings)]
    normalisation = Normalisation.from_low_res(low_res, engine.card.normalisation)
    volume = normalisation.apply(low_res)
    tiling, skipped = fitting(engine, tiling_of(engine, settings), volume, axes)
    while True:
        try:
            data = super_resolve_planes(engine.apply, volume, axes, tiling, on_progress)
            break
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            skipped.append(tiling)
            tiling = smaller(engine, tiling, volume.shape, axes)
    return Result(
        normalisation.undo(data),
        *_extent(data.shape, axes, tiling),
        engine.bn,
        sum(_tiles_across(data.shape, axis, tiling) for axis in axes),
        seam_figure_at(data, _seams(data.shape, axes, tiling)),
        tuple(_extent(data.shape, axes, unfit)[0] for unfit in skipped),
    )


def _tiles_across(shape: tuple[int, ...], axis: int, tiling: SliceTiling) -> int:
    """How many tiles all slices across that axis of the volume are."""
    return math.prod(length if across == axis else len(windows(length, tiling)) for across, length in enumerate(shape))


def _extent(
    shape: tuple[int, ...], axes: list[int], tiling: SliceTiling
) -> tuple[tuple[int, ...] | int, tuple[int, ...] | int]:
    """What the network saw at a time, and what was not kept of it: along each axis, for slices of one plane."""
    if len(axes) > 1:
        return tiling.tile or max(shape), tiling.crop
    within = [min(tiling.tile or length, length) if tiling.inside else tiling.tile or length for length in shape]
    tile = tuple(tiling.channels if axis == axes[0] else length for axis, length in enumerate(within))
    half = tiling.channels // 2
    return tile, tuple(half if axis == axes[0] else tiling.crop for axis in range(3))


def _seams(shape: tuple[int, ...], axes: list[int], tiling: SliceTiling) -> list[list[int]]:
    """Along each axis of the volume, the voxels at which a tile begins or ends to count; of one plane alone.

    In a mean over several planes no seam runs through: each is averaged with results that have none there. So no seam
    figure is computed for it.
    """
    if len(axes) > 1:
        return [[], [], []]
    along = []
    for axis, length in enumerate(shape):
        spans = [] if axis == axes[0] else windows(length, tiling)
        edges = {edge for span in spans for edge in (span.keep_from, span.keep_to)}
        along.append(sorted(edges - {0, length}))
    return along
