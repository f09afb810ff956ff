"""A scan without the window by which its scanner weighted k-space."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from mdcsrn_tf.inference.decision import Decision, decide
from mdcsrn_tf.inference.fitting import fitting
from mdcsrn_tf.inference.settings import ScanSettings
from mdcsrn_tf.inference.sight import Sight
from mdcsrn_tf.inference.words import with_and
from mdcsrn_tf.models.files import ModelCard
from mdcsrn_tf.scans.kspace_check import AxisFinding, examine_axis
from mdcsrn_tf.scans.volumes import Volume
from mdcsrn_tf.scans.window import Window, windows_of, without_window

Windows = dict[int, tuple[Window, float]]  # by stored axis, with the share of its frequencies that was measured


def unfiltered(
    sight: Sight, volumes: Sequence[Volume], wanted: ScanSettings, card: ModelCard
) -> tuple[Sight, list[Volume], str]:
    """The scan and what it shows without the windows along the axes to be super-resolved, and a word about these.

    The first volume tells them for all. Slices are not phase-encoded: through them there is none.
    """
    if card.slices or card.planes:
        return sight, list(volumes), "slices have no filter to undo"
    windows = _windows(sight, decide(fitting(sight, wanted, card), wanted, card))
    if not windows:
        return sight, list(volumes), "it shows no filter to undo"
    changed = [replace(volume, data=_without(sight, volume.data, windows)) for volume in volumes]
    told = with_and([f"{window.edge_db:.0f} dB along {sight.names[axis]}" for axis, (window, _) in windows.items()])
    first = replace(sight.surround.volume(changed[0]), remarks=sight.volume.remarks)
    seen = replace(sight, volume=first, findings=_looked_again(sight, first, windows), _on_grids={})
    return seen, changed, f"a filter undone, of {told} at the edge of k-space"


def _looked_again(sight: Sight, volume: Volume, windows: Windows) -> tuple[AxisFinding, ...]:
    """The findings where no window hides how far was measured: what it had faded out seemed to be empty."""
    again = {axis: examine_axis(volume.data, axis) for axis in windows if sight.findings[axis].method == "sinc"}
    found = {axis: finding for axis, finding in again.items() if finding.method == "sinc"}
    return tuple(found.get(axis, before) for axis, before in enumerate(sight.findings))


def _windows(sight: Sight, decision: Decision) -> Windows:
    measured = {
        axis: 1 / finding.as_stored.factor
        for axis, finding in zip(decision.axes, decision.findings, strict=True)
        if finding.as_stored.method in (None, "sinc")  # else what lies in k-space is not what was measured there
    }
    return {axis: (window, measured[axis]) for axis, window in windows_of(sight.volume.data, measured).items()}


def _without(sight: Sight, data: np.ndarray, windows: Windows) -> np.ndarray:
    inside = sight.surround.inside(data)
    for axis, (window, measured) in windows.items():
        inside = without_window(inside, axis, window, measured)
    return sight.surround.around(inside, (1, 1, 1))
