"""Slices matched by position: the golden table, and the dynamic programme against trying every assignment."""

from itertools import combinations, pairwise

import numpy as np
import pytest

from mdcsrn_tf.errors import UserError
from mdcsrn_tf.scans.normalisation import of_pair
from mdcsrn_tf.scans.pairs import match_nearest, match_paper, neighbours, triples, unmatched

FINE, COARSE = np.arange(0, 14.1, 0.2), np.arange(15.0)


@pytest.mark.parametrize(
    ("low", "high", "spacing", "paper", "nearest"),
    [  # positions in mm; pairs as (thin slice, mm off) for each thick slice
        ([0, 5, 10], COARSE, 5, [(0, 0), (5, 0), (10, 0)], [(0, 0), (5, 0), (10, 0)]),
        ([0, 5, 10], FINE, 5, [(0, 0), (10, 3), (20, 6)], [(0, 0), (25, 0), (50, 0)]),
        (
            [12, 15, 18, 21],
            np.arange(30.0),
            3,
            [(9, 3), (15, 0), (18, 0), (21, 0)],
            [(12, 0), (15, 0), (18, 0), (21, 0)],
        ),
        ([0, 5, 10, 15], np.arange(11.0), 5, [(0, 0), (5, 0), (10, 0)], [(0, 0), (5, 0), (10, 0)]),
    ],
)
def test_the_golden_table(low, high, spacing, paper, nearest):
    for pairs, expected in ((match_paper(low, high), paper), (match_nearest(low, high, spacing / 2), nearest)):
        assert [pair.low for pair in pairs] == list(range(len(expected)))
        assert [pair.high for pair in pairs] == [number for number, _ in expected]
        np.testing.assert_allclose([pair.distance for pair in pairs], [mm for _, mm in expected], atol=1e-9)
    assert unmatched(match_nearest(low, high, spacing / 2), len(low)) == list(range(len(nearest), len(low)))


def by_trying(low, high, limit):
    """The least cost over all monotone one-to-one assignments."""
    best = limit * len(low)
    for size in range(1, min(len(low), len(high)) + 1):
        for rows in combinations(range(len(low)), size):
            for columns in combinations(range(len(high)), size):
                off = np.abs(low[list(rows)] - high[list(columns)])
                if (off <= limit).all():
                    best = min(best, off.sum() + limit * (len(low) - size))
    return best


@pytest.mark.parametrize("seed", range(12))
def test_the_assignment_is_the_cheapest_of_all(seed):
    rng = np.random.default_rng(seed)
    low, high = np.sort(rng.uniform(0, 12, rng.integers(1, 6))), np.sort(rng.uniform(0, 12, rng.integers(1, 8)))
    pairs = match_nearest(low, high, 1.5)
    for first, second in pairwise(pairs):
        assert first.low < second.low and first.high < second.high
    cost = sum(pair.distance for pair in pairs) + 1.5 * (len(low) - len(pairs))
    assert cost == pytest.approx(by_trying(low, high, 1.5))
    assert all(pair.distance == abs(low[pair.low] - high[pair.high]) <= 1.5 for pair in pairs)


def test_points_are_matched_as_the_release_does():
    low = np.array([[0, 0, 0], [0, 0, 5.0]])
    high = np.stack([np.full(9, 3.0), np.zeros(9), np.arange(9.0)], axis=1)
    assert [(pair.high, pair.distance) for pair in match_paper(low, high)] == [(0, 3.0), (5, 3.0)]


def test_triples_move_inwards_at_the_ends_and_neighbours_repeat_there():
    pairs = match_nearest([0, 4, 8], np.arange(9.0), 2.0)
    assert triples(pairs, 9).tolist() == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]
    assert neighbours(pairs, 3).tolist() == [[0, 0, 1], [0, 1, 2], [1, 2, 2]]


def test_each_scan_has_its_own_scale_or_both_have_the_low_resolution_ones():
    rng = np.random.default_rng(0)
    low, high = rng.gamma(2, 100, 4000), rng.gamma(3, 50, 6000)
    for image, scale in zip((low, high), of_pair("zscore_each_image", low, high), strict=True):
        clipped = np.clip(image, *np.percentile(image, [0.1, 99.9]))
        np.testing.assert_allclose(scale.apply(image), (clipped - clipped.mean()) / clipped.std(), atol=1e-5)
        np.testing.assert_allclose(scale.undo(scale.apply(image)), clipped, rtol=1e-4)
    first, second = of_pair("unit_range_of_low_res", low, high)
    bottom, top = low.min(), np.percentile(low, 99.9)
    assert first == second
    np.testing.assert_allclose(first.apply(np.array([bottom, top, 2 * top - bottom])), [-1, 1, 3], atol=1e-5)
    with pytest.raises(UserError, match="one constant value"):
        of_pair("unit_range_of_low_res", np.ones(9), high)
