"""The slice networks of both 2D papers: exact counts, shapes, the contract, sizes, starts, sharpening and NumPy."""

from dataclasses import replace
from functools import cache

import keras
import numpy as np
import pytest
import tensorflow as tf
from model_contract import ModelContract, random_inputs, random_volumes, randomise

from mdcsrn_tf.errors import UserError
from mdcsrn_tf.models import build_critic, build_generator
from mdcsrn_tf.models.files import ModelCard, load_model, save_model
from mdcsrn_tf.models.layers import moving_statistics_kept
from mdcsrn_tf.models.sizes import check_sides, macs_per_voxel, receptive_field_radius, size_multiple
from mdcsrn_tf.models.srresnet2d import start_as_identity
from mdcsrn_tf.models.unet2d import SHARPEN_3, SHARPEN_5, sharpened
from mdcsrn_tf.papers import field94t, srgan2d
from mdcsrn_tf.papers.networks2d import (
    Chain2dConfig,
    Dcsrn2dConfig,
    DenseDiscriminatorConfig,
    Fcn2Config,
    LedigDiscriminatorConfig,
    PatchDiscriminatorConfig,
    PooledDiscriminatorConfig,
    ReleasedDiscriminatorConfig,
    Srresnet2dConfig,
    Unet2dConfig,
)

PRESETS = {**srgan2d.PRESETS, **field94t.PRESETS}

# Convolutions (kernel^2 * in + 1) * out, then 2 * filters for each batch normalisation.
_FCN1 = 1_600 + 100_416 + 204_928 + 1_153 + 2 * (32 + 64 + 128)
_FCN2 = 832 + 18_496 + 36_928 + 65_600 + 32_800 + 513 + 2 * (32 + 64 + 64 + 64 + 32)
# stem; units on 24, 48, 72, 96 channels; their norms; the closing norm on 120; output
_DCSRN = 240 + (5_208 + 10_392 + 15_576 + 20_760) + 2 * (24 + 48 + 72 + 96) + 240 + 1_081
_A = 832 + 4_624 + 1_160 + 132 + 17 + 2 * (32 + 16 + 8 + 4)
_C = 800 + 25_664 + 204_928 + 225_988 + 197 + 2 * (16 + 64 + 128 + 196)
_E = 800 + 25_664 + 204_928 + 409_728 + 225_988 + 197 + 2 * (16 + 64 + 128 + 128 + 196)
# 16 * (in * out) down to 16, 32, 64, 128, 128, 128 and up to 128, 128, 64, 32, 16, 1 on skips; norms; one bias
_G_DOWN = 16 * (16 + 16 * 32 + 32 * 64 + 64 * 128 + 128 * 128 + 128 * 128)
_G_UP = 16 * (128 * 128 + 256 * 128 + 256 * 64 + 128 * 32 + 64 * 16 + 32 * 1)
_G = _G_DOWN + _G_UP + 2 * (32 + 64 + 128 + 128) + 2 * (128 + 128 + 64 + 32 + 16) + 1
# 32 convolutions of 64 without bias and their norms in 16 blocks, then one more of each
_TRUNK = 16 * 2 * (36_864 + 128) + 36_992
PARAMETERS = {
    "srgan2d/model1": 640 + _TRUNK + 577,
    "srgan2d/model2": 640 + _TRUNK + 1_731,
    "srgan2d/model1-released": 640 + _TRUNK + 577,
    "srgan2d/model2-released": 640 + _TRUNK + 1_731,
    "srgan2d/stack3": (27 * 64 + 64) + _TRUNK + 577,
    "7t/fcn1": _FCN1,
    "7t/fcn2": _FCN2,
    **{f"7t/dcsrn2d-{loss}": _DCSRN for loss in ("l1", "l2", "p")},
    "7t/dcgan1": _A,
    "7t/dcgan2": _C,
    "7t/dcgan3": _E,
    "7t/dcgan4": _E,
    **{f"7t/{name}": _G for name in ("unet5", "unet6", "unet7", "unet8", "pix2pix9", "pix2pix10", "pix2pix11")},
}
KNOWN = {
    "srgan2d/model1": 1_221_953,
    "srgan2d/model2": 1_223_107,
    "7t/fcn1": 308_545,
    "7t/fcn2": 155_681,
    "7t/dcsrn2d-l1": 53_977,
    "7t/dcgan1": 6_885,
    "7t/dcgan2": 458_385,
    "7t/dcgan3": 868_369,
    "7t/unet5": 1_829_025,
}

