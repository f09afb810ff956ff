"""Intensities of a pair of scans: both scanned, so that each may have statistics of its own (NumPy only).

`zscore_of_voxels_above_mean` is the volumes' rule (normalisation.py): both by the low-resolution scan. The two papers
on pairs of real scans have rules of their own: `zscore_each_image` (7T to 9.4T) clips each scan at its percentiles 0.1
and 99.9 and gives it mean 0 and deviation 1; `unit_range_of_low_res` (thick slices; ours, its paper names none) puts
the low-resolution scan's percentiles 0 and 99.9 at -1 and 1 and maps the other in the same way, unclipped.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mdcsrn_tf.errors import UserError
from mdcsrn_tf.scans.normalisation import NORMALISATION, Normalisation

EACH_IMAGE = "zscore_each_image"
UNIT_RANGE = "unit_range_of_low_res"
RULES = (NORMALISATION, EACH_IMAGE, UNIT_RANGE)
_CLIPPED = (0.1, 99.9)  # percentiles of the 7T paper
_RANGE = (0.0, 99.9)


@dataclass(frozen=True)
class Scale:
    """(value clipped to `clip` - mean) / std, and back."""

    mean: float
    std: float
    clip: tuple[float, float] | None = None

    def apply(self, array: np.ndarray) -> np.ndarray:
        """Scanner units to the network's, float32."""
        clipped = array if self.clip is None else np.clip(array, *self.clip)
        return ((clipped - self.mean) / self.std).astype(np.float32)

    def undo(self, array: np.ndarray) -> np.ndarray:
        """The network's units to scanner units, float32; what was clipped stays so."""
        return (array * self.std + self.mean).astype(np.float32)


def scale_of_low(rule: str, low: np.ndarray) -> Scale:
    """What the rule says of a low-resolution scan: all that there is at inference."""
    if rule == EACH_IMAGE:
        return _of_one_image(low)
    if rule == UNIT_RANGE:
        bottom, top = (float(value) for value in np.percentile(low, _RANGE))
        return _checked(Scale((bottom + top) / 2, (top - bottom) / 2))
    found = Normalisation.from_low_res(low)
    return Scale(found.mean, found.std)


def scales(rule: str, low: np.ndarray, high: np.ndarray) -> tuple[Scale, Scale]:
    """The scales of the low- and of the high-resolution scan under one of RULES."""
    if rule not in RULES:
        raise UserError(f"{rule} is no rule of normalisation; choose {', '.join(RULES)}.")
    of_low = scale_of_low(rule, low)
    return of_low, _of_one_image(high) if rule == EACH_IMAGE else of_low


def _of_one_image(image: np.ndarray) -> Scale:
    bottom, top = (float(value) for value in np.percentile(image, _CLIPPED))
    clipped = np.clip(image, bottom, top)
    return _checked(Scale(float(clipped.mean(dtype=np.float64)), float(clipped.std(dtype=np.float64)), (bottom, top)))


def _checked(scale: Scale) -> Scale:
    if not scale.std > 0:
        raise UserError("An image of one constant value cannot be normalised; give one with contrast.")
    return scale
