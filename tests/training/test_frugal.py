"""The network as training runs it: against Keras's own layers, NumPy in double precision, and itself once more."""

from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf
import train_helpers

from mdcsrn_tf.models import build_generator
from mdcsrn_tf.models.files import portable, with_precision
from mdcsrn_tf.models.layers import moving_statistics_kept
from mdcsrn_tf.papers.config import MdcsrnConfig
from mdcsrn_tf.training.frugal import FrugalNetwork, convolutions, network, passes
from mdcsrn_tf.training.state import build_state
from mdcsrn_tf.training.steps import StepOptions
from mdcsrn_tf.training.steps.pixelwise import pixelwise_step

JOURNAL = MdcsrnConfig(blocks=2, units=4, growth=4, compress_first=True, bottleneck=True, use_bias=True)
CONFERENCE = MdcsrnConfig(blocks=2, units=2, growth=4, compress_first=False, bottleneck=False, use_bias=False)
NETWORKS = [(JOURNAL, 10), (replace(JOURNAL, reconstruction="bottleneck"), 10), (CONFERENCE, 4)]


@pytest.fixture(autouse=True)
def small_patches_too(monkeypatch):
    monkeypatch.setattr(network, "_WORTH_COMPILING", 0)


def generator(config, precision="float32"):
    """With norms that are not the initial ones."""
    keras.utils.set_random_seed(1)
    model = with_precision(build_generator(config), precision)
    rng = np.random.default_rng(2)
    for variable in model.trainable_variables:
        if "_norm/" in variable.path:
            variable.assign(variable + rng.uniform(-0.3, 0.3, variable.shape))
    return model


def learn(call, model):
    """The results, the gradient of a loss by every weight, and the moving statistics afterwards."""
    rng = np.random.default_rng(3)
    low_res, high_res = (tf.constant(rng.standard_normal((2, 6, 5, 4, 1)), tf.float32) for _ in range(2))

    @tf.function(autograph=False)
    def compute():
        with tf.GradientTape() as tape:
            super_res = call(low_res)
            loss = tf.reduce_sum(tf.abs(super_res - high_res))
        return super_res, tape.gradient(loss, model.trainable_variables)

    super_res, gradients = compute()
    moving = [variable.numpy() for variable in model.non_trainable_variables]
    return super_res.numpy(), [gradient.numpy() for gradient in gradients], moving


@pytest.mark.parametrize(("config", "chains"), NETWORKS)
def test_results_gradients_and_statistics_are_those_of_keras(config, chains):
    ours = generator(config)
    stock = portable(ours)  # nothing but Keras's own layers
    frugal = FrugalNetwork(ours)
    assert len(frugal.norms) == chains
    expected = learn(lambda low_res: stock(low_res, training=True), stock)
    found = learn(frugal, ours)
    np.testing.assert_allclose(found[0], expected[0], atol=1e-5 * np.abs(expected[0]).max())
    largest = max(np.abs(gradient).max() for gradient in expected[1])
    for variable, gradient, right in zip(ours.trainable_variables, found[1], expected[1], strict=True):
        np.testing.assert_allclose(gradient, right, rtol=1e-4, atol=1e-6 * largest, err_msg=variable.path)
    for moving, right in zip(found[2], expected[2], strict=True):
        np.testing.assert_allclose(moving, right, rtol=1e-5, atol=1e-6)


def test_in_mixed_precision_it_is_as_near_to_float32_as_keras_is():
    exact, model = generator(CONFERENCE), generator(CONFERENCE, "mixed_bfloat16")
    before = model.get_weights()
    right = learn(lambda low_res: exact(low_res, training=True), exact)
    errors = []
    for call in (FrugalNetwork(model), lambda low_res: model(low_res, training=True)):
        model.set_weights(before)
        found = learn(call, model)
        assert found[0].dtype == np.float32
        flat = [np.concatenate([gradient.ravel() for gradient in which]) for which in (found[1], right[1])]
        errors.append([np.linalg.norm(found[0] - right[0]), np.linalg.norm(flat[0] - flat[1])])
    assert 0 < errors[0][0] < 1.2 * errors[1][0]
    assert 0 < errors[0][1] < 1.2 * errors[1][1]