# kind: the network, and what its sides must be a multiple of
SMALL = {
    "fcn1": (Chain2dConfig("fcn1", ((5, 4), (3, 3), (3, 1))), 1),
    "dcgan1": (Chain2dConfig("dcgan1", ((5, 4), (3, 3), (3, 3), (2, 2), (2, 1)), padding="one"), 1),
    "fcn2": (Fcn2Config(((5, 3), (3, 4), (3, 4)), (4, 3, 1)), 8),
    "dcsrn2d": (Dcsrn2dConfig(4, 2, 3), 1),
    "unet2d": (Unet2dConfig(filters=2, levels=3), 8),
    "unet2d-tanh": (Unet2dConfig(filters=2, levels=3, final="tanh"), 8),
    "unet2d-sharpened": (Unet2dConfig(filters=2, levels=3, sharpen=5), 8),
    "srresnet2d": (Srresnet2dConfig(4, 2), 1),
    "srresnet2d-model2": (Srresnet2dConfig(4, 1, high_channels=3), 1),
    "srresnet2d-stack3": (Srresnet2dConfig(4, 1, low_channels=3), 1),
}


@cache
def built(config):
    """The network at its published size: several presets share one."""
    return build_generator(config)


def count(model):
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_has_its_exact_count(name):
    assert count(built(PRESETS[name].network)) == PARAMETERS[name]


def test_the_sums_are_the_published_and_the_known_counts():
    assert {name: PARAMETERS[name] for name in KNOWN} == KNOWN


@pytest.mark.parametrize(
    ("config", "side", "channels", "parameters"),
    [
        (DenseDiscriminatorConfig(), 64, 1, 1_050_738),
        (PooledDiscriminatorConfig(), 64, 1, 75_201),
        (PooledDiscriminatorConfig((64, 128, 128)), 64, 1, 223_809),
        (PatchDiscriminatorConfig(), 64, 1, 110_057),
        (ReleasedDiscriminatorConfig(), 512, 1, 48_166_209),
        (ReleasedDiscriminatorConfig(), 512, 3, 48_168_257),
        (ReleasedDiscriminatorConfig(), 64, 1, 48_133_440 + 512 + 1),
        (LedigDiscriminatorConfig(), 96, 1, 23_562_497),
    ],
)
def test_every_discriminator_has_its_exact_count_and_gives_logits(config, side, channels, parameters):
    model = build_critic(config, side, channels)
    assert count(model) == parameters
    assert model.layers[-1].activation is keras.activations.linear


def shapes(model, *names):
    return [model.get_layer(name).output.shape[1] for name in names]


def test_intermediate_sizes_are_the_papers():
    dcgan1 = built(field94t.A)
    image = random_volumes(1, 64, 64)
    convolutions = [layer for layer in dcgan1.layers if isinstance(layer, keras.layers.Conv2D)]
    stages = [keras.Model(dcgan1.input, layer.output) for layer in convolutions]
    assert [stage(image).shape[1] for stage in stages] == [62, 62, 62, 63, 64]
    unet = built(field94t.G)
    assert keras.Model(unet.input, unet.get_layer("down6_conv").output)(image).shape == (1, 1, 1, 128)
    pooled = build_critic(field94t.D, 64)
    names = [f"conv{index}{suffix}" for index in (1, 2, 3) for suffix in ("", "_pool")]
    assert shapes(pooled, *names) == [65, 32, 34, 16, 18, 4]
    patch = build_critic(field94t.H, 64)
    assert shapes(patch, *(f"layer{index}_conv" for index in range(1, 6)), "logits") == [32, 16, 8, 4, 3, 2]


@pytest.fixture(params=SMALL)
def kind(request):
    return request.param


@pytest.fixture
def model(kind):
    keras.utils.set_random_seed(0)
    return build_generator(SMALL[kind][0])


class TestContract(ModelContract):
    """The contract, for every kind of slice network; graphs and files stand below, for every preset."""

    test_eager_and_graph_agree_in_both_modes = None
    test_keras_file_returns_the_same_bits = None
    test_saved_model_agrees = None

    @pytest.fixture
    def sizes(self, kind):
        multiple = SMALL[kind][1]
        smallest = 3 if kind == "dcgan1" else multiple  # its padding of 1 takes 2 pixels off what a 5x5 kernel sees
        odd = (9, 7) if multiple == 1 else (3 * multiple, 2 * multiple)
        return [(smallest, smallest), odd]


