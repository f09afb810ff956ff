"""Zero-filled scans on a grid of two voxels a sample: against NumPy's own Fourier transforms, there and back."""

import numpy as np
import pytest

from mdcsrn_tf.scans.kspace_check import AxisFinding
from mdcsrn_tf.scans.resampling import Sampling, ends_meet
from mdcsrn_tf.scans.twofold import TwofoldGrid, twofold_grid
from mdcsrn_tf.scans.volume import Volume, new_header


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
    grid = TwofoldGrid((Sampling(size, size / count), None, None))
    np.testing.assert_allclose(grid.enter(stored), twofold, atol=1e-3)
    np.testing.assert_allclose(grid.leave(twofold), stored, atol=1e-3)
    assert grid.stored_shape(twofold.shape) == stored.shape


def test_a_result_is_shown_with_what_was_not_measured():
    result = np.random.default_rng(1).normal(100, 20, (43, 6, 5))
    grid = TwofoldGrid((Sampling(43, 43 / 25), None, None))
    np.testing.assert_allclose(grid.shown(result), zero_filled(result, 50), atol=1e-3)
    assert np.abs(grid.enter(result) - zero_filled(result, 50)).max() > 10  # only what was measured of it


def test_voxels_stay_where_they_are():
    affine = np.array([[0.0, 0, 2, 5], [0.9, 0, 0, -3], [0, 1.2, 0, 7], [0, 0, 0, 1]])
    data = np.random.default_rng(0).normal(size=(30, 8, 6)).astype(np.float32)
    stored = Volume(data, affine, "scan.nii", new_header(affine), data.dtype)
    volume = TwofoldGrid((Sampling(30, 1.5), None, None)).volume(stored)
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
        ("linear", 1.5, False),
        ("unknown", 1.5, False),
        (None, None, False),
    ],
)
def test_axes_that_were_filled_with_zeros_by_another_factor_are_brought_there(method, step, brought):
    finding = AxisFinding(method, Sampling(180, step) if step else None)
    grid = twofold_grid((AxisFinding(None), finding, AxisFinding("linear", Sampling(90, 2.0))))
    assert grid.samplings == (None, finding.sampling if brought else None, None)
    if brought:
        found = grid.findings((AxisFinding(None), finding, AxisFinding(None)))
        assert found[1].factor == 2 and found[1].evidence["stored_factor"] == step


@pytest.mark.parametrize(("other", "brought"), [(1.5, True), (2.0, True), (1.42, False)])
def test_an_axis_of_a_little_less_goes_with_one_of_enough(other, brought):
    findings = [AxisFinding("sinc", Sampling(180, step)) for step in (1.4, other)]
    grid = twofold_grid((*findings, AxisFinding(None)))
    assert (grid.samplings[0] is not None) == brought


def test_odd_sizes_are_twofold_as_kspace_truncates_them():
    findings = tuple(AxisFinding("sinc", Sampling(size, size / (size // 2))) for size in (25, 39, 181))
    assert not twofold_grid(findings)


def test_a_network_that_knows_3_gets_3_as_it_is():
    findings = tuple(AxisFinding("sinc", Sampling(180, step)) for step in (3.0, 2.5, 2.0))
    assert [bool(one) for one in twofold_grid(findings, {2, 3, 4, 5}).samplings] == [False, True, False]
    assert [bool(one) for one in twofold_grid(findings).samplings] == [True, True, False]
