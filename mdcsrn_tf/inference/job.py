"""One scan of a run: read, super-resolve, write, with a sidecar and, if wanted, a picture."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mdcsrn_tf.errors import UserError
from mdcsrn_tf.files import sha256_of
from mdcsrn_tf.inference import provenance, tiling
from mdcsrn_tf.inference.clock import Clock
from mdcsrn_tf.inference.decision import Decision, decide
from mdcsrn_tf.inference.engines import read_any_card
from mdcsrn_tf.inference.fitting import fitting
from mdcsrn_tf.inference.outputs import Job, remove_picture, write_sidecar
from mdcsrn_tf.inference.provenance import Remarks
from mdcsrn_tf.inference.scan import Outcome, Prepared, prepare, refuse_doubts, run_prepared
from mdcsrn_tf.inference.seen import in_words
from mdcsrn_tf.inference.settings import ScanSettings, Settings
from mdcsrn_tf.inference.sight import Sight, look
from mdcsrn_tf.inference.slice_pixels import asked_planes
from mdcsrn_tf.inference.volume import Progress, Result
from mdcsrn_tf.models.files import ModelCard
from mdcsrn_tf.scans.axes import resolve_axes, to_ras
from mdcsrn_tf.scans.volumes import Volume, read_volumes, write_volume
from mdcsrn_tf.scans.zero_frame import zero_frame

if TYPE_CHECKING:
    from mdcsrn_tf.inference.engines import Engine

Say = Callable[[str], None]


@dataclass(frozen=True)
class Opened:
    """A scan as it was read: its volumes (several of a 4-D file), and what the first of them shows."""

    volumes: list[Volume]
    sight: Sight
    sha256: str | None  # of what was read

    def fitting(self, wanted: ScanSettings, card: ModelCard) -> Opened:
        """The same on the grid on which the network on the card is to get it."""
        return replace(self, sight=fitting(self.sight, wanted, card))

    @property
    def nbytes(self) -> int:
        """What its voxels take."""
        return sum(volume.data.nbytes for volume in self.volumes)


def open_scan(job: Job, wanted: ScanSettings) -> Opened:
    """Read a scan and look at it: what is wrong with it is found before any network is loaded."""
    before = provenance.stamps_of(job.source)
    volumes = read_volumes(job.source, which=wanted.volume, nan=wanted.nan)
    sha256 = provenance.source_hash(job.source)
    if provenance.stamps_of(job.source) != before:  # else the sidecar would name a file that the result is not of
        raise UserError(f"{job.source} was written to while it was read; run the same command again once it is whole.")
    remarks = dict.fromkeys(remark for volume in volumes for remark in volume.remarks)
    first = replace(volumes[0], remarks=tuple(remarks))  # it decides for all, and is asked what is to be told of them
    return Opened(volumes, look(first, zero_frame([volume.data for volume in volumes])), sha256)


def process(
    job: Job,
    scan: Opened,
    model: Path,
    load: Callable[[Path], Engine],
    settings: Settings,
    wanted: ScanSettings,
    asked: Mapping[str, Any],
    say: Say,
    on_progress: Progress | None = None,
) -> Callable[[], None]:
    """Super-resolve one scan; what writes the result, its sidecar, and its picture where that is wanted.

    `scan` fits the network, `asked` is `provenance.request`; what speaks against it is said before `load` is called.
    """
    clock, card = Clock(), read_any_card(model)
    decision = _decided(job, scan.sight, wanted, card, settings, say)
    engine = load(model)
    remarks = _remarks(scan.sight, decision, model, engine.card)
    _say_remarks(job, remarks, len(scan.volumes), say)
    outcome, whole = results_of(scan, decision, engine, settings, wanted, on_progress)
    remarks = _say_done(job, wanted, outcome, remarks, clock, say)
    remarks = _self_checked(job, outcome, engine, settings, remarks, say) if wanted.self_check else remarks

    def describe(written: Path) -> None:
        content = provenance.describe(job, model, engine.card, asked, outcome, remarks)
        result = sha256_of(written)
        if not wanted.qc and provenance.is_of_another(job, result):  # its picture would be taken for one of this
            remove_picture(job)
        write_sidecar(job, {**content, "SourceSHA256": scan.sha256, "ResultSHA256": result})
        if wanted.qc:  # after the sidecar, which says whose picture it is should the run be killed between the two
            _draw_new(job, scan.sight, outcome, whole, wanted, remarks)

    def write() -> None:
        clock.go_on()
        _write(job, scan, whole, wanted, describe)
        _say_written(outcome.result, job, clock, say)

    return write


@dataclass(frozen=True)
class Whole:
    """What is stored: every volume's result on the grid of the scan's file, and its affine."""

    volumes: list[np.ndarray]
    affine: np.ndarray


def results_of(
    scan: Opened,
    decision: Decision,
    engine: Engine,
    settings: Settings,
    wanted: ScanSettings,
    on_progress: Progress | None = None,
) -> tuple[Outcome, Whole]:
    """The first volume's outcome, and the results of all; the first decides how strong the detail of all is, which are
    to be compared."""
    first, volumes, affine = None, [], scan.volumes[0].affine
    for volume in scan.volumes:
        prepared = prepare(scan.sight.enter(volume), decision, engine.card)
        outcome = run_prepared(prepared, engine, settings, wanted, on_progress)
        stored = outcome.as_stored(volume, scan.sight, wanted)
        volumes.append(stored.data)  # of the others no more is kept: several times as much
        if first is None:
            first = replace(outcome, kept=stored.kept)
            affine, wanted = stored.affine, replace(wanted, detail=outcome.detail)
    assert first is not None
    return first, Whole(volumes, affine)


def _write(job: Job, scan: Opened, whole: Whole, wanted: ScanSettings, describe: Callable[[Path], None]) -> None:
    """Write the results, 3-D of one volume, 4-D of several; their sidecar and picture first: a repeated run takes a
    result that exists for finished."""
    job.target.parent.mkdir(parents=True, exist_ok=True)
    write_volume(
        job.target,
        np.stack(whole.volumes, axis=-1) if len(whole.volumes) > 1 else whole.volumes[0],
        scan.volumes[0],
        affine=whole.affine,
        dtype=wanted.dtype,
        keep_text=wanted.keep_header_text,
        before_it_appears=describe,
    )


def _decided(job: Job, sight: Sight, wanted: ScanSettings, card: ModelCard, settings: Settings, say: Say) -> Decision:
    """What is to be done, by a network on slices in the planes that are asked for; UserError for what should not, or
    cannot, be done."""
    decision = decide(sight, wanted, replace(card, planes=asked_planes(settings.plane, card)))
    try:
        refuse_doubts(sight.volume, decision, wanted)
    except UserError:
        _say_warnings(job, sight.volume.remarks, say)  # a doubtful header may be the reason
        raise
    if wanted.self_check and card.planes:
        raise UserError(
            f"--self_check degrades the scan in k-space, but {card.preset}, a network on slices, was trained on two "
            "scans of each person; leave it out."
        )
    return decision


def _say_written(result: Result, job: Job, clock: Clock, say: Say) -> None:
    clock.lap("written")
    seam = "" if result.seam_figure is None else f"; seam figure {result.seam_figure:.3f}"
    say(f"{job.title} -> {job.target.name}: {clock}{seam}")


def _remarks(sight: Sight, decision: Decision, model: Path, card: ModelCard) -> Remarks:
    warnings = [*sight.volume.remarks, *decision.doubts, *decision.warnings]
    return Remarks(in_words(sight, decision, model.stem, card), warnings)


def _say_remarks(job: Job, remarks: Remarks, volumes: int, say: Say) -> None:
    say(f"{job.title}: {remarks.seen}")
    if volumes > 1:
        say(f"{job.title}: {volumes} volumes, one after the other; --volume=N takes one of them")
    _say_warnings(job, remarks.warnings, say)


def _say_warnings(job: Job, warnings: Sequence[str], say: Say) -> None:
    for warning in warnings:
        say(f"warning: {job.title}: {warning}")


def _say_done(job: Job, wanted: ScanSettings, outcome: Outcome, remarks: Remarks, clock: Clock, say: Say) -> Remarks:
    """The remarks with what came up on the way, which is told."""
    result = outcome.result
    clock.lap("1 tile" if result.tiles == 1 else f"{result.tiles} tiles of {tiling.size_text(result.tile)}")
    _say_fallbacks(result, say)
    if wanted.detail == "auto":
        power = "" if outcome.warnings else ", so that its power is about an original's"
        say(f"{job.title}: the network's detail times {outcome.detail:.2f}{power}")
    _say_warnings(job, outcome.on_the_way, say)
    return replace(remarks, warnings=[*remarks.warnings, *outcome.on_the_way])


def draw_finished(job: Job, scan: Opened, model: Path, wanted: ScanSettings) -> None:
    """The picture of a result that is there already: nothing is computed anew."""
    made, card = json.loads(job.sidecar.read_text(encoding="utf-8")), read_any_card(model)
    sight = scan.sight
    prepared = prepare(sight.volume, decide(sight, wanted, card), card)
    result = Result(
        np.empty(0), made["Tile"], made["Margin"], made["BatchNormalization"], made["Tiles"], made["SeamFigure"]
    )
    caption = _caption(Remarks(made["Seen"], made["Warnings"]))
    data = _shown(read_volumes(job.target)[0].data, sight, prepared)
    draw(job, prepared, data, result, wanted, caption=caption)


def _draw_new(job: Job, sight: Sight, outcome: Outcome, whole: Whole, wanted: ScanSettings, remarks: Remarks) -> None:
    """The picture of a result that was computed just now."""
    remark = f"self-check {remarks.check.gain:+.2f} dB" if remarks.check else None
    data = _shown(whole.volumes[0], sight, outcome.prepared)
    draw(job, outcome.prepared, data, outcome.result, wanted, remark, _caption(remarks))


def _shown(stored: np.ndarray, sight: Sight, prepared: Prepared) -> np.ndarray:
    """A stored result on the grid on which the network saw the scan."""
    return sight.grid.shown(sight.surround.inside(stored, prepared.times))


def _caption(remarks: Remarks) -> list[str]:
    return [remarks.seen, *map("warning: {}".format, remarks.warnings)]


def draw(
    job: Job,
    prepared: Prepared,
    data: np.ndarray,
    result: Result,
    wanted: ScanSettings,
    remark: str | None = None,
    caption: Sequence[str] = (),
) -> None:
    """The picture beside a result, both volumes turned to RAS+; `data` in the stored orientation."""
    from mdcsrn_tf.inference.qc import save_picture

    marked: Sequence[Sequence[int]] = ((), (), ())
    if wanted.qc_seams and result.tile:
        inside = prepared.low_res.shape
        seams = tiling.seams_of(inside, result.tile, result.margin)
        marked = prepared.frame.leave_positions(seams, inside)
    order = list(resolve_axes("LR,AP,IS", prepared.affine))
    sizes = np.linalg.norm(prepared.affine[:3, :3], axis=0)[order]
    shares = dict(zip(prepared.decision.axes, prepared.decision.factors, strict=True))
    measured = [1 / shares.get(axis, 1) for axis in order]
    parts = [
        job.title,
        *([f"seam figure {result.seam_figure:.3f}"] if result.seam_figure else []),
        *([remark] if remark else []),
    ]
    save_picture(
        job.picture,
        to_ras(prepared.on_grid, prepared.affine)[0],
        to_ras(data, prepared.affine)[0],
        ", ".join(parts),
        sizes,
        marked,
        caption=caption,
        measured=measured,
    )


def _self_checked(
    job: Job, outcome: Outcome, engine: Engine, settings: Settings, remarks: Remarks, say: Say
) -> Remarks:
    """The remarks with the self-check's, which is made and told."""
    from mdcsrn_tf.inference.self_check import check_itself

    check = check_itself(outcome.prepared, engine, settings, outcome.detail)
    side = "above" if check.gain >= 0 else "below"
    network = "the network" if outcome.detail == 1 else "the network with its detail so strong"
    say(
        f"{job.title}: self-check: degraded once more, {network} is {abs(check.gain):.2f} dB {side} sinc "
        f"({check.network:.2f} against {check.sinc:.2f}, inside the head)"
    )
    checked = remarks.and_of(check)
    _say_warnings(job, checked.warnings[len(remarks.warnings) :], say)
    return checked


def _say_fallbacks(result: Result, say: Say) -> None:
    if result.fallback_tiles:
        tried = ", ".join(map(tiling.size_text, result.fallback_tiles))
        say(f"warning: the memory did not suffice for tiles of {tried}; {tiling.size_text(result.tile)} was taken.")
