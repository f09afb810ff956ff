"""A scan as its header and its k-space show it, before anything is decided."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace

import numpy as np

from mdcsrn_tf.scans.axes import axis_names
from mdcsrn_tf.scans.keys import keys_told
from mdcsrn_tf.scans.kspace_check import AxisFinding, examine_axis
from mdcsrn_tf.scans.twofold import TwofoldGrid, twofold_grid
from mdcsrn_tf.scans.volumes import Volume
from mdcsrn_tf.scans.zero_frame import ZeroFrame, zero_frame

_COARSE = 1.6  # times the smallest voxel size: such an axis was sampled more coarsely than the others


@dataclass(frozen=True)
class Sight:
    """A scan as its header and its k-space show it; everything by the array's own axes."""

    volume: Volume  # without its frame of zeros, and on the twofold grid if there is one
    names: tuple[str, str, str]  # LR, AP, IS in the array's order
    findings: tuple[AxisFinding, ...]
    spacing: tuple[float, ...]  # millimetres
    surround: ZeroFrame = field(default_factory=ZeroFrame)
    grid: TwofoldGrid = field(default_factory=TwofoldGrid)
    _on_grids: dict[TwofoldGrid, Sight] = field(default_factory=dict, compare=False, repr=False)  # so far made

    @property
    def stored_spacing(self) -> tuple[float, ...]:
        """Of the stored grid, millimetres."""
        pairs = zip(self.spacing, self.grid.steps(), strict=True)
        return tuple(size * 2 / step if step else size for size, step in pairs)

    def enter(self, whole: Volume) -> Volume:
        """A volume of the scan as `volume` is."""
        return self.grid.volume(self.surround.volume(whole))

    def on_twofold_grid(self, known: Collection[int], axes: Collection[int] = (0, 1, 2)) -> Sight:
        """The same with each of `axes` that was interpolated by no factor that is `known` at two voxels a sample."""
        asked = (found if axis in axes else AxisFinding(None) for axis, found in enumerate(self.findings))
        grid = twofold_grid(tuple(asked), known)
        if not grid:
            return self
        if grid not in self._on_grids:
            volume = grid.volume(self.volume)
            found = grid.findings(self.findings)
            sizes = _spacing(volume)
            self._on_grids[grid] = replace(self, volume=volume, findings=found, spacing=sizes, grid=grid, _on_grids={})
        return self._on_grids[grid]

    def restored(self, axes: Collection[int], whole: Volume | None = None) -> Sight:
        """The scan, on its own grid, once `axes` have been super-resolved: as if they had been measured in full.

        whole: the scan's volume as it is then; None: the present one, to see what would be left to do.
        """
        assert not self.grid, "the results are on the scan's own grid"
        findings = tuple(AxisFinding(None) if axis in axes else found for axis, found in enumerate(self.findings))
        volume = self.volume if whole is None else replace(self.surround.volume(whole), remarks=())
        return replace(self, volume=volume, findings=findings, _on_grids={})

    @property
    def coarseness(self) -> tuple[int, ...]:
        """By how much each axis is coarser than the fine ones (their geometric mean), 1 where it is not clearly so."""
        fine = [size for size in self.spacing if size < _COARSE * min(self.spacing)]
        usual = float(np.exp(np.mean(np.log(fine))))
        return tuple(1 if size in fine else max(2, round(size / usual)) for size in self.spacing)

    @property
    def coarse_axes(self) -> tuple[int, ...]:
        """The axes that are clearly coarser than the others: thick slices, or a scanner's small matrix."""
        return tuple(axis for axis, times in enumerate(self.coarseness) if times > 1)


def look(volume: Volume, surround: ZeroFrame | None = None) -> Sight:
    """Examine every axis of a scan, without the zeros that lie around it (None: they are looked for)."""
    surround = zero_frame([volume.data]) if surround is None else surround
    volume = surround.volume(volume)
    findings = keys_told(volume.data, [examine_axis(volume.data, axis) for axis in range(3)])
    return Sight(volume, axis_names(volume.affine), findings, _spacing(volume), surround)


def _spacing(volume: Volume) -> tuple[float, ...]:
    return tuple(float(size) for size in np.linalg.norm(volume.affine[:3, :3], axis=0))
