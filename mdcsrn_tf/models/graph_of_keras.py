"""A Keras model as a graph that inference computes by itself, where it is made of the layers that a graph knows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mdcsrn_tf.models.files import is_elu, is_plain_norm
from mdcsrn_tf.models.graph import KINDS, Graph, Layer

if TYPE_CHECKING:
    import keras


def graph_of(network: Graph | keras.Model) -> Graph:
    """The graph of a model of which `why_no_graph` is None; a graph as it is."""
    if isinstance(network, Graph):
        return network
    names = {id(layer.output): layer.name for layer in network.layers}
    layers = tuple(_layer(layer, names) for layer in network.layers)
    return Graph(network.name, layers, names[id(network.outputs[0])], tuple(network.inputs[0].shape[1:-1]))


def why_no_graph(model: keras.Model) -> str | None:
    """Why no graph can say what Keras does with this network, in words; None: one can."""
    if len(model.inputs[0].shape) != 5:
        return "it does not work on volumes"
    unknown = next((layer for layer in model.layers if not _is_known(layer)), None)
    if unknown is not None:
        return f"it has the layer {unknown.name} ({type(unknown).__name__})"
    given = {id(layer.output) for layer in model.layers}
    read = [tensor for layer in model.layers for tensor in _inputs(layer)]
    # Keras names the tensors of a layer's first use alone.
    return None if {id(tensor) for tensor in [*read, *model.outputs]} <= given else "it has a layer that is used twice"


def _layer(layer: keras.layers.Layer, names: dict[int, str]) -> Layer:
    kind = _kind(layer)
    assert kind is not None
    convolves = kind.startswith("Conv")
    return Layer(
        layer.name,
        kind,
        tuple(names[id(tensor)] for tensor in _inputs(layer)),
        {weight.name: np.asarray(weight) for weight in layer.weights},
        filters=layer.filters if convolves else 0,
        kernel_size=tuple(layer.kernel_size) if convolves else (),
        strides=tuple(layer.strides) if convolves else (1, 1, 1),
        padding=layer.padding if convolves else "valid",
        epsilon=layer.epsilon if kind == "BatchNormalization" else 0.0,
    )


def _inputs(layer: keras.layers.Layer) -> list:
    """The tensors that a known layer reads."""
    if _kind(layer) == "InputLayer":
        return []
    return layer.input if isinstance(layer.input, list) else [layer.input]


def _kind(layer: keras.layers.Layer) -> str | None:
    import keras

    return next((kind for kind in KINDS if isinstance(layer, getattr(keras.layers, kind))), None)


def _is_known(layer: keras.layers.Layer) -> bool:
    kind = _kind(layer)
    if kind is not None and kind.startswith("Conv"):
        return _is_known_convolution(layer, kind)
    if kind == "PReLU":
        return tuple(layer.shared_axes or ()) == (1, 2, 3)
    if kind == "Concatenate":
        return layer.axis in (-1, 4)
    if kind == "Add":
        return len({tuple(tensor.shape) for tensor in layer.input}) == 1
    if kind == "BatchNormalization":
        return is_plain_norm(layer)
    return is_elu(layer) if kind == "Activation" else kind is not None


def _is_known_convolution(layer: keras.layers.Layer, kind: str) -> bool:
    import keras

    if layer.activation is not keras.activations.linear or layer.data_format != "channels_last":
        return False
    if {*layer.dilation_rate} != {1}:
        return False
    if kind == "Conv3DTranspose":
        return tuple(layer.kernel_size) == tuple(layer.strides) and layer.output_padding is None
    return layer.groups == 1 and (layer.padding == "same" or {*layer.kernel_size} == {1})
