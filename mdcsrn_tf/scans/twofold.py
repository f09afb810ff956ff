"""Scans interpolated by other factors than 2: to the grid on which every sample is two voxels, and back.

A scanner makes 384 voxels of 256 samples as readily as 512, and tools make 1 mm of 1.5; but a network knows the factor
it learned from: its gain is all but gone at 1.75 voxels a sample, and it does harm at 1.5 (docs/decisions.md). Samples
can be had on any grid, and lose nothing on the way. NumPy and SciPy only.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from mdcsrn_tf.scans.kspace_check import AxisFinding
from mdcsrn_tf.scans.normalisation import as_magnitudes
from mdcsrn_tf.scans.resampling import (
    Sampling,
    inside,
    interpolated,
    low_passed,
    measured_samples,
    plausible_samples,
    sinc_at,
)
from mdcsrn_tf.scans.volume import Volume

# Voxels a sample between which networks for 2 gain by it, along several axes and along one alone (docs/decisions.md);
# axes of a little less go with one of so many.
LEAST, LEAST_ALONE, MOST = 1.45, 1.75, 3.5
_BESIDE = 1.38
_WHOLE = 0.03  # so near to a whole factor is one


@dataclass(frozen=True)
class Stored:
    """How an axis that is brought to two voxels a sample came to the grid that it is stored on."""

    method: str  # one of kspace.METHODS
    sampling: Sampling

    @property
    def twofold(self) -> Sampling:
        """Where the samples lie on the twofold grid."""
        return Sampling(2 * self.sampling.count, 2.0)


@dataclass(frozen=True)
class TwofoldGrid:
    """How the axes are stored that are brought to two voxels a sample; None: an axis that stays as it is."""

    axes: tuple[Stored | None, ...] = (None, None, None)

    def __bool__(self) -> bool:
        return any(self.axes)

    @property
    def is_zero_filled(self) -> bool:
        """Whether every axis that is brought there was filled with zeros."""
        return all(stored.method == "sinc" for _, stored in self._changed())

    def steps(self) -> tuple[float | None, ...]:
        """Stored voxels a sample, for the axes that are brought there."""
        return tuple(stored.sampling.step if stored else None for stored in self.axes)

    def enter(self, data: np.ndarray) -> np.ndarray:
        """A volume [i, j, k] of the scan from the stored grid."""
        for axis, stored in self._changed():
            samples = plausible_samples(data, axis, stored.sampling, stored.method)
            data = interpolated(samples, axis, stored.twofold, "sinc")
        return data

    def leave(self, data: np.ndarray) -> np.ndarray:
        """A volume [i, j, k] back to the stored grid; what that is too coarse for is lost."""
        for axis, stored in self._changed():
            there = stored.sampling
            if there.starts_the_axis:
                data = _resized(data, axis, there.size)
            else:
                data = _moved(data, axis, 2 * there.positions)
        return data

    def shown(self, result: np.ndarray) -> np.ndarray:
        """A result that is stored, with all its detail, on this grid: for pictures."""
        for axis, stored in self._changed():
            there = stored.sampling
            if there.starts_the_axis:
                result = _resized(result, axis, stored.twofold.size)
            else:
                result = _moved(result, axis, there.first + np.arange(stored.twofold.size) * there.step / 2)
        return result

    def beyond_samples(self, shape: Sequence[int]) -> np.ndarray:
        """Which voxels of the stored grid, of that shape, lie before the first or behind the last sample of an axis.

        Where the samples lie as kspace.py puts them, none: there the axis begins again behind the last.
        """
        beyond = np.zeros(shape, bool)
        for axis, stored in self._changed():
            if not stored.sampling.starts_the_axis:
                np.moveaxis(beyond, axis, 0)[~inside(stored.sampling, stored.method)] = True
        return beyond

    def stored_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        """Of a volume of this grid."""
        return tuple(stored.sampling.size if stored else size for size, stored in zip(shape, self.axes, strict=True))

    def volume(self, stored: Volume) -> Volume:
        """The scan on this grid, where it lies."""
        if not self:
            return stored
        affine = stored.affine.copy()
        for axis, one in self._changed():
            affine[:3, 3] += affine[:3, axis] * one.sampling.first
            affine[:3, axis] *= one.sampling.step / 2
        data = as_magnitudes(self.enter(stored.data), stored.data)
        return replace(stored, data=np.ascontiguousarray(data, np.float32), affine=affine)

    def findings(self, stored: Sequence[AxisFinding]) -> tuple[AxisFinding, ...]:
        """What the axes show on this grid."""
        found = list(stored)
        for axis, one in self._changed():
            found[axis] = AxisFinding("sinc", one.twofold, on_own_grid=found[axis])
        return tuple(found)

    def _changed(self) -> Iterator[tuple[int, Stored]]:
        return ((axis, stored) for axis, stored in enumerate(self.axes) if stored)


def twofold_grid(findings: Sequence[AxisFinding], known: Collection[int] = (2,)) -> TwofoldGrid:
    """The grid for every axis that was interpolated by a factor that is not `known`, nor between those that are."""
    stored = [_stored(one) for one in findings]
    factors = [one.sampling.step if one else 0.0 for one in stored]
    least = _BESIDE if max(factors) >= LEAST else LEAST
    brought = [
        least <= factor <= MOST and not _is_known(one, known) for factor, one in zip(factors, findings, strict=True)
    ]
    return TwofoldGrid(tuple(one if yes else None for one, yes in zip(stored, brought, strict=True)))


def _stored(finding: AxisFinding) -> Stored | None:
    if finding.method in (None, "unknown") or finding.sampling is None:
        return None
    return Stored(finding.method, finding.sampling)


def _is_known(finding: AxisFinding, known: Collection[int]) -> bool:
    """Whether it is a known whole factor, or what truncation leaves of it: 25 voxels of 12 samples are twofold, too.

    What lies between known ones is known as well.
    """
    if finding.lies_between(known):
        return True
    whole, sampling = finding.whole_factor, finding.sampling
    truncated = sampling is not None and sampling.count == sampling.size // whole
    return whole in known and (truncated or abs(finding.factor - whole) <= _WHOLE)


def _resized(data: np.ndarray, axis: int, size: int) -> np.ndarray:
    """The axis on another number of voxels, with all frequencies that both hold."""
    here = data.shape[axis]
    if size > here:
        return interpolated(data, axis, Sampling(size, size / here), "sinc")
    return measured_samples(data, axis, Sampling(here, here / size), "sinc")


def _moved(data: np.ndarray, axis: int, places: np.ndarray) -> np.ndarray:
    """The axis at evenly spaced places, in its own voxels, with all frequencies that both grids hold."""
    distance = places[1] - places[0]
    if distance > 1:
        data = low_passed(data, axis, int(data.shape[axis] / distance))
    return sinc_at(data, axis, places)
