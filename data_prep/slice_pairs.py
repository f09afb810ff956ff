"""Two scans of one person to pairs of slices: matched by position, or one laid onto the other's grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from data_prep.registration import CONTROL_MM, Placed, register, without_shading
from data_prep.scan_pairs import Series
from mdcsrn_tf.errors import UserError
from mdcsrn_tf.scans.axes import to_ras
from mdcsrn_tf.scans.pairs import SlicePair, match_nearest, match_paper, neighbours, triples, unmatched
from mdcsrn_tf.scans.stack import PLANES, SliceStack, in_plane_of, read_stack
from mdcsrn_tf.scans.volumes import Volume, read_volume
from mdcsrn_tf.scans.zero_frame import ZeroFrame, zero_frame

MATCHES = ("nearest", "paper", "volume")


@dataclass(frozen=True)
class MatchSettings:
    """How two scans become pairs of slices."""

    match: str = "nearest"
    register: str = "none"  # another than none means match=volume
    n4: bool = False
    control_mm: float = CONTROL_MM
    planes: tuple[str, ...] = ("axial",)
    stack: int = 1  # low-resolution slices a pair: 1, or 3 neighbours
    targets: int = 1  # high-resolution slices a pair: 1, or 3 neighbours
    seed: int = 0

    def __post_init__(self):
        if self.register != "none" and self.match != "volume":
            raise UserError(f"--register={self.register} lays one scan onto the other's grid: say --match=volume.")
        if self.match != "volume" and len(self.planes) > 1:
            raise UserError("several planes need --match=volume; slices are matched in one.")


@dataclass(frozen=True)
class View:
    """The slices of one plane: pair p is `low[lows[p]]` and `high[highs[p]]`, channels first."""

    plane: str
    low: np.ndarray  # float32 [slices, a, b], scanner units, on the pixels of `high`
    high: np.ndarray
    lows: np.ndarray  # int [pairs, stack]
    highs: np.ndarray  # int [pairs, targets]
    inside: np.ndarray  # bool, like `high`: where both scans have a field
    padded: np.ndarray | None = None  # bool [a, b]: the zeros around the slices, which are no picture

    def values(self) -> tuple[np.ndarray, np.ndarray]:
        """The voxels of either scan that lie in the common field, without padding: what statistics are of."""
        counted = self.inside if self.padded is None else self.inside & ~self.padded
        low = self.low[counted] if self.low.shape == counted.shape else self.low[:, counted[0]]
        return low, self.high[counted]

    def neighbours_in_field(self, pair: int) -> list[int]:
        """The slices of `inside` that a pair's low-resolution slices lie in, where both scans are on one grid.

        Slices that are matched one by one are there as they were scanned, and have no such slices.
        """
        return self.lows[pair].tolist() if self.low.shape == self.inside.shape else []


@dataclass(frozen=True)
class PairedScans:
    """All views of one pair of scans, and what the manifest says of how they came about."""

    views: tuple[View, ...]
    facts: dict[str, Any]


def paired(low: Series, high: Series, settings: MatchSettings, patch: int = 1) -> PairedScans:
    """Read both scans and pair their slices; UserError, with a remedy, where that makes no sense.

    So it makes none for slices that hold no square of `patch` pixels: found before a registration, which takes minutes.
    """
    return _by_volume(low, high, settings, patch) if settings.match == "volume" else _by_slice(low, high, settings)


def check_patch(sides: Sequence[int], patch: int) -> None:
    """UserError for slices with those sides that hold no square of `patch` pixels."""
    if min(sides) < patch:
        raise UserError(
            f"slices of {sides[0]} x {sides[1]} pixels hold no patch of {patch}; choose a smaller --patch, or another "
            "--plane."
        )


def _by_slice(low: Series, high: Series, settings: MatchSettings) -> PairedScans:
    (plane,) = settings.planes
    thick, thin = (read_stack(series.path, series.uid, plane) for series in (low, high))
    if settings.n4:
        thick, thin = _unshaded(thick), _unshaded(thin)
    moved, resampled = in_plane_of(thick, thin)
    pairs = _matched(moved, thin, settings.match)
    if not pairs:
        raise UserError(
            f"no slice of {low.label} lies within half a slice spacing ({thick.spacing / 2:.3g} mm) of one of "
            f"{high.label}; check that both show the same place."
        )
    _check_counts(len(moved.data), len(thin.data), settings)
    pairs, at_gaps = _without_gaps(pairs, moved, thin, settings)
    inside = np.ones(thin.data.shape, bool)
    if resampled:
        inside &= in_plane_of(replace(thick, data=np.ones_like(thick.data)), thin)[0].data[0] > 0.999
    lows, highs = _channels(pairs, len(moved.data), len(thin.data), settings)
    view = View(plane, moved.data, thin.data, lows, highs, inside, _padded(moved.data) | _padded(thin.data))
    if not view.values()[1].size:
        raise _nothing_in_common(low, high)
    return PairedScans(
        (view,),
        {
            "plane": plane,
            "resampled_in_plane": resampled,
            "low_slices": _slice_facts(thick),
            "high_slices": _slice_facts(thin),
            "pairs_mm": [[pair.low, pair.high, round(pair.distance, 4)] for pair in pairs],
            "unmatched_low_slices": sorted({*unmatched(pairs, len(moved.data))} - {*at_gaps}),
            **({"low_slices_at_gaps": at_gaps} if at_gaps else {}),
            **_remarks(thick.remarks, thin.remarks),
        },
    )


def _by_volume(low: Series, high: Series, settings: MatchSettings, patch: int) -> PairedScans:
    # Padding is no part of a scan's field, here as in inference.
    scans = [read_volume(series.path, series.uid, nan=0.0) for series in (low, high)]
    volumes = [zero_frame([scan.data]).volume(scan) for scan in scans]
    shape = to_ras(volumes[1].data, volumes[1].affine)[0].shape
    for plane in settings.planes:
        check_patch([side for axis, side in enumerate(shape) if axis != PLANES[plane]], patch)
    moving, fixed = (_straight(volume, settings.n4) for volume in volumes)
    found = register(moving, fixed, settings.register, control_mm=settings.control_mm, seed=settings.seed)
    if not found.inside.any():
        raise _nothing_in_common(low, high)
    views = tuple(_view(name, found.data, fixed.data, found.inside, settings) for name in settings.planes)
    return PairedScans(
        views,
        {
            "planes": list(settings.planes),
            "registration": settings.register,
            "ncc_before": round(found.ncc_before, 5),
            "ncc_after": round(found.ncc_after, 5),
            "common_field": round(float(found.inside.mean()), 4),
            "low_voxel_mm": _steps(moving.affine),
            "high_voxel_mm": _steps(fixed.affine),
            **_remarks(*(volume.remarks for volume in volumes)),
        },
    )


def _nothing_in_common(low: Series, high: Series) -> UserError:
    return UserError(f"{low.label} and {high.label} have no place in common; check the pair, or --register=rigid.")


def _padded(slices: np.ndarray) -> np.ndarray:
    """Where a stack [n, a, b] has its frame of zeros: bool [a, b]."""
    frame = zero_frame([slices])
    frame = ZeroFrame((0, *frame.before[1:]), (0, *frame.behind[1:]))
    return ~frame.around(frame.inside(np.ones((1, *slices.shape[1:]), bool)))[0]


def _view(name: str, low: np.ndarray, high: np.ndarray, inside: np.ndarray, settings: MatchSettings) -> View:
    """Every slice across one axis of two RAS+ volumes of one grid, each with its own partner."""
    low, high, inside = (np.moveaxis(volume, PLANES[name], 0) for volume in (low, high, inside))
    count = len(high)
    _check_counts(count, count, settings)
    pairs = [SlicePair(k, k, 0.0) for k in range(count)]
    lows, highs = _channels(pairs, count, count, settings)
    return View(name, low, high, lows, highs, inside)


def _matched(thick: SliceStack, thin: SliceStack, match: str) -> list[SlicePair]:
    if match == "nearest":
        return match_nearest(thick.positions, thin.positions, thick.spacing / 2)
    # The release measures between corners in space: a shift in the plane adds to all distances alike.
    return match_paper(thick.positions, thin.positions)


def _channels(
    pairs: list[SlicePair], low_count: int, high_count: int, settings: MatchSettings
) -> tuple[np.ndarray, np.ndarray]:
    lows = neighbours(pairs, low_count) if settings.stack == 3 else np.array([[pair.low] for pair in pairs])
    highs = triples(pairs, high_count) if settings.targets == 3 else np.array([[pair.high] for pair in pairs])
    return lows, highs


def _without_gaps(
    pairs: list[SlicePair], low: SliceStack, high: SliceStack, settings: MatchSettings
) -> tuple[list[SlicePair], list[int]]:
    """The pairs whose three slices lie side by side, and the low-resolution slices of those that do not."""
    lows, highs = _channels(pairs, len(low.data), len(high.data), settings)
    whole = _side_by_side(low.positions, lows) & _side_by_side(high.positions, highs)
    if not whole.any():
        raise UserError(
            f"{low.path} or {high.path} lacks so many slices that none has its neighbours; take --stack=1 and "
            "--targets=1."
        )
    return (
        [pair for pair, fits in zip(pairs, whole, strict=True) if fits],
        [pair.low for pair, fits in zip(pairs, whole, strict=True) if not fits],
    )


def _side_by_side(positions: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Of rows of slice numbers: whether no slice is missing between them."""
    return (np.diff(positions[chosen], axis=1) < 1.5 * np.diff(positions).min()).all(axis=1)


