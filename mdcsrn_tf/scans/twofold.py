"""Scans filled up with zeros by other factors than 2: to the grid on which every sample is two voxels, and back.

A scanner makes 384 voxels of 256 samples as readily as 512, and a network knows the factor it learned from: its gain
is all but gone at 1.75 voxels a sample, and it does harm at 1.5 (docs/decisions.md). But zero-filled samples can be had
on any grid, and lose nothing on the way. NumPy and SciPy only.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from mdcsrn_tf.scans.kspace_check import STORED, AxisFinding
from mdcsrn_tf.scans.resampling import Sampling, interpolated, measured_samples
from mdcsrn_tf.scans.volume import Volume

# Voxels a sample between which networks for 2 gain by it, along several axes and along one alone (docs/decisions.md);
# axes of a little less go with one of so many.
LEAST, LEAST_ALONE, MOST = 1.45, 1.75, 3.5
_BESIDE = 1.38
_WHOLE = 0.03  # so near to a whole factor is one


@dataclass(frozen=True)
class TwofoldGrid:
    """Where the samples of the axes lie that are brought to two voxels a sample; None: an axis that stays as it is."""

    samplings: tuple[Sampling | None, ...] = (None, None, None)

    def __bool__(self) -> bool:
        return any(self.samplings)

    def enter(self, data: np.ndarray) -> np.ndarray:
        """A zero-filled volume [i, j, k] from the stored grid."""
        for axis, sampling in self._changed():
            samples = measured_samples(data, axis, sampling, "sinc")
            data = interpolated(samples, axis, Sampling(2 * sampling.count, 2.0), "sinc")
        return data

    def leave(self, data: np.ndarray) -> np.ndarray:
        """A volume [i, j, k] back to the stored grid; what that is too coarse for is lost."""
        for axis, sampling in self._changed():
            data = _resized(data, axis, sampling.size)
        return data

    def shown(self, result: np.ndarray) -> np.ndarray:
        """A result that is stored, with all its detail, on this grid: for pictures."""
        for axis, sampling in self._changed():
            result = _resized(result, axis, 2 * sampling.count)
        return result

    def stored_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        """Of a volume of this grid."""
        pairs = zip(shape, self.samplings, strict=True)
        return tuple(sampling.size if sampling else size for size, sampling in pairs)

    def volume(self, stored: Volume) -> Volume:
        """The scan on this grid, where it lies."""
        if not self:
            return stored
        affine = stored.affine.copy()
        for axis, sampling in self._changed():
            affine[:3, axis] *= sampling.step / 2
        return replace(stored, data=np.ascontiguousarray(self.enter(stored.data), np.float32), affine=affine)

    def findings(self, stored: Sequence[AxisFinding]) -> tuple[AxisFinding, ...]:
        """What the axes show on this grid."""
        found = list(stored)
        for axis, sampling in self._changed():
            evidence = {**found[axis].evidence, STORED: sampling.step}
            found[axis] = replace(found[axis], sampling=Sampling(2 * sampling.count, 2.0), evidence=evidence)
        return tuple(found)

    def _changed(self) -> Iterator[tuple[int, Sampling]]:
        return ((axis, sampling) for axis, sampling in enumerate(self.samplings) if sampling)


def twofold_grid(findings: Sequence[AxisFinding], known: Container[int] = (2,)) -> TwofoldGrid:
    """The grid for every axis that was filled with zeros by another factor than those that are `known`."""
    factors = [one.factor if one.method == "sinc" else 0.0 for one in findings]
    least = _BESIDE if max(factors) >= LEAST else LEAST
    brought = [
        least <= factor <= MOST and not _is_known(one, known) for factor, one in zip(factors, findings, strict=True)
    ]
    return TwofoldGrid(tuple(one.sampling if yes else None for one, yes in zip(findings, brought, strict=True)))


def _is_known(finding: AxisFinding, known: Container[int]) -> bool:
    """Whether it is a known whole factor, or what truncation leaves of it: 25 voxels of 12 samples are twofold, too."""
    whole, sampling = finding.whole_factor, finding.sampling
    truncated = sampling is not None and sampling.count == sampling.size // whole
    return whole in known and (truncated or abs(finding.factor - whole) <= _WHOLE)


def _resized(data: np.ndarray, axis: int, size: int) -> np.ndarray:
    """The axis on another number of voxels, with all frequencies that both hold."""
    here = data.shape[axis]
    if size > here:
        return interpolated(data, axis, Sampling(size, size / here), "sinc")
    return measured_samples(data, axis, Sampling(here, here / size), "sinc")
