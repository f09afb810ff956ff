"""The frozen VGG networks: sizes, the real loading path on a file of the standard layout, what is fed to them."""

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.ndimage import correlate

from mdcsrn_tf.errors import UserError
from mdcsrn_tf.models.features import VGG_FILES, load_features
from mdcsrn_tf.training.content import feature_squares

VGG16_LAYERS = [(1, 2, 64), (2, 2, 128), (3, 3, 256), (4, 3, 512), (5, 3, 512)]  # block, convolutions, filters


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """VGG16's convolutions with seeded weights, in the layout of Keras's old file."""
    path = tmp_path_factory.mktemp("vgg") / "seeded.h5"
    rng = np.random.default_rng(3)
    with h5py.File(path, "w") as file:
        names, channels = [], 3
        for block, convolutions, filters in VGG16_LAYERS:
            for index in range(1, convolutions + 1):
                name = f"block{block}_conv{index}"
                group = file.create_group(name)
                group.attrs["weight_names"] = [f"{name}_W_1:0".encode(), f"{name}_b_1:0".encode()]
                spread = np.sqrt(2 / (9 * channels))
                group[f"{name}_W_1:0"] = rng.normal(0, spread, (3, 3, channels, filters)).astype(np.float32)
                group[f"{name}_b_1:0"] = rng.normal(0, 0.1, filters).astype(np.float32)
                names.append(name)
                channels = filters
            file.create_group(f"block{block}_pool").attrs["weight_names"] = np.array([], "S1")
            names.append(f"block{block}_pool")
        file.attrs["layer_names"] = [name.encode() for name in names]
        file.attrs["keras_version"], file.attrs["backend"] = b"1.2", b"tensorflow"
    return path


@pytest.fixture(scope="module")
def vgg16(weights):
    return load_features("vgg16", weights)


def test_the_file_is_read_and_the_network_is_frozen(vgg16, weights):
    with h5py.File(weights) as file:
        kernel = file["block3_conv2/block3_conv2_W_1:0"][()]
    np.testing.assert_array_equal(vgg16.model.get_layer("block3_conv2").kernel.numpy(), kernel)
    assert not vgg16.model.trainable_weights
    assert vgg16.origin["weights"] == "unknown", "only the standard file may stand in a paper's row"
    assert len(vgg16.origin["sha256"]) == 64


def test_the_whole_networks_have_their_known_sizes():
    for build, count in ((keras.applications.VGG16, 14_714_688), (keras.applications.VGG19, 20_024_384)):
        assert build(include_top=False, weights=None).count_params() == count


def test_the_first_features_equal_numpy(vgg16, weights):
    image = np.random.default_rng(0).normal(3.0, 2.0, (1, 16, 9, 1)).astype(np.float32)
    z = (image[0, ..., 0] - image.mean()) / image.std() * 57.4  # each image its own, in the spread of pixels
    with h5py.File(weights) as file:
        first, second = (
            (file[f"block1_conv{i}/block1_conv{i}_W_1:0"][()], file[f"block1_conv{i}/block1_conv{i}_b_1:0"][()])
            for i in (1, 2)
        )
    x = np.repeat(z[..., np.newaxis], 3, axis=-1)
    for kernel, bias in (first, second):
        maps = [
            sum(correlate(x[..., i], kernel[..., i, f], mode="constant") for i in range(x.shape[-1]))
            for f in range(kernel.shape[-1])
        ]
        x = np.maximum(np.stack(maps, axis=-1) + bias, 0)
    ours = vgg16(image)
    np.testing.assert_allclose(ours[0][0], x / 57.4, atol=1e-4 * x.max() / 57.4)
    assert [tuple(features.shape[1:]) for features in ours] == [(16, 9, 64), (8, 4, 128), (4, 2, 256), (2, 1, 512)]


def test_random_features_are_the_same_ones_every_time_and_carry_a_gradient():
    vgg19 = load_features("vgg19", None, random=True, side=32)
    assert vgg19.origin == {"features": "vgg19", "weights": "random"}
    truth = np.random.default_rng(1).uniform(-1, 1, (1, 48, 48, 1)).astype(np.float32)
    image = tf.Variable(truth * 0.9)
    before = [weight.numpy() for weight in vgg19.model.weights[:2]]
    with tf.GradientTape() as tape:
        loss = feature_squares(vgg19(image), vgg19(truth))
    assert np.abs(tape.gradient(loss, image).numpy()).max() > 0
    assert feature_squares(vgg19(truth), vgg19(truth)).numpy() == 0
    assert vgg19(truth)[0].shape == (1, 2, 2, 512), "the fourth pool"
    again = load_features("vgg19", None, random=True, side=32).model.weights[:2]
    for old, new in zip(before, again, strict=True):
        np.testing.assert_array_equal(old, new.numpy())


def test_what_is_fed_is_pixels_with_the_mean_taken_off():
    vgg19 = load_features("vgg19", None, random=True, side=4)
    images = np.stack([np.full((4, 4, 1), value, np.float32) for value in (-1.0, 1.0, 1.5)])
    fed = vgg19.prepared(images).numpy()
    mean = np.array([103.939, 116.779, 123.68])  # BGR
    np.testing.assert_allclose(fed[:, 0, 0], np.array([[0.0], [255.0], [318.75]]) - mean, rtol=1e-5)


@pytest.mark.parametrize("name", VGG_FILES)
def test_without_weights_one_sentence_names_the_file_and_its_checksum(name, tmp_path):
    standard = VGG_FILES[name]
    with pytest.raises(UserError, match=rf"{standard.file} \(md5 {standard.md5}\) by --vgg_weights"):
        load_features(name, None)
    with pytest.raises(UserError, match=r"no file .*absent\.h5"):
        load_features(name, tmp_path / "absent.h5")
    (tmp_path / "other.h5").write_bytes(b"no weights")
    with pytest.raises(UserError, match=r"other\.h5 does not hold VGG1[69]'s convolutions"):
        load_features(name, tmp_path / "other.h5")