def test_statistics_can_be_kept_as_they_are():
    model = generator(CONFERENCE)
    before = [variable.numpy() for variable in model.non_trainable_variables]
    with moving_statistics_kept():
        FrugalNetwork(model)(tf.random.normal([2, 4, 4, 4, 1]))
    for variable, old in zip(model.non_trainable_variables, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), old)


@pytest.mark.parametrize("channels", [12, 5])
def test_the_gradient_through_normalisation_and_elu_is_that_of_differences(channels):
    rng = np.random.default_rng(4)
    x, direction = (rng.standard_normal((2, 2, 2, 2, channels)) for _ in range(2))
    gamma, beta = rng.uniform(0.5, 2, channels), rng.uniform(-0.5, 0.5, channels)

    def activate(x, gamma, beta):
        mean, variance = x.mean((0, 1, 2, 3)), x.var((0, 1, 2, 3))
        y = (x - mean) / np.sqrt(variance + 1e-3) * gamma + beta
        return np.where(y > 0, y, np.expm1(np.minimum(y, 0)))

    def slope(index, step):
        ahead, behind = ([np.array(value) for value in (x, gamma, beta)] for _ in range(2))
        ahead[index] += step
        behind[index] -= step
        return ((activate(*ahead) - activate(*behind)) * direction).sum() / 2e-5

    tensors = [tf.constant(value, tf.float32) for value in (x, activate(x, gamma, beta), direction)]
    mean, variance = passes.statistics(tensors[0])
    found = passes.activate_gradient(*tensors, mean, variance, tf.constant(gamma, tf.float32), 1e-3)
    dx, dgamma, dbeta = (gradient.numpy() for gradient in found)
    for place in [(0, 0, 0, 0, 0), (1, 0, 1, 1, channels - 1), (0, 1, 1, 0, 2)]:
        step = np.zeros_like(x)
        step[place] = 1e-5
        assert dx[place] == pytest.approx(slope(0, step), rel=1e-3, abs=1e-4)
    for channel in (0, channels - 1):
        step = np.zeros(channels)
        step[channel] = 1e-5
        assert dgamma[channel] == pytest.approx(slope(1, step), rel=1e-3, abs=1e-4)
        assert dbeta[channel] == pytest.approx(slope(2, step), rel=1e-3, abs=1e-4)


@pytest.mark.parametrize(("reads", "gives"), [(8, 3), (3, 8)])  # with the roles exchanged, and as they are
def test_the_gradient_by_a_kernel_is_the_sum_over_voxels(reads, gives):
    # Whole numbers so small that bfloat16 holds every sum exactly.
    rng = np.random.default_rng(5)
    x, dy = (rng.integers(-1, 2, (1, 3, 4, 3, channels)).astype(float) for channels in (reads, gives))
    kernel = tf.zeros([3, 3, 3, reads, gives])
    convolution = convolutions.Convolution(kernel, None, (1,) * 5, "SAME", tf.bfloat16)
    found = convolution.by_kernel(tf.cast(x, tf.bfloat16), tf.cast(dy, tf.bfloat16)).numpy()
    around = np.pad(x[0], [(1, 1)] * 3 + [(0, 0)])
    for offset in np.ndindex(3, 3, 3):
        window = around[tuple(slice(first, first + side) for first, side in zip(offset, dy.shape[1:4], strict=True))]
        np.testing.assert_array_equal(found[offset], np.tensordot(window, dy[0], axes=([0, 1, 2], [0, 1, 2])))


def test_a_step_from_the_same_weights_gives_the_same_bits():
    preset = train_helpers.TINY
    low, high = (tf.constant(array) for array in train_helpers.batch(0, 0))
    keras.utils.set_random_seed(1)
    state = build_state(preset, "l1", precision="mixed_bfloat16")
    step = tf.function(lambda: pixelwise_step(state, StepOptions(), low, high), autograph=False)
    step()
    kept = state.arrays()
    step()
    once = state.arrays()
    again = build_state(preset, "l1", precision="mixed_bfloat16")
    again.restore(kept, {}, "memory")
    tf.function(lambda: pixelwise_step(again, StepOptions(), low, high), autograph=False)()
    for name, value in again.arrays().items():
        np.testing.assert_array_equal(value, once[name], err_msg=name)
