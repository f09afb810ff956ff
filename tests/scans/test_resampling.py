"""Back to the measured samples: matrices against kspace.py's own interpolation, and inverses against the truth."""

import numpy as np
import pytest
import scipy.ndimage

from mdcsrn_tf.scans import kspace
from mdcsrn_tf.scans.resampling import Sampling, interpolated, matrix, measured_samples, possible_samplings

RNG = np.random.default_rng(0)
SIZES = [(24, 2), (25, 2), (24, 3), (26, 3), (27, 4)]


@pytest.mark.parametrize("method", kspace.METHODS)
@pytest.mark.parametrize(("size", "factor"), SIZES)
def test_a_matrix_is_what_kspace_does(method, size, factor):
    kept = size // factor
    small = RNG.random((kept, 3))
    expected = kspace.interpolate(small, (size, 3), (factor,), (0,), method)
    np.testing.assert_allclose(matrix(Sampling(size, size / kept), method) @ small, expected, atol=1e-9)
    if method == "nearest":
        return  # a sample fills the voxels behind it: read backwards, those before it
    turned = matrix(Sampling(size, size / kept).turned_over(), method) @ small
    np.testing.assert_allclose(turned[::-1], matrix(Sampling(size, size / kept), method) @ small[::-1], atol=1e-9)


@pytest.mark.parametrize("method", kspace.METHODS)
@pytest.mark.parametrize(("size", "factor"), SIZES)
def test_the_measured_samples_come_back(method, size, factor):
    small = RNG.random((5, size // factor, 4)).astype(np.float32)
    volume = kspace.interpolate(small, (5, size, 4), (factor,), (1,), method)
    found = measured_samples(volume, 1, Sampling(size, size / (size // factor)), method)
    # The last sample of a stretched axis may stand beyond the last voxel that two samples surround.
    inner = slice(0, None if size % factor == 0 else -2)
    np.testing.assert_allclose(found[:, inner], small[:, inner], atol=2e-3)


def test_voxel_centres_come_back_and_lie_where_they_were():
    """Half-voxel grids, as scipy's zoom makes them, are brought to the same place by sinc."""
    x = np.arange(40)
    wave = np.cos(2 * np.pi * 3 * (2 * x + 0.5) / 80).astype(np.float32)  # sampled at voxels 0.5, 2.5, 4.5, ...
    volume = scipy.ndimage.zoom(wave, 2, order=1, grid_mode=True, mode="nearest")
    sampling = Sampling(80, 2.0, 0.5)
    samples = measured_samples(volume, 0, sampling, "linear")
    np.testing.assert_allclose(samples, wave, atol=1e-5)
    expected = np.cos(2 * np.pi * 3 * np.arange(80) / 80)
    np.testing.assert_allclose(interpolated(samples, 0, sampling, "sinc"), expected, atol=1e-5)


def test_rounding_to_8_bits_is_not_amplified():
    small = RNG.integers(0, 256, (40, 6)).astype(np.float32)
    for method in ("linear", "cubic", "nearest"):
        rounded = np.rint(kspace.interpolate(small, (80, 6), (2,), (0,), method))
        for first in (0.0, 1.0):
            volume = rounded[::-1] if first else rounded
            found = measured_samples(volume, 0, Sampling(80, 2.0, first), method)
            # Read backwards, nearest repeats each sample before its own place instead of behind it.
            np.testing.assert_allclose(found[::-1] if first else found, small, atol=0.51)


def test_possible_samplings_are_named():
    assert possible_samplings(10, 2) == [
        Sampling(10, 2.0, 0.0),
        Sampling(10, 2.0, 1.0),
        Sampling(10, 2.0, 0.5),
        Sampling(10, 9 / 4, 0.0),
    ]
    stretched = possible_samplings(11, 2)[3:5]
    assert [(s.count, round(s.first, 6)) for s in stretched] == [(5, 0.0), (5, 1.2)]
    assert stretched[0].starts_the_axis and stretched[1].ends_the_axis
