"""The slice paper's figures against scikit-image on z-scores made here."""

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from mdcsrn_tf.metrics.zscores import standardised, zscore_scores


def scan(seed, shift=0.0):
    rng = np.random.default_rng(seed)
    return (rng.gamma(2.0, 100.0, (8, 12, 9)) + shift).astype(np.float32)


def by_hand(image):
    low, high = np.percentile(image, [0.1, 99.9])
    unit = (np.clip(image.astype(np.float64), low, high) - low) / (high - low)  # the paper's [0, 1] on the way
    return (unit - unit.mean()) / unit.std()


@pytest.mark.parametrize("axis", [0, 2])
def test_scores_equal_scikit_image_slice_by_slice(axis):
    reference, image = scan(0), scan(1, shift=40.0)
    found = zscore_scores(reference, image, axis, ssim_range=2.0)
    x, y = (np.moveaxis(by_hand(volume), axis, 0) for volume in (reference, image))
    for k in (0, len(x) - 1):
        assert found["mse_penn"][k] == pytest.approx(np.square(x[k] - y[k]).mean())
        assert found["psnr_penn"][k] == pytest.approx(peak_signal_noise_ratio(x[k], y[k], data_range=255))
        whole = structural_similarity(x[k], y[k], data_range=2.0, full=True)[1]
        assert found["ssim_penn"][k] == pytest.approx(whole[3:-3, 3:-3].mean())


def test_gain_and_offset_of_a_result_do_not_count():
    reference = scan(0)
    found = zscore_scores(reference, 3 * reference + 7, 0, ssim_range=1.0)
    assert found["mse_penn"] == pytest.approx(0, abs=1e-12)
    assert np.abs(standardised(np.full((2, 3), 5.0))).max() == 0
