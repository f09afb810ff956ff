"""Inside a `.keras` file: older Keras releases read it, and what is no network never reaches Keras."""

import json
import re
import zipfile
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

from mdcsrn_tf import weights
from mdcsrn_tf.errors import UserError
from mdcsrn_tf.inference.engines import read_any_card
from mdcsrn_tf.models import archive, build_generator
from mdcsrn_tf.models.archive import CARD_MEMBER
from mdcsrn_tf.models.files import ModelCard, load_model, read_card, save_model
from mdcsrn_tf.papers.config import FsrcnnConfig, MdcsrnConfig, SmallGridConfig
from mdcsrn_tf.papers.mdcsrn import PRESETS

SMALL_GRID = SmallGridConfig(MdcsrnConfig(1, 1, 2, False, False, False))
CARD = ModelCard("journal/b4u4k12", "0.1.0", "sinc", ("LR", "AP"), (2, 2), bn="moving")
CONVOLUTION = """name trainable dtype filters kernel_size strides padding data_format dilation_rate groups activation
    use_bias kernel_initializer bias_initializer kernel_regularizer bias_regularizer activity_regularizer
    kernel_constraint bias_constraint"""
# What Keras 3.9.0, the first that reads foreign files safely, writes itself, and so takes; read off its get_config().
KNOWN = {
    "Functional": "name trainable layers input_layers output_layers",
    "InputLayer": "batch_shape dtype sparse name optional",
    "Conv3D": CONVOLUTION,
    "Conv2D": CONVOLUTION,
    "Conv3DTranspose": CONVOLUTION.replace("groups ", ""),
    "Activation": "name trainable dtype activation",
    "LeakyReLU": "name trainable dtype negative_slope",
    "PReLU": "name trainable dtype alpha_initializer alpha_regularizer alpha_constraint shared_axes",
    "Add": "name trainable dtype",
    "Concatenate": "name trainable dtype axis",
    "BatchNormalization": """name trainable dtype axis momentum epsilon center scale beta_initializer gamma_initializer
        moving_mean_initializer moving_variance_initializer beta_regularizer gamma_regularizer beta_constraint
        gamma_constraint synchronized""",
    "DTypePolicy": "name",
    "GlorotUniform": "seed",
    "HeNormal": "seed",
    "Zeros": "",
    "Ones": "",
    "Constant": "value",
    "__keras_tensor__": "shape dtype keras_history",
}
BUNDLED = sorted(Path(weights.__file__).parent.glob("*.keras"))


def unknown_to_the_oldest(path):
    config = json.loads(archive.read_member(path, "config.json"))
    return [
        (item["class_name"], field)
        for item in archive._objects(config)
        for field in item["config"]
        if field not in KNOWN.get(item["class_name"], "").split()
    ]


@pytest.mark.parametrize("path", BUNDLED, ids=lambda path: path.stem)
def test_bundled_networks_hold_only_what_the_oldest_keras_knows(path):
    assert not unknown_to_the_oldest(path)
    archive.check_archive(path)


def test_what_we_save_holds_only_what_the_oldest_keras_knows_and_no_date(tmp_path):
    for number, config in enumerate((MdcsrnConfig(1, 2, 4, True, True, True), FsrcnnConfig(8, 4, 2), SMALL_GRID)):
        model = build_generator(config)
        paths = [tmp_path / f"{number}{letter}.keras" for letter in "ab"]
        for path in paths:
            save_model(path, model, CARD)
        assert not unknown_to_the_oldest(paths[0])
        assert paths[0].read_bytes() == paths[1].read_bytes()
        found, _ = load_model(paths[0])
        for mine, theirs in zip(model.get_weights(), found.get_weights(), strict=True):
            np.testing.assert_array_equal(mine, theirs)


def test_a_newcomer_that_means_something_stays():
    norm = {"class_name": "BatchNormalization", "module": "keras.layers", "config": {"renorm": True, "axis": -1}}
    assert archive.without_newcomers([norm]) == [norm]
    plain = archive.without_newcomers({**norm, "config": {"renorm": False, "axis": -1}})
    assert plain["config"] == {"axis": -1}


def net(*more, inputs=1, shape=(None, None, None, 1), **convolution):
    tensors = [keras.Input(shape) for _ in range(inputs)]
    x = tensors[0] if inputs == 1 else layers.Add()(tensors)
    x = layers.Conv3D(1, 3, **{"padding": "same", **convolution})(x)
    for layer in more:
        x = layer(x)
    return keras.Model(tensors, x)


