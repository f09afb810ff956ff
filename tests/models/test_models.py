"""Every network against the contract, its exact parameter count, its measured receptive field and NumPy."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from model_contract import ModelContract, random_volumes, randomise
from numpy_mdcsrn import NumpyMdcsrn

from mdcsrn_tf.errors import UserError
from mdcsrn_tf.evaluation.architectures import receptive_field_radius, trainable_parameters
from mdcsrn_tf.models import build_critic, build_generator, start_as_identity
from mdcsrn_tf.papers import get_preset
from mdcsrn_tf.papers.config import CriticConfig, FsrcnnConfig, MdcsrnConfig, SrdensenetConfig, SrresnetConfig
from mdcsrn_tf.papers.mdcsrn import PRESETS

# M, k = 16, no convolution biases. A unit whose input has c channels: BN 2c + convolution 27 * c * 16.
#   stem 27 * 32 = 864; block of 4 units on c = 32, 48, 64, 80: 224 * (2 + 432) = 97,216
# J, k = 12, biases. Units on c = 24, 36, 48: BN 2c + 324c + 12; the fourth, on 60 > 4k = 48, goes through
#   BN 120 + 1x1x1 60 * 48 + 48 + BN 96 + 3x3x3 48 * 324 + 12. With its compressor (c + 1) * 24 a block grows
#   by 24 + 4 * 12 = 72 channels for the next compressor and the reconstruction.
PARAMETERS = {
    # 864 + units on 32..144 (8 of them: 704 * 434 = 305,536) + reconstruction 32 + 160 = 192
    "miccai/b1u8k16": 864 + 305_536 + 192,
    # 864 + 2 blocks + compressor (32 + 96) * 32 + reconstruction 32 + 2 * 96
    "miccai/b2u4k16": 864 + 2 * 97_216 + 128 * 32 + 224,
    # ... compressors on 128 and 224 channels, reconstruction 32 + 3 * 96
    "miccai/b3u4k16": 864 + 3 * 97_216 + (128 + 224) * 32 + 320,
    # ... compressors on 128, 224 and 320 channels, reconstruction 32 + 4 * 96
    "miccai/b4u4k16": 864 + 4 * 97_216 + (128 + 224 + 320) * 32 + 416,
    # stem 672 + compressor 600 + 3 plain units 35,244 + 13 bottleneck units on c = 60, 72, ..., 204:
    #   each 2c + 48c + 48 + 96 + 15,552 + 12 = 50c + 15,708; sum of c = 1,716
    #   + reconstruction: (24 + 216) * 96 + 96, BN 192, 27 * 96 + 1
    "journal/b1u16k12-r": 672 + 600 + 35_244 + (50 * 1_716 + 13 * 15_708) + (23_136 + 192 + 2_593),
    # a block's units are 35,244 + 18,708 = 53,952 and its output, compressed input included, 24 + 48 = 72 wide:
    # compressors on 24, 96, 168 and 240 channels, reconstruction on 312
    "journal/b4u4k12-r": 672 + 4 * 53_952 + (25 + 97 + 169 + 241) * 24 + (312 * 96 + 96 + 192 + 2_593),
    # 9 bottleneck units on c = 60, ..., 156: sum 972; reconstruction on 24 + 168
    "journal/b1u12k12-r": 672 + 600 + 35_244 + (50 * 972 + 9 * 15_708) + (192 * 96 + 96 + 192 + 2_593),
    "journal/b4u4k12": 672 + 4 * 53_952 + (25 + 97 + 169 + 241) * 24 + 313,
    "journal/b6u4k12": 672 + 6 * 53_952 + (25 + 97 + 169 + 241 + 313 + 385) * 24 + 457,
    "journal/b8u4k12": 672 + 8 * 53_952 + (25 + 97 + 169 + 241 + 313 + 385 + 457 + 529) * 24 + 601,
    # k = 8: stem 448; units on 16, 24, 32: 72 * 218 + 24 = 15,720; bottleneck on 40: 80 + 1,312 + 64 + 6,920
    "journal/b4u4k8": 448 + 4 * (15_720 + 8_376) + (17 + 65 + 113 + 161) * 16 + 209,
    # k = 16: stem 896; units on 32, 48, 64: 144 * 434 + 48 = 62,544; bottleneck on 80: 160 + 5,184 + 128 + 27,664
    "journal/b4u4k16": 896 + 4 * (62_544 + 33_136) + (33 + 129 + 225 + 321) * 32 + 417,
    "journal/b8u4k8": 448 + 8 * (15_720 + 8_376) + (17 + 65 + 113 + 161 + 209 + 257 + 305 + 353) * 16 + 401,
    # kernels 64,720 + biases 56 + 12 + 4 * 12 + 56 + 1 + PReLU 56 + 12 + 4 * 12 + 56
    "fsrcnn3d": 64_720 + 173 + 172,
    # kernels 1,728 + 18 * 110,592 + 8,000; biases 19 * 64 + 1; 18 BN of 128; 10 PReLU of 64
    "srresnet3d": 1_728 + 18 * 110_592 + 8_000 + 1_217 + 18 * 128 + 10 * 64,
    # stem 672; first block's units see 24, 12, 24, 36, the other seven's 48, 12, 24, 36: each c 326c + 12;
    # 1x1x1 408 * 48 + 48, BN 96, 48 * 1,296 + 48, 1,297
    "srdensenet3d": 672 + 326 * (96 + 7 * 120) + 32 * 12 + (19_632 + 96 + 62_256 + 1_297),
}

SMALL = {
    "miccai": MdcsrnConfig(2, 2, 4, compress_first=False, bottleneck=False, use_bias=False),
    "journal": MdcsrnConfig(2, 4, 4, compress_first=True, bottleneck=True, use_bias=True),
    "journal-r": MdcsrnConfig(1, 4, 4, True, True, True, reconstruction="bottleneck"),
    "fsrcnn3d": FsrcnnConfig(features=6, shrunk=4, mappings=2),
    "srresnet3d": SrresnetConfig(filters=4, blocks=2),
    "srdensenet3d": SrdensenetConfig(blocks=2, units=3, growth=4),
}


@pytest.fixture(scope="module", params=PRESETS)
def published(request):
    """Every preset's network, built once."""
    return request.param, build_generator(get_preset(request.param).network)


