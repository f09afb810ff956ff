"""The slice papers' losses against hand calculation and NumPy."""

import numpy as np
import pytest
import tensorflow as tf

from mdcsrn_tf.papers.config import Term
from mdcsrn_tf.training import content as losses


def images(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def test_at_chance_the_cross_entropies_are_logarithms_of_two():
    zeros = tf.zeros([4, 1])
    assert losses.discriminator_loss(zeros, zeros, halved=True).numpy() == pytest.approx(np.log(2))
    assert losses.discriminator_loss(zeros, zeros, halved=False).numpy() == pytest.approx(2 * np.log(2))
    assert losses.real_cross_entropy(zeros).numpy() == pytest.approx(np.log(2))


def test_cross_entropies_of_logits_are_those_of_probabilities():
    real, fake = images(5, 1), images(5, 1, seed=1)
    p, q = (1 / (1 + np.exp(-x.astype(np.float64))) for x in (real, fake))
    expected = -np.log(p).mean() - np.log(1 - q).mean()
    assert losses.discriminator_loss(real, fake, halved=False).numpy() == pytest.approx(expected, rel=1e-5)
    assert losses.real_cross_entropy(fake).numpy() == pytest.approx(-np.log(q).mean(), rel=1e-5)
    # A sigmoid in float32 would give 0 and an infinite logarithm here.
    assert losses.real_cross_entropy(tf.fill([1, 1], -200.0)).numpy() == pytest.approx(200)


def test_a_map_of_logits_is_averaged_before_or_after():
    logits = np.array([[[[2.0], [-1.0]], [[0.0], [3.0]]]], np.float32)
    assert losses.real_cross_entropy(logits).numpy() == pytest.approx(np.log1p(np.exp(-logits)).mean(), rel=1e-6)
    assert losses.mean_logits(logits).numpy().tolist() == [[1.0]]
    assert losses.real_cross_entropy(losses.mean_logits(logits)).numpy() == pytest.approx(np.log1p(np.exp(-1.0)))


def test_gradient_difference_of_a_3x3_by_hand():
    image = np.array([[1, 2, 0], [0, -1, 3], [2, 2, 2]], np.float32).reshape(1, 3, 3, 1)
    # With zeros around, along rows |1 1 2 0| |0 1 4 3| |2 0 0 2|: squares 6 + 26 + 8; along columns
    # |1 1 2 2| |2 3 3 2| |0 3 1 2|: 10 + 26 + 14. Against an image of zeros, over 9 pixels.
    zeros = np.zeros_like(image)
    assert losses.gradient_difference(image, zeros).numpy() == pytest.approx((6 + 26 + 8 + 10 + 26 + 14) / 9)
    # Inside alone and signed: rows 1 4, 1 16, 0 0; columns 1 4, 9 9, 9 1.
    assert losses.signed_gradient_difference(image, zeros).numpy() == pytest.approx((22 + 33) / 9)


def test_the_sign_of_a_gradient_costs_nothing_in_the_cited_form_alone():
    x = images(2, 5, 4, 1)
    for loss in (losses.gradient_difference, losses.signed_gradient_difference):
        assert loss(x, x).numpy() == 0
    assert losses.gradient_difference(x, -x).numpy() == 0
    assert losses.signed_gradient_difference(x, -x).numpy() > 1


def test_gradient_difference_equals_numpy_on_several_channels():
    x, y = images(2, 5, 4, 3), images(2, 5, 4, 3, seed=1)
    expected = 0.0
    for axis in (1, 2):
        width = [(0, 0)] * 4
        width[axis] = (1, 1)
        a, b = (np.abs(np.diff(np.pad(image.astype(np.float64), width), axis=axis)) for image in (x, y))
        expected += np.square(a - b).sum()
    assert losses.gradient_difference(x, y).numpy() == pytest.approx(expected / (2 * 5 * 4 * 3), rel=1e-5)


def test_a_content_loss_is_the_weighted_sum_of_its_terms():
    x, y = images(2, 6, 5, 1), images(2, 6, 5, 1, seed=1)
    features = {"vgg19": lambda image: [2 * image, image[:, ::2]], "vgg16": lambda image: [image[:, :, 1:]]}
    terms = (Term("l1", 1.5), Term("l2", 0.5), Term("vgg19", 2e-6), Term("vgg16", 3.0))
    total, parts = losses.ContentLoss(terms, features)(x, y)
    difference = x.astype(np.float64) - y
    expected = {
        "l1": np.abs(difference).mean(),
        "l2": np.square(difference).mean(),
        "vgg19": np.square(2 * difference).mean() + np.square(difference[:, ::2]).mean(),
        "vgg16": np.abs(difference[:, :, 1:]).mean(),
    }
    assert {name: value.numpy() for name, value in parts.items()} == pytest.approx(expected, rel=1e-5)
    assert total.numpy() == pytest.approx(sum(term.weight * expected[term.loss] for term in terms), rel=1e-5)
    assert losses.needed_features(terms) == ("vgg19", "vgg16")
