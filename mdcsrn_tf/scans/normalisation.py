"""z-scores, with statistics of the low-resolution image alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mdcsrn_tf.errors import UserError

# The name, recorded in manifests and model cards, of the rule in Normalisation.from_low_res.
NORMALISATION = "zscore_of_voxels_above_mean"


@dataclass(frozen=True)
class Normalisation:
    """z-score with statistics of the low-resolution image: at deployment there is no other."""

    mean: float
    std: float

    @classmethod
    def from_low_res(cls, low_res: np.ndarray) -> Normalisation:
        """Mean and standard deviation of the voxels brighter than the image's mean.

        How much empty background a scan has is an accident of its field of view: leaving it out puts the
        tissue of every scan on one scale. Where those voxels all have one value, all voxels count instead.
        """
        values = low_res[low_res > low_res.mean(dtype=np.float64)]
        deviation = float(values.std(dtype=np.float64)) if values.size else 0.0
        if deviation <= 1e-6 * float(np.abs(low_res).max()):
            values, deviation = low_res, float(low_res.std(dtype=np.float64))
        if not deviation > 0:
            raise UserError("An image of one constant value cannot be normalised; give one with contrast.")
        return cls(mean=float(values.mean(dtype=np.float64)), std=deviation)

    def apply(self, array: np.ndarray) -> np.ndarray:
        """Scanner units to z-score, float32."""
        return ((array - self.mean) / self.std).astype(np.float32)

    def undo(self, array: np.ndarray) -> np.ndarray:
        """z-score to scanner units, float32: the inverse of `apply`."""
        return (array * self.std + self.mean).astype(np.float32)
