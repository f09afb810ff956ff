"""The graph of a network read straight from its `.keras` file, in a fraction of the time that Keras takes to build it.

Only what is as Keras writes it, in every field, is read: other layers and settings, other kinds of storage, damage, a
network that does not keep the size, all of these are left to Keras, which reads the file or says what is wrong.
"""

from __future__ import annotations

import io
import json
import os
import re
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping
from math import prod
from typing import Any

import numpy as np

from mdcsrn_tf.models.archive import check_archive, read_member, without_newcomers
from mdcsrn_tf.models.files import ModelCard, read_card
from mdcsrn_tf.models.graph import Graph, Layer
from mdcsrn_tf.models.sizes import probes, with_fixed

_CONFIG, _WEIGHTS = "config.json", "model.weights.h5"
_ONE = [1, 1, 1]
_CONVOLUTION: dict[str, tuple[Any, ...]] = {
    "filters": (),
    "kernel_size": (),
    "strides": (),
    "padding": ("same", "valid"),
    "data_format": ("channels_last",),
    "dilation_rate": (_ONE,),
    "activation": ("linear",),
    "use_bias": (True, False),
}
# What a layer's configuration must hold, and the values at which a graph knows what it does; without any: all.
_SETTINGS: dict[str, dict[str, tuple[Any, ...]]] = {
    "InputLayer": {"batch_shape": (), "sparse": (False,), "optional": (False,)},
    "Conv3D": {**_CONVOLUTION, "groups": (1,)},
    "Conv3DTranspose": _CONVOLUTION,
    "BatchNormalization": {
        "axis": (-1, 4),
        "epsilon": (),
        "center": (True,),
        "scale": (True,),
        "synchronized": (False,),
    },
    "Activation": {"activation": ("elu",)},
    "PReLU": {"shared_axes": ([1, 2, 3],)},
    "Concatenate": {"axis": (-1, 4)},
    "Add": {},
}
_OF_TRAINING = re.compile(r"name|trainable|dtype|momentum|.*_(initializer|regularizer|constraint)")
_PARTS = {"module", "class_name", "config", "registered_name", "build_config", "name", "inbound_nodes"}


class _LeftToKeras(Exception):
    """Something that no graph knows, or that is not as Keras writes it."""


def load_graph(path: str | os.PathLike[str]) -> tuple[Graph | None, ModelCard]:
    """The network of a `.keras` file and its card; no network where Keras has to read it (`files.load_stock_model`).

    UserError where the file has no card, or holds what it should not.
    """
    card = read_card(path)
    check_archive(path)
    try:
        graph = _read(path)
    except Exception:  # what the parsers make of damaged bytes has no common type
        return None, card
    return (graph if _keeps_size(graph) else None), card


def _keeps_size(graph: Graph) -> bool:
    sizes = [with_fixed(sides, graph.sides) for sides in probes(graph, 3)]
    return all(graph.sides_after(sides) == sides for sides in sizes)


def _read(path: str | os.PathLike[str]) -> Graph:
    import h5py

    model = json.loads(read_member(path, _CONFIG))
    _require(model["class_name"] == "Functional" and model["registered_name"] in (None, "Functional"))
    _require(model["module"].partition(".")[0] == "keras")
    config = without_newcomers(model["config"])
    with zipfile.ZipFile(path) as archive:
        _require(archive.testzip() is None)  # also what is not looked at here
        content = archive.read(_WEIGHTS)
    with h5py.File(io.BytesIO(content), "r") as stored:
        layers, sides = _layers(config["layers"], _Weights(stored))
    (source,) = (layer.name for layer in layers if layer.kind == "InputLayer")
    output = layers[-1].name
    _require(_name_of(config["input_layers"]) == source and _name_of(config["output_layers"]) == output)
    # Keras leaves out, and counts without, what leads nowhere.
    _require({layer.name for layer in layers[:-1]} == {name for layer in layers for name in layer.inputs})
    return Graph(config["name"], tuple(layers), output, sides)


def _layers(items: list[dict[str, Any]], weights: _Weights) -> tuple[list[Layer], tuple[int | None, ...]]:
    """The layers, and the sides that the input has fixed."""
    layers: list[Layer] = []
    channels: dict[str, int] = {}
    sides: tuple[int | None, ...] = ()
    for item in items:
        kind, name, config = item["class_name"], item["name"], item["config"]
        _check_settings(item)
        _require(name not in channels)
        inputs = tuple(_inputs(item["inbound_nodes"]))
        widths = [channels[source] for source in inputs]  # KeyError for one that comes later
        if kind == "InputLayer":
            sides = _sides(config["batch_shape"])
        channels[name] = _channels(kind, config, widths)
        layers.append(_layer(kind, name, config, inputs, weights.of(kind, name, _shapes(kind, config, widths))))
    _require(channels[name] == 1)
    return layers, sides


