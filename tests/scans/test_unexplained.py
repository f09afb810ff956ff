"""Voxels that were changed after a scan was interpolated, found as those that its samples do not give."""

import numpy as np
import pytest
import scipy.ndimage
from test_kspace_check import CROP, eight_bits

from mdcsrn_tf.scans.resampling import Sampling
from mdcsrn_tf.scans.unexplained import unexplained

HALF = Sampling(64, 2.0, 0.5)  # a sample between every two voxels, as tools put them that keep a picture's corners


def drawn(order, step=2.0, first=0.5):
    """The crop's first axis from every second of its voxels, drawn by SciPy: linearly (order 1) or cubically (3)."""
    places = np.meshgrid((np.arange(64) - first) / step, *map(np.arange, CROP.shape[1:]), indexing="ij")
    return scipy.ndimage.map_coordinates(CROP[::2], places, order=order, mode="mirror")


def test_a_cut_between_two_samples_shows_there_alone():
    """By hand: samples of 100 at even voxels, zeros from voxel 12 on: voxel 11 would be 50, and those beside it share
    its samples."""
    volume = np.zeros((21, 3, 3), np.float32)
    volume[:12] = 100
    found = unexplained(volume, [(0, "linear", Sampling(21, 2.0, 0.0))])
    np.testing.assert_array_equal(np.flatnonzero(found[:, 1, 1]), [10, 11, 12])


@pytest.mark.parametrize(("order", "method"), [(1, "linear"), (3, "cubic")])
def test_what_was_left_as_it_was_drawn_is_explained(order, method):
    scan = drawn(order)
    for stored in (scan, eight_bits(np.maximum(scan, 0))):
        assert not unexplained(stored, [(0, method, HALF)]).any()
    assert unexplained(scan, [(0, method, Sampling(64, 2.0, 0.0))]).any()


@pytest.mark.parametrize(("order", "method"), [(1, "linear"), (3, "cubic")])
def test_a_mask_is_found_at_its_edge(order, method):
    scan = drawn(order)
    scan[33:] = 0
    found = np.flatnonzero(unexplained(scan, [(0, method, HALF)]).any(axis=(1, 2)))
    assert {32, 33} <= set(found) and found.min() >= 24 and found.max() <= 41


def test_what_lies_beyond_the_samples_tells_nothing():
    scan = drawn(1, first=3.5)
    scan[:2] = 0
    assert not unexplained(scan, [(0, "linear", Sampling(64, 2.0, 3.5))])[:2].any()
