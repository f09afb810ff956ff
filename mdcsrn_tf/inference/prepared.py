"""A scan on its target grid and in the orientation that a network was trained on."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from mdcsrn_tf.errors import UserError
from mdcsrn_tf.inference.decision import Decision
from mdcsrn_tf.models.files import ModelCard
from mdcsrn_tf.scans.axes import resolve_axes
from mdcsrn_tf.scans.frames import Frame, order_for
from mdcsrn_tf.scans.kspace_check import AxisFinding
from mdcsrn_tf.scans.normalisation import as_magnitudes
from mdcsrn_tf.scans.resampling import Sampling, interpolated, low_passed, measured_samples, plausible_samples
from mdcsrn_tf.scans.volumes import Volume

_LARGEST = 2**31  # voxels


@dataclass(frozen=True)
class Prepared:
    """A scan on its target grid, as the network on the card expects it."""

    volume: Volume  # without its frame of zeros, and on the twofold grid if there is one
    decision: Decision
    on_grid: np.ndarray  # float32, the stored orientation
    affine: np.ndarray  # of that grid
    frame: Frame

    @property
    def low_res(self) -> np.ndarray:
        """What the network gets: `on_grid` in the network's orientation."""
        return self.frame.enter(self.frame.straighten(self.on_grid))

    @property
    def times(self) -> tuple[int, ...]:
        """How many voxels of the grid one of the scan has become, along each stored axis."""
        return tuple(large // small for large, small in zip(self.on_grid.shape, self.volume.data.shape, strict=True))

    def stored(self, data: np.ndarray) -> np.ndarray:
        """The network's orientation -> the stored one."""
        return self.frame.unstraighten(self.frame.leave(data))


def prepare(volume: Volume, decision: Decision, card: ModelCard) -> Prepared:
    """The scan on the target grid and in the orientation that the network was trained on; nothing is refused here."""
    samplings: tuple[Sampling | None, ...]
    if decision.grid == "small":
        data, affine, samplings = _enlarged(volume, decision, card.interpolation)
    else:
        data, affine = volume.data, volume.affine
        for axis, finding in zip(decision.axes, decision.findings, strict=True):
            data = as_expected(data, axis, finding, card.interpolation)
        data = as_magnitudes(data, volume.data)
        samplings = tuple(finding.sampling for finding in decision.findings)
    frame = _frame(affine, decision, samplings, card)
    return Prepared(volume, decision, np.ascontiguousarray(data, np.float32), affine, frame)


def as_expected(data: np.ndarray, axis: int, finding: AxisFinding, expected: str) -> np.ndarray:
    """The volume as it would be if its axis had been interpolated by the `expected` method.

    data: on the target grid, in the stored orientation; `axis` is the array's. From the samples that were measured, as
    far as the finding tells where they lie.
    """
    sampling = finding.sampling
    if sampling is None or finding.method == expected:
        return data
    if finding.method == "unknown":
        data = low_passed(data, axis, sampling.count)
        if expected == "sinc":
            return data
        return interpolated(measured_samples(data, axis, sampling, "sinc"), axis, sampling, expected)
    assert finding.method is not None
    return interpolated(plausible_samples(data, axis, sampling, finding.method), axis, sampling, expected)


def _enlarged(volume: Volume, decision: Decision, method: str) -> tuple[np.ndarray, np.ndarray, tuple[Sampling, ...]]:
    """The small matrix brought to the target grid: sample i comes to lie at index i * factor."""
    shape = list(volume.data.shape)
    affine = volume.affine.copy()
    samplings: list[Sampling] = []
    for axis, factor in zip(decision.axes, decision.factors, strict=True):
        shape[axis] *= factor
        affine[:3, axis] /= factor
        samplings.append(Sampling(shape[axis], float(factor)))
    if np.prod(shape, dtype=float) > _LARGEST:
        raise UserError(f"{volume.path} would grow to {shape} voxels; check --factor and --grid=small.")
    large = volume.data
    for axis, sampling in zip(decision.axes, samplings, strict=True):
        large = interpolated(large, axis, sampling, method)
    return large.astype(np.float32, copy=False), affine, tuple(samplings)


def _frame(affine: np.ndarray, decision: Decision, samplings: tuple[Sampling | None, ...], card: ModelCard) -> Frame:
    """RAS+, the degraded axes where the training scans had theirs, each beginning with a measured sample."""
    frame = Frame(affine, decision.anatomical)
    if card.planes:
        return frame
    axes = resolve_axes(",".join(decision.names), np.eye(4)) if decision.anatomical else decision.axes
    trained = resolve_axes(",".join(card.axes), np.eye(4)) if card.axes else axes
    order = order_for(axes, trained)
    if card.interpolation == "sinc":
        return replace(frame, order=order)  # which voxels were measured leaves no trace
    backwards = set()
    for stored, axis, sampling in zip(decision.axes, axes, samplings, strict=True):
        if sampling is not None and _begins_between(sampling, frame.turns_over(stored)):
            backwards.add(axis)
    return replace(frame, order=order, flipped=tuple(place for place, axis in enumerate(order) if axis in backwards))


def _begins_between(sampling: Sampling, turned: bool) -> bool:
    """Whether the axis, turned over or not, begins between two samples, and would not if it were turned again."""
    here = sampling.turned_over() if turned else sampling
    return here.first != 0.0 and here.turned_over().first == 0.0
