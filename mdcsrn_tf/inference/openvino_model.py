"""A network's graph as an OpenVINO model, built operation by operation: no TensorFlow, no file between the two.

Feature maps are [batch, channels, D, H, W], as OpenVINO's own operations take them. A concatenation that only 1x1x1
convolutions read is never built: theirs is a sum over its parts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from mdcsrn_tf.inference.eight_bits import STEPS, EightBits
from mdcsrn_tf.models.graph import Graph, Layer

_SPACE = (2, 3, 4)  # the axes of the volume
_BLOCK = 16  # floats of a vector
CHANNELS = 1  # the axis of the channels, in what the model takes and gives as well


def model_of(graph: Graph, bn: str, eight_bits: Mapping[str, EightBits] | None = None) -> Any:
    """The `openvino.Model`: float32 [batch, 1, D, H, W] to the same, of any size until it is reshaped.

    `bn="batch"` normalises each tile by its own statistics, whatever the batch. Convolutions that
    `eight_bits` names are of its whole numbers.
    """
    import openvino
    from openvino import opset8 as operations

    tiles = operations.parameter([-1, 1, -1, -1, -1], np.float32, name="tiles")
    output = _Builder(graph, operations, bn, tiles, eight_bits or {}).run()
    return openvino.Model([output], [tiles], graph.name)


def channels_in_blocks(graph: Graph) -> int:
    """The channels of the feature maps as OpenVINO's processor plugin keeps them: sixteen at a time.

    The widest concatenation that is built counts thrice more: with the one before it, and as it is normalised.
    """
    widths = {name: -(-channels // _BLOCK) * _BLOCK for name, channels in graph.channels().items()}
    on_the_way = {
        layer.name
        for layer in graph.layers
        if all(reader.kind == "Concatenate" or reader.is_pointwise for reader in graph.readers(layer.name))
    }
    built = [widths[x.name] for x in graph.layers if x.kind == "Concatenate" and x.name not in on_the_way]
    return sum(widths[layer.name] for layer in graph.layers if layer.filters) + 3 * max(built, default=0)


class _Builder:
    """What the layers give, by their names."""

    def __init__(self, graph: Graph, operations: Any, bn: str, tiles: Any, eight_bits: Mapping[str, EightBits]):
        self.graph = graph
        self.operations = operations
        self.bn = bn
        self.tiles = tiles
        self.eight_bits = eight_bits
        self.values: dict[str, Any] = {}
        self.channels = graph.channels()
        self.parts = {layer.name: layer.inputs for layer in graph.layers if layer.kind == "Concatenate"}

    def run(self) -> Any:
        """What the network gives; what leads nowhere is no part of the model."""
        for layer in self.graph.layers:
            self.values[layer.name] = self._apply(layer)
        return self.values[self.graph.output]

    def _apply(self, layer: Layer) -> Any:
        if layer.kind == "InputLayer":
            return self.tiles
        if layer.kind == "Conv3D":
            return self._with_bias(self._convolution(layer), layer)
        if layer.kind == "Conv3DTranspose":
            return self._with_bias(self._spread(layer), layer)
        values = [self.values[name] for name in layer.inputs]
        if layer.kind == "BatchNormalization":
            return self._normalised(layer, values[0])
        if layer.kind == "Activation":
            return self.operations.elu(values[0], 1.0)
        if layer.kind == "PReLU":
            return self.operations.prelu(values[0], self._constant(layer.weights["alpha"].reshape(-1)))
        if layer.kind == "Concatenate":
            return self.operations.concat(values, CHANNELS)
        return self._sum(values)

    def _convolution(self, layer: Layer) -> Any:
        kernel, (source,) = layer.weights["kernel"], layer.inputs
        if layer.name in self.eight_bits:
            return self._convolved_in_steps(self.values[source], self.eight_bits[layer.name], layer.strides)
        if not layer.is_pointwise:
            return self._convolved(self.values[source], kernel, layer.strides)
        leaves = list(self._leaves(source))
        pieces = np.split(kernel, np.cumsum([self.channels[name] for name in leaves])[:-1], axis=3)
        pairs = zip(leaves, pieces, strict=True)
        return self._sum([self._convolved(self.values[name], piece, layer.strides) for name, piece in pairs])

    def _convolved(self, value: Any, kernel: np.ndarray, strides: tuple[int, ...]) -> Any:
        return self._padded(value, self._constant(_channels_first(kernel)), strides)

    def _convolved_in_steps(self, value: Any, numbers: EightBits, strides: tuple[int, ...]) -> Any:
        """A convolution of whole numbers, in the form by which OpenVINO knows one: steps, and a converted kernel."""
        ends = np.float32(numbers.low), np.float32(numbers.high)
        of_channels = (self._of_channels(end * numbers.units) for end in ends)
        steps = self.operations.fake_quantize(value, *of_channels, *ends, STEPS + 1)
        kernel = self.operations.constant(np.ascontiguousarray(_channels_first(numbers.kernel)))
        scale = self._constant(numbers.scale.reshape(-1, 1, 1, 1, 1))
        weights = self.operations.multiply(self.operations.convert(kernel, np.float32), scale)
        return self._padded(steps, weights, strides)

    def _padded(self, value: Any, weights: Any, strides: tuple[int, ...]) -> Any:
        """A convolution padded as TensorFlow pads to the same size."""
        return self.operations.convolution(
            value, weights, list(strides), [0] * 3, [0] * 3, [1] * 3, auto_pad="same_upper"
        )

    def _spread(self, layer: Layer) -> Any:
        """A transposed convolution whose kernel is as wide as its strides."""
        weights = self._constant(_channels_first(layer.weights["kernel"]))
        value, strides = self.values[layer.inputs[0]], list(layer.strides)
        return self.operations.convolution_backprop_data(value, weights, strides, None, [0] * 3, [0] * 3, [1] * 3)

    def _normalised(self, layer: Layer, value: Any) -> Any:
        weights = layer.weights
        if self.bn == "batch":
            axes = self.operations.constant(np.array(_SPACE, np.int64))
            value = self.operations.mvn(value, axes, True, layer.epsilon, "inside_sqrt")
            return self._scaled(value, weights["gamma"], weights["beta"])
        scale = weights["gamma"] / np.sqrt(weights["moving_variance"] + np.float32(layer.epsilon))
        return self._scaled(value, scale, weights["beta"] - weights["moving_mean"] * scale)

    def _scaled(self, value: Any, scale: np.ndarray, shift: np.ndarray) -> Any:
        product = self.operations.multiply(value, self._of_channels(scale))
        return self.operations.add(product, self._of_channels(shift))

    def _with_bias(self, value: Any, layer: Layer) -> Any:
        bias = layer.weights.get("bias")
        return value if bias is None else self.operations.add(value, self._of_channels(bias))

    def _sum(self, values: list[Any]) -> Any:
        total, *others = values
        for other in others:
            total = self.operations.add(total, other)
        return total

    def _leaves(self, name: str) -> Iterator[str]:
        """What a concatenation, and those within it, are of."""
        if name not in self.parts:
            yield name
            return
        for part in self.parts[name]:
            yield from self._leaves(part)

    def _of_channels(self, numbers: np.ndarray) -> Any:
        return self._constant(numbers.reshape(1, -1, 1, 1, 1))

    def _constant(self, numbers: np.ndarray) -> Any:
        return self.operations.constant(np.ascontiguousarray(numbers, np.float32))


def _channels_first(kernel: np.ndarray) -> np.ndarray:
    """Keras's [D, H, W, one side's channels, the other's] as OpenVINO's [the other's, one side's, D, H, W]."""
    return kernel.transpose(4, 3, 0, 1, 2)
