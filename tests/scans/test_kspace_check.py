"""How a scan came to its grid, found on a real crop: by method, factor, phase, through rounding, cropping, masking."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import scipy.linalg
import scipy.ndimage
import scipy.signal

from mdcsrn_tf.scans import kspace
from mdcsrn_tf.scans.kspace_check import _lost, examine_axis
from mdcsrn_tf.scans.resampling import Sampling, basis

CROP = nib.load(Path(__file__).parents[1] / "golden" / "real_crop.nii.gz").get_fdata(dtype=np.float32)


def eight_bits(volume):
    return np.rint(np.clip(volume / volume.max() * 255, 0, 255)).astype(np.float32)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_full_scan_is_called_so(axis):
    assert examine_axis(CROP, axis).method is None


@pytest.mark.parametrize("method", kspace.METHODS)
@pytest.mark.parametrize("factor", [2, 3])
@pytest.mark.parametrize("stored", ["float", "8 bits"])
def test_every_interpolation_is_recognised(method, factor, stored):
    low = kspace.degrade(CROP, (factor,), (1,), method)
    found = examine_axis(eight_bits(low) if stored == "8 bits" else low, 1)
    assert (found.method, found.whole_factor) == (method, factor), found
    assert examine_axis(low, 0).method is None


@pytest.mark.parametrize("method", ["linear", "cubic"])
def test_turned_over_and_cropped_scans_show_their_phase(method):
    low = eight_bits(kspace.degrade(CROP, (2,), (0,), method))
    assert examine_axis(low[::-1], 0).sampling.first == 1.0
    assert examine_axis(low[5:], 0).sampling.first == 1.0
    assert examine_axis(low[4:-3], 0).sampling.first == 0.0


def drawn(step, first, order, size=64):
    """The crop's first axis from samples at `first + i * step`, drawn linearly (order 1) or cubically (3) by SciPy."""
    samples = scipy.signal.resample(CROP, round(len(CROP) / step), axis=0)
    places = (np.arange(size) - first) / step
    return scipy.ndimage.map_coordinates(
        samples, np.meshgrid(places, *map(np.arange, samples.shape[1:]), indexing="ij"), order=order, mode="mirror"
    )


@pytest.mark.parametrize(("order", "method"), [(1, "linear"), (3, "cubic")])
@pytest.mark.parametrize(("step", "first"), [(1.4, 0.6), (1.5, 0.0), (1.75, 0.375), (2.0, 0.25), (2.6, 1.1)])
def test_steps_that_are_no_whole_voxels_are_found(order, method, step, first):
    low = drawn(step, first, order)
    for stored in (low, eight_bits(low)):
        found = examine_axis(stored, 0)
        assert found.method == method
        assert found.factor == pytest.approx(step, rel=2e-3) and found.sampling.first == pytest.approx(first, abs=0.05)


def test_a_step_is_sought_near_the_factor_that_is_named():
    low = drawn(2.0, 0.25, 1)
    assert examine_axis(low, 0, 2).method == "linear"
    assert examine_axis(low, 0, 3).method in (None, "unknown")


def test_of_blocks_that_fit_as_well_the_whole_steps_are_taken():
    """The first three voxels, a block and a half, tell a stretched grid from no whole one."""
    t2w = nib.load(Path(__file__).parents[1] / "golden" / "real_crop_t2w.nii.gz").get_fdata(dtype=np.float32)
    for crop in (CROP[:48], t2w):
        sampling = examine_axis(kspace.degrade(crop, (2,), (0,), "nearest")[3:-5], 0).sampling
        assert (sampling.step, sampling.first) == (2.0, 1.0)


def test_magnitudes_after_zero_filling_and_masks_hide_nothing():
    small = kspace.truncate(CROP, (2,), (1,))
    magnitude = np.abs(kspace.interpolate(small, CROP.shape, (2,), (1,), "sinc"))
    assert examine_axis(magnitude, 1).method == "sinc"
    masked = np.where(np.linalg.norm(np.indices(CROP.shape) - 30.0, axis=0) < 26, magnitude, 0)
    assert examine_axis(masked, 1).method == "sinc"


