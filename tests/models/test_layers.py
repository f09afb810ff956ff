"""Our batch normalisation and ELU against Keras's own and against NumPy in double precision."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from mdcsrn_tf.models.layers import BatchNormalization, Elu, moving_statistics_kept

# Odd and even numbers of voxels, channels that fill a vector and channels that do not.
SHAPES = [(2, 6, 5, 7, 12), (1, 3, 5, 7, 36), (2, 4, 4, 4, 48), (1, 1, 1, 3, 5)]


def volume(shape, seed=0, offset=0.5):
    rng = np.random.default_rng(seed)
    ramp = np.linspace(-1, offset, shape[-1])
    return (rng.normal(size=shape) * 2 + ramp).astype(np.float32)


def layer_pair(shape, dtype="float32", momentum=0.9):
    """Ours and stock Keras's, with the same weights that are not the initial ones."""
    pair = []
    for layer_class in (BatchNormalization, keras.layers.BatchNormalization):
        layer = layer_class(dtype=dtype, momentum=momentum)
        layer.build(shape)
        rng = np.random.default_rng(1)
        layer.set_weights([rng.uniform(0.5, 2, shape[-1]) for _ in range(4)])
        pair.append(layer)
    return pair


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("training", [False, True])
def test_equals_stock_forward_backward_and_in_its_statistics(shape, training):
    ours, stock = layer_pair(shape)
    x, direction = tf.constant(volume(shape)), tf.constant(volume(shape, seed=2))

    def run(layer):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, training=training)
            loss = tf.reduce_sum(y * direction)
        return y, tape.gradient(loss, [x, layer.gamma, layer.beta])

    (y, gradients), (expected, expected_gradients) = run(ours), run(stock)
    close(y, expected)
    for gradient, expected_gradient in zip(gradients, expected_gradients, strict=True):
        close(gradient, expected_gradient)
    close(ours.moving_mean, stock.moving_mean)
    close(ours.moving_variance, stock.moving_variance)
    assert [weight.path.rpartition("/")[2] for weight in ours.weights] == [
        weight.path.rpartition("/")[2] for weight in stock.weights
    ]


def close(ours, expected):
    """1e-5 of the largest value."""
    expected = expected.numpy()
    np.testing.assert_allclose(ours.numpy(), expected, rtol=0, atol=1e-5 * max(1, np.abs(expected).max()))


@pytest.mark.parametrize("shape", SHAPES)
def test_batch_mode_equals_numpy_in_double_precision(shape):
    ours, _ = layer_pair(shape)
    gamma, beta, mean, variance = (weight.astype(np.float64) for weight in ours.get_weights())
    x, direction = volume(shape, offset=3.0), volume(shape, seed=2)
    batch_mean = x.mean((0, 1, 2, 3), dtype=np.float64)
    batch_variance = x.astype(np.float64).var((0, 1, 2, 3))
    deviation = np.sqrt(batch_variance + 1e-3)
    scores = (x - batch_mean) / deviation
    by_gamma = (direction * scores).sum((0, 1, 2, 3))
    by_beta = direction.sum((0, 1, 2, 3), dtype=np.float64)
    voxels = x[..., 0].size
    by_x = gamma / deviation * (direction - by_beta / voxels - scores * by_gamma / voxels)

    x = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = ours(x, training=True)
        loss = tf.reduce_sum(y * direction)
    gradients = tape.gradient(loss, [x, ours.gamma, ours.beta])
    for found, expected in zip([y, *gradients], [scores * gamma + beta, by_x, by_gamma, by_beta], strict=True):
        np.testing.assert_allclose(found.numpy(), expected, atol=1e-5 * np.abs(expected).max())
    np.testing.assert_allclose(ours.moving_mean.numpy(), 0.9 * mean + 0.1 * batch_mean, atol=1e-6)
    np.testing.assert_allclose(ours.moving_variance.numpy(), 0.9 * variance + 0.1 * batch_variance, rtol=1e-6)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("training", [False, True])
def test_bfloat16_equals_stock_to_its_last_bits(shape, training):
    """One value in bfloat16 is a 256th; the statistics are float32 and must agree as in float32."""
    ours, stock = layer_pair(shape, "mixed_bfloat16")
    x = tf.cast(volume(shape), tf.bfloat16)
    y, expected = ours(x, training=training), stock(x, training=training)
    assert y.dtype == expected.dtype == tf.bfloat16
    largest = np.abs(expected.numpy().astype(np.float32)).max()
    np.testing.assert_allclose(y.numpy().astype(np.float32), expected.numpy().astype(np.float32), atol=largest / 128)
    close(ours.moving_mean, stock.moving_mean)
    close(ours.moving_variance, stock.moving_variance)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_mixed_pair_has_the_gradient_of_the_float32_pair(shape):
    """Narrow in, narrow out, float32 between: gradients within bfloat16's rounding of the float32 ones."""
    x = tf.cast(volume(shape), tf.bfloat16)
    direction = volume(shape, seed=2)

    def run(x, narrow):
        norm, _ = layer_pair(shape)
        elu = Elu(dtype=narrow)
        norm.autocast = elu.autocast = False
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = elu(norm(x, training=True))
            loss = tf.reduce_sum(tf.cast(y, tf.float32) * direction)
        return y, [tf.cast(g, tf.float32).numpy() for g in tape.gradient(loss, [x, norm.gamma, norm.beta])]

    y, gradients = run(x, "bfloat16")
    exact, exact_gradients = run(tf.cast(x, tf.float32), "float32")
    assert (y.dtype, exact.dtype) == (tf.bfloat16, tf.float32)
    for gradient, expected in zip(gradients, exact_gradients, strict=True):
        np.testing.assert_allclose(gradient, expected, atol=np.abs(expected).max() / 64)


def test_statistics_are_kept_only_within_the_context():
    ours, _ = layer_pair(SHAPES[0])
    x = volume(SHAPES[0])
    before = ours.moving_mean.numpy()
    with moving_statistics_kept():
        kept = ours(x, training=True).numpy()
    np.testing.assert_array_equal(ours.moving_mean.numpy(), before)
    np.testing.assert_array_equal(ours(x, training=True).numpy(), kept)
    assert np.abs(ours.moving_mean.numpy() - before).max() > 0.01


def test_a_frozen_layer_normalises_by_its_moving_statistics():
    ours, _ = layer_pair(SHAPES[0])
    ours.trainable = False
    x = volume(SHAPES[0])
    np.testing.assert_array_equal(ours(x, training=True).numpy(), ours(x, training=False).numpy())


def test_a_constant_background_patch_stays_finite():
    """Its variance is 0; epsilon keeps the result at beta, in both modes and in the gradient."""
    ours, _ = layer_pair((1, 4, 4, 4, 12))
    x = tf.fill([1, 4, 4, 4, 12], 3.0)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = ours(x, training=True)
    np.testing.assert_allclose(y.numpy()[0, 0, 0, 0], ours.beta.numpy(), atol=1e-4)
    assert np.isfinite(tape.gradient(y, x).numpy()).all()


def test_elu_equals_its_formula_in_both_dtypes():
    x = volume((1, 3, 4, 5, 6))
    expected = np.where(x > 0, x, np.expm1(x.astype(np.float64)))
    np.testing.assert_allclose(Elu()(x).numpy(), expected, atol=1e-6)
    narrow = Elu(dtype="bfloat16")
    narrow.autocast = False
    np.testing.assert_allclose(narrow(tf.constant(x)).numpy().astype(np.float64), expected, rtol=1 / 256, atol=1e-6)
