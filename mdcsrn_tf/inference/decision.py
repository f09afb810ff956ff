"""What is to be done with a scan: which axes, by how much, and whether a network was made for that.

The header and k-space are asked first (`look`); what the user names goes before what they say, and where both
contradict each other the scan is refused rather than made worse (`Decision.doubts`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from mdcsrn_tf.errors import UserError
from mdcsrn_tf.inference.settings import ScanSettings
from mdcsrn_tf.inference.sight import Sight
from mdcsrn_tf.inference.slice_pixels import other_pixels
from mdcsrn_tf.inference.tested_sizes import far_sizes, near_sizes
from mdcsrn_tf.inference.words import millimetres, times, times_on_axes, with_and, with_commas
from mdcsrn_tf.models.files import ModelCard
from mdcsrn_tf.scans.axes import axes_are_anatomical, resolve_axes
from mdcsrn_tf.scans.factors import parse_factors
from mdcsrn_tf.scans.keys import BELOW_ZERO
from mdcsrn_tf.scans.kspace_check import AxisFinding, examine_axis
from mdcsrn_tf.scans.normalisation import TISSUE_LEVEL, magnitude_level
from mdcsrn_tf.scans.resampling import Sampling
from mdcsrn_tf.scans.twofold import LEAST, LEAST_ALONE

_FACTOR_TOLERANCE = 0.12  # 181 voxels of 90 samples count as twice
_NO_LIMIT = 1000
_DRAWN = ("linear", "cubic", "keys")
_CONTRAST = re.compile(r"_(T1w|T2w|PDw|FLAIR|T2starw)(?=[_.]|$)")


@dataclass(frozen=True)
class Decision:
    """What to do with the scan; `axes` are the stored array's."""

    grid: str  # "same": on its target grid already; "small": the scanner's matrix
    axes: tuple[int, ...]
    factors: tuple[int, ...]
    names: tuple[str, ...]  # of the axes
    findings: tuple[AxisFinding, ...]  # of the axes, on their own grid
    anatomical: bool
    doubts: tuple[str, ...] = ()  # why it should not be done
    warnings: tuple[str, ...] = ()

    @property
    def drawn(self) -> list[tuple[int, str, Sampling]]:
        """Of each axis that was drawn between samples on the scan's own grid: axis, method and where they lie."""
        stored = [(axis, finding.as_stored) for axis, finding in zip(self.axes, self.findings, strict=True)]
        shown = [(axis, found.method, found.sampling) for axis, found in stored if self.grid == "same"]
        return [(axis, method, where) for axis, method, where in shown if method in _DRAWN and where]


def decide(sight: Sight, wanted: ScanSettings, card: ModelCard) -> Decision:
    """Axes, factors and grid: as asked, else as the scan shows, else as the card says."""
    if card.planes:  # trained on two scans of each person: nothing was degraded, so k-space has nothing to say
        return _decide_slices(sight, wanted, card)
    text = wanted.axes
    axes = resolve_axes(text, sight.volume.affine) if text else ()
    grid = _grid(sight, wanted, axes, card)
    if not axes:
        axes = _shown_axes(sight, grid, card)
    factors = _factors(sight, wanted, axes, grid, card)
    names = tuple(sight.names[axis] for axis in axes)
    findings = tuple(
        sight.findings[axis] if grid == "small" else _as_asked(sight, axis, factor, bool(wanted.factor))
        for axis, factor in zip(axes, factors, strict=True)
    )
    anatomical = axes_are_anatomical(text or ",".join(card.axes) or "LR,AP")
    decision = Decision(grid, axes, factors, names, findings, anatomical)
    doubts = (*_contradictions(sight, decision, wanted, card), *misfits(sight, decision, card))
    warnings = (*_warnings(sight, decision), *_still_coarse(sight, decision, wanted), *_unusual(sight, decision, card))
    return replace(decision, doubts=doubts, warnings=warnings)


def _decide_slices(sight: Sight, wanted: ScanSettings, card: ModelCard) -> Decision:
    small, given = wanted.grid == "small", {name: getattr(wanted, name) for name in ("grid", "axes", "factor")}
    decision = _enlarged_for_slices(sight, wanted) if small else Decision("same", (), (), (), (), anatomical=True)
    idle = [] if small else [f"--{name}" for name, value in given.items() if value not in (None, "auto")]
    doubts = [f"without --grid=small a network on slices has no use for {with_and(idle)}"] if idle else []
    warnings = (*_unusual(sight, decision, card), *other_pixels(sight.names, _result_mm(sight, decision), card))
    return replace(decision, doubts=(*doubts, *_outside(sight, decision, card.tested)), warnings=warnings)


def _enlarged_for_slices(sight: Sight, wanted: ScanSettings) -> Decision:
    """In training the coarser of two scans was brought to the other's grid, which here the user alone knows."""
    if not wanted.axes or not wanted.factor:
        raise UserError("--grid=small with a network on slices needs --axes and --factor: how the voxels get smaller.")
    axes = resolve_axes(wanted.axes, sight.volume.affine)
    factors = parse_factors(wanted.factor, wanted.axes)
    names, findings = tuple(sight.names[axis] for axis in axes), tuple(sight.findings[axis] for axis in axes)
    return Decision("small", axes, factors, names, findings, anatomical=True)


