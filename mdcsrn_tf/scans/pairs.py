"""Which slice of a thick stack belongs to which of a thin one: by position alone (NumPy only).

Two ways. `match_nearest`: along the stacks' common normal, in order, each slice at most once, the sum of the distances
as small as it can be, and no pair further apart than a limit. `match_paper`: as the released code of the
thick-slice paper does it, with its weaknesses: each thick slice in turn takes the nearest of the next ten thin slices
that are still free, however far that is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

PAPER_WINDOW = 10


@dataclass(frozen=True)
class SlicePair:
    """Slice `low` of the one stack and slice `high` of the other, `distance` millimetres apart."""

    low: int
    high: int
    distance: float


def match_nearest(low_mm: np.ndarray, high_mm: np.ndarray, limit: float) -> list[SlicePair]:
    """The best pairs of two increasing lists of positions (mm), none further apart than `limit`.

    A slice that is left out costs as much as a pair at the limit: rather leave one out than pair two badly.
    """
    distances = np.abs(np.asarray(low_mm, np.float64)[:, None] - np.asarray(high_mm, np.float64)[None, :])
    allowed = np.where(distances <= limit * (1 + 1e-6), distances, np.inf)
    cost = _cheapest(allowed, limit)
    pairs = []
    i, j = allowed.shape
    while i and j:
        if cost[i, j] == cost[i, j - 1]:
            j -= 1
        elif cost[i, j] == cost[i - 1, j - 1] + allowed[i - 1, j - 1]:
            i, j = i - 1, j - 1
            pairs.append(SlicePair(i, j, float(distances[i, j])))
        else:
            i -= 1
    return pairs[::-1]


def match_paper(low_mm: np.ndarray, high_mm: np.ndarray, window: int = PAPER_WINDOW) -> list[SlicePair]:
    """The released matching; positions are points [n, 3] or distances along the normal [n]."""
    low, high = (np.asarray(points, np.float64).reshape(len(points), -1) for points in (low_mm, high_mm))
    free = list(range(len(high)))
    last = 0
    pairs = []
    for i, point in enumerate(low):
        candidates = [j for j in free if j >= last][:window]
        if not candidates:
            break  # the thin series has run out
        distances = np.linalg.norm(high[candidates] - point, axis=1)
        last = candidates[int(np.argmin(distances))]
        free.remove(last)
        pairs.append(SlicePair(i, last, float(distances.min())))
    return pairs


def unmatched(pairs: list[SlicePair], count: int) -> list[int]:
    """The thick slices, of `count`, that got no partner."""
    return sorted({*range(count)} - {pair.low for pair in pairs})


def triples(pairs: list[SlicePair], count: int) -> np.ndarray:
    """Three neighbouring thin slices for each pair, [pairs, 3]: its own in the middle, but for the ends of `count`.

    At the ends the three are moved inwards, as the paper's release does: of the first slice they are 0, 1, 2.
    """
    middle = np.clip([pair.high for pair in pairs], 1, count - 2)
    return np.asarray(middle)[:, None] + np.array([-1, 0, 1])


def neighbours(pairs: list[SlicePair], count: int) -> np.ndarray:
    """Three neighbouring thick slices for each pair, [pairs, 3]; past an end of `count` the last one is repeated."""
    middle = np.array([pair.low for pair in pairs])
    return np.clip(middle[:, None] + np.array([-1, 0, 1]), 0, count - 1)


def _cheapest(allowed: np.ndarray, limit: float) -> np.ndarray:
    """cost[i, j]: the least sum for the first i thick and j thin slices; left-out thin slices cost nothing."""
    count_low, count_high = allowed.shape
    cost = np.zeros((count_low + 1, count_high + 1))
    cost[:, 0] = limit * np.arange(count_low + 1)
    for i in range(1, count_low + 1):
        either = np.minimum(cost[i - 1, 1:] + limit, cost[i - 1, :-1] + allowed[i - 1])
        cost[i] = np.minimum.accumulate(np.concatenate([cost[i, :1], either]))
    return cost
