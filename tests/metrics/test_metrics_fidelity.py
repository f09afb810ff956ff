"""PSNR, SSIM and NRMSE against scikit-image and by hand."""

import math
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage
from skimage import metrics as skimage_metrics

from mdcsrn_tf.metrics.fidelity import nrmse, psnr, slice_scores, ssim, volume_scores

SCANS = np.load(Path(__file__).parents[1] / "golden" / "eval_scans.npz")
GAUSSIAN = {"gaussian_weights": True, "sigma": 1.5}


def pairs():
    random = np.random.default_rng(0)
    noise = random.random((37, 52))
    yield "random", noise, noise + 0.1 * random.normal(size=noise.shape), 1.0
    for name in ("sub01_axial", "sub06_axial"):
        real = SCANS[name].astype(np.float32)
        yield name, real, ndimage.gaussian_filter(real, 1.0), 255.0
    volume = SCANS["sub07_crop"].astype(np.float32)
    yield "volume", volume, ndimage.gaussian_filter(volume, 0.7), float(volume.max())


PAIRS = {name: pair for name, *pair in pairs()}


@pytest.mark.parametrize("sample", [False, True])
@pytest.mark.parametrize("window", ["gaussian", "uniform"])
@pytest.mark.parametrize("name", PAIRS)
def test_ssim_equals_scikit_image(name, window, sample):
    x, y, span = PAIRS[name]
    settings = GAUSSIAN if window == "gaussian" else {}
    expected = skimage_metrics.structural_similarity(
        x.astype(np.float64), y.astype(np.float64), data_range=span, use_sample_covariance=sample, **settings
    )
    assert ssim(x, y, data_range=span, window=window, sample_covariance=sample) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("name", PAIRS)
def test_psnr_equals_scikit_image(name):
    x, y, span = PAIRS[name]
    expected = skimage_metrics.peak_signal_noise_ratio(x.astype(float), y.astype(float), data_range=span)
    assert psnr(x, y, data_range=span) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("ours", "theirs"), [("euclidean", "euclidean"), ("range", "min-max"), ("mean", "mean")])
@pytest.mark.parametrize("name", PAIRS)
def test_nrmse_equals_scikit_image(name, ours, theirs):
    x, y, _ = PAIRS[name]
    expected = skimage_metrics.normalized_root_mse(x.astype(float), y.astype(float), normalization=theirs)
    assert nrmse(x, y, denominator=ours) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_slice_scores_are_those_of_every_slice(axis):
    x = SCANS["sub07_crop"][:40, :30].astype(np.float32)
    y = ndimage.gaussian_filter(x, 1.0)
    found = slice_scores(x, y, axis, data_range=252.0, threads=2)
    for k in range(x.shape[axis]):
        one, two = x.take(k, axis).astype(float), y.take(k, axis).astype(float)
        expected = skimage_metrics.structural_similarity(
            one, two, data_range=252.0, use_sample_covariance=False, **GAUSSIAN
        )
        assert found["ssim"][k] == pytest.approx(expected, abs=1e-6)
        assert found["psnr"][k] == pytest.approx(psnr(one, two, data_range=252.0), abs=1e-6)
        assert found["nrmse"][k] == pytest.approx(nrmse(one, two), abs=1e-6)


def test_volume_scores_are_the_plain_ones_slab_by_slab(monkeypatch):
    monkeypatch.setattr("mdcsrn_tf.metrics.fidelity.SLAB_VOXELS", 10_000)
    x, y, span = PAIRS["volume"]
    found = volume_scores(x, y, data_range=span, window="uniform", threads=2)
    assert found["ssim3d"] == pytest.approx(ssim(x, y, data_range=span, window="uniform"), abs=1e-9)
    assert found["psnr3d"] == pytest.approx(psnr(x, y, data_range=span), abs=1e-9)
    assert found["nrmse3d"] == pytest.approx(nrmse(x, y), abs=1e-9)


def test_by_hand():
    reference, image = np.array([[3.0, 4.0], [0.0, 0.0]]), np.array([[3.0, 2.0], [0.0, 0.0]])
    assert psnr(reference, image, data_range=4.0) == pytest.approx(10 * math.log10(16 / 1.0))
    assert nrmse(reference, image) == pytest.approx(2 / 5)  # |error| / |reference|
    assert nrmse(reference, image, denominator="range") == pytest.approx(1 / 4)
    assert nrmse(reference, image, denominator="mean") == pytest.approx(1 / (7 / 4))


def test_published_psnr_and_nrmse_fit_the_euclidean_form_only():
    # J Table 2, bicubic to NN: the PSNR falls by 0.82 dB, so the error grows by 10^(0.82/20) = 1.099; the NRMSE by
    # 0.2007/0.1830 = 1.097. With one reference for both, any denominator would; the level settles it: 30.30 dB means
    # an RMSE of 0.0305 of the range, and 0.1830 of the RMS puts the RMS at 0.167 of the range: a head, with its dark
    # background. Over the range the NRMSE would be 0.0305.
    rmse = 10 ** (-30.30 / 20)
    assert rmse / 0.1830 == pytest.approx(0.167, abs=0.001)
    assert pytest.approx(0.2007 / 0.1830, abs=0.005) == 10 ** (0.82 / 20)


@pytest.mark.parametrize("name", PAIRS)
def test_a_volume_with_itself_is_perfect(name):
    x, _, span = PAIRS[name]
    assert psnr(x, x, data_range=span) == math.inf
    assert ssim(x, x, data_range=span) == pytest.approx(1.0, abs=1e-12)
    assert nrmse(x, x) == 0.0


def test_a_zero_slice_has_no_nrmse_and_the_others_keep_theirs():
    x = SCANS["sub07_crop"].astype(np.float32)
    x[:, :, 3] = 0
    found = slice_scores(x, x + 1, 2, data_range=252.0)
    assert np.isnan(found["nrmse"][3]) and np.isfinite(np.delete(found["nrmse"], 3)).all()


def test_different_shapes_are_refused():
    with pytest.raises(ValueError, match="shapes differ"):
        psnr(np.zeros((2, 3)), np.zeros((3, 2)), data_range=1.0)
    with pytest.raises(ValueError, match="smaller than the SSIM window"):
        ssim(np.zeros((9, 9)), np.zeros((9, 9)), data_range=1.0)


def test_all_worsen_with_blur_and_with_noise():
    x = SCANS["sub07_crop"].astype(np.float32)
    noise = np.random.default_rng(0).normal(size=x.shape).astype(np.float32)
    for series in (
        [ndimage.gaussian_filter(x, s) for s in (0.4, 0.7, 1.0, 1.5, 2.5)],
        [x + s * noise for s in (2, 5, 10, 20, 40)],
    ):
        scores = [volume_scores(x, y, data_range=252.0) for y in series]
        scores2d = [{k: v.mean() for k, v in slice_scores(x, y, 2, data_range=252.0).items()} for y in series]
        for name, found in (("psnr3d", scores), ("ssim3d", scores), ("psnr", scores2d), ("ssim", scores2d)):
            assert (np.diff([one[name] for one in found]) < 0).all()
        for name, found in (("nrmse3d", scores), ("nrmse", scores2d)):
            assert (np.diff([one[name] for one in found]) > 0).all()
