"""Keys' cubic convolution half a voxel between the samples, which the search takes for linear interpolation.

As image tools enlarge by two: every voxel lies a quarter of a step beside a sample. There it is, to the bit, linear
interpolation of samples that were sharpened by [-3, 38, -3] / 32 beforehand, so that no voxel tells the two apart. What
tells is that magnitudes are not negative: the samples of linear interpolation would be, beside every bright edge, and
Keys' are not. Taken for linear, sharpened samples make a result that is worse than its scan.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import scipy.ndimage

from mdcsrn_tf.scans.head import tissue_level
from mdcsrn_tf.scans.kspace_check import AxisFinding
from mdcsrn_tf.scans.resampling import Sampling, measured_samples
from mdcsrn_tf.scans.unexplained import unexplained

# Of the level of tissue, by three validation scans in many forms (no record). Samples of linear scans of magnitudes,
# rounded to 8 bits or masked, lie down to -0.014; of Keys' scans, read as linear, one in ten thousand lies below -0.05,
# but for some masked ones. Keys' own samples lie down to -0.0104, and those of linear scans of signed samples, read so,
# down to -0.017 and more where one in ten thousand of their own is below -0.05. Where few values are told apart, Keys'
# samples lie down to about one step below zero.
_SHARPENED, _LEAST = -0.05, -0.0135
_SHARE = 1e-4
_STEPS, _FEW_VALUES = 1.3, 1024
BELOW_ZERO = "below_zero"
_ENDS = 3  # samples at either end, where tools have rules of their own
_BESIDE = 5  # voxels from one that was changed later


def keys_told(volume: np.ndarray, findings: Sequence[AxisFinding]) -> tuple[AxisFinding, ...]:
    """The findings of a volume [i, j, k], an axis each; those that linear interpolation cannot have made are Keys'.

    Where Keys' cannot have made them of magnitudes either, they stay linear, with how far below zero its samples reach
    (`BELOW_ZERO`): another kernel may have made them, or samples of both signs.
    """
    axes = [axis for axis, found in enumerate(findings) if _is_half_way(found)]
    if not axes:
        return tuple(findings)
    samplings, level = [found.sampling for found in findings], tissue_level(volume)
    linear = _samples(volume, axes, samplings, "linear")
    lowest = float(np.quantile(linear, _SHARE, method="lower")) / level if linear.size else 0.0
    if lowest > _SHARPENED:
        return tuple(findings)
    keys = _samples(volume, axes, samplings, "keys")
    least = min(_LEAST * level, -_STEPS * _step(volume))
    told = list(findings)
    for axis in axes:
        if keys.size and keys.min() > least:
            told[axis] = replace(told[axis], method="keys")
        elif volume.min() >= 0:  # else its samples may well have both signs
            told[axis] = replace(told[axis], evidence={**told[axis].evidence, BELOW_ZERO: lowest})
    return tuple(told)


def _is_half_way(found: AxisFinding) -> bool:
    where = found.sampling
    return found.method == "linear" and where is not None and where.step == 2.0 and where.first % 1 == 0.5


def _step(volume: np.ndarray) -> float:
    """How far apart the values are that a volume was rounded to; 0 where they are many."""
    values = np.unique(volume[..., ::8])
    return float(np.diff(values).min()) if 1 < values.size <= _FEW_VALUES else 0.0


def _samples(volume: np.ndarray, axes: Sequence[int], samplings: Sequence[Sampling | None], method: str) -> np.ndarray:
    """The samples, in a row, that the axes were made of by `method`; without the ends, and what was changed later."""
    strange = unexplained(volume, [(axis, method, where) for axis in axes if (where := samplings[axis])])
    kept = ~(scipy.ndimage.binary_dilation(strange, iterations=_BESIDE) if strange.any() else strange)
    for axis in axes:
        where = samplings[axis]
        assert where is not None
        volume = measured_samples(volume, axis, where, method)
        nearest = np.clip(np.rint(where.first + 2 * np.arange(where.count)).astype(int), 0, where.size - 1)
        kept = np.take(kept, nearest, axis=axis)
        ends = np.arange(where.count)
        np.moveaxis(kept, axis, 0)[(ends < _ENDS) | (ends >= where.count - _ENDS)] = False
    return volume[kept]
