"""A scan's whole way through a network: turned, brought to its grid, super-resolved, and turned back.

The one pipeline: the command, evaluation and the library all go this way, so that what is measured is what is
written. Nothing here reads or writes a file.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from mdcsrn_tf.errors import UserError
from mdcsrn_tf.inference.decision import Decision, decide
from mdcsrn_tf.inference.detail import check_detail, original_of, remarks_on, strength_towards, with_detail
from mdcsrn_tf.inference.ensemble import mirrored_too
from mdcsrn_tf.inference.fitting import fitting
from mdcsrn_tf.inference.prepared import Prepared, prepare
from mdcsrn_tf.inference.settings import ScanSettings, Settings
from mdcsrn_tf.inference.sight import Sight, look
from mdcsrn_tf.inference.unfiltered import unfiltered
from mdcsrn_tf.inference.volume import Progress, Result
from mdcsrn_tf.models.files import ModelCard
from mdcsrn_tf.scans import kspace
from mdcsrn_tf.scans.kspace_check import AxisFinding
from mdcsrn_tf.scans.resampling import Sampling, measured_samples
from mdcsrn_tf.scans.unexplained import unexplained
from mdcsrn_tf.scans.volumes import Volume

if TYPE_CHECKING:
    from mdcsrn_tf.inference.engines import Engine

_WORTH_A_WORD = 0.01
_KEPT = (
    "{:.0%} of its voxels are not what interpolation makes of its samples, as beside a mask that was laid over it "
    "afterwards: they stay as they are stored."
)


@dataclass(frozen=True)
class Outcome:
    """A super-resolved scan in its stored orientation and its input's units, and how it came about."""

    data: np.ndarray
    affine: np.ndarray
    prepared: Prepared
    result: Result
    detail: float = 1.0  # how many times as strong as the network restored it
    warnings: tuple[str, ...] = ()  # about that, and about what k-space is
    kept: float = 0.0  # share of the picture's voxels that stay as they are stored

    @property
    def told(self) -> tuple[str, ...]:
        """What a user should know of it besides the file's remarks, a sentence each."""
        return (*self.prepared.decision.doubts, *self.prepared.decision.warnings, *self.on_the_way)

    @property
    def on_the_way(self) -> tuple[str, ...]:
        """Of this, what is known only once the network has run."""
        return (*self.warnings, *([_KEPT.format(self.kept)] if self.kept >= _WORTH_A_WORD else []))

    def as_stored(self, whole: Volume, sight: Sight, wanted: ScanSettings) -> Outcome:
        """The same on the grid of the `whole` scan, with the zeros that lay around the picture there.

        What was changed after it was drawn from its samples, as at a mask's edge, stays as it is stored, but for
        `wanted.consistency`.
        """
        drawn = [] if wanted.consistency else self.prepared.decision.drawn
        if not sight.surround and not sight.grid and not drawn:
            return self
        times, stored = self.prepared.times, sight.surround.inside(whole.data)
        data = self._changed(stored, sight, wanted) if sight.grid else self.data
        strange = unexplained(stored, drawn)
        data = np.where(strange, stored, data) if strange.any() else data
        affine = whole.affine @ np.diag([1 / time for time in times] + [1.0])
        return replace(self, data=sight.surround.around(data, times), affine=affine, kept=float(strange.mean()))

    def _changed(self, stored: np.ndarray, sight: Sight, wanted: ScanSettings) -> np.ndarray:
        """The result brought back from its twofold grid.

        Of a zero-filled scan the stored picture and what the network changed of it: so what a magnitude image holds of
        its original's detail beyond its samples, which that grid leaves out, stays. Of others what lies beyond the
        first and the last sample stays as it is stored: their own grid holds nothing of it.
        """
        if sight.grid.is_zero_filled:
            data = stored + sight.grid.leave(self.data - self.prepared.volume.data)
        else:
            data = np.where(sight.grid.beyond_samples(stored.shape), stored, sight.grid.leave(self.data))
        if stored.min() >= 0 and not wanted.consistency:
            data = np.maximum(data, 0.0)
        return np.ascontiguousarray(data, np.float32)