def _check_counts(low_count: int, high_count: int, settings: MatchSettings) -> None:
    if (settings.targets == 3 and high_count < 3) or (settings.stack == 3 and low_count < 2):
        raise UserError(
            f"{low_count} and {high_count} slices are too few for --stack={settings.stack} and "
            f"--targets={settings.targets}; take 1."
        )


def _unshaded(stack: SliceStack) -> SliceStack:
    steps = np.array([stack.spacing, *stack.pixel_mm])
    return replace(stack, data=without_shading(stack.data, np.diag([*steps, 1.0])))


def _straight(volume: Volume, n4: bool) -> Placed:
    data, affine = to_ras(volume.data, volume.affine)
    return Placed(without_shading(data, affine) if n4 else data, affine)


def _remarks(low: tuple[str, ...], high: tuple[str, ...]) -> dict[str, list[str]]:
    """What is doubtful about the scans' headers, where anything is."""
    return {f"{kind}_remarks": list(said) for kind, said in (("low", low), ("high", high)) if said}


def _slice_facts(stack: SliceStack) -> dict[str, Any]:
    return {
        "count": len(stack.data),
        "spacing_mm": round(stack.spacing, 4),
        "thickness_mm": stack.thickness,
        "pixel_mm": [round(float(mm), 5) for mm in stack.pixel_mm],
        "matrix": list(stack.data.shape[1:]),
    }


def _steps(affine: np.ndarray) -> list[float]:
    return [round(float(mm), 5) for mm in np.linalg.norm(affine[:3, :3], axis=0)]
