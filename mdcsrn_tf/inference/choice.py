"""Which network super-resolves a scan: the one that is named, else the first bundled one made for such scans.

Thick slices whose planes a scanner has interpolated go through two: one in the planes, then one through the slices.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from mdcsrn_tf.inference.decision import Decision, decide, misfits
from mdcsrn_tf.inference.fitting import fitting
from mdcsrn_tf.inference.settings import ScanSettings
from mdcsrn_tf.inference.sight import Sight
from mdcsrn_tf.models.files import read_card
from mdcsrn_tf.weights import find_model, list_models

# In planes of thick slices 0.3 dB better than the default, in a third of its time (docs/results.md, "Larger voxels").
_FOR_PLANES = "fast-b4u4k16"


@dataclass(frozen=True)
class Step:
    """A network, and what is asked of it."""

    model: Path
    wanted: ScanSettings


def choose_steps(sight: Sight, wanted: ScanSettings, name: str | None = None) -> tuple[Step, ...]:
    """The networks that a scan goes through, one after the other; where anything is named, it is one.

    Detail and consistency are of what k-space tells, which is in the planes: they ask for one, too.
    """
    model = choose_model(sight, wanted, name)
    named = name or wanted.axes or wanted.factor or wanted.grid != "auto"
    if named or wanted.detail != 1 or wanted.consistency or not sight.coarse_axes:
        return (Step(model, wanted),)
    card = read_card(model)
    first = decide(fitting(sight, wanted, card), wanted, card)
    planned = _is_in_planes(first, sight) and not first.doubts
    left = _made_for(sight.restored(first.axes), wanted) if planned else ()
    through = next((found.model for found in left if not found.decision.doubts), None)
    if through is None:
        return (Step(model, wanted),)
    in_planes, after = replace(wanted, axes=",".join(first.names)), replace(wanted, undo_filter=False)
    return Step(model, in_planes), Step(through, after)


def choose_model(sight: Sight, wanted: ScanSettings, name: str | None = None) -> Path:
    """The file or folder of the network that `name` names, or of the first bundled one that was made for such scans.

    Of thick slices it is the first that would not be refused, in interpolated planes the fast one. Where none was, it
    is the default network: the user is then told what of the scan does not suit it.
    """
    if name:
        return find_model(name)
    candidates = _made_for(sight, wanted)
    if sight.coarse_axes:  # their planes may be smooth in a way that no network knows
        candidates = iter(sorted(candidates, key=lambda found: _doubts_and_place(found, sight)))
    return next((found.model for found in candidates), None) or find_model(None)


@dataclass(frozen=True)
class _Candidate:
    model: Path
    decision: Decision


def _doubts_and_place(found: _Candidate, sight: Sight) -> tuple[bool, bool]:
    for_planes = _is_in_planes(found.decision, sight) and found.model.stem == _FOR_PLANES
    return bool(found.decision.doubts), not for_planes


def _is_in_planes(decision: Decision, sight: Sight) -> bool:
    """Whether it is the planes of thick slices that are to be super-resolved, and nothing else."""
    return decision.grid == "same" and not set(decision.axes) & set(sight.coarse_axes)


def _made_for(sight: Sight, wanted: ScanSettings) -> Iterator[_Candidate]:
    """The bundled networks whose cards have nothing against the scan, and what each would do with it."""
    for bundled in list_models():
        path = find_model(bundled)
        card = read_card(path)
        # A network on slices was trained on two scans of each person: only the user can say that this is wanted.
        # One whose card does not say what it was tested on is there to be compared with.
        if card.planes or not card.tested:
            continue
        seen = fitting(sight, wanted, card)
        decision = decide(seen, wanted, card)
        if not misfits(seen, decision, card):
            yield _Candidate(path, decision)
