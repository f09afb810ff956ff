"""Dice and Jaccard of two label maps, label by label (J section 4.1, "Segmentation Evaluation")."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Overlap:
    """Dice and Jaccard of every label, and their means over the labels."""

    labels: tuple[int, ...]
    dice: tuple[float, ...]
    jaccard: tuple[float, ...]

    @property
    def mean_dice(self) -> float:
        """Dice averaged over the labels."""
        return float(np.mean(self.dice)) if self.dice else float("nan")

    @property
    def mean_jaccard(self) -> float:
        """Jaccard averaged over the labels."""
        return float(np.mean(self.jaccard)) if self.jaccard else float("nan")


def overlap(
    reference: np.ndarray, segmentation: np.ndarray, *, labels: Sequence[int] | None = None, background: int = 0
) -> Overlap:
    """Compare two label maps on one grid.

    Without `labels`, every label that occurs in either map counts, the background aside; a label that is in
    one map only scores 0, one that is in neither 1 (only possible when `labels` names it). So a map without any label
    scores 0 against one with some, and two without have no score: their means are NaN.

    >>> overlap(np.array([1, 1, 2, 0]), np.array([1, 2, 2, 0])).mean_dice
    0.6666666666666666
    """
    if reference.shape != segmentation.shape:
        raise ValueError(f"the shapes differ: {reference.shape} and {segmentation.shape}")
    for name, array in (("reference", reference), ("segmentation", segmentation)):
        if not np.array_equal(array, np.round(array)):
            raise ValueError(f"the {name} is no label map: it holds values that are not whole numbers")
    sizes = _counts(reference), _counts(segmentation)
    both = _counts(reference[reference == segmentation])
    if labels is None:
        labels = sorted((set(sizes[0]) | set(sizes[1])) - {background})
    dice, jaccard = [], []
    for label in labels:
        total = sizes[0].get(label, 0) + sizes[1].get(label, 0)
        common = both.get(label, 0)
        dice.append(2 * common / total if total else 1.0)
        jaccard.append(common / (total - common) if total else 1.0)
    return Overlap(tuple(int(label) for label in labels), tuple(dice), tuple(jaccard))


def _counts(labels: np.ndarray) -> dict[int, int]:
    values, counts = np.unique(labels, return_counts=True)
    return {int(value): int(count) for value, count in zip(values, counts, strict=True)}
