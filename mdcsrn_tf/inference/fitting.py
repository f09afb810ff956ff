"""On which grid a scan is to be super-resolved: its own, or one on which it is the twofold that networks know."""

from __future__ import annotations

from mdcsrn_tf.inference.decision import decide
from mdcsrn_tf.inference.settings import ScanSettings
from mdcsrn_tf.inference.sight import Sight
from mdcsrn_tf.models.files import ModelCard
from mdcsrn_tf.scans.axes import resolve_axes
from mdcsrn_tf.scans.twofold import LEAST_ALONE


def fitting(sight: Sight, wanted: ScanSettings, card: ModelCard) -> Sight:
    """The scan as the network on the card is to get it.

    It stays on its own grid where the user names the factor, where none of the axes in question was interpolated by
    another, where only there nothing speaks against it, and for networks on slices or of other factors.
    """
    known = {factor for factors in (*card.tested.get("factors", ()), card.factor) for factor in factors}
    if wanted.factor or card.planes or 2 not in known:
        return sight
    axes = resolve_axes(wanted.axes, sight.volume.affine) if wanted.axes else (0, 1, 2)
    other = sight.on_twofold_grid(known, axes)
    if other is sight:
        return sight
    here, there = decide(sight, wanted, card), decide(other, wanted, card)
    if here.grid != "same" or there.grid != "same" or (there.doubts and not here.doubts):
        return sight
    steps = [step for axis in there.axes if (step := other.grid.steps()[axis])]
    return other if steps and (len(there.axes) > 1 or steps >= [LEAST_ALONE]) else sight
