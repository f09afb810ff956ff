"""Of which voxel sizes a card says that its network was tested on them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from mdcsrn_tf.inference.words import millimetres

_ROUNDING = 0.01  # headers say 0.4999 mm


def untested_sizes(sizes: Sequence[float], resolved: Collection[int], tested: Mapping[str, Any]) -> str | None:
    """Why voxels of these `sizes` (mm, by axis) are none that the network on the card was tested on; None if they are.

    `resolved`: the axes that it gives resolution to. The others may be thicker, where the card says so.
    """
    if "voxel_mm" not in tested:
        return None
    usual = tested["voxel_mm"]
    across = tested.get("across_mm", usual)
    if all(_within(mm, usual if axis in resolved else across) for axis, mm in enumerate(sizes)):
        return None
    known = f"{_range(usual)} mm" + (f" and {_range(across)} mm across" if across != usual else "")
    return f"the result's voxels are {millimetres(sizes)} mm, and the network was tested on {known}"


def _within(mm: float, limits: Sequence[float]) -> bool:
    least, most = limits
    return (1 - _ROUNDING) * least <= mm <= (1 + _ROUNDING) * most


def _range(limits: Sequence[float]) -> str:
    return "{:g} to {:g}".format(*limits)