def test_every_preset_has_its_exact_count(published):
    name, model = published
    assert name in PARAMETERS, f"{name} has no count in this table"
    assert trainable_parameters(model) == PARAMETERS[name]


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("miccai/b1u8k16", 306_592),
        ("miccai/b2u4k16", 199_616),
        ("miccai/b3u4k16", 304_096),
        ("miccai/b4u4k16", 411_648),
        ("fsrcnn3d", 65_065),
        ("srdensenet3d", 389_473),
    ],
)
def test_the_sums_are_the_known_counts(name, count):
    assert PARAMETERS[name] == count


def test_srresnet_prints_as_the_conference_paper_has_it():
    assert f"{PARAMETERS['srresnet3d'] / 1e6:.3f}" == "2.005"


def test_no_two_convolutions_of_srdensenets_head_are_one():
    model = build_generator(SrdensenetConfig(blocks=2, units=3, growth=4))
    head = [layer.name for layer in model.layers if layer.name.startswith(("reconstruct", "same_scale"))]
    assert head == [
        "reconstruct_bottleneck",
        "reconstruct_norm",
        "reconstruct_elu",
        "same_scale_conv",
        "same_scale_elu",
        "reconstruct",
    ]


def test_layers_are_named_by_their_path(published):
    name, model = published
    if name == "journal/b4u4k12":
        names = [layer.name for layer in model.layers]
        assert names[:6] == [
            "low_res",
            "stem",
            "block1_compress",
            "block1_unit1_norm",
            "block1_unit1_elu",
            "block1_unit1_conv",
        ]
        assert "block4_unit4_bottleneck_conv" in names
        assert "block4_unit3_bottleneck_conv" not in names
        assert names[-1] == "reconstruct"


