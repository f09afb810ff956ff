"""Detail: what an image holds beyond the frequencies of a coarser scan, against k-space of its mirrored self."""

import numpy as np
import pytest

from mdcsrn_tf.errors import UserError
from mdcsrn_tf.inference.decision import Decision
from mdcsrn_tf.inference.detail import check_detail, with_detail


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
    decision = Decision(grid="same", axes=(0, 1), names=("LR", "AP"), factors=(2, 2), findings=(), anatomical=True)
    check_detail(0.0, decision, "tiny")
    check_detail(4.0, decision, "tiny")
    for strength in (-0.1, 4.1, float("nan")):
        with pytest.raises(UserError, match="must be from 0"):
            check_detail(strength, decision, "tiny")
