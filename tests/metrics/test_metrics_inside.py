"""Figures inside a mask: against scikit-image's own map, by hand, and under attack by air."""

import math
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage
from skimage.metrics import structural_similarity

from mdcsrn_tf.metrics.fidelity import slice_scores, volume_scores
from mdcsrn_tf.metrics.inside import slice_scores_inside, volume_scores_inside
from mdcsrn_tf.scans.head import head_mask

X = np.load(Path(__file__).parents[1] / "golden" / "eval_scans.npz")["sub07_crop"].astype(np.float32)
Y = ndimage.gaussian_filter(X, 0.8)
MASK = head_mask(X)
PEAK = float(X.max())
GAUSSIAN = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}


def skimage_inside(x, y, mask, radius=5):
    """scikit-image's whole map, averaged over the mask where windows lie inside the picture; air from the reference."""
    x, y = x.astype(float), np.where(mask, y, x).astype(float)
    similarity = structural_similarity(x, y, data_range=PEAK, full=True, **GAUSSIAN)[1]
    middle = (slice(radius, -radius),) * x.ndim
    return similarity[middle][mask[middle]].mean()


def test_by_hand():
    reference = np.zeros((1, 12, 12))
    reference[0, 5:7, 5:7] = [[3, 4], [0, 0]]
    image, mask = reference.copy(), reference > -1
    image[0, 5, 6] = 2.0
    image[0, 0, 0] = 99.0  # air
    mask[:] = False
    mask[0, 5:7, 5:7] = True
    found = slice_scores_inside(reference, image, mask, 0, data_range=4.0)
    assert found["psnr"][0] == pytest.approx(10 * math.log10(16 / 1.0))  # one error of 2 over four voxels
    assert found["nrmse"][0] == pytest.approx(2 / 5)
    assert slice_scores_inside(reference, image, mask, 0, data_range=4.0, denominator="range")["nrmse"][0] == 0.25


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_slices_equal_scikit_image(axis):
    x, y, mask = X[:40, :34], Y[:40, :34], MASK[:40, :34]
    found = slice_scores_inside(x, y, mask, axis, data_range=PEAK, threads=2)
    for k in range(0, x.shape[axis], 5):
        one, two, inside = x.take(k, axis), y.take(k, axis), mask.take(k, axis)
        if not inside.any():
            assert np.isnan([found[name][k] for name in found]).all()
            continue
        error = np.mean((one[inside].astype(float) - two[inside]) ** 2)
        assert found["psnr"][k] == pytest.approx(10 * np.log10(PEAK**2 / error), abs=1e-6)
        assert found["nrmse"][k] == pytest.approx(np.sqrt(error / np.mean(one[inside].astype(float) ** 2)), abs=1e-6)
        if inside[5:-5, 5:-5].any():
            assert found["ssim"][k] == pytest.approx(skimage_inside(one, two, inside), abs=1e-6)


def test_volumes_equal_scikit_image_slab_by_slab(monkeypatch):
    monkeypatch.setattr("mdcsrn_tf.metrics.fidelity.SLAB_VOXELS", 10_000)
    found = volume_scores_inside(X, Y, MASK, data_range=PEAK, threads=2)
    error = np.mean((X[MASK].astype(float) - Y[MASK]) ** 2)
    assert found["psnr"] == pytest.approx(10 * np.log10(PEAK**2 / error), abs=1e-6)
    assert found["nrmse"] == pytest.approx(np.sqrt(error / np.mean(X[MASK].astype(float) ** 2)), abs=1e-6)
    assert found["ssim"] == pytest.approx(skimage_inside(X, Y, MASK), abs=1e-6)


def test_air_changes_nothing():
    x, y, mask = (np.pad(array, [(20, 20), (20, 20), (0, 0)]) for array in (X, Y, MASK))
    hiss = np.where(mask, y, 40 * np.random.default_rng(0).random(x.shape, dtype=np.float32))
    dark = np.where(mask, y, 0)
    for measure in (volume_scores_inside, lambda *a, **s: slice_scores_inside(*a, 2, **s)):
        clean, noisy, zeroed = (measure(x, image, mask, data_range=PEAK) for image in (y, hiss, dark))
        for name in clean:
            np.testing.assert_array_equal(clean[name], noisy[name])
            np.testing.assert_array_equal(clean[name], zeroed[name])
    plain = [volume_scores(x, image, data_range=PEAK)["ssim3d"] for image in (hiss, dark)]
    assert plain[1] > plain[0] + 0.05  # which the papers' figure rewards


def test_a_mask_of_everything_gives_the_papers_figures():
    everything = np.ones(X.shape, bool)
    plain, found = (slice_scores(X, Y, 2, data_range=PEAK), slice_scores_inside(X, Y, everything, 2, data_range=PEAK))
    for name in plain:
        np.testing.assert_allclose(found[name], plain[name], rtol=1e-12)
    whole = volume_scores(X, Y, data_range=PEAK)
    for name, value in volume_scores_inside(X, Y, everything, data_range=PEAK).items():
        assert value == pytest.approx(whole[f"{name}3d"], rel=1e-12)


def test_no_mask_no_figure_and_a_wrong_one_is_refused():
    nothing = np.zeros(X.shape, bool)
    assert all(np.isnan(value) for value in volume_scores_inside(X, Y, nothing, data_range=PEAK).values())
    with pytest.raises(ValueError, match="shapes differ"):
        volume_scores_inside(X, Y, MASK[1:], data_range=PEAK)


def test_a_stack_of_fewer_slices_than_the_window_keeps_what_needs_no_window():
    """Ten slices, and a window of eleven voxels: errors are measured, along and across the slices, and SSIM is NaN."""
    x, y, mask = X[:, :, :10], Y[:, :, :10], MASK[:, :, :10]
    whole = volume_scores(x, y, data_range=PEAK) | volume_scores_inside(x, y, mask, data_range=PEAK)
    assert np.isnan([whole["ssim3d"], whole["ssim"]]).all()
    error = x.astype(float) - y
    assert whole["psnr3d"] == pytest.approx(10 * math.log10(PEAK**2 / (error**2).mean()))
    assert whole["psnr"] == pytest.approx(10 * math.log10(PEAK**2 / (error[mask] ** 2).mean()))
    for found in (slice_scores(x, y, 0, data_range=PEAK), slice_scores_inside(x, y, mask, 0, data_range=PEAK)):
        assert np.isnan(found["ssim"]).all() and np.isfinite(found["psnr"][len(x) // 2])
