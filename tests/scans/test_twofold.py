"""Scans on a grid of two voxels a sample: against NumPy's own Fourier transforms and interpolation, there and back."""

import numpy as np
import pytest

from mdcsrn_tf.scans.kspace_check import AxisFinding
from mdcsrn_tf.scans.resampling import Sampling, ends_meet
from mdcsrn_tf.scans.twofold import Stored, TwofoldGrid, twofold_grid
from mdcsrn_tf.scans.volume import Volume, new_header


def grid_of(sampling, method="sinc"):
    return TwofoldGrid((Stored(method, sampling), None, None))


def zero_filled(samples, size):
    """The first axis of real samples on `size` voxels, an odd number of samples in the middle of its k-space."""
    spectrum = np.fft.fftshift(np.fft.fft(samples, axis=0), axes=0)
    before = size // 2 - len(samples) // 2
    padded = np.pad(spectrum, [(before, size - len(samples) - before), (0, 0), (0, 0)])
    return np.fft.ifft(np.fft.ifftshift(padded, axes=0), axis=0).real * size / len(samples)


@pytest.mark.parametrize(("count", "size"), [(21, 32), (25, 43), (15, 37)])  # 1.52, 1.72 and 2.47 voxels a sample
def test_samples_lose_nothing_on_the_way_there_and_back(count, size):
    samples = np.random.default_rng(count).normal(100, 20, (count, 6, 5)).astype(np.float32)
    stored, twofold = zero_filled(samples, size), zero_filled(samples, 2 * count)
    assert ends_meet(stored, 0)
    grid = grid_of(Sampling(size, size / count))
    np.testing.assert_allclose(grid.enter(stored), twofold, atol=1e-3)
    np.testing.assert_allclose(grid.leave(twofold), stored, atol=1e-3)
    assert grid.stored_shape(twofold.shape) == stored.shape


def test_a_result_is_shown_with_what_was_not_measured():
    result = np.random.default_rng(1).normal(100, 20, (43, 6, 5))
    grid = grid_of(Sampling(43, 43 / 25))
    np.testing.assert_allclose(grid.shown(result), zero_filled(result, 50), atol=1e-3)
    assert np.abs(grid.enter(result) - zero_filled(result, 50)).max() > 10  # only what was measured of it


def test_voxels_stay_where_they_are():
    affine = np.array([[0.0, 0, 2, 5], [0.9, 0, 0, -3], [0, 1.2, 0, 7], [0, 0, 0, 1]])
    data = np.random.default_rng(0).normal(size=(30, 8, 6)).astype(np.float32)
    stored = Volume(data, affine, "scan.nii", new_header(affine), data.dtype)
    volume = grid_of(Sampling(30, 1.5)).volume(stored)
    assert volume.data.shape == (40, 8, 6)
    for on_stored, on_twofold in ((0, 0), (3, 4), (27, 36)):  # three voxels are two samples, and those four voxels
        places = affine @ [on_stored, 5, 2, 1], volume.affine @ [on_twofold, 5, 2, 1]
        np.testing.assert_allclose(*places, atol=1e-9)
    assert TwofoldGrid().volume(stored) is stored and not TwofoldGrid()


@pytest.mark.parametrize(
    ("method", "step", "brought"),
    [
        ("sinc", 1.5, True),
        ("sinc", 1.75, True),
        ("sinc", 2.5, True),
        ("sinc", 2.0, False),
        ("sinc", 181 / 90, False),
        ("sinc", 3.0, True),
        ("sinc", 4 / 3, False),
        ("sinc", 4.5, False),
        ("linear", 1.5, True),
        ("cubic", 2.4, True),
        ("nearest", 3.0, True),
        ("linear", 2.0, False),
        ("unknown", 1.5, False),
        (None, None, False),
    ],
)
def test_axes_that_were_interpolated_by_another_factor_are_brought_there(method, step, brought):
    finding = AxisFinding(method, Sampling(180, step) if step else None)
    grid = twofold_grid((AxisFinding(None), finding, AxisFinding("linear", Sampling(90, 2.0))))
    assert grid.axes == (None, Stored(method, finding.sampling) if brought else None, None)
    if brought:
        found = grid.findings((AxisFinding(None), finding, AxisFinding(None)))
        assert found[1].method == "sinc" and found[1].factor == 2 and found[1].as_stored is finding