def test_any_amount_of_zero_filling_is_measured():
    """Three quarters of k-space, as a phase resolution of 75 % gives."""
    small = kspace.resize_axis(CROP, 64, 1, "sinc")
    low = kspace.low_pass_axis(small, 48, 1)
    found = examine_axis(low, 1)
    assert found.method == "sinc" and abs(found.factor - 64 / 48) < 0.06


@pytest.mark.parametrize("size", [32, 40])
def test_short_axes_have_to_show_a_higher_cliff(size):
    """A full scan's few slices, smooth as they are, were taken for zero-filled ones."""
    strength = np.repeat([5.0, 1.0, 0.16], [size // 6, size // 6, size // 2 + 1 - size // 6 * 2])  # 14 dB, then 16
    phases = np.exp(2j * np.pi * np.random.default_rng(0).random((20, 20, len(strength))))
    cliff = 100 + np.fft.irfft(strength * phases, n=size, axis=2)
    assert examine_axis(cliff, 2).method != "sinc"
    filled = kspace.degrade(CROP[..., :size], (2,), (2,), "sinc")
    assert (examine_axis(filled, 2).method, examine_axis(filled, 2).whole_factor) == ("sinc", 2)


def test_what_cannot_be_examined_says_so():
    assert not examine_axis(np.zeros((40, 40, 40), np.float32), 0).examined
    assert not examine_axis(CROP[:12], 0).examined


@pytest.mark.parametrize("size", [18, 24])
def test_no_step_is_told_from_a_few_samples(size):
    """Between the ends, where nothing is assumed, some phases have no voxel: they lose no figure."""
    places = np.arange(size) / 2.4
    below, part = places.astype(int), (places % 1)[:, None, None]
    with np.errstate(all="raise"):
        found = examine_axis(CROP[below] * (1 - part) + CROP[below + 1] * part, 0)
    assert np.isfinite(list(found.evidence.values())).all()


def test_a_few_lines_without_contrast_tell_nothing():
    """Of 900 lines every ninth is looked at first; here those are the empty ones."""
    volume = np.zeros((60, 60, 64), np.float32)
    lines = volume[15:45, 15:45].reshape(900, 64)
    lines[:] = drawn(2.4, 0.0, 1).reshape(64, -1)[:, 1000:1900].T
    lines[::9] = 0
    volume[15:45, 15:45] = lines.reshape(30, 30, 64)
    assert examine_axis(volume, 2).method != "sinc"


def test_an_axis_along_which_nothing_changes_shows_no_cliff():
    for same in (
        np.repeat(CROP[:, :, 30:31], 48, axis=2),
        np.full((6, 6, 80), 1e6 / 3) * np.arange(1, 7)[:, None, None],
    ):
        with np.errstate(all="raise"):
            assert examine_axis(same, 2).method == "unknown"


@pytest.mark.parametrize("method", ["nearest", "linear", "cubic"])
@pytest.mark.parametrize("begin", [0, 16])
def test_what_a_fit_loses_is_least_squares(method, begin):
    """Against SciPy's dense solver, of the samples that these voxels show at all."""
    lines = np.random.default_rng(3).standard_normal((5, 32))
    sampling = Sampling(begin + 32 + begin, 2.0, 1.0)
    voxels = np.arange(begin, begin + 32)
    between = voxels[voxels >= 1]  # from the first sample to the last, on voxel 31 of 32
    values = lines[:, between - begin].T
    dense = basis(sampling, method)[between]
    dense = dense[:, dense.max(axis=0) > 0]
    rest = values - dense @ scipy.linalg.lstsq(dense, values)[0]
    counted = (between > between[0] + 2 * 3) & (between < between[-1] - 2 * 3)  # three samples at either end
    assert _lost(lines, begin, sampling, method) == pytest.approx(np.sqrt(np.mean(rest[counted] ** 2)), rel=1e-9)
