"""The self-check's measure; the check itself is run by tests/cli/test_infer_sidecar.py."""

import numpy as np
import pytest

from mdcsrn_tf.inference.self_check import psnr_inside


def test_the_error_counts_inside_the_mask_alone():
    truth = np.zeros((4, 4, 4), np.float32)
    truth[:2] = 100
    image = truth.copy()
    image[:2] += 1  # 40 dB below the largest value
    image[2:] += 50  # air
    assert psnr_inside(image, truth, truth > 0) == pytest.approx(40.0)
    truth[3, 3, 3] = 1000  # the range is the mask's own as well
    assert psnr_inside(image, truth, (truth > 0) & (truth < 1000)) == pytest.approx(40.0)