def _layer(
    kind: str, name: str, config: Mapping[str, Any], inputs: tuple[str, ...], weights: Mapping[str, np.ndarray]
) -> Layer:
    if not kind.startswith("Conv"):
        return Layer(name, kind, inputs, weights, epsilon=float(config.get("epsilon", 0.0)))
    size, strides, padding = tuple(config["kernel_size"]), tuple(config["strides"]), config["padding"]
    _require(len(size) == len(strides) == 3)
    # Others change the size, or lay kernels over one another.
    _require(size == strides if kind == "Conv3DTranspose" else padding == "same" or {*size} == {1})
    return Layer(name, kind, inputs, weights, config["filters"], size, strides, padding)


def _check_settings(item: Mapping[str, Any]) -> None:
    """That the layer's kind is known, and each of its settings at a value at which it is known what it does."""
    _require(item.keys() <= _PARTS and item["module"] == "keras.layers" and item["registered_name"] is None)
    config, known = item["config"], _SETTINGS[item["class_name"]]
    _require(known.keys() <= config.keys() and config["name"] == item["name"])
    for field, value in config.items():
        if field in known:
            _require(not known[field] or value in known[field])
        else:
            _require(bool(_OF_TRAINING.fullmatch(field)))
    dtype = config["dtype"]
    _require((dtype["config"]["name"] if isinstance(dtype, dict) else dtype) == "float32")


def _inputs(nodes: list[dict[str, Any]]) -> Iterator[str]:
    """The names of the layers that one reads which is used once."""
    if not nodes:  # an input layer
        return
    (node,) = nodes
    _require(node["kwargs"] in ({}, {"mask": None}))
    (read,) = node["args"]
    for tensor in read if isinstance(read, list) else [read]:
        _require(tensor["class_name"] == "__keras_tensor__")
        yield _name_of(tensor["config"]["keras_history"])


def _name_of(place: Any) -> str:
    """The layer of which `[name, node, tensor]`, or the only one of a list of these, is the only output."""
    if len(place) == 1:
        (place,) = place
    name, *numbers = place
    _require(isinstance(name, str) and numbers == [0, 0])
    return name


def _sides(batch_shape: list[int | None]) -> tuple[int | None, ...]:
    batch, *sides, channels = batch_shape
    _require(batch is None and len(sides) == 3 and channels == 1)
    return tuple(sides)


def _channels(kind: str, config: Mapping[str, Any], widths: list[int]) -> int:
    """Of the layer's output, by those of what it reads."""
    _require(len(widths) == 1 if kind not in ("InputLayer", "Concatenate", "Add") else bool(widths) != (kind[0] == "I"))
    if kind == "InputLayer":
        return 1
    if kind.startswith("Conv"):
        return config["filters"]
    _require(kind != "Add" or len({*widths}) == 1)
    return sum(widths) if kind == "Concatenate" else widths[0]


def _shapes(kind: str, config: Mapping[str, Any], widths: list[int]) -> dict[str, tuple[int, ...]]:
    """The shape of each weight by its name, in the order in which Keras stores them."""
    if kind.startswith("Conv"):
        ends = (*widths, config["filters"])
        kernel = (*config["kernel_size"], *(ends if kind == "Conv3D" else reversed(ends)))
        return {"kernel": kernel, **({"bias": (config["filters"],)} if config["use_bias"] else {})}
    if kind == "BatchNormalization":
        return dict.fromkeys(("gamma", "beta", "moving_mean", "moving_variance"), tuple(widths))
    return {"alpha": (1, 1, 1, *widths)} if kind == "PReLU" else {}


class _Weights:
    """The datasets of a weights file: `layers/conv3d_1/vars/0` is the first weight of the second Conv3D."""

    def __init__(self, stored: Any):
        self._layers = _inside(stored, "layers")
        self._seen = Counter[str]()

    def of(self, kind: str, name: str, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
        """The weights of the next layer of that kind."""
        number, stem = self._seen[kind], _snake_case(kind)
        self._seen[kind] += 1
        if not shapes:
            return {}
        stored = _inside(_inside(self._layers, f"{stem}_{number}" if number else stem), "vars")
        # Keras goes by its own order of the layers; whose weights they are, it notes beside them.
        _require(stored.attrs["name"] == name and len(stored) == len(shapes))
        return {key: _array(stored, str(place), shape) for place, (key, shape) in enumerate(shapes.items())}


def _array(group: Any, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """A float32 array that is stored whole, in one piece of that shape."""
    found = _inside(group, name)
    _require(found.shape == shape and found.dtype == np.float32 and not found.attrs)
    _require(found.chunks is None and not found.external and not found.is_virtual)
    _require(found.id.get_storage_size() == 4 * prod(shape))
    return found[()]


def _inside(group: Any, name: str) -> Any:
    """A member that is stored there, and not somewhere else to which a link points."""
    import h5py

    _require(group.get(name, getclass=True, getlink=True) is h5py.HardLink)
    return group[name]


def _snake_case(kind: str) -> str:
    """As Keras makes a name of a class: PReLU is p_re_lu."""
    parted = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", kind)
    return re.sub("([a-z])([A-Z])", r"\1_\2", parted).lower()


def _require(held: bool) -> None:
    if not held:
        raise _LeftToKeras
