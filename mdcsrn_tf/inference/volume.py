"""Super-resolve a volume tile by tile, with any engine that maps a batch of tiles to a batch of tiles."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from mdcsrn_tf.errors import UserError, is_out_of_memory
from mdcsrn_tf.inference import room, tiling
from mdcsrn_tf.inference.continuation import REACH, extended
from mdcsrn_tf.inference.engines import Engine, SliceEngine, load_engine
from mdcsrn_tf.inference.settings import ApplyTiles, Progress, Result, Settings
from mdcsrn_tf.inference.slice_run import run_planes, tiling_of
from mdcsrn_tf.inference.tiling import PerAxis
from mdcsrn_tf.scans.normalisation import Normalisation

Edges = int | tuple[int, ...]  # of all axes, or of each
CutTile = tuple[tiling.Tile, np.ndarray]  # where it lies, and its voxels


def super_resolve(
    apply_tiles: ApplyTiles,
    volume: np.ndarray,
    tile: PerAxis,
    margin: PerAxis,
    batch_tiles: int = 1,
    on_progress: Progress | None = None,
    multiple: int = 1,
    predicted: bool = False,
) -> np.ndarray:
    """Run every tile of the normalised volume [i, j, k] through `apply_tiles`, and merge the cores on the same grid.

    Where the tile is of a `multiple` of voxels, all tiles begin that far apart: on one grid of a network with strides.
    Beyond its ends the volume is mirrored, or `predicted` first.
    Tiles that hold one value throughout, as air does that was set to zero, are not run each: see `_outputs`.
    """
    tiles = tiling.tiles_of(volume.shape, tile, margin, multiple)
    result = np.empty(volume.shape, np.float32)
    source, around = (extended(volume), REACH) if predicted else (volume, 0)
    cut = ((where, tiling.cut(source, where, tile, around)) for where in tiles)
    for done, (where, output) in enumerate(_outputs(apply_tiles, cut, batch_tiles), 1):
        result[where.kept] = output[where.core]
        if on_progress:
            on_progress(done, len(tiles))
    return result


def _outputs(apply_tiles: ApplyTiles, tiles: Iterable[CutTile], batch: int) -> Iterator[CutTile]:
    """Each place with its tile's output; not in their order.

    What a network makes of a tile depends on its voxels alone, not on its place. So of all tiles that hold the same one
    value the first is run, and its output, to the bit, is that of the others as well.
    """
    flat: tuple[float, np.ndarray] | None = None
    waiting: list[CutTile] = []
    for where, voxels in tiles:
        if voxels.min() != voxels.max():
            waiting.append((where, voxels))
        elif flat is not None and flat[0] == voxels.min():
            yield where, flat[1]
        else:
            flat = float(voxels.min()), _run_batch(apply_tiles, [voxels], batch)[0].copy()
            yield where, flat[1]
        if len(waiting) == batch:
            yield from _run_waiting(apply_tiles, waiting, batch)
            waiting = []
    yield from _run_waiting(apply_tiles, waiting, batch)


def _run_waiting(apply_tiles: ApplyTiles, waiting: list[CutTile], batch: int) -> Iterator[CutTile]:
    if waiting:
        places, tiles = zip(*waiting, strict=True)
        yield from zip(places, _run_batch(apply_tiles, tiles, batch), strict=False)


def _run_batch(apply_tiles: ApplyTiles, tiles: Sequence[np.ndarray], batch: int) -> np.ndarray:
    """The outputs of at most `batch` tiles, the last one repeated: an engine is built for one shape."""
    filled = list(tiles)
    filled += filled[-1:] * (batch - len(filled))
    return apply_tiles(np.stack(filled).astype(np.float32, copy=False))


def super_resolve_volume(
    model: str | os.PathLike[str] | None, low_res: np.ndarray, settings: Settings | None = None, **changes
) -> np.ndarray:
    """The super-resolved volume, same grid and units, by a bundled network's name, a file or a SavedModel.

    `changes` are fields of `Settings`, as in `super_resolve_volume(name, scan, seamless=True)`.
    """
    settings = replace(settings or Settings(), **changes)
    return run(load_engine(model, settings), low_res, settings).data


def run(engine: Engine, low_res: np.ndarray, settings: Settings, on_progress: Progress | None = None) -> Result:
    """Normalise, tile, merge and undo; with smaller tiles where the memory does not suffice.

    low_res: on the target grid, in the orientation of the training scans and the scanner's unit, as the result is.
    """
    check_volume(low_res)
    if isinstance(engine, SliceEngine):
        return run_planes(engine, low_res, settings, on_progress)
    normalisation = Normalisation.from_low_res(low_res, engine.card.normalisation)
    volume = normalisation.apply(low_res)
    tile, margin = geometry(engine, settings, low_res.shape)
    slides = _slides(engine, settings, low_res.shape)
    tile, batch, failed = _fitting(engine, tile, margin, 1 if slides else settings.batch_tiles, volume, slides)
    while True:
        try:
            data = _merged(engine, volume, tile, margin, batch, slides, on_progress)
            break
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            engine.forget()
            failed.append(tile)
            tile = smaller_tile(tile, margin, engine.multiple)
    seam = tiling.seam_figure(data, tile, margin)
    tiles = len(tiling.tiles_of(volume.shape, tile, margin))
    return Result(normalisation.undo(data), tile, margin, engine.bn, tiles, seam, tuple(failed))


def _merged(
    engine: Engine, volume: np.ndarray, tile: Edges, margin: Edges, batch: int, slides: bool, told: Progress | None
) -> np.ndarray:
    """The normalised volume through the network, in tiles or in columns; of these `told` hears slab by slab."""
    ends = engine.multiple, engine.card.predicted
    if not slides:
        return super_resolve(engine.applier(tile, batch), volume, tile, margin, batch, told, *ends)
    apply, columns, done = engine.column_applier(tile), len(tiling.tiles_of(volume.shape, tile, margin)), 0

    def slab_done(slab: int, slabs: int) -> None:
        if told:
            told(done * slabs + slab, columns * slabs)

    def column_done(number: int, _: int) -> None:
        nonlocal done
        done = number

    return super_resolve(lambda column: apply(column, slab_done), volume, tile, margin, batch, column_done, *ends)


def _fitting(
    engine: Engine, tile: Edges, margin: Edges, batch: int, volume: np.ndarray, slides: bool
) -> tuple[Edges, int, list[Edges]]:
    """Tile and batch that the memory at hand can be expected to hold, and the tiles that it cannot.

    First fewer tiles at a time, then smaller ones. On a GPU shortages are noticed when they come.
    """
    skipped: list[Edges] = []
    if engine.feature_channels is None or not engine.runs_on_processor():
        return tile, batch, skipped
    # Beside the feature maps: the scan with what lies beyond its ends, the result, and its copies on its way out.
    left = room.room_at_hand() - 4 * volume.nbytes - engine.overhead
    channels, depth = engine.feature_channels, slice(None)
    if slides and engine.sliding:
        channels, depth = engine.sliding.channels_of_a_column, slice(1, None)  # of a slab, and what is kept for others
    while not room.check_room(channels, tiling.per_axis(tile)[depth], batch, left):
        if batch > 1:
            batch = max(1, batch // 2)
            continue
        skipped.append(tile)
        try:
            tile = smaller_tile(tile, margin, engine.multiple)
        except UserError as error:
            raise room.refuse(channels, tiling.per_axis(tile)[depth], left) from error
    return tile, batch, skipped


def geometry(engine: Engine, settings: Settings, shape: Sequence[int]) -> tuple[Edges, Edges]:
    """The tile and the margin for a volume: as asked, else as the model card says, else what seamless needs."""
    card = engine.card
    if isinstance(engine, SliceEngine):
        cut = tiling_of(engine, settings)
        return cut.tile or 0, cut.crop
    if settings.plane or settings.stride is not None or settings.merge:
        raise UserError(f"--plane, --stride and --merge are for slice networks; {card.preset} works on volumes.")
    tile = card.tile if settings.tile is None else settings.tile
    margin = card.margin if settings.margin is None else settings.margin
    if settings.seamless:
        tile, margin = _seamless(engine, settings, margin, shape)
    elif settings.tile is None and engine.bn == "moving":  # else a tile's own statistics would be others
        tile = tiling.no_longer(shape, tile, margin, engine.multiple)
    tiling.check_tile(tile, margin)
    if any(edge % engine.multiple for edge in tiling.per_axis(tile)):
        raise UserError(
            f"{card.preset} takes tiles whose edges are multiples of {engine.multiple}, not {tiling.size_text(tile)}; "
            "correct --tile, or leave it out."
        )
    return tile, margin


def _seamless(engine: Engine, settings: Settings, margin: Edges, shape: Sequence[int]) -> tuple[Edges, Edges]:
    """A margin as wide as the network sees, and a tile that leaves a core inside it."""
    if engine.radius is None:
        raise UserError(
            f"--seamless needs a network that sees equally far everywhere; {engine.card.preset} halves its images."
        )
    if settings.margin is not None and min(tiling.per_axis(settings.margin)) < engine.radius:
        raise UserError(
            f"--seamless needs a margin of the network's receptive-field radius, {engine.radius}; "
            f"leave out --margin={settings.margin}."
        )
    wide = _wide(engine, margin)
    if settings.tile is not None:
        if min(tiling.per_axis(settings.tile)) <= 2 * wide:
            raise UserError(
                f"--seamless needs tiles of more than {2 * wide} voxels, for its margin of {wide} on both sides; "
                f"enlarge --tile={settings.tile}, or leave it out."
            )
        return settings.tile, wide
    if _slides(engine, settings, shape):
        return _columns(engine, shape, wide), wide
    return _cubes(engine, shape, wide), wide


def _wide(engine: Engine, margin: Edges) -> int:
    """A margin of at least the receptive field's radius, or a bound of it."""
    wide = max(*tiling.per_axis(margin), engine.radius or 0)
    return wide + -wide % engine.multiple


