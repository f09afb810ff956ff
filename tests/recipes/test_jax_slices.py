"""What goes to the GPU and what comes back, and the losses there: tested on the backend that is here."""

import json
from functools import partial
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from benchmarks.field_networks import trained, trained_elsewhere
from benchmarks.field_plan import planned
from mdcsrn_tf.models import build_generator
from mdcsrn_tf.models.files import load_model
from mdcsrn_tf.papers.config import Term
from mdcsrn_tf.training import content, losses
from recipes.jax_slices import patches, slice_losses, to_keras


@pytest.fixture
def images():
    return np.random.default_rng(0).standard_normal((2, 3, 6, 9, 1)).astype(np.float32)


def test_the_losses_are_those_that_train_here(images):
    ours, theirs = images
    pairs = [
        (slice_losses.absolute, losses.mean_absolute_error),
        (slice_losses.squared, losses.mean_squared_error),
        (slice_losses.gradient_difference, content.gradient_difference),
        *((partial(slice_losses.discriminator_loss, halved=halved), partial(content.discriminator_loss, halved=halved))
          for halved in (True, False)),
    ]  # fmt: skip
    for found, expected in pairs:
        assert float(found(ours, theirs)) == pytest.approx(float(expected(ours, theirs)), rel=1e-6)
    assert float(slice_losses.real_cross_entropy(ours)) == pytest.approx(
        float(content.real_cross_entropy(ours)), rel=1e-6
    )


def test_a_sum_of_terms_weighs_each_and_reads_features(images):
    terms = (Term("l1", 1.5), Term("gradient", 2.0), Term("vgg16", 0.5))
    features = {"vgg16": lambda image: [image, 3 * image]}
    expected = content.ContentLoss(terms, features)(*images)[0]
    assert float(slice_losses.content_loss(terms, features, *images)) == pytest.approx(float(expected), rel=1e-6)


def test_patches_come_back_to_the_nearest_step(images):
    values = 20 * images[0, ..., 0]
    again = patches.unpack(patches.pack(values), np.array(values.shape))
    np.testing.assert_array_equal(again, np.round(values * 32) / 32)


def test_patches_that_are_no_z_scores_are_refused():
    with pytest.raises(SystemExit, match="not normalised"):
        patches.pack(np.full((1, 4, 4), 1100.0, np.float32))


@pytest.fixture
def brought(tmp_path):
    """A network as train_slices.py stores it, and what its half-precision kernels give for a patch."""
    training = planned("fcn2:40x2")[0]
    keras.utils.set_random_seed(0)
    model = build_generator(training.preset.network)
    for variable in model.variables:
        if len(variable.shape) > 1:
            variable.assign(variable.numpy().astype(np.float16))
    probe = np.random.default_rng(0).standard_normal((8, 8)).astype(np.float32)
    result = np.asarray(model(probe[np.newaxis, ..., np.newaxis], training=False))[0, ..., 0]
    told = {
        "training": {"name": "fcn2", "steps": 40, "batch": 2, "rate": 1e-3, "alone": False},
        "steps": 30,
        "kept": 20,
        "mse": 0.5,
        "seconds": 1.5,
        "curve": [],
        "trained_with": {"jax": "0", "device": "a GPU", "seed": 0},
        "probe": result.tolist(),
        "probe_input": probe.tolist(),
        "data_sha256": "cafe",
    }
    weights = {
        f"fcn2/{v.path}": v.numpy().astype(np.float16 if len(v.shape) > 1 else np.float32) for v in model.variables
    }
    np.savez(tmp_path / "weights-1.npz", **weights, **{"fcn2/card": np.array(json.dumps(told))})
    return training, told, model, tmp_path


MANIFEST = SimpleNamespace(
    interpolation="linear", axes=(), factor=(), factors=(), slices=None, rank=2, planes=("axial",),
    normalisation="zscore_each_image",
)  # fmt: skip


def test_a_network_that_comes_back_is_measured_as_it_was_trained(brought):
    training, told, model, folder = brought
    ((row, weights, again),) = to_keras.stored(folder)
    assert (row, again) == ("fcn2", told)
    workdir = folder / training.folder
    assert to_keras.convert(training, weights, told, MANIFEST, workdir)
    loaded, card = load_model(workdir / "best_l1.keras")
    for found, expected in zip(loaded.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(found, expected)
    assert (card.preset, card.tile, card.stride) == ("7t/fcn2", 64, 20)
    assert trained_elsewhere(workdir)["device"] == "a GPU" and trained_elsewhere(workdir)["steps"] == 30
    assert trained(training, folder, "float32") == workdir  # and is not trained again


def test_a_network_that_gives_something_else_is_left_out(brought):
    training, told, _, folder = brought
    ((_, weights, _),) = to_keras.stored(folder)
    told["probe"][3][3] += 0.1
    assert not to_keras.convert(training, weights, told, MANIFEST, folder / "other")
    assert not list((folder / "other").glob("*.keras"))