@pytest.mark.parametrize("name", ["miccai/b2u4k16", "journal/b4u4k8", "fsrcnn3d", "srdensenet3d"])
def test_the_receptive_field_measured_by_an_impulse_is_the_tables(name):
    model = build_generator(get_preset(name).network)
    radius = receptive_field_radius(model)
    for layer in model.layers:  # all paths along the first axis open and of one sign: nothing cancels
        if isinstance(layer, keras.layers.Conv3D):
            size, middle = layer.kernel.shape[0], layer.kernel.shape[0] // 2
            kernel = np.zeros(layer.kernel.shape, np.float32)
            kernel[:, middle, middle] = 1 / (size * kernel.shape[3])
            layer.kernel.assign(kernel)
    assert measured_radius(model, radius) == radius


def measured_radius(model, expected):
    """Along one axis (the others cannot reach further: all kernels are cubes): the farthest non-zero gradient."""
    length = 2 * expected + 5
    volume = tf.Variable(np.full((1, length, 1, 1, 1), 0.5, np.float32))
    with tf.GradientTape() as tape:
        middle = model(volume, training=False)[0, length // 2, 0, 0, 0]
    gradient = tape.gradient(middle, volume).numpy().ravel()
    seen = np.flatnonzero(gradient)
    assert seen[0] + seen[-1] == length - 1, "the field must be symmetric"
    return length // 2 - seen[0]


@pytest.fixture(params=SMALL)
def model(request):
    keras.utils.set_random_seed(0)
    return build_generator(SMALL[request.param])


class TestContract(ModelContract):
    """The contract, for every kind of network."""


@pytest.mark.parametrize("kind", ["miccai", "journal"])
@pytest.mark.parametrize("training", [False, True])
def test_forward_pass_equals_numpy(kind, training):
    model = build_generator(SMALL[kind])
    randomise(model)
    volume = random_volumes(1, 6, 5, 7)
    expected = NumpyMdcsrn(model, SMALL[kind], training)(volume[0, ..., 0].astype(np.float64))
    ours = model(volume, training=training).numpy()[0, ..., 0]
    np.testing.assert_allclose(ours, expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("kind", ["miccai", "journal", "fsrcnn3d"])
@pytest.mark.parametrize("training", [False, True])
def test_identity_start_returns_the_input_exactly(kind, training):
    model = build_generator(SMALL[kind])
    start_as_identity(model, SMALL[kind])
    volume = random_volumes(2, 6, 7, 5)
    np.testing.assert_array_equal(model(volume, training=training).numpy(), volume)


@pytest.mark.parametrize("kind", ["journal-r", "srresnet3d", "srdensenet3d"])
def test_identity_start_is_refused_where_there_is_none(kind):
    with pytest.raises(UserError, match="--set=init=glorot"):
        start_as_identity(build_generator(SMALL[kind]), SMALL[kind])


@pytest.mark.parametrize(("patch", "last", "millions"), [(40, 3, "28.2"), (64, 4, "47.6")])
def test_critic_has_the_published_shape(patch, last, millions):
    critic = build_critic(CriticConfig(), patch)
    assert critic.get_layer("stage4_down_conv").output.shape[1:] == (last, last, last, 512)
    assert f"{critic.count_params() / 1e6:.1f}" == millions
    names = [layer.name for layer in critic.layers if layer.name.endswith("_norm")]
    assert names[0] == "stage1_down_norm", "the first convolution is not normalised"
    assert len(names) == 7


def test_critic_normalises_over_space_and_channels_with_a_gain_and_bias_a_channel():
    critic = build_critic(CriticConfig(filters=3, dense_units=4), 16)
    norm = critic.get_layer("stage2_norm")
    randomise(critic)
    x = np.random.default_rng(0).normal(2.0, 3.0, (2, 5, 6, 4, 6)).astype(np.float32)
    mean, variance = x.mean((1, 2, 3, 4), keepdims=True), x.var((1, 2, 3, 4), keepdims=True)
    expected = (x - mean) / np.sqrt(variance + norm.epsilon) * norm.gamma.numpy() + norm.beta.numpy()
    assert norm.gamma.shape == (6,)
    np.testing.assert_allclose(norm(x).numpy(), expected, atol=1e-4)


def test_critic_scores_without_a_bound():
    critic = build_critic(CriticConfig(filters=2, dense_units=4), 16)
    assert critic.get_layer("score").activation is keras.activations.linear
    assert critic(random_volumes(3, 16, 16, 16)).shape == (3, 1)
