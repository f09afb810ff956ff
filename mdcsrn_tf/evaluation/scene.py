"""One subject's common ground: the reference, the plane, the slices, the intensity scale."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mdcsrn_tf.errors import UserError
from mdcsrn_tf.evaluation.plan import Plan
from mdcsrn_tf.metrics import spectra
from mdcsrn_tf.metrics.slices import foreground_share, slice_axis
from mdcsrn_tf.scans.head import head_mask
from mdcsrn_tf.scans.volumes import Volume, resolve_axes

PLANES = {"sagittal": "LR", "coronal": "AP", "axial": "IS"}


@dataclass(frozen=True)
class Scene:
    """What all methods of a subject are measured with."""

    volume: Volume  # the reference; where there is none, the scan that defines the slices
    has_reference: bool
    degraded_axes: tuple[int, ...]
    factors: tuple[int, ...]  # along each of them
    axis: int  # across the slices
    data_range: float
    top: float  # the intensity that becomes 255
    fidelity_slices: np.ndarray  # indices
    perceptual_slices: np.ndarray

    @cached_property
    def head(self) -> np.ndarray:
        """Where the head is in the reference: the same for every method, so that none can choose it."""
        return head_mask(self.volume.data, np.linalg.norm(self.volume.affine[:3, :3], axis=0))

    @cached_property
    def removed_bands(self) -> dict[str, np.ndarray]:
        """The reference's removed k-space as two volumes, see `removed_bands`."""
        return removed_bands(self.volume.data, self)

    @property
    def spacing(self) -> tuple[float, float]:
        """Millimetres per pixel of the slices, in the order of the in-plane axes."""
        steps = np.sqrt((self.volume.affine[:3, :3] ** 2).sum(axis=0))
        rows, columns = (a for a in range(3) if a != self.axis)
        return float(steps[rows]), float(steps[columns])

    @property
    def picture_slice(self) -> int:
        """The slice that figures show: the middle one of those measured."""
        slices = self.perceptual_slices if len(self.perceptual_slices) else self.fidelity_slices
        return int(slices[len(slices) // 2])


def set_scene(volume: Volume, plan: Plan, has_reference: bool) -> Scene:
    """Decide plane, slices and scales from the reference alone, so that all methods share them."""
    conventions = plan.conventions
    degraded = resolve_axes(plan.axes, volume.affine)
    axis = plane_axis(plan.plane, degraded, volume.affine)
    share = foreground_share(volume.data, axis, conventions.foreground_level)
    top = float(np.percentile(volume.data, conventions.eight_bit_percentile))
    fidelity = np.flatnonzero(share > conventions.fidelity_share)
    if not len(fidelity):
        raise UserError(
            f"{volume.path} has no slice with over {conventions.fidelity_share:.0%} foreground: "
            "lower fidelity_share in --conventions."
        )
    return Scene(
        volume,
        has_reference,
        degraded,
        factors_of(plan, degraded),
        axis,
        conventions.range_of(volume.data),
        top if top > 0 else float(volume.data.max()),
        fidelity,
        np.flatnonzero(share > conventions.perceptual_share),
    )


def removed_bands(volume: np.ndarray, scene: Scene) -> dict[str, np.ndarray]:
    """What `volume` holds of the k-space that degradation removed: "near" the measured centre, and "far" from it.

    The border lies half-way between the edge of what was measured and the Nyquist frequency. Same grid, float32.
    """
    measured = [1 / factor for factor in scene.factors]
    middle = [(1 + limit) / 2 for limit in measured]
    everything = [1.0] * len(measured)
    return {
        "near": spectra.band(volume, scene.degraded_axes, measured, middle),
        "far": spectra.band(volume, scene.degraded_axes, middle, everything),
    }


def factors_of(plan: Plan, axes: tuple[int, ...]) -> tuple[int, ...]:
    """The plan's factor along each degraded axis: one number stands for all."""
    if len(plan.factor) == 1:
        return plan.factor * len(axes)
    if len(plan.factor) != len(axes):
        raise UserError(f"--factor has {len(plan.factor)} numbers and --axes {len(axes)} axes; give one number each.")
    return plan.factor


def plane_axis(plane: str, degraded: tuple[int, ...], affine: np.ndarray) -> int:
    """The axis across the plane: by name, by index, or (auto) across the most degraded plane."""
    if plane == "auto":
        try:
            return slice_axis(degraded)
        except ValueError as error:
            raise UserError(f"--plane=auto does not work here: {error} (--plane=axial, say).") from error
    if plane in ("0", "1", "2"):
        return int(plane)
    if plane not in PLANES:
        raise UserError(f"--plane is auto, {', '.join(PLANES)} or an axis 0, 1, 2, not {plane!r}.")
    return resolve_axes(PLANES[plane], affine)[0]
