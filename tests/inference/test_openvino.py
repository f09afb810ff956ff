"""OpenVINO's model, built from a network's graph, gives what Keras gives."""

import numpy as np
import openvino
import pytest
from infer_helpers import TINY, lively

from mdcsrn_tf.inference.openvino_model import channels_in_blocks, model_of
from mdcsrn_tf.models import build_generator
from mdcsrn_tf.models.graph_of_keras import graph_of
from mdcsrn_tf.models.layers import moving_statistics_kept
from mdcsrn_tf.papers.config import FsrcnnConfig, MdcsrnConfig, SmallGridConfig, SrdensenetConfig, SrresnetConfig

NETWORKS = {
    "small grid": SmallGridConfig(MdcsrnConfig(2, 2, 8, compress_first=False, bottleneck=False, use_bias=False)),
    "journal": MdcsrnConfig(2, 4, 4, compress_first=True, bottleneck=True, use_bias=True),
    "reconstruction": MdcsrnConfig(1, 5, 4, True, True, True, reconstruction="bottleneck"),
    "fsrcnn": FsrcnnConfig(6, 4, 2),
    "srresnet": SrresnetConfig(filters=8, blocks=2),
    "srdensenet": SrdensenetConfig(blocks=2, units=3, growth=4),
}


@pytest.mark.parametrize("bn", ["batch", "moving"])
@pytest.mark.parametrize("name", NETWORKS)
def test_each_tile_comes_out_as_keras_gives_it_by_either_statistics(name, bn):
    network, rng = lively(build_generator(NETWORKS[name])), np.random.default_rng(3)
    tiles = rng.standard_normal((2, 10, 12, 8, 1)).astype(np.float32) * [[[[[1.0]]]], [[[[3.0]]]]] + 0.5
    with moving_statistics_kept():
        expected = [network(tile[np.newaxis], training=bn == "batch").numpy()[0, ..., 0] for tile in tiles]
    model = model_of(graph_of(network), bn)
    assert model.inputs[0].partial_shape.is_dynamic
    model.reshape([2, 1, 10, 12, 8])
    compiled = openvino.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    found = compiled(np.moveaxis(tiles, -1, 1).astype(np.float32))[0]
    assert found.shape == (2, 1, 10, 12, 8)
    np.testing.assert_allclose(found[:, 0], expected, atol=1e-4 * np.abs(expected).max())


def test_the_channels_that_it_keeps_are_counted_in_blocks_of_sixteen():
    # Stem 8, compressed twice 8, four units of 4: 16 each. Of the concatenations, 12 and 16 wide, the first of each
    # block is normalised, in the next unit; the others are read by 1x1x1 convolutions alone.
    assert channels_in_blocks(graph_of(build_generator(TINY))) == 16 * (1 + 2 + 4 + 1) + 3 * 16
    # Stem 20, three units of 10 on 20, 30 and 40, output 1.
    wide = MdcsrnConfig(1, 3, 10, compress_first=False, bottleneck=False, use_bias=False)
    assert channels_in_blocks(graph_of(build_generator(wide))) == 32 + 3 * 16 + 16 + 3 * 48
