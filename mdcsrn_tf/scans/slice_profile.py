"""Thick slices from thin ones: each a weighted mean through the slice, as two-dimensional sequences excite them.

A multi-slice scan is not phase-encoded through the slices. What it stores is the object times the slice profile,
summed up, at each slice's position: there is no truncated k-space, structures between two slices are lost or folded
in. The slices lie as `kspace` lays small samples: slice i of m at index i n / m of the n thin ones, so that both
stacks share the middle of their first slice.

A thin slice counts with the part of the profile that lies within it (it is itself a mean over its own extent), so a
box of four voxels around index 8 weighs 6 to 10 with 1/8, 1/4, 1/4, 1/4, 1/8. What of the profile lies outside the
field of view is left out, and the rest weighs more. NumPy and SciPy only.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import scipy.special

from mdcsrn_tf.errors import UserError

Shape = Literal["box", "gaussian"]
SHAPES: tuple[str, ...] = get_args(Shape)
# Standard deviations in a full width at half maximum, which is what "slice thickness" means.
_FWHM = 2 * np.sqrt(2 * np.log(2))
_LENGTH = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(mm|vox|%)")


@dataclass(frozen=True)
class SliceProfile:
    """The profile of one slice; `thickness` in thin voxels, full width at half maximum."""

    shape: Shape
    thickness: float

    def __post_init__(self):
        if self.shape not in SHAPES or not 0 < self.thickness < np.inf:
            raise ValueError(f"no slice profile: {self.shape!r} of {self.thickness} voxels")

    def weights(self, size: int, count: int) -> np.ndarray:
        """What each of `size` thin slices adds to each of `count` thick ones: float64 [count, size], rows of sum 1."""
        centres = np.arange(count) * size / count
        edges = np.arange(size + 1) - 0.5
        passed = self._part_before(edges[None, :] - centres[:, None])
        weights = np.diff(passed, axis=1)
        return weights / weights.sum(axis=1, keepdims=True)

    def thick_slices(self, volume: np.ndarray, count: int, axis: int) -> np.ndarray:
        """`count` thick slices of `volume` along `axis`, of the volume's type."""
        weights = self.weights(volume.shape[axis], count).astype(volume.dtype)
        return np.ascontiguousarray(np.moveaxis(np.tensordot(weights, volume, (1, axis)), 0, axis))

    def _part_before(self, distance: np.ndarray) -> np.ndarray:
        """The part of the profile before `distance` from its middle."""
        if self.shape == "box":
            return np.clip(distance / self.thickness + 0.5, 0, 1)
        return scipy.special.ndtr(distance * _FWHM / self.thickness)


@dataclass(frozen=True)
class SliceSettings:
    """A slice profile as flags, manifests and cards give it, before the voxel size of a scan is known.

    A length is text with its unit: "4mm", "3.5vox" (thin voxels) or "80%" (of the spacing of the thick slices).
    Without `thickness` the slices touch, or leave `gap` between them.
    """

    profile: Shape
    thickness: str = ""
    gap: str = ""

    def __post_init__(self):
        if self.thickness and self.gap:
            raise UserError(
                f"--slice_thickness={self.thickness} and --slice_gap={self.gap} say the same twice (the spacing is "
                "theirs together); give one."
            )
        if self.thickness:
            _parse(self.thickness, "slice_thickness")
        elif self.gap:
            _parse(self.gap, "slice_gap")

    def in_voxels(self, spacing: float, voxel_mm: float) -> SliceProfile:
        """The profile for thick slices every `spacing` thin voxels of `voxel_mm` each; UserError if it has no width."""
        if self.thickness:
            thickness = _length(self.thickness, "slice_thickness", spacing, voxel_mm)
        else:
            thickness = spacing - (_length(self.gap, "slice_gap", spacing, voxel_mm) if self.gap else 0.0)
        if thickness < 1 - 1e-6:
            given = f"--slice_thickness={self.thickness}" if self.thickness else f"--slice_gap={self.gap}"
            raise UserError(
                f"{given} leaves slices of {thickness * voxel_mm:.3g} mm, thinner than the {voxel_mm:.3g} mm voxels "
                "that they are made of; give thicker ones."
            )
        return SliceProfile(self.profile, thickness)


def slice_settings(profile: str, thickness: str | None, gap: str | None, axes: str) -> SliceSettings | None:
    """What the flags --slice_profile, --slice_thickness and --slice_gap ask for; None: k-space truncation."""
    if profile == "kspace":
        named = next((f"--{name}" for name, text in (("slice_thickness", thickness), ("slice_gap", gap)) if text), None)
        if named:
            raise UserError(f"{named} needs a --slice_profile, box or gaussian; k-space truncation has no slices.")
        return None
    if len(axes.split(",")) != 1:
        raise UserError(
            f"--slice_profile={profile} is for one axis, through the slices, but --axes={axes} names several; "
            "give --axes=IS for axial slices."
        )
    return SliceSettings(profile, thickness or "", gap or "")  # type: ignore[arg-type]


def profile_for(
    settings: SliceSettings | None, shape: Sequence[int], count: int, axis: int, affine: np.ndarray
) -> SliceProfile | None:
    """The settings for a scan of that shape and affine, of which `count` thick slices along `axis` are made."""
    if settings is None:
        return None
    voxel_mm = float(np.linalg.norm(np.asarray(affine)[:3, axis]))
    return settings.in_voxels(shape[axis] / count, voxel_mm)


def _parse(text: str, flag: str) -> tuple[float, str]:
    match = _LENGTH.fullmatch(text.strip().lower())
    if match is None:
        raise UserError(
            f"--{flag}={text} is no length; give millimetres (4mm), thin voxels (3vox) or a part of the "
            "slice spacing (80%)."
        )
    return float(match.group(1)), match.group(2)


def _length(text: str, flag: str, spacing: float, voxel_mm: float) -> float:
    number, unit = _parse(text, flag)
    return {"mm": number / voxel_mm, "vox": number, "%": number / 100 * spacing}[unit]
