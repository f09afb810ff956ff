"""How an axis may have been interpolated, as a matrix; and the way back to the samples that were measured.

An interpolated axis is `matrix @ samples`, one row a voxel. Everything here follows from where the samples lie
(`Sampling`): the conventions of kspace.py and the same turned over, crops of either, voxel centres, and grids
whose first and last samples coincide. NumPy and SciPy only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import scipy.ndimage

from mdcsrn_tf.scans import kspace

_CLOSE = 1e-6
_ALL_BUT = 0.01  # samples
_SEEN = 0.1  # the least weight of a sample beyond the axis in its last voxel; in those of whole steps 1/6
# From the last sample to the first over a step beside them: whole scans 1.2 at most, pieces cut out of heads 1.4 to 3.
_JUMP = 1.4


@dataclass(frozen=True)
class Sampling:
    """Where the measured samples of an axis lie: sample i at voxel `first + i * step`."""

    size: int  # voxels of the axis
    step: float
    first: float = 0.0

    @property
    def count(self) -> int:
        """How many samples the axis was made of, without a last one of which no voxel tells."""
        filled = math.ceil(self.size / self.step - _CLOSE)
        return min(filled, math.ceil((self.size - 1 - self.first) / self.step - _SEEN) + 1)

    @property
    def positions(self) -> np.ndarray:
        """Of every voxel, in samples: 0 is the first sample, 0.5 half way to the second."""
        return (np.arange(self.size) - self.first) / self.step

    @property
    def starts_the_axis(self) -> bool:
        """Whether the samples lie as kspace.py puts them: the first on voxel 0, and as many as fill the axis."""
        return self.first == 0.0 and abs(self.step * self.count - self.size) < _CLOSE

    @property
    def ends_the_axis(self) -> bool:
        """Whether that holds for the axis read backwards."""
        return self.turned_over().starts_the_axis

    @property
    def on_voxels(self) -> bool:
        """Whether every sample is a voxel."""
        return float(self.step).is_integer() and float(self.first).is_integer()

    def turned_over(self) -> Sampling:
        """The same samples of the axis read backwards."""
        last = self.first + (self.count - 1) * self.step
        first = self.size - 1 - last
        return Sampling(self.size, self.step, 0.0 if abs(first) < _CLOSE else first)


def possible_samplings(size: int, factor: int) -> list[Sampling]:
    """Where the samples of an axis of `size` voxels may lie if it was interpolated `factor` times.

    Every phase of a whole step (turned over or cropped), voxel centres, the stretched step that kspace.py takes for
    sizes which the factor does not divide (either way round), and first and last samples on the first and last voxel.
    """
    found = [Sampling(size, float(factor), float(phase)) for phase in range(factor)]
    if factor % 2 == 0:
        found.append(Sampling(size, float(factor), (factor - 1) / 2))
    kept = kspace.small_size(size, factor)
    if size % factor:
        stretched = Sampling(size, size / kept)
        found += [stretched, Sampling(size, size / kept, size - 1 - (kept - 1) * size / kept)]
    found.append(Sampling(size, (size - 1) / (kept - 1)))
    return found


def usual_place(found: Sampling) -> Sampling:
    """A sampling that was measured, with its first sample on the axis; where a usual one is all but it, that one.

    >>> usual_place(Sampling(160, 2.500001, -0.0001))
    Sampling(size=160, step=2.5, first=0.0)
    >>> usual_place(Sampling(160, 1.5, -0.5))
    Sampling(size=160, step=1.5, first=1.0)
    """
    size, step, first = found.size, found.step, found.first % found.step
    if min(first, step - first) > _ALL_BUT * step:
        return Sampling(size, step, first)
    for voxels in (size, size - 1):  # as kspace.py puts them, and from the first voxel to the last
        steps = voxels / step
        if abs(steps - round(steps)) < _ALL_BUT:
            return Sampling(size, voxels / round(steps))
    return Sampling(size, step)


def matrix(sampling: Sampling, method: str) -> np.ndarray:
    """`nearest`, `linear`, `cubic` (interpolating B-spline), `keys` (cubic convolution) or `sinc` (periodic), float64
    [voxels, samples]."""
    if method == "sinc":
        return _periodic_sinc(sampling)
    if method == "cubic":
        return basis(sampling, method) @ scipy.ndimage.spline_filter1d(np.eye(sampling.count), 3, axis=0, mode="mirror")
    return basis(sampling, method)


def basis(sampling: Sampling, method: str) -> np.ndarray:
    """What `nearest`, `linear`, `cubic` or `keys` adds up, a column for each sample, float64 [voxels, samples].

    The columns of `matrix` are sums of these, and these of those; but few of these are not zero at a voxel, and such
    next to one another. They are the matrix itself but for cubic's, which filters the samples first.
    """
    below = np.floor(sampling.positions + _CLOSE).astype(int)
    part = np.clip(sampling.positions - below, 0.0, 1.0)
    voxels, result = np.arange(sampling.size), np.zeros((sampling.size, sampling.count))
    for samples, weights in _stencil(below, part, sampling.count, method):
        result[voxels, samples] += weights
    return result


def inside(sampling: Sampling, method: str) -> np.ndarray:
    """Which voxels lie between two of the samples, so that nothing is assumed about what is beyond the last.

    `nearest` assumes nothing of the block of its last sample either.
    """
    positions = sampling.positions
    end = sampling.count if method == "nearest" else sampling.count - 1
    return (positions > -_CLOSE) & (positions < end + _CLOSE)


def measured_samples(volume: np.ndarray, axis: int, sampling: Sampling, method: str) -> np.ndarray:
    """The samples that `axis` was interpolated from by `method`: read off where they are voxels, else fitted.

    Those of `sinc` are fitted, as rounding asks for, where the ends meet: a sinc that goes round would draw the ends
    of a piece cut out of a scan towards each other.
    """
    cut = method == "sinc" and not ends_meet(volume, axis)
    if sampling.on_voxels and (cut or method != "sinc") and _last(sampling) < sampling.size:
        return np.take(volume, np.arange(int(sampling.first), sampling.size, int(sampling.step)), axis=axis)
    rows = inside(sampling, method) if method != "sinc" else np.ones(sampling.size, bool)
    weights = _mirrored_sinc(sampling) if cut else matrix(sampling, method)
    inverse = np.linalg.pinv(weights[rows], rcond=1e-3)
    return along(np.compress(rows, volume, axis=axis), axis, inverse)


def plausible_samples(volume: np.ndarray, axis: int, sampling: Sampling, method: str) -> np.ndarray:
    """`measured_samples`, but none below zero where `linear` drew them and the volume has nothing there.

    Only beside a mask, which cuts through what they were blended to, are such fitted.
    """
    samples = measured_samples(volume, axis, sampling, method)
    return np.maximum(samples, 0) if method == "linear" and volume.min() >= 0 else samples


def interpolated(samples: np.ndarray, axis: int, sampling: Sampling, method: str) -> np.ndarray:
    """The samples brought to all voxels of `axis` by `method`; as kspace.interpolate does where samples lie so.

    `sinc` goes round from the last sample to the first only where the ends meet, else back along the mirror image.
    """
    if method == "sinc" and not ends_meet(samples, axis):
        return along(samples, axis, _mirrored_sinc(sampling))
    if sampling.starts_the_axis:
        return kspace.resize_axis(samples, sampling.size, axis, method)
    return along(samples, axis, matrix(sampling, method))


def sinc_at(samples: np.ndarray, axis: int, places: np.ndarray) -> np.ndarray:
    """What `interpolated` by `sinc` gives at any places, 0 the first sample and 1 the second, along `axis`."""
    count = samples.shape[axis]
    weights = _sinc(places, count) if ends_meet(samples, axis) else _sinc_of_mirrored(places, count)
    return along(samples, axis, weights)


def low_passed(volume: np.ndarray, axis: int, kept: int) -> np.ndarray:
    """The volume without what lies outside the `kept` central samples of the axis's k-space, by the same rule."""
    if ends_meet(volume, axis):
        return kspace.low_pass_axis(volume, kept, axis)
    there_and_back = np.concatenate([volume, np.flip(volume, axis)], axis=axis)
    return np.take(kspace.low_pass_axis(there_and_back, 2 * kept, axis), np.arange(volume.shape[axis]), axis=axis)


