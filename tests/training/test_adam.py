"""Adam by one kernel a variable: the paper's arithmetic by NumPy, and Keras's slots under Keras's names."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from mdcsrn_tf.training.adam import Adam

SHAPES = ((3, 2), (4,))
BETA_1, BETA_2 = float(np.float32(0.9)), float(np.float32(0.999))  # as the kernel gets them: 0.99900001


def parameters():
    rng = np.random.default_rng(0)
    return [keras.Variable(rng.standard_normal(shape).astype(np.float32), name=f"w{len(shape)}") for shape in SHAPES]


def gradients(step):
    rng = np.random.default_rng([1, step])
    return [np.float32(rng.standard_normal(shape) * 10.0 ** rng.integers(-6, 2)) for shape in SHAPES]


def adam_by_hand(weight, steps, rate, place):
    """Kingma and Ba's algorithm 1 in double precision, with epsilon beside the uncorrected root as section 2 has it."""
    weight, m, v = np.array(weight, np.float64), 0.0, 0.0
    for step in range(1, steps + 1):
        gradient = np.asarray(gradients(step)[place], np.float64)
        m, v = BETA_1 * m + (1 - BETA_1) * gradient, BETA_2 * v + (1 - BETA_2) * gradient**2
        weight -= rate * np.sqrt(1 - BETA_2**step) / (1 - BETA_1**step) * m / (np.sqrt(v) + 1e-7)
    return weight, m, v


@pytest.mark.parametrize("how", ["eager", "graph", "XLA"])
def test_five_steps_are_those_of_the_paper(how):
    weights = parameters()
    expected = [adam_by_hand(weight.numpy(), 5, 0.01, place) for place, weight in enumerate(weights)]
    optimizer = Adam(0.01, name="adam")
    optimizer.build(weights)

    def apply(found):
        optimizer.apply(found, weights)

    if how != "eager":
        apply = tf.function(apply, autograph=False, jit_compile=how == "XLA")
    for step in range(1, 6):
        apply([tf.constant(gradient) for gradient in gradients(step)])
    assert int(optimizer.iterations) == 5
    slots = dict(zip([variable.path for variable in optimizer.variables], optimizer.variables, strict=True))
    for weight, (moved, m, v) in zip(weights, expected, strict=True):
        np.testing.assert_allclose(weight.numpy(), moved, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(slots[f"adam/{weight.path}_momentum"].numpy(), m, rtol=1e-5)
        np.testing.assert_allclose(slots[f"adam/{weight.path}_velocity"].numpy(), v, rtol=1e-5)


def test_a_rate_that_is_assigned_counts_from_the_next_step_on():
    weights = parameters()
    optimizer = Adam(0.01, name="adam")
    optimizer.build(weights)
    optimizer.learning_rate.assign(0.0)
    before = [weight.numpy() for weight in weights]
    optimizer.apply([tf.constant(gradient) for gradient in gradients(1)], weights)
    for weight, kept in zip(weights, before, strict=True):
        np.testing.assert_array_equal(weight.numpy(), kept)


def test_a_checkpoint_of_keras_s_adam_is_continued():
    weights, optimizers = (
        (parameters(), parameters()),
        (Adam(0.01, name="adam"), keras.optimizers.Adam(0.01, name="adam")),
    )
    for optimizer, held in zip(optimizers, weights, strict=True):
        optimizer.build(held)
    slots = [[(one.path, tuple(one.shape), one.dtype) for one in optimizer.variables] for optimizer in optimizers]
    assert slots[0] == slots[1]
    ours, theirs = ([*held, *optimizer.variables] for held, optimizer in zip(weights, optimizers, strict=True))
    for step in (1, 2):
        optimizers[1].apply([tf.constant(gradient) for gradient in gradients(step)], weights[1])
    for mine, stored in zip(ours, theirs, strict=True):
        mine.assign(stored.numpy())
    for optimizer, held in zip(optimizers, weights, strict=True):
        optimizer.apply([tf.constant(gradient) for gradient in gradients(3)], held)
    for mine, stored in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(mine.numpy(), stored.numpy(), rtol=5e-5, err_msg=mine.path)
