"""What a run says of a scan in one line: what is seen, and what is done."""

from __future__ import annotations

from collections.abc import Iterable

from mdcsrn_tf.inference.decision import Decision
from mdcsrn_tf.inference.sight import Sight
from mdcsrn_tf.inference.words import millimetres, times, with_and
from mdcsrn_tf.models.files import ModelCard

_ADVERBS = {
    "linear": "linearly interpolated",
    "cubic": "cubically interpolated",
    "keys": "bicubically (Keys) interpolated",
    "sinc": "sinc-interpolated",
    "nearest": "nearest-neighbour interpolated",
    "unknown": "smoothly interpolated",
}

_ALL_BUT = 0.1  # voxels a sample: so near to a whole factor it is called by that


def in_words(sight: Sight, decision: Decision, model: str, card: ModelCard) -> str:
    """The one line that says what is seen and done."""
    shape = "x".join(map(str, sight.grid.stored_shape(sight.volume.data.shape)))
    spacing = f"{millimetres(sight.stored_spacing)} mm" + (" in a frame of zeros" if sight.surround else "")
    where = with_and(decision.names)
    more = times(decision.factors)
    if card.planes:
        brought = f"brought to {more} as many voxels along {where} by {card.interpolation} interpolation, "
        return f"{shape} at {spacing}: {brought if where else ''}super-resolving slice by slice by {model}"
    if decision.grid == "small":
        seen = f"the scanner's matrix along {where}"
        done = f"brought to {more} as many voxels by {card.interpolation} interpolation and super-resolved by {model}"
        return f"{shape} at {spacing}, {seen}: {done}"
    if sight.grid:
        stored = [finding.as_stored for finding in decision.findings]
        how = _how(dict.fromkeys(finding.method or "" for finding in stored))
        shown = times([round(finding.factor, 2) for finding in stored])
        twofold = "x".join(map(str, sight.volume.data.shape))
        done = f"brought to {twofold} voxels, which is {more}, super-resolved by {model} and brought back"
        return f"{shape} at {spacing}, {how} {shown} along {where}: {done}"
    methods = sorted({finding.method or "" for finding in decision.findings})
    if methods == [""]:
        return f"{shape} at {spacing}: super-resolving {more} along {where} by {model}, whatever k-space shows"
    return (
        f"{shape} at {spacing}, {_how(methods)} {_shown(decision)} along {where}: {_treatment(decision, card)} {model}"
    )


def _how(methods: Iterable[str]) -> str:
    return " and ".join(_ADVERBS.get(method, "measured") for method in methods)


def _shown(decision: Decision) -> str:
    """By how much the axes were interpolated: whole where it is all but that, as 181 voxels of 90 samples are."""
    pairs = zip(decision.factors, decision.findings, strict=True)
    return times([factor if abs(one.factor - factor) <= _ALL_BUT else round(one.factor, 1) for factor, one in pairs])


def _treatment(decision: Decision, card: ModelCard) -> str:
    changed = {f.method for f in decision.findings if f.method not in (card.interpolation, None)}
    if not changed:
        return "super-resolving those by"
    if changed == {"unknown"}:
        return "low-passed to what was measured and super-resolved by"
    return f"taken back to the measured samples, brought to the grid by {card.interpolation} and super-resolved by"
