"""Mean and deviation over subjects, and paired comparisons of methods: a ranking without them is hearsay."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy import stats

from mdcsrn_tf.evaluation.plan import Conventions

# Fewer pairs allow no interval worth the name: of five scans no two-sided Wilcoxon test can reach p = 0.05.
FEWEST_PAIRS = 6


@dataclass(frozen=True)
class Summary:
    """One metric of one method over the subjects that have it."""

    mean: float
    deviation: float  # NaN for a single subject
    subjects: int


@dataclass(frozen=True)
class Paired:
    """`first` minus `second`, subject by subject."""

    metric: str
    first: str
    second: str
    subjects: int
    difference: float
    low: float  # bootstrap 95 % interval of the mean difference
    high: float
    p_value: float  # Wilcoxon signed rank, two-sided; NaN where it is not defined


def summarise(values: Sequence[float], conventions: Conventions) -> Summary:
    """Mean and standard deviation over subjects, missing values (NaN) apart."""
    kept = np.array([value for value in values if not math.isnan(value)])
    if not kept.size:
        return Summary(math.nan, math.nan, 0)
    sample = conventions.deviation == "sample"
    finite = bool(np.isfinite(kept).all())
    deviation = float(kept.std(ddof=int(sample))) if finite and kept.size > int(sample) else math.nan
    return Summary(float(kept.mean()), deviation, int(kept.size))


def compare_all(
    values: Mapping[str, Mapping[str, Mapping[str, float]]], metrics: Sequence[str], conventions: Conventions
) -> list[Paired]:
    """Every pair of methods in every metric that both have for subjects enough.

    `values` is method -> metric -> subject -> value.
    """
    found = []
    for metric in metrics:
        for first, second in combinations(values, 2):
            one, two = values[first].get(metric, {}), values[second].get(metric, {})
            common = [s for s in one if s in two and math.isfinite(one[s]) and math.isfinite(two[s])]
            if len(common) >= FEWEST_PAIRS:
                found.append(
                    compare(metric, first, second, [one[s] for s in common], [two[s] for s in common], conventions)
                )
    return found


def compare(
    metric: str, first: str, second: str, one: Sequence[float], two: Sequence[float], conventions: Conventions
) -> Paired:
    """The paired comparison of two methods' values of the same subjects."""
    difference = np.subtract(one, two)
    random = np.random.default_rng(conventions.seed)
    draws = random.integers(len(difference), size=(conventions.bootstrap, len(difference)))
    low, high = np.percentile(difference[draws].mean(axis=1), [2.5, 97.5])
    p_value = float(stats.wilcoxon(difference).pvalue) if np.any(difference != 0) else math.nan
    return Paired(metric, first, second, len(difference), float(difference.mean()), float(low), float(high), p_value)
