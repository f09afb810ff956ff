"""The part of recipes/jax_volumes that needs no JAX: what is carried, what is made of it, the card that comes back."""

import bz2
import json
from dataclasses import replace

import keras
import numpy as np
import pytest

from mdcsrn_tf.models import build_generator
from mdcsrn_tf.models.files import load_model
from mdcsrn_tf.papers import get_preset
from recipes.adam import adam
from recipes.jax_volumes import carry_scans, to_keras, training_data
from recipes.jax_volumes.starts import load_weights


@pytest.fixture
def content(monkeypatch):
    """The parts of two small scans: one with a brain mask, one of few slices."""
    rng = np.random.default_rng(0)
    found = {}
    for name, shape in (("01_T1w", (20, 16, 24)), ("26_T2w", (20, 16, 6))):
        voxels = rng.integers(0, 65536, shape, dtype=np.uint16)
        found[f"train/{name}/voxels"], found[f"train/{name}/shape"] = carry_scans.pack(voxels), np.array(shape)
        found[f"train/{name}/truth"] = voxels
    mask = rng.random((20, 16, 24)) < 0.5
    found["train/01_T1w/mask"] = carry_scans.as_bytes(bz2.compress(np.packbits(mask).tobytes()))
    found["train/01_T1w/brain"] = mask
    monkeypatch.setattr(training_data, "CONTENT", found)
    return found


def test_a_scan_arrives_as_it_left(content):
    for name in ("01_T1w", "26_T2w"):
        packed, shape = content[f"train/{name}/voxels"], content[f"train/{name}/shape"]
        assert np.array_equal(carry_scans.unpack(packed, shape), content[f"train/{name}/truth"])
    assert np.array_equal(
        carry_scans.unpack_mask(content["train/01_T1w/mask"], (20, 16, 24)), content["train/01_T1w/brain"]
    )


def test_the_box_around_a_head_is_even_and_has_air():
    mask = np.zeros((40, 30, 12), bool)
    mask[20:25, 2:9, 0:12] = True
    # 8 voxels more on either side, as far as there are any, and an odd side loses its last.
    assert carry_scans.box_around(mask) == (slice(12, 32), slice(0, 16), slice(0, 12))


def test_the_volumes_lie_one_after_the_other_and_a_thin_scan_is_left_out(content):
    jobs = list(training_data.planned_jobs("sinc", 16))
    assert [job.kind for job in jobs] == list(training_data.SHARES) and {job.scan for job in jobs} == {"01_T1w"}
    assert jobs[-2].shape == (20, 24, 16) and jobs[-1].shape == (24, 16, 20)  # ap-is, lr-is
    sizes = [int(np.prod(job.shape)) for job in jobs]
    assert [job.offset for job in jobs] == np.cumsum([0, *sizes[:-1]]).tolist()
    # With shorter patches the thin scan is there, as it is: it is no truth along its third axis.
    assert [job.kind for job in training_data.planned_jobs("sinc", 6) if job.scan == "26_T2w"] == ["original"]


def test_corners_are_those_of_patches_with_enough_foreground():
    foreground = np.zeros((9, 8, 7), bool)
    foreground[:4, :4, :4] = True
    corners = training_data.roomy_corners(np.random.default_rng(0), foreground, 4)
    allowed = {
        (i, j, k)
        for i in range(6)
        for j in range(5)
        for k in range(4)
        if foreground[i : i + 4, j : j + 4, k : k + 4].sum() >= 16  # a quarter of 64
    }
    assert set(map(tuple, corners.tolist())) == allowed


def told(**settings):
    """What the training says of its weights."""
    common = {"preset": "journal/b4u4k8", "bn_momentum": 0.9, "phase": "l1", "batch": 32, "rate": 2e-3, "data": "sinc"}
    return {
        "settings": common | settings,
        "step": 7,
        "validation": {"gain": 0.5},
        "jax": "0",
        "device": "GPU",
        "minutes": 1,
    }


@pytest.mark.parametrize("data", ["sinc", "linear", "through"])
def test_the_card_says_what_the_network_is_for(data):
    card = to_keras.card_of(told(data=data))
    expected = {"sinc": ("sinc", ("LR", "AP")), "linear": ("linear", ("LR", "AP")), "through": ("sinc", ("IS",))}
    assert (card.interpolation, card.axes) == expected[data]
    assert bool(card.tested) == (data != "linear")  # one that is never chosen has not been tested
    assert card.normalisation == "tissue_level" and card.notes["changed"] == ["batch_size=32", "learning_rate=0.002"]
    card.check()


def test_the_weights_arrive_and_those_that_give_another_image_are_refused(tmp_path):
    network = build_generator(get_preset("fsrcnn3d").network)
    content = {variable.path: np.asarray(variable) for variable in network.variables}
    content |= {
        "card": np.array(json.dumps(told(preset="fsrcnn3d"))),
        "probe_input": np.ones((1, 8, 8, 8, 1), np.float32),
    }
    output = np.asarray(network(content["probe_input"], training=False))
    np.savez(tmp_path / "last.npz", **content, probe_output=output)
    to_keras.main(tmp_path / "last.npz", tmp_path / "net.keras")
    loaded, _ = load_model(tmp_path / "net.keras")
    assert all(np.array_equal(a, b) for a, b in zip(loaded.get_weights(), network.get_weights(), strict=True))
    np.savez(tmp_path / "last.npz", **content, probe_output=output + 0.01)
    with pytest.raises(SystemExit, match="was removed"):
        to_keras.main(tmp_path / "last.npz", tmp_path / "net.keras")
    assert not (tmp_path / "net.keras").exists()


def test_adam_is_keras_adam():
    rng = np.random.default_rng(0)
    weights = [rng.standard_normal((3, 2)), rng.standard_normal(4)]
    variables = [keras.Variable(array) for array in weights]
    optimizer = keras.optimizers.Adam(0.01)
    m = v = [np.zeros_like(array) for array in weights]
    for step in (1.0, 2.0, 3.0):
        gradients = [rng.standard_normal(array.shape) for array in weights]
        optimizer.apply([keras.ops.convert_to_tensor(g, "float32") for g in gradients], variables)
        weights, m, v = adam(weights, gradients, m, v, step, 0.01)
    for found, expected in zip(weights, variables, strict=True):
        np.testing.assert_allclose(found, np.asarray(expected), rtol=1e-5)


def test_a_deeper_network_starts_with_the_image_of_a_shallower_one(tmp_path):
    network = get_preset("journal/b4u4k8").network
    shallow, deep = (build_generator(replace(network, units=1, blocks=blocks)) for blocks in (2, 3))
    np.savez(tmp_path / "last.npz", card="{}", **{v.path: np.asarray(v.value) for v in shallow.variables})
    patch = np.random.default_rng(0).normal(size=(1, 6, 7, 5, 1)).astype(np.float32)
    assert np.abs(deep(patch) - shallow(patch)).max() > 1e-2
    load_weights(deep, tmp_path / "last.npz")
    np.testing.assert_allclose(deep(patch), shallow(patch), atol=1e-6)
    # What is new is no zero: it learns as soon as the output reads it.
    assert np.abs(deep.get_layer("block3_unit1_conv").kernel).min() > 0
    np.savez(tmp_path / "deep.npz", **{v.path: np.asarray(v.value) for v in deep.variables})
    with pytest.raises(SystemExit, match=r"deep\.npz holds weights of another network \(block3_compress"):
        load_weights(shallow, tmp_path / "deep.npz")
