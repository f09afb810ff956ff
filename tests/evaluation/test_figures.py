"""What the figures show, drawn from pictures of any size."""

import numpy as np
import pytest

from mdcsrn_tf.evaluation.figures import _inset_corner


@pytest.mark.parametrize("shape", [(1, 1), (5, 40), (8, 8), (9, 200), (10, 12), (180, 220)])
def test_the_inset_lies_inside_the_picture(shape):
    top, left, side = _inset_corner(np.random.default_rng(0).random(shape))
    assert 0 <= top <= top + side <= shape[0] and 0 <= left <= left + side <= shape[1] and side >= 1


def test_the_inset_shows_the_most_detail_of_the_middle():
    pixels = np.zeros((100, 100))
    pixels[40:55, 50:65] = np.random.default_rng(0).random((15, 15))
    pixels[:10, :10] = 50 * np.random.default_rng(0).random((10, 10))  # the skull
    top, left, side = _inset_corner(pixels)
    assert top <= 40 and top + side >= 55 and left <= 50 and left + side >= 65
