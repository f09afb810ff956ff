"""Corners are inside, uniform, on foreground, and reproducible."""

import numpy as np
import pytest

from data_prep.patches import cut_patches, draw_corners
from mdcsrn_tf.errors import UserError


def test_corners_are_inside_and_reach_both_ends():
    foreground = np.ones((9, 6, 12), bool)
    corners = draw_corners(np.random.default_rng(0), foreground, 5, 500)
    assert corners.shape == (500, 3)
    np.testing.assert_array_equal(corners.min(axis=0), [0, 0, 0])
    np.testing.assert_array_equal(corners.max(axis=0), [4, 1, 7])
    counts = np.bincount(corners[:, 2], minlength=8)
    assert counts.min() > 30  # 62.5 each on average, standard deviation 7.4


def test_corners_avoid_the_background():
    foreground = np.zeros((40, 40, 40), bool)
    foreground[10:20, 12:30, 5:25] = True
    corners = draw_corners(np.random.default_rng(1), foreground, 8, 60, min_foreground=0.25)
    parts = [patch.mean() for patch in cut_patches(foreground, corners, 8)]
    assert min(parts) >= 0.25 and min(parts) < 0.5 and max(parts) == 1


def test_a_scan_with_too_little_foreground_still_gives_its_patches():
    foreground = np.zeros((20, 20, 20), bool)
    foreground[3:5, 3:5, 3:5] = True
    corners = draw_corners(np.random.default_rng(0), foreground, 10, 7)
    assert len(corners) == 7
    assert all(patch.any() for patch in cut_patches(foreground, corners, 10))


def test_drawing_depends_on_the_generator_alone():
    foreground = np.random.default_rng(0).random((30, 30, 30)) > 0.5
    state = np.random.get_state()[1].copy()
    first, second = (draw_corners(np.random.default_rng(5), foreground, 8, 10) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(np.random.get_state()[1], state)


def test_patches_are_the_voxels_at_their_corners():
    volume = np.arange(6 * 7 * 8).reshape(6, 7, 8)
    (patch,) = cut_patches(volume, np.array([[1, 2, 3]]), 2)
    # voxel (i, j, k) holds 56 i + 8 j + k
    np.testing.assert_array_equal(patch, [[[75, 76], [83, 84]], [[131, 132], [139, 140]]])


def test_a_scan_smaller_than_a_patch_is_refused():
    with pytest.raises(UserError, match="8x8x4 holds no patch of 5"):
        draw_corners(np.random.default_rng(0), np.ones((8, 8, 4), bool), 5, 1)
