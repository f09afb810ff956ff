"""P's random forest (RFSR): the paper's own sizes, and those of the notebook that it cites."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ForestConfig:
    """A random forest of regression trees, grown on `samples` pixels."""

    trees: int
    depth: int
    min_samples_split: int = 2  # scikit-learn's; the paper names none
    samples: int = 200_000  # ours: the paper took every pixel of 2000 patches, in almost two hours


FORESTS = {
    "7t/rfsr": ForestConfig(trees=200, depth=15),
    "7t/rfsr-notebook": ForestConfig(trees=100, depth=12, min_samples_split=200),
}
