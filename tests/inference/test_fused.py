"""The graph that inference runs gives what the Keras network gives, in every mode."""

from __future__ import annotations

from functools import lru_cache

import keras
import numpy as np
import pytest
import tensorflow as tf
from infer_helpers import TINY_RADIUS, lively, tiny_model

from mdcsrn_tf.errors import UserError
from mdcsrn_tf.inference.fused import FusedNetwork
from mdcsrn_tf.inference.plain import PlainNetwork, network_of
from mdcsrn_tf.models import build_generator
from mdcsrn_tf.models.files import portable, with_precision
from mdcsrn_tf.models.graph_of_keras import why_no_graph
from mdcsrn_tf.models.layers import moving_statistics_kept
from mdcsrn_tf.models.sizes import receptive_field_radius
from mdcsrn_tf.papers import get_preset
from mdcsrn_tf.papers.config import MdcsrnConfig, SmallGridConfig, SrdensenetConfig, SrresnetConfig

NETWORKS = {
    "small grid": SmallGridConfig(MdcsrnConfig(2, 2, 8, compress_first=False, bottleneck=False, use_bias=False)),
    "journal": MdcsrnConfig(2, 4, 4, compress_first=True, bottleneck=True, use_bias=True),
    "miccai": MdcsrnConfig(2, 2, 8, compress_first=False, bottleneck=False, use_bias=False),
    "reconstruction": MdcsrnConfig(1, 5, 4, True, True, True, reconstruction="bottleneck"),
    "srresnet": SrresnetConfig(filters=8, blocks=2),
    "srdensenet": SrdensenetConfig(blocks=2, units=3, growth=4),
}


def tiles(count=1, size=10, seed=3):
    return np.random.default_rng(seed).standard_normal((count, size, size, size, 1)).astype(np.float32)


@lru_cache(maxsize=4)
def traced(network):
    return tf.function(network, autograph=False)


def run(network, batch):
    return traced(network)(tf.constant(batch)).numpy()


fused = lru_cache(maxsize=4)(FusedNetwork)  # of a model in one way, for the tests of it that follow


@pytest.fixture(scope="module", params=NETWORKS)
def model(request):
    return lively(build_generator(NETWORKS[request.param]))


@pytest.mark.parametrize("bn", ["batch", "moving"])
@pytest.mark.parametrize("compiled", [True, False])
def test_it_equals_the_keras_network(model, bn, compiled):
    batch = tiles()
    with moving_statistics_kept():
        expected = model(batch, training=bn == "batch").numpy()
    result = run(fused(model, bn, compiled=compiled), batch)
    np.testing.assert_allclose(result, expected, atol=2e-5 * np.abs(expected).max())
    rounded = run(FusedNetwork(model, bn, "bfloat16", compiled), batch)
    assert np.std(rounded - expected) < 0.02 * np.std(expected)


@pytest.mark.parametrize("compiled", [True, False])
def test_each_tile_has_its_own_statistics_whatever_the_batch(model, compiled):
    batch = np.concatenate([tiles(), 3.0 + 2.0 * tiles(seed=4)])
    network = fused(model, "batch", compiled=compiled)
    alone = np.concatenate([run(network, batch[:1]), run(network, batch[1:])])
    np.testing.assert_allclose(run(network, batch), alone, atol=2e-5 * np.abs(alone).max())


def test_on_a_gpu_the_tiles_of_a_batch_run_together_each_by_its_own_statistics(monkeypatch):
    tiny, batch = tiny_model(), np.concatenate([tiles(), 3.0 + 2.0 * tiles(seed=4), tiles(seed=5)])

    def of_the_batch():
        network = tf.function(FusedNetwork(tiny, "batch"), autograph=False)
        return network.get_concrete_function(tf.TensorSpec(batch.shape))

    def loops(function):
        return any("While" in operation.type for operation in function.graph.get_operations())

    one_by_one = of_the_batch()
    monkeypatch.setattr("mdcsrn_tf.inference.kernels.runs_on_processor", lambda: False)
    together = of_the_batch()
    assert loops(one_by_one) and not loops(together)
    expected = one_by_one(tf.constant(batch)).numpy()
    np.testing.assert_allclose(together(tf.constant(batch)), expected, atol=2e-5 * np.abs(expected).max())


def test_odd_tiles_take_the_way_without_folded_channels():
    tiny, batch = tiny_model(), tiles(size=9)
    with moving_statistics_kept():
        expected = tiny(batch, training=True).numpy()
    np.testing.assert_allclose(run(FusedNetwork(tiny, "batch"), batch), expected, atol=2e-5)


@pytest.mark.parametrize(
    ("preset", "radius"),
    # b4u4: 1 + 4 * 4. FSRCNN: 2 + 4 + 4. SRResNet: 1 + 8 * 2 + 1 + 1 + 2. -r: one more at the end.
    [("journal/b4u4k12", 17), ("journal/b8u4k8", 33), ("journal/b4u4k12-r", 18), ("fsrcnn3d", 10), ("srresnet3d", 21)],
)
def test_receptive_field_radius(preset, radius):
    assert receptive_field_radius(build_generator(get_preset(preset).network)) == radius


def test_no_farther_voxel_matters():
    tiny = tiny_model()
    network = FusedNetwork(tiny, "moving")
    batch = tiles(size=16)
    changed = batch.copy()
    changed[0, 0, 8, 8, 0] += 1.0
    moved = np.abs(run(network, changed) - run(network, batch))[0, :, 8, 8, 0]
    assert receptive_field_radius(tiny) == TINY_RADIUS
    assert moved[TINY_RADIUS] > 0
    assert moved[TINY_RADIUS + 1 :].max() == 0


