"""The phantom has the properties that make it a stand-in for a head."""

import numpy as np
import pytest

from data_prep.phantom import make_phantom
from mdcsrn_tf.scans import kspace


def psnr(reference, image):
    return 10 * np.log10(float(reference.max()) ** 2 / np.mean((reference - image) ** 2, dtype=np.float64))


@pytest.fixture(scope="module")
def head():
    return make_phantom((96, 108, 90), seed=4)


def test_it_is_a_function_of_shape_and_seed(head):
    assert head.shape == (96, 108, 90) and head.dtype == np.float32
    np.testing.assert_array_equal(head, make_phantom((96, 108, 90), seed=4))
    assert np.abs(head - make_phantom((96, 108, 90), seed=5)).mean() > 20


def test_air_holds_rayleigh_noise_and_tissue_has_levels(head):
    corner = head[:8, :8, :8]
    assert corner.mean() == pytest.approx(20 * np.sqrt(np.pi / 2), rel=0.05)  # sigma is 2 % of white matter's 1000
    assert corner.std() == pytest.approx(20 * np.sqrt(2 - np.pi / 2), rel=0.1)
    inside = head[20:-20, 20:-20, 20:-20]
    histogram, edges = np.histogram(inside, bins=60, range=(0, 1300))
    peaks = [
        edges[i]
        for i in range(1, 59)
        if histogram[i] > histogram[i - 1] and histogram[i] >= histogram[i + 1] and histogram[i] > 0.01 * inside.size
    ]
    assert any(500 < peak < 750 for peak in peaks) and any(900 < peak < 1150 for peak in peaks)  # grey, white


def test_methods_rank_on_it_as_on_scans(head):
    scores = [psnr(head, kspace.degrade(head, (2, 2), (0, 1), method)) for method in kspace.METHODS]
    assert scores == sorted(scores) and scores[-1] - scores[1] > 1.5
    assert 26 < scores[1] < 38


def test_it_has_detail_up_to_nyquist(head):
    power = np.abs(np.fft.rfft(head - head.mean(), axis=0)) ** 2
    profile = power.mean(axis=(1, 2))
    noise = 2 * 20**2 * 96 / 2
    assert profile[len(profile) * 3 // 4 : -2].mean() > 2 * noise


@pytest.mark.parametrize("shape", [(40, 40, 40), (33, 41, 52)])
def test_small_and_odd_sizes(shape):
    head = make_phantom(shape, seed=0)
    assert head.shape == shape and np.isfinite(head).all() and head.std() > 100