def _cubes(engine: Engine, shape: Sequence[int], wide: int) -> tuple[int, ...]:
    """Tiles that the memory's bound allows; cores of at least a third of the edge: else nearly all work is margins."""
    least = max(*tiling.per_axis(engine.card.tile), 3 * wide)
    edge = max(least, room.largest_cube(engine.feature_channels or math.inf))
    return tiling.even_tiles(shape, edge, wide, engine.multiple)


def _columns(engine: Engine, shape: Sequence[int], wide: int) -> tuple[int, ...]:
    """Columns that the same bound allows."""
    assert engine.sliding is not None
    return tiling.even_columns(shape, room.largest_area(engine.sliding.channels_of_a_column), wide)


def _slides(engine: Engine, settings: Settings, shape: Sequence[int]) -> bool:
    """Whether a seamless volume goes through in columns: where it is more than a tile, and they compute less."""
    if not settings.seamless or settings.tile is not None or engine.sliding is None:
        return False
    wide = _wide(engine, engine.card.margin if settings.margin is None else settings.margin)
    cubes, columns = _cubes(engine, shape, wide), _columns(engine, shape, wide)
    several = len(tiling.tiles_of(shape, cubes, wide)) > 1
    return several and tiling.computed(shape, columns, wide) < tiling.computed(shape, cubes, wide)


def smaller_tile(tile: Edges, margin: Edges, multiple: int = 1) -> Edges:
    """Three quarters of each edge, even and of the `multiple`, while that leaves a core; others stay."""
    edges, step = tiling.per_axis(tile), math.lcm(2, multiple)
    smaller = [step * (3 * edge // (4 * step)) for edge in edges]
    borders = tiling.per_axis(margin)
    found = tuple(
        less if less > 2 * border else edge for less, edge, border in zip(smaller, edges, borders, strict=True)
    )
    if found == edges:
        raise UserError(
            f"The memory does not suffice for tiles of {tiling.size_text(tile)} voxels, and smaller ones leave no core "
            f"inside the margin of {margin}; free memory, or take --batch_tiles=1."
        )
    return found[0] if isinstance(tile, int) and len(set(found)) == 1 else found


def check_volume(volume: np.ndarray) -> None:
    """Refuse an array that is no volume [i, j, k] of finite values."""
    if volume.ndim != 3 or not volume.size:
        raise UserError(f"A volume has three axes and some voxels; this one has shape {volume.shape}.")
    if not np.isfinite(volume).all():
        raise UserError("The volume holds NaN or infinite values; replace them first.")