def representative(network):
    """The network at its published sizes, with 2 equal residual blocks where S's has 16, and a thin U-net."""
    if isinstance(network, Unet2dConfig):
        return replace(network, filters=min(network.filters, 8))
    return replace(network, blocks=2) if isinstance(network, Srresnet2dConfig) else network


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    """What a network gives by itself and in every other form, made once for the presets that share it."""

    @cache
    def of(network):
        model = build_generator(network)
        randomise(model)
        multiple = size_multiple(model)
        images = random_inputs(model, 2, (9, 7) if multiple == 1 else (multiple, 2 * multiple))
        saved, exported = tmp_path_factory.mktemp("saved") / "model.keras", tmp_path_factory.mktemp("exported")
        save_model(saved, model, ModelCard(preset="any", version="0", interpolation="linear"))
        model.export(exported, verbose=False)
        served = tf.saved_model.load(str(exported))
        own = saved.with_name("own.keras")
        model.save(own)
        forms = {
            "eager": model(images, training=False),
            "graph": tf.function(model)(images, training=False),
            "saved by Keras": keras.models.load_model(own)(images, training=False),
            "plain Keras": keras.models.load_model(saved)(images, training=False),
            "loaded": load_model(saved)[0](images, training=False),
            "served": served.serve(images),
        }
        with moving_statistics_kept():
            forms["eager, training"] = model(images, training=True)
            forms["graph, training"] = tf.function(model)(images, training=True)
        return {name: found.numpy() for name, found in forms.items()}

    return of


TANH = SMALL["unet2d-tanh"][0]  # no preset has it
NETWORKS = {name: representative(preset.network) for name, preset in PRESETS.items()} | {"tanh": TANH}


@pytest.mark.parametrize("name", NETWORKS)
def test_every_preset_is_itself_when_saved_loaded_exported_and_in_a_graph(name, outputs):
    found = outputs(NETWORKS[name])
    largest = np.abs(found["eager"]).max()
    assert largest > 0
    for form in ("loaded", "saved by Keras"):
        np.testing.assert_array_equal(found[form], found["eager"], err_msg=form)
    np.testing.assert_allclose(found["graph"], found["eager"], rtol=1e-4, atol=1e-4 * largest)
    for form in ("plain Keras", "served"):  # the card's file without our loader; another graph
        np.testing.assert_allclose(found[form], found["eager"], rtol=1e-5, atol=1e-5 * largest, err_msg=form)
    largest = np.abs(found["eager, training"]).max()
    np.testing.assert_allclose(found["graph, training"], found["eager, training"], rtol=1e-4, atol=1e-4 * largest)


def test_sizes_that_a_network_cannot_take_are_refused_by_name(kind, model):
    multiple = SMALL[kind][1]
    assert size_multiple(model) == multiple
    check_sides(model, (5 * multiple, 3 * multiple))
    if multiple > 1:
        with pytest.raises(UserError, match=rf"{model.name} halves its images 3 times .* 8, not 24 x 20"):
            check_sides(model, (24, 20))


def test_the_published_networks_take_the_sizes_that_the_paper_gives_them():
    multiples = {name: size_multiple(built(preset.network)) for name, preset in PRESETS.items()}
    assert {name for name, multiple in multiples.items() if multiple == 64} == {
        name for name in PRESETS if "unet" in name or "pix2pix" in name
    }
    assert [name for name, multiple in multiples.items() if multiple == 8] == ["7t/fcn2"]


def test_receptive_fields_and_work_by_hand():
    def sizes(config):
        model = built(config)
        return receptive_field_radius(model), macs_per_voxel(model)

    assert sizes(field94t.FCN1) == (3 + 3 + 2 + 1, 49 * 32 + 49 * 32 * 64 + 25 * 64 * 128 + 9 * 128)
    # Padding 1 moves the 5x5 kernel by one pixel each way, the 2x2 kernels move it back: 5 on both sides.
    assert sizes(field94t.A) == (5, 25 * 32 + 9 * 32 * 16 + 9 * 16 * 8 + 4 * 8 * 4 + 4 * 4)
    assert sizes(field94t.DCSRN2D)[0] == 6
    # Pools: full size, a half, a quarter; then up from an eighth, a transposed convolution works where it reads.
    fcn2 = 25 * 32 + 9 * 32 * 64 / 4 + 9 * 64 * 64 / 16 + 16 * 64 * 64 / 64 + 16 * 64 * 32 / 16 + 16 * 32 / 4
    assert sizes(field94t.FCN2) == (None, fcn2)


@pytest.mark.parametrize(("kind", "middle"), [("srresnet2d", 0), ("srresnet2d-model2", 0), ("srresnet2d-stack3", 1)])
@pytest.mark.parametrize("training", [False, True])
def test_identity_start_returns_the_middle_slice_exactly(kind, middle, training):
    model = build_generator(SMALL[kind][0])
    start_as_identity(model)
    slices = random_inputs(model, 2, (9, 7))
    for channel in np.moveaxis(model(slices, training=training).numpy(), -1, 0):
        np.testing.assert_array_equal(channel, slices[..., middle])


