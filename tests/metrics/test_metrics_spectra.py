"""Bands, correlation and patterns against plain Fourier transforms and volumes made to order."""

import doctest

import numpy as np
import pytest

from mdcsrn_tf.metrics import spectra

RANDOM = np.random.default_rng(0)
VOLUME = RANDOM.normal(size=(32, 36, 12)).astype(np.float32)
AXES, LOW = (0, 1), (0.5, 1 / 3)


def numpy_band(volume, low, high):
    """The same by one FFT of the whole volume and a mask over it."""
    frequency = [np.abs(np.fft.fftfreq(size)) / 0.5 for size in volume.shape[:2]]

    def box(limits):
        weights = [
            (f < limit - 1e-9) + 0.5 * np.isclose(f, limit) if limit < 1 else np.ones_like(f)
            for f, limit in zip(frequency, limits, strict=True)
        ]
        return np.multiply.outer(*weights)[:, :, None]

    return np.fft.ifftn(np.fft.fftn(volume.astype(float)) * (box(high) - box(low))).real


@pytest.mark.parametrize("high", [(1.0, 1.0), (0.75, 2 / 3)])
def test_a_band_is_its_part_of_k_space(high):
    np.testing.assert_allclose(spectra.band(VOLUME, AXES, LOW, high), numpy_band(VOLUME, LOW, high), atol=1e-5)


def test_low_resolution_has_nothing_in_the_removed_band():
    from mdcsrn_tf.scans import kspace

    low = kspace.interpolate(kspace.truncate(VOLUME, (2, 3), AXES), VOLUME.shape, (2, 3), AXES, "sinc")
    found, truth = (spectra.band(image, AXES, LOW, (1, 1)) for image in (low, VOLUME))
    assert spectra.power_db(truth, found) < -20  # the samples at the very edge, kept by half
    assert spectra.power_db(truth, np.zeros_like(truth)) == spectra.FLOOR_DB
    assert np.isnan(spectra.correlation(truth, np.zeros_like(truth)))


def test_power_and_correlation_are_those_of_numpy_inside_the_mask():
    mask = RANDOM.random(VOLUME.shape) > 0.5
    other = (0.5 * VOLUME + RANDOM.normal(size=VOLUME.shape)).astype(np.float32)
    expected = 10 * np.log10(np.mean(other[mask].astype(float) ** 2) / np.mean(VOLUME[mask].astype(float) ** 2))
    assert spectra.power_db(VOLUME, other, mask) == pytest.approx(expected, abs=1e-6)
    cosine = np.vdot(other[mask], VOLUME[mask]) / np.linalg.norm(other[mask]) / np.linalg.norm(VOLUME[mask])
    assert spectra.correlation(VOLUME, other, mask) == pytest.approx(float(cosine), abs=1e-5)
    assert np.isnan(spectra.power_db(np.zeros((3, 3)), np.ones((3, 3))))


@pytest.mark.parametrize("period", [2, 4, 16, 21])
def test_a_pattern_is_found_at_its_own_period_and_no_other(period):
    noise = RANDOM.normal(size=(128, 24, 24))
    comb = np.zeros(128)
    comb[::period] = 1.0
    patterned = noise + 0.5 * period * (comb - comb.mean())[:, None, None]
    assert spectra.pattern_db(patterned, 0, period)[0] > 10
    assert spectra.pattern_db(noise, 0, period)[0] < 1.5
    assert spectra.pattern_db(patterned, 1, 5)[0] < 3


def test_a_sloping_spectrum_is_no_pattern():
    smooth = np.cumsum(RANDOM.normal(size=(128, 30, 30)), axis=0)
    smooth -= smooth.mean(axis=0)
    assert spectra.pattern_db(smooth, 0, 16)[0] < 3


def test_radial_power_of_a_wave_lies_in_its_ring():
    wave = np.cos(2 * np.pi * 0.3 * np.arange(64))[:, None, None] * np.ones((1, 64, 3))
    power = spectra.radial_power(wave, 2, np.arange(3))
    assert spectra.ring_centres()[int(power.argmax())] == pytest.approx(0.6, abs=0.02)


def test_the_examples_hold():
    assert doctest.testmod(spectra).failed == 0 and doctest.testmod(spectra).attempted >= 2
