"""The graph of a `.keras` file is what Keras reads of it, bit by bit; what it cannot say is left to Keras."""

import io
import json
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from keras import layers
from model_contract import random_volumes, randomise

from mdcsrn_tf import weights
from mdcsrn_tf.errors import UserError
from mdcsrn_tf.inference.fused import FusedNetwork
from mdcsrn_tf.inference.plain import PlainNetwork, network_of
from mdcsrn_tf.models import archive, build_generator
from mdcsrn_tf.models.archive import CARD_MEMBER
from mdcsrn_tf.models.files import ModelCard, load_stock_model, save_model, with_precision
from mdcsrn_tf.models.graph import Graph
from mdcsrn_tf.models.graph_of_file import load_graph
from mdcsrn_tf.models.graph_of_keras import why_no_graph
from mdcsrn_tf.models.networks import load_network
from mdcsrn_tf.models.sizes import feature_channels, seamless_margin, size_multiple
from mdcsrn_tf.papers import PRESETS
from mdcsrn_tf.papers.config import FsrcnnConfig, MdcsrnConfig, SmallGridConfig
from mdcsrn_tf.papers.networks2d import SliceNetworkConfig

CARD = ModelCard("any", "0", "linear", bn="moving")
BUNDLED = sorted(Path(weights.__file__).parent.glob("*.keras"))
FEW = {"blocks": 2, "units": 4}
TINY = MdcsrnConfig(1, 2, 4, True, True, True)


def of_each_structure():
    """A preset on volumes of each: those that differ in their numbers alone are read alike."""
    found = {}
    for name, preset in PRESETS.items():
        network = preset.network
        if isinstance(network, MdcsrnConfig):
            network = replace(network, blocks=0, units=0, growth=0)
        if not isinstance(network, SliceNetworkConfig):
            found.setdefault(network, name)
    return list(found.values())


def save(path, model):
    randomise(model)
    save_model(path, model, CARD)
    return path


def check_is_what_keras_reads(path):
    graph, card = load_graph(path)
    model, same_card = load_stock_model(path)
    assert (graph.name, card) == (model.name, same_card)
    assert [layer.name for layer in graph.layers] == [layer.name for layer in model.layers]
    for layer, stock in zip(graph.layers, model.layers, strict=True):
        read = [] if isinstance(stock, keras.layers.InputLayer) else keras.tree.flatten(stock.input)
        assert layer.kind == type(stock).__name__
        assert layer.inputs == tuple(tensor._keras_history.operation.name for tensor in read)
        assert list(layer.weights) == [weight.name for weight in stock.weights]
        for weight in stock.weights:
            np.testing.assert_array_equal(layer.weights[weight.name], weight.numpy())
        config = stock.get_config()
        for setting in ("filters", "kernel_size", "strides", "padding", "epsilon"):
            assert getattr(layer, setting) == config.get(setting, getattr(layer, setting))
    assert graph.output == model.outputs[0]._keras_history.operation.name
    for number in (seamless_margin, feature_channels, size_multiple):
        assert number(graph) == number(model)


@pytest.mark.parametrize("path", BUNDLED, ids=lambda path: path.stem)
def test_every_bundled_network_is_read_as_keras_reads_it(path):
    check_is_what_keras_reads(path)


@pytest.mark.parametrize("name", of_each_structure())
def test_presets_on_volumes_are_read_as_keras_reads_them(name, tmp_path):
    """Of blocks and units that are all alike two and four are enough: the bundled networks have all theirs."""
    network = PRESETS[name].network
    if not isinstance(network, SmallGridConfig):
        fewer = {field: min(most, vars(network)[field]) for field, most in FEW.items() if field in vars(network)}
        network = replace(network, **fewer)
    check_is_what_keras_reads(save(tmp_path / "net.keras", build_generator(network)))


