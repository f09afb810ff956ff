"""Scanner units to the network's, with statistics of the low-resolution image alone: at deployment there is no other.

The rules, named on every model's card and in every manifest of shards:

- `zscore_of_voxels_above_mean`, the papers' presets: mean 0 and deviation 1 over the voxels brighter than the image's
  mean. Whole heads of one field of view agree; but how much air is in the picture moves the mean, and how bright a
  head's fat is moves the deviation, so a crop and its scan do not agree.
- `tissue_level`, ours: the typical intensity of tissue becomes 0 and darkness -2.5, whatever is around the head.
  Air is at -2.5 in every scan, and a crop or a padded copy of a scan lies where the scan itself lies.
- `zscore_each_image`, of the paper on 7T and 9.4T, for pairs of scans alone: clipped at the percentiles 0.1 and 99.9,
  mean 0 and deviation 1 over all voxels; in training each scan of a pair has its own.
- `unit_range_of_low_res`, for pairs of thick and thin slices (ours, their paper names none): the percentiles 0 and 99.9
  of the low-resolution scan come to -1 and 1; what is brighter is not clipped.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from mdcsrn_tf.errors import UserError
from mdcsrn_tf.scans.head import tissue_level

# The name, recorded in manifests and model cards, of each rule.
ABOVE_MEAN = "zscore_of_voxels_above_mean"
TISSUE_LEVEL = "tissue_level"
EACH_IMAGE = "zscore_each_image"
UNIT_RANGE = "unit_range_of_low_res"
# What version 0.1.0 called the first rule on its cards.
FORMER_NAMES = {"zscore-foreground": ABOVE_MEAN}

# The deviation of heads over their level, so that both rules give values of about one size: under `tissue_level`
# darkness lies 1 / 0.4 = 2.5 below typical tissue.
DEVIATION_OVER_LEVEL = 0.4
# A volume whose negative voxels reach this part of its tissue's level is no magnitude image: zero is no darkness there.
# So few may reach it all the same: beside the brightest edges interpolation by sinc rings that far.
LARGEST_UNDERSHOOT, RINGING = 0.5, 1e-4


@dataclass(frozen=True)
class Normalisation:
    """A change of intensities, `(x - mean) / std` of x clipped to `clip`; all in the scanner's units."""

    mean: float
    std: float
    clip: tuple[float, float] | None = field(default=None, repr=False)

    @classmethod
    def from_low_res(cls, low_res: np.ndarray, rule: str = ABOVE_MEAN) -> Normalisation:
        """The change that `rule` gives for a low-resolution volume of any shape, in the scanner's units.

        >>> scan = np.concatenate([np.zeros(900), np.full(100, 80.0)])
        >>> Normalisation.from_low_res(scan, "tissue_level")
        Normalisation(mean=80.0, std=32.0)
        """
        return {**RULES, **PAIR_RULES}[FORMER_NAMES.get(rule, rule)](low_res)

    def apply(self, array: np.ndarray) -> np.ndarray:
        """Scanner units to the network's, float32."""
        array = array if self.clip is None else np.clip(array, *self.clip)
        return ((array - self.mean) / self.std).astype(np.float32)

    def undo(self, array: np.ndarray) -> np.ndarray:
        """The network's units to the scanner's, float32: the inverse of `apply`; what was clipped stays so."""
        return (array * self.std + self.mean).astype(np.float32)


def by_voxels_above_mean(low_res: np.ndarray) -> Normalisation:
    """Mean and standard deviation of the voxels brighter than the image's mean.

    Where those voxels all have one value, all voxels count instead.
    """
    values = low_res[low_res > low_res.mean(dtype=np.float64)]
    deviation = float(values.std(dtype=np.float64)) if values.size else 0.0
    if deviation <= 1e-6 * float(np.abs(low_res).max()):
        values, deviation = low_res, float(low_res.std(dtype=np.float64))
    if not deviation > 0:
        raise UserError("An image of one constant value cannot be normalised; give one with contrast.")
    return Normalisation(mean=float(values.mean(dtype=np.float64)), std=deviation)


def magnitude_level(image: np.ndarray) -> float | None:
    """The level of tissue in a magnitude image of any shape, in its unit.

    None for an image that is none: one that is signed, or has nothing above zero.
    """
    level = tissue_level(image)
    below = np.count_nonzero(image < -LARGEST_UNDERSHOOT * level)
    return level if level > 0 and below <= RINGING * image.size else None


def as_magnitudes(image: np.ndarray, scan: np.ndarray) -> np.ndarray:
    """`image`, made of the samples that a `scan` was drawn from, without what no magnitude image holds; of any shape.

    Beside a mask that was laid over the scan, fitted samples may lie far below zero, though the scan itself does not:
    they are no reason to take it for a signed one.
    """
    if image.min() >= 0 or scan.min() < 0:
        return image
    return np.maximum(image, np.float32(-0.8 * LARGEST_UNDERSHOOT * tissue_level(image)))


def by_tissue_level(low_res: np.ndarray) -> Normalisation:
    """The change after which the typical intensity of tissue is 0, and darkness -2.5; `low_res` of any shape.

    An image that is no magnitude image (signed, or with nothing above zero) has no darkness to hold on to and falls
    under the other rule.
    """
    level = magnitude_level(low_res)
    if level is None:
        return by_voxels_above_mean(low_res)
    if low_res.min() == low_res.max():
        raise UserError("An image of one constant value cannot be normalised; give one with contrast.")
    return Normalisation(mean=level, std=DEVIATION_OVER_LEVEL * level)


def by_each_image(image: np.ndarray) -> Normalisation:
    """The change to mean 0 and deviation 1 over all voxels, clipped at the percentiles 0.1 and 99.9; any shape."""
    bottom, top = (float(value) for value in np.percentile(image, (0.1, 99.9)))
    clipped = np.clip(image, bottom, top)
    mean, deviation = (float(value) for value in (clipped.mean(dtype=np.float64), clipped.std(dtype=np.float64)))
    if not deviation > 0:
        raise UserError("An image of one constant value cannot be normalised; give one with contrast.")
    return Normalisation(mean, deviation, (bottom, top))


def by_unit_range(low_res: np.ndarray) -> Normalisation:
    """The change after which the percentiles 0 and 99.9 lie at -1 and 1; `low_res` of any shape."""
    bottom, top = (float(value) for value in np.percentile(low_res, (0, 99.9)))
    if not top > bottom:
        raise UserError("An image of one constant value cannot be normalised; give one with contrast.")
    return Normalisation((bottom + top) / 2, (top - bottom) / 2)


def of_pair(rule: str, low: np.ndarray, high: np.ndarray) -> tuple[Normalisation, Normalisation]:
    """The changes for the low- and the high-resolution scan of one person, each of any shape, in its scanner's units.

    Both are the low-resolution scan's, but under `zscore_each_image`, where each scan has its own.
    """
    of_low = Normalisation.from_low_res(low, rule)
    return of_low, by_each_image(high) if rule == EACH_IMAGE else of_low


RULES: dict[str, Callable[[np.ndarray], Normalisation]] = {
    ABOVE_MEAN: by_voxels_above_mean,
    TISSUE_LEVEL: by_tissue_level,
}
# For pairs of scans, not for a scan and what was made of it: there the two need one scale.
PAIR_RULES: dict[str, Callable[[np.ndarray], Normalisation]] = {EACH_IMAGE: by_each_image, UNIT_RANGE: by_unit_range}
