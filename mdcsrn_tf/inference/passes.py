"""A scan's way through one network, or through two: what is decided and told of it, and the results of all volumes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mdcsrn_tf.errors import UserError
from mdcsrn_tf.inference import provenance, tiling
from mdcsrn_tf.inference.choice import Step
from mdcsrn_tf.inference.clock import Clock
from mdcsrn_tf.inference.decision import Decision, decide
from mdcsrn_tf.inference.engines import read_any_card
from mdcsrn_tf.inference.opened import Opened
from mdcsrn_tf.inference.outputs import Job
from mdcsrn_tf.inference.prepared import prepare
from mdcsrn_tf.inference.provenance import Remarks
from mdcsrn_tf.inference.scan import Outcome, refuse_doubts, run_prepared
from mdcsrn_tf.inference.seen import in_words
from mdcsrn_tf.inference.settings import ScanSettings, Settings
from mdcsrn_tf.inference.sight import Sight
from mdcsrn_tf.inference.slice_pixels import asked_planes
from mdcsrn_tf.inference.volume import Progress, Result
from mdcsrn_tf.models.files import ModelCard
from mdcsrn_tf.scans.volumes import Volume

if TYPE_CHECKING:
    from mdcsrn_tf.inference.engines import Engine

Say = Callable[[str], None]


@dataclass(frozen=True)
class Whole:
    """What is stored: every volume's result on the grid of the scan's file, and its affine."""

    volumes: list[np.ndarray]
    affine: np.ndarray


@dataclass(frozen=True)
class Passed:
    """A scan that has gone through a network."""

    sight: Sight  # as that network got it
    engine: Engine
    outcome: Outcome  # the first volume's
    whole: Whole
    remarks: Remarks  # those of a network before it, too
    notes: dict[str, Any]  # for the sidecar
    before: dict[str, Any] | None = None  # the notes of a network before it

    def after(self, first: Passed) -> Passed:
        """The same where the scan had gone through another network before."""
        remarks = first.remarks.then(self.remarks)
        told = {"Seen": remarks.seen, "Warnings": remarks.warnings}
        return replace(self, remarks=remarks, notes={**self.notes, **told}, before=first.notes)


def go_through(
    job: Job,
    scan: Opened,
    steps: Sequence[Step],
    load: Callable[[Path], Engine],
    settings: Settings,
    say: Say,
    clock: Clock,
    on_progress: Progress | None = None,
) -> Passed:
    """Super-resolve all volumes of a scan by one network after the other."""
    first, *others = steps
    passed = _step(job, scan, first, load, settings, say, clock, on_progress)
    for step in others:
        # From the scan as it was read: its results lie on that grid, whichever the network got it on.
        scan = scan.restored(passed.outcome.prepared.decision.axes, passed.whole.volumes)
        passed = _step(job, scan, step, load, settings, say, clock, on_progress).after(passed)
    return passed


def _step(
    job: Job,
    scan: Opened,
    step: Step,
    load: Callable[[Path], Engine],
    settings: Settings,
    say: Say,
    clock: Clock,
    on_progress: Progress | None,
) -> Passed:
    """By one network; what speaks against it is said before `load` is called."""
    card, wanted, filtered = read_any_card(step.model), step.wanted, ""
    if wanted.undo_filter:
        scan, filtered = scan.unfiltered(wanted, card)
    scan = scan.fitting(wanted, card)
    decision = _decided(job, scan.sight, wanted, card, settings, say)
    engine = load(step.model)
    remarks = _remarks(scan.sight, decision, step.model, engine.card, filtered)
    _say_remarks(job, remarks, len(scan.volumes), say)
    outcome, whole = results_of(scan, decision, engine, settings, wanted, on_progress)
    remarks = _say_done(job, wanted, outcome, remarks, clock, say)
    notes = provenance.of_pass(step.model, engine.card, outcome, remarks)
    return Passed(scan.sight, engine, outcome, whole, remarks, notes)


def super_resolve_by(
    steps: Sequence[Step],
    volume: Volume,
    sight: Sight,
    load: Callable[[Path], Engine],
    settings: Settings,
    say: Say = lambda line: None,
) -> Whole:
    """What becomes of one volume in memory by one network after the other: it goes the way of a file's."""
    job, scan = Job(volume.path, volume.path), Opened([volume], sight, None)
    return go_through(job, scan, steps, load, settings, say, Clock()).whole


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


def _decided(job: Job, sight: Sight, wanted: ScanSettings, card: ModelCard, settings: Settings, say: Say) -> Decision:
    """What is to be done, by a network on slices in the planes that are asked for; UserError for what should not, or
    cannot, be done."""
    decision = decide(sight, wanted, replace(card, planes=asked_planes(settings.plane, card)))
    try:
        refuse_doubts(sight.volume, decision, wanted)
    except UserError:
        say_warnings(job, sight.volume.remarks, say)  # a doubtful header may be the reason
        raise
    if wanted.self_check and card.planes:
        raise UserError(
            f"--self_check degrades the scan in k-space, but {card.preset}, a network on slices, was trained on two "
            "scans of each person; leave it out."
        )
    return decision


def _remarks(sight: Sight, decision: Decision, model: Path, card: ModelCard, filtered: str) -> Remarks:
    warnings = [*sight.volume.remarks, *decision.doubts, *decision.warnings]
    return Remarks("; ".join(filter(None, (in_words(sight, decision, model.stem, card), filtered))), warnings)


def _say_remarks(job: Job, remarks: Remarks, volumes: int, say: Say) -> None:
    say(f"{job.title}: {remarks.seen}")
    if volumes > 1:
        say(f"{job.title}: {volumes} volumes, one after the other; --volume=N takes one of them")
    say_warnings(job, remarks.warnings, say)


def say_warnings(job: Job, warnings: Sequence[str], say: Say) -> None:
    """A line for each, with the scan's name."""
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
    say_warnings(job, outcome.on_the_way, say)
    return replace(remarks, warnings=[*remarks.warnings, *outcome.on_the_way])


def _say_fallbacks(result: Result, say: Say) -> None:
    if result.fallback_tiles:
        tried = ", ".join(map(tiling.size_text, result.fallback_tiles))
        say(f"warning: the memory did not suffice for tiles of {tried}; {tiling.size_text(result.tile)} was taken.")
