"""Back to the measured samples: matrices against kspace.py's own interpolation, and inverses against the truth."""

import numpy as np
import pytest
import scipy.ndimage

from mdcsrn_tf.scans import kspace
from mdcsrn_tf.scans.resampling import (
    Sampling,
    ends_meet,
    interpolated,
    low_passed,
    matrix,
    measured_samples,
    plausible_samples,
    possible_samplings,
    sinc_at,
    usual_place,
)

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
    np.testing.assert_allclose(found, small, atol=2e-3)


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


RAMP = np.linspace(1, 9, 20)[:, np.newaxis] + 0.3 * RNG.random((20, 3))  # bright at one end, dark at the other


@pytest.mark.parametrize("sampling", [Sampling(40, 2.0), Sampling(40, 2.0, 1.0), Sampling(40, 2.0, 0.5)])
def test_a_piece_cut_out_of_a_scan_goes_on_as_its_mirror_image(sampling):
    """By the Fourier transform of the samples and their mirror image, in the middle of a row of such pairs."""
    assert not ends_meet(RAMP, 0)
    spectrum = np.fft.fft(np.concatenate([RAMP, RAMP[::-1]]), axis=0)
    frequency = np.fft.fftfreq(40)
    waves = np.exp(2j * np.pi * sampling.positions[:, np.newaxis] * frequency)
    waves[:, 20] = np.cos(np.pi * sampling.positions)  # what has no partner is shared by both
    np.testing.assert_allclose(interpolated(RAMP, 0, sampling, "sinc"), (waves @ spectrum).real / 40, atol=1e-5)


def test_ends_that_meet_are_joined_as_in_k_space():
    fading = RAMP * np.hanning(20)[:, np.newaxis]
    assert ends_meet(fading, 0) and ends_meet(np.zeros((6, 3)), 0)
    assert ends_meet(np.ones((1, 3)), 0)
    assert interpolated(np.full((1, 3), 7.0), 0, Sampling(2, 2.0), "sinc").tolist() == [[7.0] * 3] * 2
    expected = kspace.interpolate(fading, (40, 3), (2,), (0,), "sinc")
    np.testing.assert_allclose(interpolated(fading, 0, Sampling(40, 2.0), "sinc"), expected)
    np.testing.assert_array_equal(low_passed(fading, 0, 10), kspace.low_pass_axis(fading, 10, 0))


@pytest.mark.parametrize(("size", "factor", "most"), [(64, 2, 1e-5), (63, 3, 1e-5), (63, 2, 0.05)])
def test_the_samples_of_a_zero_filled_piece_are_those_of_the_whole(size, factor, most):
    """Seven waves, cut out where they do not meet; where samples lie between voxels, to 5% of their deviation."""
    waves = np.random.default_rng(1).normal(size=(7, 3))
    sampling = Sampling(size, size / (size // factor))

    def scan(voxel):
        return np.cos(2 * np.pi * np.outer(voxel + 20, np.arange(1, 8)) / 400) @ waves

    volume, expected = scan(np.arange(size)), scan(np.arange(sampling.count) * sampling.step)
    assert not ends_meet(volume, 0)
    error = measured_samples(volume, 0, sampling, "sinc") - expected
    assert np.sqrt(np.mean(error**2, axis=1)).max() < most * expected.std()


def test_low_passing_a_piece_leaves_its_ends_where_they_are():
    """Joined in a circle they would be drawn to their mean, 5."""
    found, circle = low_passed(RAMP, 0, 10), kspace.low_pass_axis(RAMP, 10, 0)
    assert np.abs(found[[0, -1]] - RAMP[[0, -1]]).max() < 0.5 < 1.5 < np.abs(circle[[0, -1]] - RAMP[[0, -1]]).min()


def test_rounding_to_8_bits_is_not_amplified():
    small = RNG.integers(0, 256, (40, 6)).astype(np.float32)
    for method in ("linear", "cubic", "nearest"):
        rounded = np.rint(kspace.interpolate(small, (80, 6), (2,), (0,), method))
        for first in (0.0, 1.0):
            volume = rounded[::-1] if first else rounded
            found = measured_samples(volume, 0, Sampling(80, 2.0, first), method)
            # Read backwards, nearest repeats each sample before its own place instead of behind it.
            np.testing.assert_allclose(found[::-1] if first else found, small, atol=0.51)


@pytest.mark.parametrize(("size", "step", "first"), [(50, 1.5, 1.2), (48, 1.4999994, 1.4), (50, 1.51, 1.45)])
def test_a_last_sample_that_no_voxel_shows_is_none(size, step, first):
    """It was taken for zero, and rang."""
    samples = RNG.normal(100, 10, 40)
    places = (np.arange(size) - first) / step + 1
    stored = np.interp(places, np.arange(40), samples)[:, None, None]
    sampling = Sampling(size, step, first)
    found = measured_samples(stored, 0, sampling, "linear")[:, 0, 0]
    np.testing.assert_allclose(found, samples[1 : 1 + sampling.count], atol=1e-6)


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


@pytest.mark.parametrize("size", [12, 13])
def test_sinc_at_any_place_is_the_sum_of_waves(size):
    def waves(places):
        angle = 2 * np.pi * places / size
        return np.stack([3 + np.cos(angle) - np.sin(2 * angle), np.cos(5 * angle) - np.cos(angle)], axis=-1)

    samples, places = waves(np.arange(size)), np.array([-0.3, 0.0, 2.25, 7.9])
    assert ends_meet(samples, 0)
    np.testing.assert_allclose(sinc_at(samples, 0, places), waves(places), atol=1e-9)


@pytest.mark.parametrize(
    ("found", "usual"),
    [
        (Sampling(120, 1.50002, 0.004), Sampling(120, 1.5)),
        (Sampling(120, 1.50002, 1.497), Sampling(120, 1.5)),
        (Sampling(120, 119 / 79 + 1e-5, -0.002), Sampling(120, 119 / 79)),
        (Sampling(120, 1.52, 0.001), Sampling(120, 1.52)),
        (Sampling(120, 1.5, -0.5), Sampling(120, 1.5, 1.0)),
    ],
)
def test_a_measured_place_is_the_usual_one_that_it_is_all_but(found, usual):
    assert usual_place(found) == usual


def test_samples_beside_a_cut_are_not_below_zero_where_the_scan_is_not():
    """A sample lies between every two voxels. At 11, the first zero, 0.75 a + 0.25 b is nothing, of a sample a that is
    bright at 10: so b is fitted below zero."""
    volume = np.zeros((21, 1, 1), np.float32)
    volume[:11] = 100
    sampling = Sampling(21, 2.0, 0.5)
    fitted, plausible = (f(volume, 0, sampling, "linear") for f in (measured_samples, plausible_samples))
    assert fitted.min() < -5 and plausible.min() == 0
    np.testing.assert_array_equal(plausible, np.maximum(fitted, 0))
    signed = volume - 1
    fitted, plausible = (f(signed, 0, sampling, "linear") for f in (measured_samples, plausible_samples))
    np.testing.assert_array_equal(plausible, fitted)
