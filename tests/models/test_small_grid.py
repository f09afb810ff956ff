"""The network on the small grid against the contract, a count by hand, and NumPy with literal loops."""

import keras
import numpy as np
import pytest
from model_contract import ModelContract, random_volumes, randomise
from numpy_mdcsrn import NumpyMdcsrn

from mdcsrn_tf.errors import UserError
from mdcsrn_tf.evaluation.architectures import trainable_parameters
from mdcsrn_tf.models import build_generator, start_as_identity
from mdcsrn_tf.models.sizes import check_sides, feature_channels, macs_per_voxel, receptive_field_radius, size_multiple
from mdcsrn_tf.models.small_grid import depth_to_space
from mdcsrn_tf.papers import PRESETS, fast
from mdcsrn_tf.papers.config import MdcsrnConfig, SmallGridConfig

BLOCKS = MdcsrnConfig(2, 2, 4, compress_first=False, bottleneck=False, use_bias=False)
SMALL = SmallGridConfig(BLOCKS)

# stem 6 * 6 * 3 * 32; a block's units as in miccai/b4u4k16: on c = 32, 48, 64, 80 each BN 2c + convolution 27 * c * 16;
# compressors on 128, 224 and 320 channels; four fine voxels from 32 + 4 * 96
UNITS = (32 + 48 + 64 + 80) * (2 + 27 * 16)
PARAMETERS = {"fast/b4u4k16": 108 * 32 + 4 * UNITS + (128 + 224 + 320) * 32 + 416 * 4}


@pytest.fixture(scope="module")
def published():
    return build_generator(PRESETS["fast/b4u4k16"].network)


@pytest.fixture
def model():
    keras.utils.set_random_seed(0)
    network = build_generator(SMALL)
    reconstruct = network.get_layer("reconstruct")  # zero at the start: no layer before it would count
    reconstruct.set_weights([0.2 * random_volumes(*reconstruct.kernel.shape[:-1], channels=reconstruct.filters)])
    return network


class TestContract(ModelContract):
    """The contract, on sides that the steps divide."""

    @pytest.fixture
    def sizes(self):
        return [(2, 2, 1), (6, 6, 6), (4, 8, 7)]


def test_every_fast_preset_has_its_exact_count(published):
    assert PARAMETERS.keys() == fast.PRESETS.keys() <= PRESETS.keys()
    assert trainable_parameters(published) == PARAMETERS["fast/b4u4k16"] == 415_488


def test_all_feature_maps_fill_blocks_of_sixteen_channels(published):
    widths = {layer.output.shape[-1] for layer in published.layers if layer.name.endswith(("conv", "compress", "stem"))}
    assert widths == {16, 32}


def test_work_and_memory_of_a_fine_voxel_are_a_quarter_of_a_small_ones(published):
    weights = 108 * 32 + 27 * 16 * 4 * (32 + 48 + 64 + 80) + (128 + 224 + 320) * 32 + 416 * 4
    assert macs_per_voxel(published) == weights / 4 + 4
    assert feature_channels(published) == (32 + 4 * 4 * 16 + 3 * 32 + 4) / 4 + 1


def test_sides_must_be_even(published):
    assert size_multiple(published) == 2
    assert receptive_field_radius(published) is None
    check_sides(published, (40, 40, 40))
    with pytest.raises(UserError, match=r"fast halves its images once .* multiples of 2, not 41 x 41 x 41"):
        check_sides(published, (41, 41, 41))


@pytest.mark.parametrize("training", [False, True])
def test_it_begins_as_the_identity_whatever_the_start(model, training):
    volume = random_volumes(2, 6, 8, 5)
    assert np.abs(model(volume, training=training).numpy() - volume).max() > 0.01
    start_as_identity(model, SMALL)
    for network in (model, build_generator(SMALL), build_generator(SmallGridConfig(BLOCKS, (1, 2, 1)))):
        np.testing.assert_array_equal(network(volume, training=training).numpy(), volume)


@pytest.mark.parametrize("step", [(2, 2, 1), (1, 2, 3)])
def test_depth_to_space_is_a_loop_to_the_bit(step):
    inputs = keras.Input((None, None, None, int(np.prod(step))))
    model = keras.Model(inputs, depth_to_space(inputs, step, "depth_to_space"))
    small = random_volumes(1, 3, 4, 5, channels=int(np.prod(step)))
    np.testing.assert_array_equal(model(small).numpy()[0, ..., 0], spread(small[0], step))
    assert not model.trainable_weights


@pytest.mark.parametrize("training", [False, True])
def test_forward_pass_equals_numpy(training):
    model = build_generator(SMALL)
    shuffle = model.get_layer("depth_to_space").get_weights()
    randomise(model)
    model.get_layer("depth_to_space").set_weights(shuffle)
    volume = random_volumes(1, 6, 8, 5)
    reference = NumpyMdcsrn(model, BLOCKS, training)
    small = gathered(volume[0, ..., 0].astype(np.float64), SMALL.step)
    stem = reference.conv(small, "stem", kernel=on_the_small_grid(reference.weights["stem/kernel"], SMALL.step))
    corrections = reference.conv(reference.features(stem), "reconstruct")
    expected = volume[0, ..., 0] + spread(corrections, SMALL.step)
    ours = model(volume, training=training).numpy()[0, ..., 0]
    np.testing.assert_allclose(ours, expected, atol=1e-4 * np.abs(expected).max())


def gathered(fine, step):
    """Space to depth, voxel by voxel."""
    small = np.zeros((*(side // by for side, by in zip(fine.shape, step, strict=True)), int(np.prod(step))))
    for place in np.ndindex(fine.shape):
        whole, part = zip(*(divmod(index, by) for index, by in zip(place, step, strict=True)), strict=True)
        small[(*whole, np.ravel_multi_index(part, step))] = fine[place]
    return small


def spread(small, step):
    """Depth to space, voxel by voxel."""
    fine = np.zeros([side * by for side, by in zip(small.shape, step, strict=False)], small.dtype)
    for place in np.ndindex(fine.shape):
        whole, part = zip(*(divmod(index, by) for index, by in zip(place, step, strict=True)), strict=True)
        fine[place] = small[(*whole, np.ravel_multi_index(part, step))]
    return fine


def on_the_small_grid(kernel, step):
    """The stem's kernel on the fine grid, as one of 3x3x3 for voxels that hold their fine ones as channels."""
    return np.stack([gathered(kernel[..., 0, out], step) for out in range(kernel.shape[-1])], axis=-1)
