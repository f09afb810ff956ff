"""What every generator must do, whatever its architecture and rank: one contract, run on each."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from mdcsrn_tf.models.files import ModelCard, load_model, save_model
from mdcsrn_tf.models.layers import BatchNormalization, moving_statistics_kept


def random_volumes(*sizes: int, channels: int = 1, seed: int = 0) -> np.ndarray:
    shape = (*sizes, channels)
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def random_inputs(model: keras.Model, batch: int, size: tuple[int, ...]) -> np.ndarray:
    return random_volumes(batch, *size, channels=model.input_shape[-1])


def randomise(model: keras.Model, seed: int = 1) -> None:
    """Give every weight, BN statistics included, a value that is not its initial one."""
    rng = np.random.default_rng(seed)
    for variable in model.variables:
        size = rng.uniform(0.02, 0.1, variable.shape)
        sign = 1 if "variance" in variable.path else rng.choice([-1, 1], variable.shape)
        variable.assign(variable.numpy() + size * sign)


class ModelContract:
    """Mix in with a `model` fixture that builds a fresh network, and another `sizes` where it is no volume's."""

    @pytest.fixture
    def sizes(self) -> list[tuple[int, ...]]:
        """Sizes that go in; the last one is used where one is enough."""
        return [(1, 1, 1), (6, 6, 6), (5, 8, 7)]

    def test_keeps_any_size_in_float32(self, model, sizes):
        for size in sizes:
            outputs = model(random_inputs(model, 2, size), training=False)
            assert tuple(outputs.shape) == (2, *size, model.output_shape[-1])
            assert outputs.dtype == tf.float32

    def test_eager_and_graph_agree_in_both_modes(self, model, sizes):
        randomise(model)
        volumes = random_inputs(model, 2, sizes[-1])
        for training in (False, True):
            with moving_statistics_kept():
                eager = model(volumes, training=training).numpy()
                graph = tf.function(model)(volumes, training=training).numpy()
            np.testing.assert_allclose(graph, eager, rtol=1e-4, atol=1e-4 * np.abs(eager).max())

    def test_keras_file_returns_the_same_bits(self, model, sizes, tmp_path):
        randomise(model)
        volumes = random_inputs(model, 1, sizes[-1])
        expected = model(volumes, training=False).numpy()
        path = tmp_path / "model.keras"
        model.save(path)
        np.testing.assert_array_equal(keras.models.load_model(path)(volumes, training=False).numpy(), expected)
        save_model(path, model, ModelCard(preset="any", version="0", interpolation="linear"))
        np.testing.assert_array_equal(load_model(path)[0](volumes, training=False).numpy(), expected)

    def test_saved_model_agrees(self, model, sizes, tmp_path):
        randomise(model)
        volumes = random_inputs(model, 1, sizes[-1])
        expected = model(volumes, training=False).numpy()
        model.export(tmp_path / "saved", verbose=False)
        loaded = tf.saved_model.load(str(tmp_path / "saved"))
        served = loaded.serve(volumes).numpy()
        np.testing.assert_allclose(served, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())

    def test_gradient_reaches_every_trainable_weight(self, model, sizes):
        randomise(model)
        volumes = random_inputs(model, 2, sizes[-1])
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(model(volumes, training=True) - 1.0))
        weights = model.trainable_variables
        for weight, gradient in zip(weights, tape.gradient(loss, weights), strict=True):
            assert gradient is not None, weight.path
            if not feeds_a_normalisation(model, weight):
                assert np.abs(gradient.numpy()).max() > 0, weight.path

    def test_batch_mode_moves_the_statistics_unless_they_are_kept(self, model, sizes):
        norms = [layer for layer in model.layers if isinstance(layer, BatchNormalization)]
        before = [layer.moving_mean.numpy() for layer in norms]
        volumes = random_inputs(model, 2, sizes[-1]) + 0.5
        with moving_statistics_kept():
            batch_mode = model(volumes, training=True).numpy()
        for layer, mean in zip(norms, before, strict=True):
            np.testing.assert_array_equal(layer.moving_mean.numpy(), mean)
        np.testing.assert_array_equal(model(volumes, training=True).numpy(), batch_mode)
        for layer, mean in zip(norms, before, strict=True):
            assert np.abs(layer.moving_mean.numpy() - mean).max() > 0, layer.name
        if norms:
            assert np.abs(model(volumes, training=False).numpy() - batch_mode).max() > 1e-3


def feeds_a_normalisation(model: keras.Model, weight) -> bool:
    """A bias right before a batch normalisation is subtracted again: its gradient is zero but for rounding."""
    layer_name, _, weight_name = weight.path.rpartition("/")
    if weight_name != "bias":
        return False
    output = model.get_layer(layer_name).output
    readers = [layer for layer in model.layers[1:] if output is layer.input]
    return bool(readers) and all(isinstance(layer, BatchNormalization) for layer in readers)
