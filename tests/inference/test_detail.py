"""Detail: what an image holds beyond the frequencies of a coarser scan, against k-space of its mirrored self."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from mdcsrn_tf.errors import UserError
from mdcsrn_tf.inference.decision import Decision
from mdcsrn_tf.inference.detail import (
    check_detail,
    doubts_about,
    original_of,
    remarks_on,
    strength_towards,
    with_detail,
)
from mdcsrn_tf.scans.kspace import acquire, add_noise, interpolate, low_pass_axis, small_affine
from mdcsrn_tf.scans.kspace_check import AxisFinding, examine_axis
from mdcsrn_tf.scans.volumes import read_volume

ROOT = Path(__file__).resolve().parents[2]
MEASURED = AxisFinding(None)
SMALL = Decision("small", (0, 1), (2, 2), ("LR", "AP"), findings=(MEASURED, MEASURED), anatomical=True)


def beyond(image, axes, factors):
    """By Fourier transforms of the image and its mirror image, end to end along every axis."""
    twice = np.pad(image.astype(np.float64), [(0, n) for n in image.shape], mode="symmetric")
    spectrum = np.fft.fftn(twice)
    for axis, factor in zip(axes, factors, strict=True):
        cycles = np.round(np.abs(np.fft.fftfreq(twice.shape[axis], 1 / twice.shape[axis])))
        outside = cycles >= round(image.shape[axis] / factor)
        shape = [1, 1, 1]
        shape[axis] = -1
        spectrum = np.where(outside.reshape(shape), 0, spectrum)
    measured = np.fft.ifftn(spectrum).real[tuple(slice(n) for n in image.shape)]
    return image - measured


@pytest.mark.parametrize(
    ("axes", "factors"), [((0, 1), (2, 2)), ((2,), (3,)), ((1,), (2.5,)), ((0, 2), (1, 4))], ids=str
)
def test_detail_is_multiplied_and_nothing_else(axes, factors):
    image = np.random.default_rng(3).normal(100, 20, (12, 15, 14)).astype(np.float32)
    detail = beyond(image, axes, factors)
    assert np.abs(detail).max() > 5
    for strength in (0, 1, 1.6):
        expected = image + (strength - 1) * detail
        np.testing.assert_allclose(with_detail(image, strength, axes, factors), expected, atol=1e-3)


def test_strengths_that_mean_nothing_are_refused():
    check_detail(0.0, SMALL, "tiny")
    check_detail(4.0, SMALL, "tiny")
    check_detail(np.float32(1.5), SMALL, "tiny")
    check_detail("auto", SMALL, "tiny")
    for strength in (-0.1, 4.1, float("nan")):
        with pytest.raises(UserError, match="must be from 0"):
            check_detail(strength, SMALL, "tiny")
    for strength in ("loud", None):
        with pytest.raises(UserError, match=f"--detail={strength} must be from 0"):
            check_detail(strength, SMALL, "tiny")
    for axes, factors, asked in (((1,), (2,), "2x along AP"), ((0, 1), (3, 3), "3x along LR and AP")):
        decision = replace(SMALL, axes=axes, factors=factors, names=SMALL.names[-len(axes) :])
        with pytest.raises(UserError, match=f"beyond 2x along two axes, not beyond {asked};"):
            check_detail("auto", decision, "tiny")


@pytest.fixture(scope="module")
def pair():
    """The demo's original, and its small matrix as a volume of its own."""
    high = read_volume(ROOT / "demo" / "hr.nii.gz")
    small = acquire(high.data.astype(np.float32), (2, 2), (0, 1))
    return high, replace(high, data=small, affine=small_affine(high.affine, (2, 2), (0, 1)))


def strength_of_original(image, affine, volume, decision):
    return strength_towards(original_of(volume, decision), image, affine, decision)


def test_a_blurred_result_gets_nearly_the_power_of_its_original(pair):
    high, small = pair
    image = high.data.astype(np.float32)
    detail = beyond(image, (0, 1), (2, 2))
    for left in (0.5, 0.6, 1.0):  # of the detail, as a network leaves it
        strength = strength_of_original(image + (left - 1) * detail, high.affine, small, SMALL)
        assert 20 * np.log10(left * strength) == pytest.approx(-0.75, abs=0.5)


def test_no_result_gets_more_than_the_limits(pair):
    high, small = pair
    image = high.data.astype(np.float32)
    detail = beyond(image, (0, 1), (2, 2))
    for times, strength in ((0.0, 2.2), (0.2, 2.2), (3.0, 0.8)):
        assert strength_of_original(image + (times - 1) * detail, high.affine, small, SMALL) == strength


def blurred(image, factors=(2, 2)):
    """As a network leaves it: 0.6 of the detail."""
    return image - 0.4 * beyond(image, (0, 1), factors)


@pytest.mark.parametrize("method", ["sinc", "linear"])
def test_an_interpolated_scan_tells_what_its_small_matrix_tells(pair, method):
    high, small = pair
    image = high.data.astype(np.float32)
    on_grid = interpolate(small.data, image.shape, (2, 2), (0, 1), method).astype(np.float32)
    findings = tuple(examine_axis(on_grid, axis, 2) for axis in (0, 1))
    assert [finding.method for finding in findings] == [method, method]
    same = replace(SMALL, grid="same", findings=findings)
    expected = strength_of_original(blurred(image), high.affine, small, SMALL)
    told = strength_of_original(blurred(image), high.affine, replace(high, data=on_grid), same)
    assert told == pytest.approx(expected, rel=0.02)