@pytest.mark.parametrize(("other", "brought"), [(1.5, True), (2.0, True), (1.42, False)])
def test_an_axis_of_a_little_less_goes_with_one_of_enough(other, brought):
    findings = [AxisFinding("sinc", Sampling(180, step)) for step in (1.4, other)]
    grid = twofold_grid((*findings, AxisFinding(None)))
    assert (grid.axes[0] is not None) == brought


def test_odd_sizes_are_twofold_as_kspace_truncates_them():
    findings = tuple(AxisFinding("sinc", Sampling(size, size / (size // 2))) for size in (25, 39, 181))
    assert not twofold_grid(findings)


def test_a_network_of_several_factors_gets_those_and_what_is_between_them_as_they_are():
    findings = tuple(AxisFinding("sinc", Sampling(180, step)) for step in (3.0, 2.5, 1.8))
    assert [bool(one) for one in twofold_grid(findings, {2, 3, 4, 5}).axes] == [False, False, True]
    assert [bool(one) for one in twofold_grid(findings).axes] == [True, True, True]


PLACES = [Sampling(48, 1.6), Sampling(48, 1.6, 0.9), Sampling(48, 2.4, 0.7), Sampling(48, 3.0, 1.0)]


@pytest.mark.parametrize("sampling", PLACES)
def test_linear_samples_are_brought_to_where_they_lie_and_the_result_back(sampling):
    """Waves of the third and the fifth of a field of view of 96 voxels, sampled, drawn linearly, and read anywhere."""

    def waves(voxels):
        return 9 + np.sin(2 * np.pi * 3 * (voxels + 5) / 96) + np.cos(2 * np.pi * 5 * (voxels + 5) / 96)

    samples = sampling.first + np.arange(-1, sampling.count + 2) * sampling.step
    stored = np.interp(np.arange(48), samples, waves(samples))[:, None, None]
    grid = grid_of(sampling, "linear")
    assert np.abs(stored[:, 0, 0] - waves(np.arange(48))).max() > 0.02
    volume = grid.volume(Volume(stored, np.eye(4), "scan.nii", new_header(np.eye(4)), stored.dtype))
    twofold = volume.affine[0, 3] + volume.affine[0, 0] * np.arange(len(volume.data))
    middle = (twofold > 10) & (twofold < 38)
    np.testing.assert_allclose(volume.data[middle, 0, 0], waves(twofold[middle]), atol=0.02)
    back = grid.leave(waves(twofold)[:, None, None])[10:38, 0, 0]
    np.testing.assert_allclose(back, waves(np.arange(10, 38)), atol=0.02)
    shown = grid.shown(waves(np.arange(48.0))[:, None, None])[middle, 0, 0]
    np.testing.assert_allclose(shown, waves(twofold[middle]), atol=0.02)
    assert not grid.is_zero_filled and grid_of(sampling).is_zero_filled


@pytest.mark.parametrize(
    ("sampling", "method", "beyond"),
    [
        (Sampling(12, 2.5, 1.7), "linear", [0, 1]),  # the last sample at 11.7
        (Sampling(12, 3.0, 0.5), "linear", [0, 10, 11]),  # and at 9.5
        (Sampling(12, 3.0, 2.0), "nearest", [0, 1]),
        (Sampling(12, 1.5), "linear", []),
    ],
)
def test_voxels_before_the_first_and_behind_the_last_sample_are_told(sampling, method, beyond):
    told = grid_of(sampling, method).beyond_samples((12, 3, 2))
    assert np.flatnonzero(told.any(axis=(1, 2))).tolist() == beyond
    assert np.array_equal(told.any(axis=(1, 2)), told.all(axis=(1, 2)))
