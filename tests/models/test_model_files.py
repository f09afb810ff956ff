"""Model files: the card travels with the network, plain Keras reads them, damage is a sentence."""

import json
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from model_contract import random_volumes, randomise

from mdcsrn_tf.errors import UserError
from mdcsrn_tf.models import build_generator
from mdcsrn_tf.models.files import ModelCard, load_model, portable, read_card, save_model, with_precision
from mdcsrn_tf.papers.config import MdcsrnConfig

CONFIG = MdcsrnConfig(2, 3, 4, compress_first=True, bottleneck=True, use_bias=True)
CARD = ModelCard("journal/b4u4k12", "0.1.0", "sinc", ("LR", "AP"), (2, 2), bn="moving", notes={"steps": 900})


@pytest.fixture
def saved(tmp_path):
    model = build_generator(CONFIG, bn_momentum=0.9)
    randomise(model)
    path = tmp_path / "net.keras"
    save_model(path, model, CARD)
    return path, model


def test_card_survives_the_round_trip(saved):
    path, _ = saved
    assert read_card(path) == load_model(path)[1] == CARD
    assert ModelCard.from_json(CARD.to_json()) == CARD


def test_a_newer_card_with_more_members_is_read():
    assert ModelCard.from_json(json.dumps({**json.loads(CARD.to_json()), "from_the_future": 1})) == CARD


@pytest.mark.parametrize(
    "tested",
    [
        {"voxel_mm": [0.5]},
        {"voxel_mm": ["0.5", "1"]},
        {"voxel_mm": [1.25, 0.5]},
        {"voxel_mm": [-1.0, 0.5]},
        {"voxel_mm": [float("nan"), 1.0]},
        {"voxel_mm": "0.5-1"},
        {"across_mm": [6.0]},
        {"voxel_mm": [0.5, 2.0], "across_mm": [6.0, 0.5]},
        {"axes": ["LR"]},
        {"factors": [[0]]},
        {"contrasts": [1]},
        [0.5, 1.25],
    ],
)
def test_a_card_whose_limits_say_nothing_is_refused(tested):
    with pytest.raises(ValueError, match="its tested is"):
        ModelCard.from_json(json.dumps({**json.loads(CARD.to_json()), "tested": tested}))


def test_the_layers_keep_their_settings(saved):
    model, _ = load_model(saved[0])
    assert {layer.momentum for layer in model.layers if layer.name.endswith("_norm")} == {0.9}


def test_plain_keras_reads_the_file_without_this_package(saved, tmp_path):
    path, model = saved
    volumes = random_volumes(1, 5, 6, 7)
    np.save(tmp_path / "in.npy", volumes)
    code = (
        "import gc, sys\n"
        "gc.disable()\n"  # what is loaded is no garbage, and of these Keras needs none: half the time
        "sys.modules.update(dict.fromkeys(('sklearn', 'matplotlib', 'cv2')))\n"
        "import keras, numpy as np\n"
        "model = keras.models.load_model(sys.argv[1])\n"
        "np.save(sys.argv[3], model(np.load(sys.argv[2]), training=False))\n"
        "assert not any(name.startswith('mdcsrn_tf') for name in sys.modules)\n"
    )
    arguments = [str(path), str(tmp_path / "in.npy"), str(tmp_path / "out.npy")]
    subprocess.run([sys.executable, "-c", code, *arguments], check=True, cwd=tmp_path)
    expected = model(volumes, training=False).numpy()
    np.testing.assert_allclose(np.load(tmp_path / "out.npy"), expected, atol=1e-5 * np.abs(expected).max())


def test_mixed_precision_stays_near_float32_and_ends_in_it(saved):
    exact, _ = load_model(saved[0])
    mixed, _ = load_model(saved[0], precision="mixed_bfloat16")
    volumes = random_volumes(1, 9, 8, 7)
    expected, outputs = exact(volumes, training=False).numpy(), mixed(volumes, training=False)
    assert outputs.dtype == tf.float32
    assert mixed.get_layer("block1_unit1_conv").compute_dtype == "bfloat16"
    assert {variable.dtype for variable in mixed.variables} == {"float32"}
    difference = np.abs(outputs.numpy() - expected).max()
    assert 0 < difference < 0.03 * np.abs(expected).max()


def test_conversions_keep_weights_and_names(saved):
    _, model = saved
    for copy in (portable(model), with_precision(model, "mixed_bfloat16")):
        assert [variable.path for variable in copy.variables] == [variable.path for variable in model.variables]
        for mine, other in zip(copy.variables, model.variables, strict=True):
            np.testing.assert_array_equal(mine.numpy(), other.numpy())


def test_a_failed_save_leaves_the_old_file(saved, monkeypatch):
    path, model = saved
    before = path.read_bytes()
    monkeypatch.setattr(ModelCard, "to_json", lambda self: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        save_model(path, model, CARD)
    assert path.read_bytes() == before
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("damage", ["missing", "empty", "text", "truncated", "no card", "card is no object"])
def test_damage_is_one_sentence_that_names_the_file(saved, tmp_path, damage):
    path, model = saved
    whole = path.read_bytes()
    if damage == "missing":
        path.unlink()
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "text":
        path.write_text("not a model\n")
    elif damage == "truncated":
        path.write_bytes(whole[: len(whole) // 2])
    elif damage == "no card":
        path.unlink()
        model.save(path)
    else:
        import zipfile

        model.save(path)
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr("mdcsrn_model_card.json", "[1, 2]")
    with pytest.raises(UserError, match=r"net\.keras") as caught:
        load_model(path)
    assert "\n" not in str(caught.value)


def test_a_file_that_may_not_be_read_is_no_damaged_one(tmp_path, monkeypatch):
    file = tmp_path / "closed.keras"
    file.touch()

    def refusing(path, name):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("mdcsrn_tf.models.files.read_member", refusing)
    with pytest.raises(UserError, match=r"closed\.keras cannot be read \(Permission denied\); let it be read\.$"):
        read_card(file)


def test_an_archive_keras_cannot_read_is_one_sentence(saved):
    import zipfile

    path, _ = saved
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members["config.json"] = b"{}"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    with pytest.raises(UserError, match="damaged"):
        load_model(path)
