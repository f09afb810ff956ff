"""One scan of a run: read, super-resolve, write, with a sidecar and, if wanted, a picture."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mdcsrn_tf.files import sha256_of
from mdcsrn_tf.inference import provenance, tiling
from mdcsrn_tf.inference.choice import Step
from mdcsrn_tf.inference.clock import Clock
from mdcsrn_tf.inference.decision import Decision, decide
from mdcsrn_tf.inference.engines import read_any_card
from mdcsrn_tf.inference.opened import Opened
from mdcsrn_tf.inference.outputs import Job, remove_picture, write_sidecar
from mdcsrn_tf.inference.passes import Passed, Say, Whole, go_through, say_warnings
from mdcsrn_tf.inference.prepared import Prepared, prepare
from mdcsrn_tf.inference.provenance import Remarks
from mdcsrn_tf.inference.settings import ScanSettings, Settings
from mdcsrn_tf.inference.sight import Sight
from mdcsrn_tf.inference.volume import Progress, Result
from mdcsrn_tf.scans.axes import resolve_axes, to_ras
from mdcsrn_tf.scans.volumes import Volume, read_volumes, write_volume

if TYPE_CHECKING:
    from mdcsrn_tf.inference.engines import Engine


def process(
    job: Job,
    scan: Opened,
    steps: Sequence[Step],
    load: Callable[[Path], Engine],
    settings: Settings,
    asked: Mapping[str, Any],
    say: Say,
    on_progress: Progress | None = None,
) -> Callable[[], None]:
    """Super-resolve one scan; what writes the result, its sidecar, and its picture where that is wanted.

    `steps` are the networks that it goes through, `asked` is `provenance.request`.
    """
    clock, wanted = Clock(), steps[-1].wanted
    passed = go_through(job, scan, steps, load, settings, say, clock, on_progress)
    remarks = _self_checked(job, passed, settings, say) if wanted.self_check else passed.remarks

    def describe(written: Path) -> None:
        content = provenance.describe(job, asked, passed.notes, passed.before, remarks.check)
        result = sha256_of(written)
        if not wanted.qc and provenance.is_of_another(job, result):  # its picture would be taken for one of this
            remove_picture(job)
        told = {"Warnings": remarks.warnings, "SourceSHA256": scan.sha256, "ResultSHA256": result}
        write_sidecar(job, {**content, **told})
        if wanted.qc:  # after the sidecar, which says whose picture it is should the run be killed between the two
            _draw_new(job, scan, passed, remarks, wanted)

    def write() -> None:
        clock.go_on()
        _write(job, scan.volumes[0], passed.whole, wanted, describe)
        _say_written(passed.outcome.result, job, clock, say)

    return write


def _write(job: Job, like: Volume, whole: Whole, wanted: ScanSettings, describe: Callable[[Path], None]) -> None:
    """Write the results, 3-D of one volume, 4-D of several; their sidecar and picture first: a repeated run takes a
    result that exists for finished."""
    job.target.parent.mkdir(parents=True, exist_ok=True)
    write_volume(
        job.target,
        np.stack(whole.volumes, axis=-1) if len(whole.volumes) > 1 else whole.volumes[0],
        like,
        affine=whole.affine,
        dtype=wanted.dtype,
        keep_text=wanted.keep_header_text,
        before_it_appears=describe,
    )


def _say_written(result: Result, job: Job, clock: Clock, say: Say) -> None:
    clock.lap("written")
    seam = "" if result.seam_figure is None else f"; seam figure {result.seam_figure:.3f}"
    say(f"{job.title} -> {job.target.name}: {clock}{seam}")


def draw_finished(job: Job, scan: Opened, model: Path, wanted: ScanSettings) -> None:
    """The picture of a result that is there already: nothing is computed anew."""
    made, card = json.loads(job.sidecar.read_text(encoding="utf-8")), read_any_card(model)
    sight = scan.fitting(wanted, card).sight
    prepared = prepare(sight.volume, decide(sight, wanted, card), card)
    result = Result(
        np.empty(0), made["Tile"], made["Margin"], made["BatchNormalization"], made["Tiles"], made["SeamFigure"]
    )
    caption = _caption(Remarks(made["Seen"], made["Warnings"]))
    data = _shown(read_volumes(job.target)[0].data, sight, prepared)
    draw(job, prepared, data, result, wanted, caption=caption, before=made.get("Before"))


def _draw_new(job: Job, scan: Opened, passed: Passed, remarks: Remarks, wanted: ScanSettings) -> None:
    """The picture of a result that was computed just now, beside the scan as it was read."""
    sight, outcome, first = passed.sight, passed.outcome, scan.volumes[0]
    prepared = outcome.prepared
    if passed.before or wanted.undo_filter:
        prepared = prepare(sight.enter(first), prepared.decision, passed.engine.card)
    remark = f"self-check {remarks.check.gain:+.2f} dB" if remarks.check else None
    data = _shown(passed.whole.volumes[0], sight, prepared)
    draw(job, prepared, data, outcome.result, wanted, remark, _caption(remarks), passed.before)


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
    before: Mapping[str, Any] | None = None,
) -> None:
    """The picture beside a result, both volumes turned to RAS+; `data` in the stored orientation.

    before: what the sidecar says of a network that the scan went through first.
    """
    from mdcsrn_tf.inference.qc import save_picture

    marked: Sequence[Sequence[int]] = ((), (), ())
    if wanted.qc_seams and result.tile:
        inside = prepared.low_res.shape
        seams = tiling.seams_of(inside, result.tile, result.margin)
        marked = prepared.frame.leave_positions(seams, inside)
    order = list(resolve_axes("LR,AP,IS", prepared.affine))
    sizes = np.linalg.norm(prepared.affine[:3, :3], axis=0)[order]
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
        measured=_measured(prepared.decision, before),
    )


def _measured(decision: Decision, before: Mapping[str, Any] | None) -> list[float]:
    """The share of k-space that was measured along LR, AP and IS."""
    factors: dict[str, float] = dict(zip(decision.names, decision.factors, strict=True))
    if before:  # on its own grid, which need not be the twofold one that this network had
        factors |= {found["axis"]: found["factor"] for found in before["Interpolation"]}
    return [1 / factors.get(name, 1) for name in ("LR", "AP", "IS")]


def _self_checked(job: Job, passed: Passed, settings: Settings, say: Say) -> Remarks:
    """The remarks with the self-check's, which is made and told."""
    from mdcsrn_tf.inference.self_check import check_itself

    outcome, remarks = passed.outcome, passed.remarks
    check = check_itself(outcome.prepared, passed.engine, settings, outcome.detail)
    side = "above" if check.gain >= 0 else "below"
    network = "the network" if outcome.detail == 1 else "the network with its detail so strong"
    say(
        f"{job.title}: self-check: degraded once more, {network} is {abs(check.gain):.2f} dB {side} sinc "
        f"({check.network:.2f} against {check.sinc:.2f}, inside the head)"
    )
    checked = remarks.and_of(check)
    say_warnings(job, checked.warnings[len(remarks.warnings) :], say)
    return checked