def ends_meet(samples: np.ndarray, axis: int) -> bool:
    """Whether the axis goes on at its other end, as what was measured in k-space does; False for one cut out of a scan.

    >>> wave = np.sin(np.arange(64) * np.pi / 8)
    >>> ends_meet(wave, 0), ends_meet(wave[:37], 0)
    (True, False)
    """
    if samples.shape[axis] == 1:
        return True
    first, second, before, last = (np.take(samples, place, axis=axis).astype(np.float64) for place in (0, 1, -2, -1))
    jump, steps = np.mean((last - first) ** 2), np.mean([(second - first) ** 2, (last - before) ** 2])
    return bool(jump <= _JUMP**2 * steps + 1e-12 * np.mean(first**2))


def along(volume: np.ndarray, axis: int, weights: np.ndarray) -> np.ndarray:
    """`weights` [new, old] applied along an axis of a volume, whose type (float32, float64) the result has."""
    product = np.tensordot(weights.astype(volume.dtype), volume, axes=(1, axis))
    return np.ascontiguousarray(np.moveaxis(product, 0, axis))


def _last(sampling: Sampling) -> float:
    return sampling.first + (sampling.count - 1) * sampling.step


def _stencil(below: np.ndarray, part: np.ndarray, count: int, method: str) -> list[tuple[np.ndarray, np.ndarray]]:
    """(samples, weights) of each term; beyond the ends samples repeat, for cubic they are mirrored."""
    first, second = np.clip(below, 0, count - 1), np.clip(below + 1, 0, count - 1)
    if method == "nearest":
        return [(first, np.ones(len(below)))]
    if method == "linear":
        return [(first, 1 - part), (second, part)]
    if method == "keys":
        samples = [np.clip(below + place, 0, count - 1) for place in (-1, 0, 1, 2)]
        return list(zip(samples, _keys_weights(part), strict=True))
    samples = [kspace.mirrored(below + place, count) for place in (-1, 0, 1, 2)]
    return list(zip(samples, kspace.spline_weights(part), strict=True))