def test_fresh_weights_are_drawn_as_the_papers_do():
    keras.utils.set_random_seed(1)
    chain = build_generator(field94t.FCN1)
    kernel, bias = chain.get_layer("conv2").get_weights()
    limit = 1 / np.sqrt(49 * 32)  # PyTorch's default, for kernels and biases alike
    assert limit * 0.99 < np.abs(kernel).max() <= limit
    assert limit * 0.8 < np.abs(bias).max() <= limit
    kernel, _ = build_generator(field94t.FCN2).get_layer("up2_conv").get_weights()
    limit = 1 / np.sqrt(16 * 32)  # of a transposed convolution it counts what is given, 32, not the 64 that are read
    assert limit * 0.99 < np.abs(kernel).max() <= limit
    srresnet = build_generator(Srresnet2dConfig(blocks=2))
    assert srresnet.get_layer("block2_conv2").kernel.numpy().std() == pytest.approx(0.02, rel=0.02)
    gains = np.concatenate([layer.gamma.numpy() for layer in srresnet.layers if hasattr(layer, "gamma")])
    assert (gains.mean(), gains.std()) == (pytest.approx(1, abs=0.005), pytest.approx(0.02, rel=0.2))
    norm = srresnet.get_layer("trunk_norm")
    assert (norm.momentum, norm.epsilon) == (0.9, 1e-5)


@pytest.mark.parametrize(("size", "kernel"), [(3, SHARPEN_3), (5, SHARPEN_5)])
def test_sharpening_is_the_printed_kernel_and_leaves_what_is_flat(size, kernel):
    assert kernel.sum() == pytest.approx(1)
    image = keras.Input((None, None, 1))
    model = keras.Model(image, sharpened(image, size))
    assert not model.trainable_weights
    delta = np.zeros((1, 9, 9, 1), np.float32)
    delta[0, 4, 4] = 1.0
    half = size // 2
    around = model(delta).numpy()[0, 4 - half : 5 + half, 4 - half : 5 + half, 0]
    np.testing.assert_allclose(around, kernel, atol=1e-7)  # both kernels are symmetric
    np.testing.assert_allclose(model(np.full((1, 6, 5, 1), 3.0)).numpy(), 3.0, rtol=1e-6)
    assert kernel[half, half] == (5 if size == 3 else 476 / 256)
    noise = random_volumes(1, 7, 6)
    # Across the border of a 3x3 kernel lies what its edge would repeat.
    edges = np.pad(noise, ((0, 0), (half, half), (half, half), (0, 0)), mode="edge")
    repeated = valid_convolution(edges, kernel[..., np.newaxis, np.newaxis])
    inside = slice(None) if size == 3 else slice(half, -half)
    np.testing.assert_allclose(model(noise).numpy()[:, inside, inside], repeated[:, inside, inside], atol=1e-5)


def test_a_chain_equals_numpy_in_both_modes():
    model = build_generator(SMALL["dcgan1"][0])
    randomise(model)
    image = random_volumes(2, 9, 8)
    weights = {variable.path: variable.numpy().astype(np.float64) for variable in model.variables}
    for training in (False, True):
        x = image.astype(np.float64)
        for name in ("conv1", "conv2", "conv3", "conv4", "reconstruct"):
            x = valid_convolution(np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0))), weights[f"{name}/kernel"])
            x += weights[f"{name}/bias"]
            if name != "reconstruct":
                x = np.maximum(normalised(x, weights, f"{name}_norm", training), 0)
        ours = model(image, training=training).numpy()
        np.testing.assert_allclose(ours, x, atol=1e-4 * np.abs(x).max())


def valid_convolution(x, kernel):
    out = np.zeros((*np.array(x.shape[:3]) - (0, *np.array(kernel.shape[:2]) - 1), kernel.shape[3]))
    for i, j in np.ndindex(*kernel.shape[:2]):
        out += x[:, i : i + out.shape[1], j : j + out.shape[2]] @ kernel[i, j]
    return out


def normalised(x, weights, name, training):
    gamma, beta, mean, variance = (
        weights[f"{name}/{part}"] for part in ("gamma", "beta", "moving_mean", "moving_variance")
    )
    if training:
        mean, variance = x.mean((0, 1, 2)), x.var((0, 1, 2))
    return (x - mean) / np.sqrt(variance + 1e-5) * gamma + beta


def test_one_level_of_the_unet_equals_numpy():
    """One halving: a strided convolution, and the transposed one as what it transposes."""
    model = build_generator(Unet2dConfig(filters=2, levels=1))
    image = random_volumes(1, 6, 8)
    down, up = model.get_layer("down1_conv").get_weights()[0], model.get_layer("reconstruct").get_weights()[0]
    padded = np.pad(image.astype(np.float64), ((0, 0), (1, 1), (1, 1), (0, 0)))
    inner = np.maximum(valid_convolution(padded, down)[0, ::2, ::2], 0)
    expected = np.zeros((8, 10))
    for f, i, j in np.ndindex(2, 3, 4):
        expected[2 * i : 2 * i + 4, 2 * j : 2 * j + 4] += inner[i, j, f] * up[..., 0, f]
    np.testing.assert_allclose(model(image).numpy()[0, ..., 0], expected[1:-1, 1:-1], atol=1e-5)