def built(*layers, channels=1, sides=(None,) * 3):
    inputs = x = keras.Input((*sides, channels))
    for layer in layers:
        x = layer(x)
    return lively(keras.Model(inputs, x, name="stranger"))


def conv(filters=1, **options):
    return keras.layers.Conv3D(filters, 3, padding="same", **options)


ACTIVATIONS = ("relu", "tanh", "sigmoid", "softplus", "selu", "gelu", "swish", "leaky_relu", "elu", "linear")


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_an_activation_stays_what_it_is_wherever_a_network_goes(name, capsys):
    model = built(conv(4), keras.layers.BatchNormalization(), keras.layers.Activation(name), conv())
    batch = tiles(2)
    expected = model(batch, training=False).numpy()
    for copy in (with_precision(model, "float32"), portable(model)):
        np.testing.assert_allclose(copy(batch, training=False).numpy(), expected, atol=1e-5)
    network = network_of(with_precision(model, "float32"), "moving")
    assert isinstance(network, FusedNetwork) == (name == "elu")
    assert capsys.readouterr().err.count("as Keras wrote it") == (name != "elu")
    np.testing.assert_allclose(run(network, batch), expected, atol=1e-5)


STRANGERS = {
    "elu of another slope": [conv(2), keras.layers.ELU(0.3), conv()],
    "activation inside": [conv(2, activation="tanh"), conv()],
    "strided and dilated": [conv(2, dilation_rate=2), conv()],
    "groups": [conv(4), conv(2, groups=2), conv()],
    "leaky": [conv(2), keras.layers.LeakyReLU(0.1), conv()],
    "prelu of each voxel": [conv(2), keras.layers.PReLU(alpha_initializer="ones"), conv()],
    "tanh-ended": [conv(2), keras.layers.Activation("elu"), conv(), keras.layers.Activation("tanh")],
    "norm over an axis": [keras.layers.BatchNormalization(axis=1), conv()],
    "norm without gain": [conv(2), keras.layers.BatchNormalization(scale=False), conv()],
    "norm of groups": [conv(4), keras.layers.GroupNormalization(2), conv()],
}


@pytest.mark.parametrize("name", STRANGERS)
def test_what_the_fast_layers_do_not_cover_runs_as_keras_wrote_it(name, capsys):
    model = built(*STRANGERS[name], sides=(10, 10, 10))
    copy, batch = with_precision(model, "float32"), tiles(2)
    expected = model(batch, training=False).numpy()
    np.testing.assert_allclose(copy(batch, training=False).numpy(), expected, atol=1e-5)
    np.testing.assert_allclose(portable(copy)(batch, training=False).numpy(), expected, atol=1e-5)
    assert why_no_graph(copy) is not None
    np.testing.assert_allclose(run(network_of(copy, "moving"), batch), expected, atol=1e-5)
    assert "stranger runs as Keras wrote it" in capsys.readouterr().err


def test_plain_keras_normalises_each_tile_by_its_own_statistics_and_trains_nothing():
    layers = [
        conv(4),
        keras.layers.BatchNormalization(),
        keras.layers.Activation("tanh"),
        keras.layers.Dropout(0.5),
        conv(),
    ]
    model = with_precision(built(*layers), "float32")
    before = [weight.numpy() for weight in model.weights]
    batch = np.concatenate([tiles(), 3.0 + 2.0 * tiles(seed=4)])
    found = run(PlainNetwork(model, "batch"), batch)
    for tile, result in zip(batch, found, strict=True):
        features = model.layers[1](tile[np.newaxis]).numpy()
        norm = model.layers[2]
        mean, variance = features.mean((0, 1, 2, 3)), features.var((0, 1, 2, 3))
        normed = (features - mean) / np.sqrt(variance + norm.epsilon) * norm.gamma.numpy() + norm.beta.numpy()
        np.testing.assert_allclose(result, model.layers[-1](np.tanh(normed)).numpy()[0], atol=1e-4)
    for weight, value in zip(model.weights, before, strict=True):
        np.testing.assert_array_equal(weight.numpy(), value)


def test_statistics_out_of_reach_are_refused():
    model = with_precision(built(conv(2), keras.layers.BatchNormalization(scale=False), conv()), "float32")
    with pytest.raises(UserError, match=r"stranger cannot be normalised by each tile's own statistics.*--bn=moving"):
        PlainNetwork(model, "batch")


def test_without_xla_the_same_is_computed_and_said_once(monkeypatch, capsys):
    from mdcsrn_tf.models.xla import xla_works

    model = tiny_model()
    tiles = tf.constant(np.random.default_rng(0).standard_normal((1, 12, 12, 12, 1)).astype(np.float32))
    expected = FusedNetwork(model, "moving")(tiles).numpy()

    def missing(function, jit_compile=None, **_):
        raise NotImplementedError("Could not find compiler for platform Host")

    xla_works.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(tf, "function", missing)
        assert not xla_works()
    found = [FusedNetwork(model, "moving")(tiles).numpy() for _ in range(2)]
    xla_works.cache_clear()
    assert capsys.readouterr().err.count("XLA cannot compile here (Could not find compiler") == 1
    for result in found:
        np.testing.assert_allclose(result, expected, atol=1e-5 * np.abs(expected).max())