def test_what_keras_saves_by_itself_and_what_version_0_1_0_saved_is_read_too(tmp_path):
    model = build_generator(FsrcnnConfig(6, 4, 2))
    randomise(model)
    model.save(tmp_path / "net.keras")  # with the fields that older releases do not know
    with zipfile.ZipFile(tmp_path / "net.keras", "a") as file:
        file.writestr(CARD_MEMBER, CARD.to_json())
    check_is_what_keras_reads(tmp_path / "net.keras")
    check_is_what_keras_reads(Path(__file__).parents[1] / "golden" / "v0_1_0" / "model.keras")


def test_sides_that_an_input_has_fixed_are_kept(tmp_path):
    inputs = keras.Input((8, None, 10, 1))
    save(tmp_path / "net.keras", keras.Model(inputs, layers.Conv3D(1, 3, padding="same")(inputs)))
    assert load_graph(tmp_path / "net.keras")[0].sides == (8, None, 10)


def test_reading_a_network_imports_neither_keras_nor_tensorflow():
    code = (
        "import sys; from mdcsrn_tf.models.graph_of_file import load_graph; from mdcsrn_tf.models.sizes import *\n"
        f"graph, card = load_graph({str(BUNDLED[0])!r})\n"
        "print(graph.name, seamless_margin(graph), feature_channels(graph), size_multiple(graph))\n"
        "assert not {'keras', 'tensorflow'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])


@pytest.fixture(scope="module")
def honest(tmp_path_factory):
    """The members of an honest file."""
    path = save(tmp_path_factory.mktemp("honest") / "net.keras", build_generator(TINY))
    with zipfile.ZipFile(path) as file:
        return {name: file.read(name) for name in file.namelist()}


def layer_of(config, kind, number=0):
    return [item for item in config["config"]["layers"] if item["class_name"] == kind][number]


def setting(kind, **values):
    return lambda config: layer_of(config, kind)["config"].update(values)


def part(kind, **values):
    return lambda config: layer_of(config, kind).update(values)


def exchange_two(config):
    first, second = (layer_of(config, "Conv3D", number) for number in (2, 3))
    items = config["config"]["layers"]
    here, there = items.index(first), items.index(second)
    items[here], items[there] = second, first


def dead_end(config):
    item = json.loads(json.dumps(layer_of(config, "Activation")))
    item["name"] = item["config"]["name"] = "dead_end"
    config["config"]["layers"].insert(-1, item)


def used_twice(config):
    item = layer_of(config, "Activation")
    item["inbound_nodes"] *= 2


POLICY = {"module": "keras", "class_name": "DTypePolicy", "config": {"name": "mixed_bfloat16"}, "registered_name": None}
CONFIGS = {
    "another activation": setting("Activation", activation="relu"),
    "activation inside": setting("Conv3D", activation="elu"),
    "groups": setting("Conv3D", groups=2),
    "dilated": setting("Conv3D", dilation_rate=[2, 2, 2]),
    "unpadded": setting("Conv3D", padding="valid"),
    "strided": setting("Conv3D", strides=[2, 2, 2]),
    "channels first": setting("Conv3D", data_format="channels_first"),
    "filters of another number": setting("Conv3D", filters=5),
    "a field of the future": setting("Conv3D", attention=3),
    "a field is missing": lambda config: layer_of(config, "BatchNormalization")["config"].pop("epsilon"),
    "renormalisation": setting("BatchNormalization", renorm=True),
    "norm without gain": setting("BatchNormalization", scale=False),
    "norm over an axis": setting("BatchNormalization", axis=1),
    "another concatenation": setting("Concatenate", axis=1),
    "another precision": setting("Conv3D", dtype=POLICY),
    "another class": part("Activation", class_name="LeakyReLU"),
    "another package": part("Activation", module="mdcsrn_tf.models"),
    "registered": part("Activation", registered_name="mdcsrn_tf>Elu"),
    "another name": part("Activation", name="stem"),
    "masked": lambda config: layer_of(config, "Activation")["inbound_nodes"][0]["kwargs"].update(mask=1),
    "used twice": used_twice,
    "reads nothing": part("Conv3D", inbound_nodes=[]),
    "in another order": exchange_two,
    "a dead end": dead_end,
    "two channels in": setting("InputLayer", batch_shape=[None, None, None, None, 2]),
    "a slice": setting("InputLayer", batch_shape=[None, None, None, 1]),
    "ends before its end": lambda config: config["config"]["output_layers"].__setitem__(0, "stem"),
    "another model": lambda config: config.update(class_name="Sequential"),
    "no layers": lambda config: config["config"].update(layers=[]),
}


def replaced(group, name, **options):
    values = options.pop("data", None)
    values = group[name][()] if values is None else values
    del group[name]
    group.create_dataset(name, data=values, **options)


def soft_link(file):
    file["layers/conv3d/other"] = file["layers/conv3d/vars/0"][()]
    del file["layers/conv3d/vars/0"]
    file["layers/conv3d/vars/0"] = h5py.SoftLink("/layers/conv3d/other")


def external_link(file):
    del file["layers/conv3d/vars"]
    file["layers/conv3d/vars"] = h5py.ExternalLink("other.h5", "/vars")


def bomb(file):
    del file["layers/conv3d/vars/0"]
    file["layers/conv3d/vars"].create_dataset("0", (1 << 40,), np.float32, chunks=(1 << 10,))


def renamed(file):
    file["layers/conv3d/vars"].attrs["name"] = "reconstruct"


WEIGHTS = {
    "double precision": lambda f: replaced(f["layers/conv3d/vars"], "0", dtype=np.float64),
    "compressed": lambda f: replaced(f["layers/conv3d/vars"], "0", compression="gzip"),
    "another shape": lambda f: replaced(f["layers/conv3d/vars"], "0", data=np.zeros((3, 3, 3, 8, 1), np.float32)),
    "a group": lambda f: (f.__delitem__("layers/conv3d/vars/0"), f.create_group("layers/conv3d/vars/0")),
    "missing": lambda f: f.__delitem__("layers/batch_normalization/vars/3"),
    "none": lambda f: f.__delitem__("layers"),
    "one more": lambda f: f["layers/conv3d/vars"].create_dataset("2", data=np.zeros(4, np.float32)),
    "another's": renamed,
    "soft link": soft_link,
    "external link": external_link,
    "more than any memory": bomb,
}


def change_config(members, change):
    config = json.loads(members["config.json"])
    change(config)
    return {**members, "config.json": json.dumps(config).encode()}


def change_weights(members, change):
    content = io.BytesIO(members["model.weights.h5"])
    with h5py.File(content, "r+") as file:
        change(file)
    return {**members, "model.weights.h5": content.getvalue()}


CHANGES = {
    **{name: (change_config, change) for name, change in CONFIGS.items()},
    **{f"weights: {name}": (change_weights, change) for name, change in WEIGHTS.items()},
    "no configuration": (lambda members, _: {**members, "config.json": b"{}"}, None),
    "no weights": (lambda members, _: {k: v for k, v in members.items() if "weights" not in k}, None),
    "half the weights": (lambda members, _: {**members, "model.weights.h5": members["model.weights.h5"][:9000]}, None),
}


@pytest.mark.parametrize("name", CHANGES)
def test_whatever_is_not_as_keras_writes_it_is_left_to_keras(honest, tmp_path, name):
    path, (change, how) = tmp_path / "net.keras", CHANGES[name]
    archive.write_members(path, change(honest, how))
    assert load_graph(path) == (None, CARD)


READ = ["another activation", "another precision", "in another order", "used twice", "weights: compressed"]
REFUSED = ["strided", "filters of another number", "weights: missing", "weights: soft link", "no weights"]


@pytest.mark.parametrize("name", READ)
def test_keras_reads_what_it_can(honest, tmp_path, name):
    path, (change, how) = tmp_path / "net.keras", CHANGES[name]
    archive.write_members(path, change(honest, how))
    found, model = load_network(path)[0], load_stock_model(path)[0]
    run = FusedNetwork(found, "moving") if isinstance(found, Graph) else network_of(found, "moving")
    volume, exact = random_volumes(1, 8, 8, 8), with_precision(model, "float32")
    np.testing.assert_allclose(run(volume), exact(volume, training=False), atol=1e-4)


@pytest.mark.parametrize("name", REFUSED)
def test_keras_says_what_is_wrong_with_the_others(honest, tmp_path, name):
    path, (change, how) = tmp_path / "net.keras", CHANGES[name]
    archive.write_members(path, change(honest, how))
    with pytest.raises(UserError, match=r"net\.keras (is damaged|makes|takes no)") as caught:
        load_network(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["metadata.json", "model.weights.h5"])
def test_a_byte_that_differs_anywhere_is_noticed(honest, tmp_path, name):
    path = tmp_path / "net.keras"
    archive.write_members(path, honest)
    content = bytearray(path.read_bytes())
    content[content.index(honest[name]) + len(honest[name]) // 2] ^= 1
    path.write_bytes(content)
    assert load_graph(path)[0] is None
    with pytest.raises(UserError, match=r"damaged.*copy it again"):
        load_network(path)


def test_the_honest_file_that_is_changed_above_is_read(honest, tmp_path):
    archive.write_members(tmp_path / "net.keras", honest)
    assert load_graph(tmp_path / "net.keras")[0] is not None
    for change, how in ((change_config, lambda config: None), (change_weights, lambda file: None)):
        archive.write_members(tmp_path / "net.keras", change(honest, how))
        assert load_graph(tmp_path / "net.keras")[0] is not None


def test_a_file_that_holds_a_program_or_inflates_is_refused_before_it_is_read(honest, tmp_path):
    path = tmp_path / "net.keras"
    archive.write_members(path, change_config(honest, part("Activation", class_name="Lambda")))
    with pytest.raises(UserError, match="holds a Lambda"):
        load_graph(path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in honest.items():
            file.writestr(name, bytes(48 << 20) if "weights" in name else content)
    with pytest.raises(UserError, match="would grow"):
        load_graph(path)


def shared():
    inputs, conv = keras.Input((None, None, None, 1)), layers.Conv3D(1, 3, padding="same")
    return keras.Model(inputs, conv(conv(inputs)))


def spread():
    inputs = keras.Input((None, None, None, 1))
    wide, narrow = (layers.Conv3D(width, 3, padding="same")(inputs) for width in (2, 1))
    return keras.Model(inputs, layers.Conv3D(1, 1)(layers.Add()([wide, narrow])))


@pytest.mark.parametrize(("build", "words"), [(shared, "used twice"), (spread, "Add")])
def test_layers_used_twice_and_sums_of_unlike_maps_run_as_keras_wrote_them(build, words, tmp_path, capsys):
    path, volume = save(tmp_path / "net.keras", build()), random_volumes(1, 7, 8, 9)
    assert load_graph(path)[0] is None
    model, _ = load_network(path)
    assert words in why_no_graph(model)
    network = network_of(with_precision(model, "float32"), "moving")
    assert isinstance(network, PlainNetwork) and words in capsys.readouterr().err
    np.testing.assert_allclose(network(volume), model(volume, training=False), atol=1e-5)


def test_sides_of_a_graph_are_those_of_its_network(tmp_path):
    path = save(tmp_path / "net.keras", build_generator(SmallGridConfig(MdcsrnConfig(1, 1, 2, False, False, False))))
    graph, _ = load_graph(path)
    assert graph.sides_after((10, 12, 7)) == (10, 12, 7)
    assert graph.sides_after((11, 12, 7)) is None  # ceil(11 / 2) * 2 = 12, which is added to 11
