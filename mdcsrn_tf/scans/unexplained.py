"""Voxels of an interpolated scan that its samples do not give: those that were changed afterwards, as at a mask's edge.

Skull-stripping or defacing after interpolation cuts through the blend of samples that every voxel is. Fitted samples
on either side of such a cut are none that was measured: they came out up to 5 dB further from the truth than the voxels
they were to replace, which therefore stay as they are stored. NumPy and SciPy only.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.ndimage

from mdcsrn_tf.scans.head import tissue_level
from mdcsrn_tf.scans.resampling import Sampling, along, inside, matrix, measured_samples

# Best in the mean of eight masked validation scans, of 0.02, 0.05, 0.1 and one voxel or two (no record).
_LEVEL = 0.05  # of typical tissue; rounding to 8 bits moves a voxel by less than 0.01
_BESIDE = 1  # voxels around such a one, which its samples make as well


def unexplained(volume: np.ndarray, drawn: Sequence[tuple[int, str, Sampling]]) -> np.ndarray:
    """Which voxels [i, j, k] are not what interpolation makes of the samples fitted to all of them, or lie beside such.

    drawn: array axis, method ("linear", "cubic", "keys") and sampling, of each axis that was drawn so; of none there is
    nothing to explain. Where an axis goes on beyond its first or last sample nothing is known, and nothing told.
    """
    if not drawn:
        return np.zeros(volume.shape, bool)
    again, known = volume, np.ones(volume.shape, bool)
    for axis, method, sampling in drawn:
        again = along(measured_samples(again, axis, sampling, method), axis, matrix(sampling, method))
        np.moveaxis(known, axis, 0)[~inside(sampling, method)] = False
    again = np.clip(again, volume.min(), volume.max())  # a tool may have cut off what it drew beyond
    strange = known & (np.abs(again - volume) > _LEVEL * tissue_level(volume))
    return scipy.ndimage.binary_dilation(strange, iterations=_BESIDE) if strange.any() else strange
