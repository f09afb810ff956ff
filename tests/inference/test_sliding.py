"""Columns that slide through a network give what the whole volume gives, and only networks that can do it slide."""

import keras
import numpy as np
import pytest
from infer_helpers import lively
from keras import layers

from mdcsrn_tf.inference.fused import FusedNetwork
from mdcsrn_tf.inference.sliding import PLANES, SlidingNetwork, plan_of, sliding_form
from mdcsrn_tf.models import build_generator
from mdcsrn_tf.models.files import portable
from mdcsrn_tf.papers import get_preset
from mdcsrn_tf.papers.config import MdcsrnConfig, SmallGridConfig

DIRECT = MdcsrnConfig(blocks=2, units=2, growth=2, compress_first=True, bottleneck=True, use_bias=True)
REPEATED = MdcsrnConfig(2, 1, 2, False, False, False)  # the stem is of the first block's output, too
TWO_LAYERS = MdcsrnConfig(1, 2, 2, False, False, False, reconstruction="bottleneck")


def chain():
    """Kernels of five, a parametric activation, one that nothing is normalised before, and an output layer of three."""
    inputs = keras.Input((None, None, None, 1))
    x = layers.PReLU(shared_axes=(1, 2, 3))(layers.Conv3D(3, 5, padding="same")(inputs))
    x = layers.Activation("elu")(layers.Conv3D(2, 1)(x))
    return keras.Model(inputs, layers.Conv3D(1, 3, padding="same")(x))


def strided():
    return build_generator(SmallGridConfig(MdcsrnConfig(1, 1, 2, False, False, False)))


def summed():
    inputs = keras.Input((None, None, None, 1))
    return keras.Model(inputs, layers.Add()([inputs, layers.Conv3D(1, 3, padding="same")(inputs)]))


def flat():
    inputs = keras.Input((None, None, None, 1))
    return keras.Model(inputs, layers.Conv3D(1, (1, 3, 3), padding="same")(inputs))


def reads_its_input_last():
    inputs = keras.Input((None, None, None, 1))
    x = layers.Concatenate()([inputs, layers.Conv3D(1, 3, padding="same")(inputs)])
    return keras.Model(inputs, layers.Conv3D(1, 1)(x))


def activated_at_its_end():
    inputs = keras.Input((None, None, None, 1))
    return keras.Model(inputs, layers.Activation("elu")(layers.Conv3D(1, 3, padding="same")(inputs)))


@pytest.mark.parametrize("depth", [3 * PLANES, 3 * PLANES - 2])
@pytest.mark.parametrize(
    ("build", "radius"),
    [
        (lambda: build_generator(DIRECT), 5),
        (lambda: build_generator(REPEATED), 3),
        (lambda: build_generator(TWO_LAYERS), 4),
        (chain, 3),
    ],
    ids=["direct", "repeated", "two layers", "chain"],
)
def test_a_column_is_the_middle_of_the_whole_volume(build, radius, depth):
    model = portable(lively(build(), seed=2))
    sliding = sliding_form(FusedNetwork(model, "moving", "float32", compiled=False))
    assert sliding.lag == radius
    column = np.random.default_rng(0).standard_normal((1, depth, 15, 18)).astype(np.float32)
    told = []
    found = sliding.applier((depth, 15, 18))(column, lambda *slabs: told.append(slabs))
    assert told == [(done, -(-depth // 7)) for done in range(1, -(-depth // 7) + 1)]
    inside = (slice(radius, -radius),) * 3
    expected = model(column[..., None], training=False).numpy()[0, ..., 0]
    np.testing.assert_allclose(found[0][inside], expected[inside], atol=1e-4 * np.abs(expected).max())
    outside = np.ones(found.shape[1:], bool)
    outside[inside] = False
    assert found.shape == column.shape and np.isfinite(found).all()
    assert not found[0][:, :radius].any() and not found[0][:, :, -radius:].any()


def test_in_bfloat16_it_rounds_as_tiles_do():
    model = portable(lively(build_generator(DIRECT), seed=2))
    network = FusedNetwork(model, "moving", "bfloat16")
    column = np.random.default_rng(0).standard_normal((1, 24, 15, 15)).astype(np.float32)
    inside = (slice(5, -5),) * 3
    found = sliding_form(network).applier((24, 15, 15))(column, lambda done, total: None)[0][inside]
    tile = network(column[..., None]).numpy()[0, ..., 0][inside]
    exact = model(column[..., None], training=False).numpy()[0, ..., 0][inside]
    rounding = np.abs(tile - exact).max()
    assert 0 < np.abs(found - exact).max() <= 2 * rounding


@pytest.mark.parametrize("build", [strided, summed, flat, reads_its_input_last, activated_at_its_end])
def test_other_networks_stay_with_tiles(build):
    assert plan_of(FusedNetwork(portable(build()), "moving", compiled=False)) is None


def test_what_the_default_keeps_is_counted_by_hand():
    """Of a 3^3 convolution's input 2 planes more, of a feature those between its own lag and its last reader's."""
    network = FusedNetwork(portable(build_generator(get_preset("journal/b4u4k12").network)), "moving", compiled=False)
    plan = plan_of(network)
    input_, stem, compressed, *units = list(plan.streams.values())[:6]
    # The input is read by the stem alone; the stem, one plane behind, by the compressor of the last block, 13 behind.
    assert (input_.lag, input_.past, stem.lag, stem.past) == (0, 2, 1, 12)
    # The first unit's input is read at lag 1 with 2 planes more, and the block, at lag 5, by that compressor as well.
    assert (compressed.lag, compressed.past) == (1, 12)
    assert [(unit.lag, unit.past) for unit in units] == [(2, 11), (3, 10), (4, 9)]
    shares = 16 + sum(16 + 15 + 14 + 13 + 12 - 20 * b for b in range(4))
    assert sum(share.past for share in plan.shares.values()) == shares
    # A slab of each stream and share, what is kept of both twice, and 240 channels of seven planes before block 4.
    kept = sum(stream.past * stream.channels for stream in plan.streams.values()) + shares
    slab = PLANES * (1 + 24 + 4 * (24 + 4 * 12 + 48) + 1 + 21)
    assert SlidingNetwork(plan, network.kernels).channels_of_a_column == slab + 2 * kept + 7 * 240
