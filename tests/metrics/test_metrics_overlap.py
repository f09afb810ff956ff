"""Dice and Jaccard by hand-made label maps."""

import math

import numpy as np
import pytest

from mdcsrn_tf.metrics.overlap import overlap

REFERENCE = np.array([[[0, 1, 1, 2], [0, 1, 2, 2]]])
SEGMENTATION = np.array([[[0, 1, 2, 2], [3, 1, 2, 0]]])


def test_by_hand():
    found = overlap(REFERENCE, SEGMENTATION)
    assert found.labels == (1, 2, 3)
    # Label 1: 3 and 2 voxels, 2 in common; label 2: 3 and 3, 2 in common; label 3: 0 and 1.
    assert found.dice == pytest.approx((4 / 5, 4 / 6, 0.0))
    assert found.jaccard == pytest.approx((2 / 3, 2 / 4, 0.0))
    assert found.mean_dice == pytest.approx((4 / 5 + 4 / 6) / 3)
    assert found.mean_jaccard == pytest.approx((2 / 3 + 1 / 2) / 3)


def test_two_boxes():
    one, two = np.zeros((10, 10, 10)), np.zeros((10, 10, 10))
    one[:4], two[2:6] = 7, 7  # 400 voxels each, 200 in common
    found = overlap(one, two)
    assert (found.labels, found.dice, found.jaccard) == ((7,), (0.5,), (200 / 600,))


def test_itself_is_perfect_and_dice_and_jaccard_agree():
    found = overlap(REFERENCE, REFERENCE)
    assert found.dice == found.jaccard == (1.0, 1.0)
    mixed = overlap(REFERENCE, SEGMENTATION)
    for dice, jaccard in zip(mixed.dice, mixed.jaccard, strict=True):
        assert dice == pytest.approx(2 * jaccard / (1 + jaccard))


def test_named_labels_only():
    found = overlap(REFERENCE, SEGMENTATION, labels=[2, 9])
    assert (found.labels, found.dice) == ((2, 9), (pytest.approx(4 / 6), 1.0))


def test_nothing_but_background_has_no_mean():
    assert math.isnan(overlap(np.zeros((2, 2, 2)), np.zeros((2, 2, 2))).mean_dice)


def test_what_is_no_label_map_is_refused():
    with pytest.raises(ValueError, match="no label map"):
        overlap(REFERENCE, SEGMENTATION + 0.5)
    with pytest.raises(ValueError, match="shapes differ"):
        overlap(REFERENCE, SEGMENTATION[:, :1])
