"""On which grid a scan is to be super-resolved: its own, or one on which it is the twofold that networks know."""

from __future__ import annotations

from mdcsrn_tf.inference.decision import decide
from mdcsrn_tf.inference.settings import ScanSettings
from mdcsrn_tf.inference.sight import Sight
from mdcsrn_tf.models.files import ModelCard
from mdcsrn_tf.scans.twofold import LEAST_ALONE


def fitting(sight: Sight, wanted: ScanSettings, card: ModelCard) -> Sight:
    """The scan as the network on the card is to get it.

    It stays on its own grid where the user names the factor, where none of the axes in question was filled with zeros
    by another, and for networks on slices or of other factors.
    """
    knows_twofold = any(2 in factors for factors in (*card.tested.get("factors", ()), card.factor))
    if wanted.factor or card.planes or not knows_twofold or not sight.on_twofold_grid.grid:
        return sight
    decision = decide(sight, wanted, card)
    other = decide(sight.on_twofold_grid, wanted, card)
    samplings = sight.on_twofold_grid.grid.samplings
    steps = [sampling.step for axis in other.axes if (sampling := samplings[axis])]
    enough = len(other.axes) > 1 or steps >= [LEAST_ALONE]
    return sight.on_twofold_grid if decision.grid == other.grid == "same" and steps and enough else sight