# Cut out of a scan, whose ends do not meet, and the whole.
@pytest.mark.parametrize("cut", [(slice(30, 94), slice(40, 120)), (slice(None), slice(None))], ids=["cut", "whole"])
def test_of_an_axis_that_tells_nothing_half_is_taken_as_measured_without_aliasing(pair, cut):
    high, _ = pair
    image = high.data[cut].astype(np.float32)
    untold = replace(SMALL, grid="same")
    told = strength_of_original(blurred(image), high.affine, replace(high, data=image), untold)
    assert 20 * np.log10(0.6 * told) == pytest.approx(-0.75, abs=0.5)


@pytest.mark.parametrize("phase_resolution", [0.9, 0.8])
def test_a_small_matrix_that_was_filled_up_with_zeros_is_taken_back(pair, phase_resolution):
    high, small = pair
    image = high.data.astype(np.float32)
    filled = np.abs(low_pass_axis(small.data, round(phase_resolution * small.data.shape[1]), 1))
    findings = tuple(examine_axis(filled, axis) for axis in (0, 1))
    assert (findings[0].method, findings[1].method) == (None, "sinc")
    result = blurred(image, (2, 2 / phase_resolution))
    told = strength_of_original(result, high.affine, replace(small, data=filled), replace(SMALL, findings=findings))
    assert 20 * np.log10(0.6 * told) == pytest.approx(-0.75, abs=0.6)


def gaussian(small):
    return ndimage.gaussian_filter(small, (0.5, 0.5, 0.5))


def elliptical(small):
    spectrum = np.fft.fftn(small, axes=(0, 1))
    radius = np.hypot(*np.meshgrid(*(np.fft.fftfreq(size) / 0.5 for size in small.shape[:2]), indexing="ij"))
    return np.abs(np.fft.ifftn(spectrum * (radius < 1)[:, :, None], axes=(0, 1))).astype(np.float32)


def noisy(small):
    return add_noise(small, 10, np.random.default_rng(1)).astype(np.float32)


@pytest.mark.parametrize(("spoiled", "why"), [(gaussian, "filtered"), (elliptical, "filtered"), (noisy, "noise")])
def test_a_scan_that_does_not_tell_says_so_and_leaves_the_detail_alone(pair, spoiled, why):
    high, small = pair
    original = original_of(replace(small, data=spoiled(small.data)), SMALL)
    assert strength_towards(original, blurred(high.data.astype(np.float32)), high.affine, SMALL) == 1
    (sentence,) = doubts_about(original, 1.0)
    assert why in sentence and "leaves the detail as the network restored it" in sentence


def weighted(small, window):
    """What was measured along two axes, weighted by a function of the share of the highest frequency."""
    for axis in (0, 1):
        size = small.shape[axis]
        shape = [1, 1, 1]
        shape[axis] = size
        weights = window(np.abs(np.fft.fftfreq(size, 0.5))).reshape(shape)
        small = np.fft.ifft(np.fft.fft(small, axis=axis) * weights, axis=axis).real
    return np.abs(small).astype(np.float32)


def windowed(small, lowest):
    """Filtered by a raised cosine that falls to `lowest`: Hamming's, to 0.08."""
    return weighted(small, lambda share: (1 + lowest) / 2 + (1 - lowest) / 2 * np.cos(np.pi * share))


@pytest.mark.parametrize(("lowest", "count"), [(1.0, 0), (0.6, 0), (0.08, 1)])
def test_a_scan_that_was_filtered_strongly_is_told_to_gain_little(pair, lowest, count):
    volume = pair[1]
    found = remarks_on(replace(volume, data=windowed(volume.data, lowest)), SMALL, None, 1.0)
    assert ["as a strong filter makes it fall" in sentence for sentence in found] == [True] * count
    assert remarks_on(replace(volume, data=elliptical(volume.data)), SMALL, None, 1.0) == (), "an ellipse is no filter"
    thick = replace(SMALL, axes=(2,), factors=(3,), names=("IS",), findings=(MEASURED,))
    assert remarks_on(volume, thick, None, 1.0) == ()


@pytest.mark.parametrize(
    ("window", "count"),
    [(lambda share: 0.5 + 0.5 * np.cos(np.pi * np.clip(2 * share - 1, 0, 1)), 1), (lambda share: share <= 0.85, 0)],
    ids=["tukey", "zero-filled"],
)
def test_so_is_one_whose_edge_a_filter_has_emptied(pair, window, count):
    """It seems to be zero-filled, as the other is."""
    volume = replace(pair[1], data=weighted(pair[1].data, window))
    findings = tuple(examine_axis(volume.data, axis) for axis in SMALL.axes)
    assert [finding.method for finding in findings] == ["sinc", "sinc"]
    found = remarks_on(volume, replace(SMALL, findings=findings), None, 1.0)
    assert ["as a strong filter makes it fall" in sentence for sentence in found] == [True] * count


def test_the_limit_is_told(pair):
    original = original_of(pair[1], SMALL)
    assert doubts_about(original, 2.1) == ()
    assert "ask for more than 2.2 times the detail" in doubts_about(original, 2.2)[0]
    assert "ask for less than 0.8 times the detail" in doubts_about(original, 0.8)[0]


def test_a_scan_of_few_slices_is_not_asked(pair):
    high, small = pair
    few = replace(small, data=small.data[:, :, :15])
    with pytest.raises(UserError, match=r"at least 16 samples along every axis, and here are 62x80x15"):
        strength_of_original(high.data[:, :, :15].astype(np.float32), high.affine, few, SMALL)
    slice_ = high.data[60:61]
    with pytest.raises(UserError, match=r"at least 16 samples along every axis, and here are 1x80x"):
        original_of(replace(high, data=slice_), replace(SMALL, grid="same"))
    np.testing.assert_allclose(with_detail(slice_, 0, [0], [2]), slice_, rtol=1e-6)  # its mean is no detail
