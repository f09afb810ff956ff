"""How much detail the original of a scan had, told by the scan that lacks it.

What was measured says how k-space goes on beyond it. Its outermost frame, the edge, says where the power begins; and
two signs how fast it falls from there:

- *the corners* of the measured k-space lie farther out than the middles of its edges, where the original goes on;
- *the axis that was measured in full* shows how far anatomy stands out of the noise, which does not fall.

How much each sign counts was fitted to scans whose original is known (benchmarks/detail_law.py, which also says how far
the law is off on people that it was not fitted to). NumPy and SciPy only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mdcsrn_tf.scans.head import head_mask
from mdcsrn_tf.scans.kspace import mirrored_low_pass

FACTORS = (2, 2)  # what the law was fitted to: two axes of three, each of twice as many voxels
FEWEST_SAMPLES = 16  # along an axis: fewer have no frequencies to tell from each other
LEVEL_DB, CORNER, FALL = 3.26, 0.624, -0.294
STEEPEST_DB = 9.0  # an axis that a scanner had interpolated falls to nothing, and says no more of the others than this
# What the signs of the scans were that the law was fitted to, and 0.8 dB more either way.
CORNERS_DB, LEAST_FALL_DB = (-6.4, -1.7), 1.7
_EDGE = 0.875  # of the measured frequencies of an axis: those beyond are at the edge
_NEAR, _FAR = (0.5, 0.75), (0.9, 1.0)  # of the frequencies along the axis that was measured in full


@dataclass(frozen=True)
class Signs:
    """What the measured k-space shows inside the head; `edge` in squares of the scan's units."""

    edge: float  # power at the edge for each share of the measured k-space
    corner_db: float  # of the corners over that
    fall_db: float  # from near to far frequencies along the axis that was measured in full

    @property
    def law(self) -> tuple[float, float]:
        """The two signs as the law takes them."""
        return self.corner_db, min(self.fall_db, STEEPEST_DB)

    @property
    def silence(self) -> str:
        """Why they tell nothing of the original, in words; empty where they do."""
        if self.corner_db < CORNERS_DB[0]:
            return "its outer k-space is filtered or empty"
        noisy = self.corner_db > CORNERS_DB[1] or self.fall_db < LEAST_FALL_DB
        return "its outer k-space is mostly noise" if noisy else ""


def signs_of(samples: np.ndarray, spacing: Sequence[float], axes: Sequence[int]) -> Signs:
    """The signs of a scan's measured samples [i, j, k], `spacing` in mm, to be made finer along the two `axes`."""
    inside = head_mask(samples, spacing)
    kept = [_frequencies(samples, axis, _EDGE) for axis in axes]
    first, second = (mirrored_low_pass(samples, [count], [axis]) for count, axis in zip(kept, axes, strict=True))
    both = mirrored_low_pass(first, kept[1:], axes[1:])
    shares = [count / samples.shape[axis] for count, axis in zip(kept, axes, strict=True)]
    edge = _power(samples - both, inside) / (1 - shares[0] * shares[1])
    corner = _power(samples - first - second + both, inside) / ((1 - shares[0]) * (1 - shares[1]))
    (full,) = {0, 1, 2} - set(axes)
    near, far = (_between(samples, full, low, high, inside) for low, high in (_NEAR, _FAR))
    return Signs(edge, _decibels(corner, edge), _decibels(near, far))


def power_beyond(signs: Signs) -> float:
    """The power that the original has beyond the measured k-space: mean square inside the head, in the scan's units."""
    corner, fall = signs.law
    return float(signs.edge * 10 ** ((LEVEL_DB + CORNER * corner + FALL * fall) / 10))


def _frequencies(samples: np.ndarray, axis: int, share: float) -> int:
    return round(samples.shape[axis] * share)


def _between(samples: np.ndarray, axis: int, low: float, high: float, inside: np.ndarray) -> float:
    """The power between two shares of an axis's frequencies, for each share."""
    start, stop = (_frequencies(samples, axis, share) for share in (low, high))
    band = mirrored_low_pass(samples, [stop], [axis]) - mirrored_low_pass(samples, [start], [axis])
    return _power(band, inside) * samples.shape[axis] / (stop - start)


def _power(image: np.ndarray, inside: np.ndarray) -> float:
    return float(np.mean(np.square(image[inside], dtype=np.float64)))


def _decibels(power: float, other: float) -> float:
    smallest = np.finfo(np.float64).tiny
    return float(10 * np.log10(max(power, smallest) / max(other, smallest)))