def misfits(sight: Sight, decision: Decision, card: ModelCard) -> tuple[str, ...]:
    """What the network on the card was not made for, a sentence each."""
    found = []
    tested = card.tested
    allowed = _trained_axes(card)
    if card.axes and decision.anatomical and set(decision.names) not in allowed:
        voxels = f"its voxels are {millimetres(sight.spacing)} mm, so that " if decision.grid == "small" else ""
        found.append(
            f"{voxels}{with_commas(decision.names)} is to be super-resolved, and the network was trained for "
            f"{' or '.join(with_commas(sorted(names)) for names in allowed)}"
        )
    factors = [sorted(factors) for factors in tested.get("factors", ())] or [sorted(_full(card.factor, len(card.axes)))]
    if any(factors) and not any(_near(sorted(decision.factors), known) for known in factors):
        # 2x along one axis is not 2x along two: the number alone would not tell them apart.
        say = times if all(len(known) == len(decision.factors) for known in factors) else times_on_axes
        found.append(
            f"the factor is {say(decision.factors)}, and the network was trained for {' or '.join(map(say, factors))}"
        )
    found += _outside(sight, decision, tested)
    return tuple(found)


def _grid(sight: Sight, wanted: ScanSettings, axes: Sequence[int], card: ModelCard) -> str:
    if wanted.grid != "auto":
        return wanted.grid
    coarse = sight.coarse_axes
    # Thick slices are a small matrix to a network that was trained for them, whatever was done to their pixels.
    asked = axes or (coarse if {sight.names[axis] for axis in coarse} in _trained_axes(card) else range(3))
    found = [sight.findings[axis] for axis in asked]
    interpolated = any(finding.proves_interpolation or finding.method == "unknown" for finding in found)
    shown = set(axes) <= set(coarse) if axes else bool(coarse)
    return "small" if not interpolated and shown else "same"


def _shown_axes(sight: Sight, grid: str, card: ModelCard) -> tuple[int, ...]:
    usual = resolve_axes(",".join(card.axes) or "LR,AP", sight.volume.affine)
    if grid == "small":
        return sight.coarse_axes or usual
    proven = {axis for axis in range(3) if sight.findings[axis].proves_interpolation}
    likely = {axis for axis in range(3) if sight.findings[axis].method == "unknown"}
    if set(usual) <= proven | likely:
        proven |= set(usual)
    # In the card's order, so that its factors find their axes.
    return tuple(axis for axis in usual if axis in proven) + tuple(sorted(proven - set(usual))) or usual


def _factors(sight: Sight, wanted: ScanSettings, axes: Sequence[int], grid: str, card: ModelCard) -> tuple[int, ...]:
    if wanted.factor:
        return parse_factors(wanted.factor, with_commas([sight.names[axis] for axis in axes]))
    known = _full(card.factor or (2,), len(axes))
    if grid == "small":
        shown = [min(sight.coarseness[axis], _largest_factor(card, len(axes))) for axis in axes]
    else:
        shown = [sight.findings[axis].whole_factor if sight.findings[axis].method != "unknown" else 1 for axis in axes]
    return tuple(found if found > 1 else usual for found, usual in zip(shown, known, strict=True))


def _largest_factor(card: ModelCard, count: int) -> int:
    """By how much a network of several factors takes `count` axes at most: thicker slices it brings as far as that."""
    known = _known_factors(card, count)
    return max(known) if len(known) > 1 else _NO_LIMIT


def _known_factors(card: ModelCard, count: int) -> list[int]:
    """The largest of each set of factors by which the network was tested along `count` axes."""
    return [max(factors) for factors in card.tested.get("factors", ()) if len(factors) == count]


def _as_asked(sight: Sight, axis: int, factor: int, named: bool) -> AxisFinding:
    """What k-space says of an axis, given the factor that was decided.

    `look` searched without knowing the factor. Where it found another one, or nothing, the axis is searched once more
    for this factor alone.
    """
    found = sight.findings[axis]
    # Resampling at an odd phase leaves a cliff near the end of the spectrum, too: who knows the factor, names it.
    weak = found.method in (None, "unknown") or (named and not found.proves_interpolation)
    return examine_axis(sight.volume.data, axis, factor) if weak and found.whole_factor != factor else found


