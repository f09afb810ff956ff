"""The graph that inference runs gives what the Keras network gives, in every mode."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from infer_helpers import TINY_RADIUS, lively, tiny_model

from mdcsrn_tf.inference.fused import FusedNetwork, receptive_field_radius
from mdcsrn_tf.models import build_generator
from mdcsrn_tf.models.layers import moving_statistics_kept
from mdcsrn_tf.papers import get_preset
from mdcsrn_tf.papers.config import MdcsrnConfig, SrdensenetConfig, SrresnetConfig

NETWORKS = {
    "journal": MdcsrnConfig(2, 4, 4, compress_first=True, bottleneck=True, use_bias=True),
    "miccai": MdcsrnConfig(2, 2, 8, compress_first=False, bottleneck=False, use_bias=False),
    "reconstruction": MdcsrnConfig(1, 5, 4, True, True, True, reconstruction="bottleneck"),
    "srresnet": SrresnetConfig(filters=8, blocks=2),
    "srdensenet": SrdensenetConfig(blocks=2, units=3, growth=4),
}


def cubes(count=1, size=10, seed=3):
    return np.random.default_rng(seed).standard_normal((count, size, size, size, 1)).astype(np.float32)


def run(network, batch):
    return tf.function(network, autograph=False)(tf.constant(batch)).numpy()


@pytest.fixture(scope="module", params=NETWORKS)
def model(request):
    return lively(build_generator(NETWORKS[request.param]))


@pytest.mark.parametrize("bn", ["batch", "moving"])
@pytest.mark.parametrize("compiled", [True, False])
def test_it_equals_the_keras_network(model, bn, compiled):
    batch = cubes()
    with moving_statistics_kept():
        expected = model(batch, training=bn == "batch").numpy()
    result = run(FusedNetwork(model, bn, compiled=compiled), batch)
    np.testing.assert_allclose(result, expected, atol=2e-5 * np.abs(expected).max())
    rounded = run(FusedNetwork(model, bn, "bfloat16", compiled), batch)
    assert np.std(rounded - expected) < 0.02 * np.std(expected)


@pytest.mark.parametrize("compiled", [True, False])
def test_each_cube_has_its_own_statistics_whatever_the_batch(model, compiled):
    batch = np.concatenate([cubes(), 3.0 + 2.0 * cubes(seed=4)])
    network = FusedNetwork(model, "batch", compiled=compiled)
    alone = np.concatenate([run(network, batch[:1]), run(network, batch[1:])])
    np.testing.assert_allclose(run(network, batch), alone, atol=2e-5 * np.abs(alone).max())


def test_odd_cubes_take_the_way_without_folded_channels():
    tiny, batch = tiny_model(), cubes(size=9)
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
    batch = cubes(size=16)
    changed = batch.copy()
    changed[0, 0, 8, 8, 0] += 1.0
    moved = np.abs(run(network, changed) - run(network, batch))[0, :, 8, 8, 0]
    assert receptive_field_radius(tiny) == TINY_RADIUS
    assert moved[TINY_RADIUS] > 0
    assert moved[TINY_RADIUS + 1 :].max() == 0
