"""Detail: what an image holds beyond the frequencies of a coarser scan, against k-space of its mirrored self."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mdcsrn_tf.errors import UserError
from mdcsrn_tf.inference.decision import Decision
from mdcsrn_tf.inference.detail import check_detail, strength_of_original, with_detail
from mdcsrn_tf.scans.kspace import acquire, interpolate, small_affine
from mdcsrn_tf.scans.kspace_check import AxisFinding, examine_axis
from mdcsrn_tf.scans.volumes import read_volume

ROOT = Path(__file__).resolve().parents[2]
SMALL = Decision(grid="small", axes=(0, 1), names=("LR", "AP"), factors=(2, 2), findings=(), anatomical=True)


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
    check_detail("auto", SMALL, "tiny")
    for strength in (-0.1, 4.1, float("nan")):
        with pytest.raises(UserError, match="must be from 0"):
            check_detail(strength, SMALL, "tiny")
    for axes, factors in (((2,), (2,)), ((0, 1), (2, 3)), ((0, 1, 2), (2, 2, 2))):
        with pytest.raises(UserError, match="beyond 2x along two axes"):
            check_detail("auto", replace(SMALL, axes=axes, factors=factors), "tiny")


@pytest.fixture(scope="module")
def pair():
    """The demo's original, and its small matrix as a volume of its own."""
    high = read_volume(ROOT / "demo" / "hr.nii.gz")
    small = acquire(high.data.astype(np.float32), (2, 2), (0, 1))
    return high, replace(high, data=small, affine=small_affine(high.affine, (2, 2), (0, 1)))


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


@pytest.mark.parametrize("method", ["sinc", "linear"])
def test_an_interpolated_scan_tells_what_its_small_matrix_tells(pair, method):
    high, small = pair
    image = high.data.astype(np.float32)
    blurred = image - 0.4 * beyond(image, (0, 1), (2, 2))
    on_grid = interpolate(small.data, image.shape, (2, 2), (0, 1), method).astype(np.float32)
    findings = tuple(examine_axis(on_grid, axis, 2) for axis in (0, 1))
    assert [finding.method for finding in findings] == [method, method]
    same = replace(SMALL, grid="same", findings=findings)
    expected = strength_of_original(blurred, high.affine, small, SMALL)
    told = strength_of_original(blurred, high.affine, replace(high, data=on_grid), same)
    assert told == pytest.approx(expected, rel=0.02)
    # Of an axis that tells nothing, what the user said of it is taken.
    untold = replace(same, findings=(AxisFinding(None), AxisFinding(None)))
    if method == "sinc":
        assert strength_of_original(blurred, high.affine, replace(high, data=on_grid), untold) == pytest.approx(
            expected, rel=0.02
        )


def test_a_scan_of_few_slices_is_not_asked(pair):
    high, small = pair
    few = replace(small, data=small.data[:, :, :15])
    with pytest.raises(UserError, match=r"at least 16 samples along every axis, and here are 62x80x15"):
        strength_of_original(high.data[:, :, :15].astype(np.float32), high.affine, few, SMALL)
