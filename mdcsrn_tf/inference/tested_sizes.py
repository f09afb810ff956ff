"""Of which voxel sizes a card says that its network was tested on them.

Voxels a little smaller or larger than any of those are taken with a warning, others refused.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from mdcsrn_tf.inference.words import millimetres

_ROUNDING = 1.01  # headers say 0.4999 mm
_NEAR = 1.25  # times as small, or as large


def far_sizes(sizes: Sequence[float], resolved: Collection[int], tested: Mapping[str, Any]) -> list[str]:
    """Why voxels of these `sizes` (mm, by axis) are none for the network on the card: one sentence, or none.

    `resolved`: the axes that it gives resolution to. The others may be thicker, where the card says so.
    """
    return [] if _all_within(_NEAR, sizes, resolved, tested) else [_sentence(sizes, tested)]


def near_sizes(sizes: Sequence[float], resolved: Collection[int], tested: Mapping[str, Any]) -> list[str]:
    """That the network was tested on voxels a little larger, or smaller: one sentence, or none."""
    near = _all_within(_NEAR, sizes, resolved, tested) and not _all_within(_ROUNDING, sizes, resolved, tested)
    return [f"{_sentence(sizes, tested)}: expect less of it."] if near else []


def _all_within(times: float, sizes: Sequence[float], resolved: Collection[int], tested: Mapping[str, Any]) -> bool:
    """Whether every size is one that was tested, or at most so many times beyond."""
    limits = (_limits(axis in resolved, tested) for axis in range(len(sizes)))
    return all(least / times <= mm <= most * times for mm, (least, most) in zip(sizes, limits, strict=True))


def _limits(resolved: bool, tested: Mapping[str, Any]) -> Sequence[float]:
    usual = tested.get("voxel_mm", (0.0, float("inf")))
    return usual if resolved else tested.get("across_mm", usual)


def _sentence(sizes: Sequence[float], tested: Mapping[str, Any]) -> str:
    known = f"{_range(tested['voxel_mm'])} mm"
    if "across_mm" in tested:
        known += f" and {_range(tested['across_mm'])} mm across"
    return f"the result's voxels are {millimetres(sizes)} mm, and the network was tested on {known}"


def _range(limits: Sequence[float]) -> str:
    return "{:g} to {:g}".format(*limits)