def super_resolve_scan(
    volume: Volume,
    engine: Engine,
    settings: Settings,
    wanted: ScanSettings,
    on_progress: Progress | None = None,
    sight: Sight | None = None,
) -> Outcome:
    """Decide, prepare, run and undo; UserError for what the scan or the card speaks against, but for `wanted.force`.

    `sight` is what `look` said of the volume, where that is known already.
    """
    sight = sight or look(volume)
    if wanted.undo_filter:
        sight, (volume,), _ = unfiltered(sight, [volume], wanted, engine.card)
    sight = fitting(sight, wanted, engine.card)
    decision = decide(sight, wanted, engine.card)
    refuse_doubts(volume, decision, wanted)
    prepared = prepare(sight.volume, decision, engine.card)
    return run_prepared(prepared, engine, settings, wanted, on_progress).as_stored(volume, sight, wanted)


def run_prepared(
    prepared: Prepared, engine: Engine, settings: Settings, wanted: ScanSettings, on_progress: Progress | None = None
) -> Outcome:
    """The network's part."""
    decision = prepared.decision
    if wanted.detail != 1:
        check_detail(wanted.detail, decision, engine.card.preset)
    if wanted.consistency:
        check_consistency(prepared, engine.card)
    original = original_of(prepared.volume, decision) if wanted.detail == "auto" else None  # before all the work
    result = mirrored_too(engine, prepared.low_res, settings, on_progress)
    data = prepared.stored(result.data)
    strength = strength_towards(original, data, prepared.affine, decision) if original else float(wanted.detail)
    if strength != 1:
        data = with_detail(data, strength, decision.axes, decision.factors)
    if wanted.consistency:
        data = consistent(data, prepared)
    elif prepared.volume.data.min() >= 0:
        data = np.maximum(data, 0.0)  # a magnitude image stays one: ringing and networks go below zero
    if not np.isfinite(data).all():
        raise UserError(
            f"{prepared.volume.path}: the network gave NaN or infinite values; nothing was written. Take another "
            "--model, or --precision=float32 where that was changed."
        )
    remarks = remarks_on(prepared.volume, decision, original, strength)
    return Outcome(data, prepared.affine, prepared, result, strength, remarks)


def refuse_doubts(volume: Volume, decision: Decision, wanted: ScanSettings) -> None:
    """UserError for a scan that would not come out better, unless that is wanted."""
    if decision.doubts and not wanted.force:
        raise UserError(
            f"{volume.path}: {'; '.join(decision.doubts)}. Take another --model, correct --axes or "
            "--factor, or add --force to do it all the same."
        )


def check_consistency(prepared: Prepared, card: ModelCard) -> None:
    """UserError where it is not known which samples were measured."""
    if card.slices:
        raise UserError(
            f"--consistency puts back measured k-space, but {card.preset} was trained for thick slices, which are "
            "means through the slice; leave it out."
        )
    if card.planes:
        raise UserError(f"--consistency puts back measured k-space, but {card.preset} works on slices; leave it out.")
    decision = prepared.decision
    if decision.grid == "small":
        return
    for name, finding, factor in zip(decision.names, decision.findings, decision.factors, strict=True):
        if _known_samples(finding) is not None and finding.whole_factor != factor:
            raise UserError(
                f"{prepared.volume.path}: --consistency puts back what was measured, which is {finding.whole_factor}x "
                f"along {name} and not {factor}x; correct --factor, or leave out --consistency."
            )
    if any(_known_samples(finding) is None for finding in decision.findings):
        raise UserError(
            f"{prepared.volume.path}: --consistency cannot tell which samples were measured; give the scanner's small "
            "matrix with --grid=small, or leave out --consistency."
        )


def consistent(image: np.ndarray, prepared: Prepared) -> np.ndarray:
    """`image` with the measured centre of its k-space put back; target grid, stored orientation."""
    decision = prepared.decision
    measured, turned = prepared.volume.data.astype(np.float64), []
    if decision.grid == "same":
        for axis, finding in zip(decision.axes, decision.findings, strict=True):
            sampling = _known_samples(finding)
            assert sampling is not None and finding.method is not None
            if not sampling.starts_the_axis:
                turned.append(axis)
                measured, sampling = np.flip(measured, axis), sampling.turned_over()
            measured = measured_samples(measured, axis, sampling, finding.method)
    image = np.flip(image, tuple(turned)).astype(np.float64)
    kept = kspace.put_back_centre(image, measured, decision.factors, decision.axes)
    return np.ascontiguousarray(np.flip(kept, tuple(turned))).astype(np.float32)


def _known_samples(finding: AxisFinding) -> Sampling | None:
    """The samples of an axis, where they lie as a small matrix's do, from either end."""
    sampling = finding.sampling
    if finding.method in (None, "unknown") or sampling is None:
        return None
    fits = sampling.starts_the_axis or sampling.ends_the_axis
    return sampling if fits and sampling.count == sampling.size // finding.whole_factor else None