def _keys_weights(part: np.ndarray) -> list[np.ndarray]:
    """Of the samples before, below, above and after a place that is `part` of the way from one to the next."""
    rest = 1 - part
    return [
        -0.5 * part * rest**2,
        1 - 2.5 * part**2 + 1.5 * part**3,
        1 - 2.5 * rest**2 + 1.5 * rest**3,
        -0.5 * rest * part**2,
    ]


def _mirrored_sinc(sampling: Sampling) -> np.ndarray:
    """The sinc of the samples followed by their mirror image, whose end does meet the beginning."""
    return _sinc_of_mirrored(sampling.positions, sampling.count)


def _sinc_of_mirrored(places: np.ndarray, count: int) -> np.ndarray:
    doubled = _sinc(places, 2 * count)
    return doubled[:, :count] + doubled[:, : count - 1 : -1]


def _periodic_sinc(sampling: Sampling) -> np.ndarray:
    """What filling k-space with zeros does."""
    return _sinc(sampling.positions, sampling.count)


def _sinc(positions: np.ndarray, count: int) -> np.ndarray:
    """Of `count` periodic samples; an even number of them has half its Nyquist sample on either side."""
    angle = np.pi * (positions[:, np.newaxis] - np.arange(count))
    below = np.sin(angle / count) if count % 2 else np.tan(angle / count)
    on_sample = np.abs(np.sin(angle / count)) < _CLOSE / count
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(on_sample, 1.0, np.sin(angle) / (count * below))