def _contradictions(sight: Sight, decision: Decision, wanted: ScanSettings, card: ModelCard) -> list[str]:
    if decision.grid == "small":
        return []
    sentences = []
    pairs = list(zip(decision.names, decision.findings, decision.factors, strict=True))
    full = [name for name, finding, _ in pairs if finding.method is None and finding.examined]
    if full:
        sentences.append(
            f"the outer k-space along {with_and(full)} is not empty: the scan seems to be of full "
            "resolution there (of the small matrix say --grid=small, --axes and --factor)"
        )
    smooth = [name for name, finding, _ in pairs if finding.method == "unknown"]
    if smooth and not wanted.factor:
        sentences.append(
            f"along {with_and(smooth)} it is smooth, but interpolated in no way that is known, as scans are that were "
            "turned: give it as it was before that, or name --axes and --factor"
        )
    others = _interpolated_beside(sight, decision)
    if others:
        sentences.append(f"k-space looks empty along {with_and(others)}, which --axes does not name")
    for name, finding, factor in pairs:
        shown = finding.method not in (None, "unknown")
        between = finding.whole_factor == factor and finding.lies_between(_known_factors(card, len(pairs)))
        if shown and not between and not _near([finding.factor], [factor]):
            least = LEAST_ALONE if len(pairs) == 1 else LEAST
            too_few = "" if wanted.factor or finding.factor >= least else f", too little to gain by (from {least}x on)"
            sentences.append(f"along {name} k-space shows {finding.factor:.3g}x, and not {factor}x{too_few}")
    return sentences


def _interpolated_beside(sight: Sight, decision: Decision) -> list[str]:
    """The names of the axes that were interpolated but are not to be super-resolved."""
    others = [axis for axis in range(3) if axis not in decision.axes]
    return [sight.names[axis] for axis in others if sight.findings[axis].proves_interpolation]


def _warnings(sight: Sight, decision: Decision) -> tuple[str, ...]:
    if decision.grid != "same":
        empty = with_and(_interpolated_beside(sight, decision))
        full = "and the network was trained on scans measured in full there"
        return (f"the scan was interpolated along {empty}, {full}: expect less of the result.",) if empty else ()
    found = []
    pairs = list(zip(decision.names, decision.findings, strict=True))
    unsure = [name for name, finding in pairs if not finding.examined]
    if unsure:
        found.append(
            f"the scan is too small to tell along {with_and(unsure)} how it was interpolated; it is taken as it is."
        )
    smooth = [name for name, finding in pairs if finding.method == "unknown"]
    if smooth:
        found.append(
            f"along {with_and(smooth)} the scan is smooth, but interpolated in no way that is known: the result may be "
            "no better than it."
        )
    signed = [name for name, finding in pairs if BELOW_ZERO in finding.evidence]
    if signed:
        found.append(
            f"along {with_and(signed)} it looks linearly interpolated, but of samples far below zero: another method "
            "may have made it, and the result may be worse than it."
        )
    blocks = [name for name, finding in pairs if finding.as_stored.method == "nearest"]
    if blocks:
        found.append(
            f"nothing tells which voxel of each block of equal ones along {with_and(blocks)} was measured; the first "
            "is taken, so that the result may lie a voxel off."
        )
    return tuple(found)


def _still_coarse(sight: Sight, decision: Decision, wanted: ScanSettings) -> tuple[str, ...]:
    """Slices so thick that the network brings them only part of the way."""
    pairs = zip(decision.axes, decision.factors, strict=True)
    left = [axis for axis, factor in pairs if factor < sight.coarseness[axis]]
    if decision.grid != "small" or wanted.factor or not left:
        return ()
    names, most = with_and([sight.names[axis] for axis in left]), max(decision.factors)
    return (f"the network was trained for {most}x at most: along {names} the result stays coarser than beside it.",)


def _trained_axes(card: ModelCard) -> list[set[str]]:
    """The sets of axes that the network was trained for."""
    return [set(map(_common_name, names)) for names in card.tested.get("axes", ()) or (card.axes,)]


def _unusual(sight: Sight, decision: Decision, card: ModelCard) -> tuple[str, ...]:
    found = near_sizes(_result_mm(sight, decision), decision.axes, card.tested)
    if card.normalisation == TISSUE_LEVEL and magnitude_level(sight.volume.data) is None:
        found.append(
            "it is no magnitude image (its negative values reach far, or nothing is above zero), so that it is "
            "normalised otherwise than the network's training scans were."
        )
    return tuple(found)


def _result_mm(sight: Sight, decision: Decision) -> list[float]:
    """The voxel sizes of the result, by the stored axes."""
    by_axis = dict(zip(decision.axes, decision.factors, strict=True)) if decision.grid == "small" else {}
    return [size / by_axis.get(axis, 1) for axis, size in enumerate(sight.stored_spacing)]


def _outside(sight: Sight, decision: Decision, tested: dict) -> list[str]:
    found = far_sizes(_result_mm(sight, decision), decision.axes, tested)
    contrast = _CONTRAST.search(sight.volume.path.name)
    if contrast and tested.get("contrasts") and contrast[1] not in tested["contrasts"]:
        found.append(f"its name says {contrast[1]}, and the network was trained on {with_and(tested['contrasts'])}")
    return found


def _near(found: Sequence[float], known: Sequence[float]) -> bool:
    return len(found) == len(known) and all(
        abs(a - b) <= _FACTOR_TOLERANCE * b for a, b in zip(found, known, strict=True)
    )


def _full(factor: Sequence[int], count: int) -> tuple[int, ...]:
    """One factor for each of `count` axes: a single one holds for all, missing ones are the last one's."""
    return tuple(factor[min(place, len(factor) - 1)] for place in range(count)) if factor else ()


def _common_name(name: str) -> str:
    return {"RL": "LR", "PA": "AP", "SI": "IS"}.get(name.upper(), name.upper())