@pytest.mark.parametrize(
    ("build", "sentence"),
    [
        (lambda: net(padding="valid"), r"unpadded or strided"),
        (lambda: net(strides=2), r"unpadded or strided"),
        (lambda: net(inputs=2), r"does not take one volume and give one"),
        (lambda: net(layers.Conv3D(2, 1)), r"makes .* of a volume|unpadded or strided"),
        (lambda: net(shape=(None, None, None, 2)), r"does not take one volume and give one"),
        (lambda: net(layers.Lambda(lambda x: x)), r"holds a Lambda"),
    ],
    ids=["unpadded", "strided", "two inputs", "two channels out", "two channels in", "program"],
)
def test_networks_no_scan_fits_are_refused_by_name(tmp_path, build, sentence):
    path = tmp_path / "net.keras"
    build().save(path)
    with zipfile.ZipFile(path, "a") as file:
        file.writestr(CARD_MEMBER, CARD.to_json())
    with pytest.raises(UserError, match=sentence) as caught:
        load_model(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def exchange(path, name, content):
    with zipfile.ZipFile(path) as file:
        members = {member: file.read(member) for member in file.namelist()}
    archive.write_members(path, {**members, name: content})


@pytest.fixture
def saved(tmp_path):
    save_model(tmp_path / "net.keras", build_generator(MdcsrnConfig(1, 2, 4, True, True, True)), CARD)
    return tmp_path / "net.keras"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("tile", "24"),
        ("tile", 4000),
        ("tile", True),
        ("tile", 6),
        ("tile", None),
        ("margin", -1),
        ("margin", 2.5),
        ("bn", "group"),
        ("interpolation", "magic"),
        ("normalisation", "minmax"),
        ("axes", ["UP"]),
        ("axes", "LR,AP"),
        ("factor", [0, 2]),
        ("factor", ["2", "2"]),
        ("factor", [2, 2, 2]),
        ("notes", "none"),
        ("notes", {"features": 3}),
        ("notes", {"features": ["vgg19"]}),
        ("preset", 7),
    ],
)
def test_a_card_that_inference_could_not_go_by_is_refused(saved, field, value):
    exchange(saved, CARD_MEMBER, json.dumps({**json.loads(CARD.to_json()), field: value}).encode())
    with pytest.raises(UserError, match=rf"model card in .*net\.keras cannot be read \(its {field} "):
        read_card(saved)


def test_an_exported_folders_card_is_checked_alike(tmp_path):
    card = {**json.loads(CARD.to_json()), "tile": "24"}
    (tmp_path / "saved_model.pb").touch()
    (tmp_path / "assets.extra").mkdir()
    metadata = {"card": json.dumps(card), "receptive_field_radius": 17}
    (tmp_path / "assets.extra" / "mdcsrn.json").write_text(json.dumps(metadata))
    with pytest.raises(UserError, match=rf"model card in {tmp_path} cannot be read \(its tile is '24'"):
        read_any_card(tmp_path)


def test_the_cards_of_all_presets_pass():
    for preset in PRESETS.values():
        inference = preset.inference
        replace(CARD, tile=inference.tile, margin=inference.margin, bn=inference.bn).check()


@pytest.mark.parametrize("member", [CARD_MEMBER, "config.json", "model.weights.h5"])
def test_a_file_that_inflates_is_refused_before_it_is_read(saved, member):
    with zipfile.ZipFile(saved) as file:
        members = {name: file.read(name) for name in file.namelist()}
    with zipfile.ZipFile(saved, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(name, bytes(48 << 20) if name == member else content)
    assert saved.stat().st_size < 1 << 20
    with pytest.raises(UserError, match=r"larger than|would grow"):
        load_model(saved)


@pytest.mark.parametrize(("field", "value"), [("filters", 10**9), ("strides", [1, 10**9, 1])])
def test_a_layer_that_asks_for_all_memory_is_refused(saved, field, value):
    config = json.loads(archive.read_member(saved, "config.json"))
    next(item for item in archive._objects(config) if item["class_name"] == "Conv3D")["config"][field] = value
    exchange(saved, "config.json", json.dumps(config).encode())
    with pytest.raises(UserError, match=rf"{field} is 1000000000"):
        load_model(saved)


def test_no_keras_is_installed_in_which_a_model_file_can_run_code():
    root = Path(__file__).parents[2]
    floor = re.search(r'"keras>=(\d+)\.(\d+)', (root / "setup.py").read_text()).groups()
    pins = re.findall(r"^keras==(\d+)\.(\d+)", (root / "constraints.txt").read_text(), re.MULTILINE)
    assert all(tuple(map(int, version)) >= (3, 9) for version in (floor, *pins))
