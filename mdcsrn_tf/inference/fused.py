"""A network as inference runs it: the same weights and results, a fraction of the memory traffic.

After the convolutions, element-wise work dominates: batch normalisation, ELU and concatenation touch far more
memory than they compute on. So this walks the network's layers while the graph is traced, and

- measures each feature map once: the statistics of a concatenation are those of its parts;
- keeps a batch normalisation and the activation after it pending until a convolution needs them, and then
  does both in one pass over memory;
- never builds a concatenation that only 1x1x1 convolutions read: theirs is a sum over the parts; nor one that is
  normalised or activated: that is done to the parts on their way into it;
- computes what is only added or spread to the output in float32, from the float32 form of a feature map where there
  is one.

`bn="batch"` uses each tile's own statistics whatever the batch (J section 4.1 runs one tile at a time), so
batching tiles never changes a result.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from mdcsrn_tf.inference.kernels import Kernels, Term
from mdcsrn_tf.models.graph import Graph, Layer
from mdcsrn_tf.models.graph_of_keras import graph_of

if TYPE_CHECKING:
    import keras


class FusedNetwork:
    """`network(tiles)`: float32 [batch, D, H, W, 1] to the same; to be traced by a `tf.function`.

    `compiled` lets XLA fuse the element-wise work; a graph that is to be exported is built without it.
    """

    def __init__(self, network: Graph | keras.Model, bn: str, precision: str = "float32", compiled: bool = True):
        graph = graph_of(network)
        self.layers, self.output = graph.layers, graph.output
        self.exact = _computed_exactly(graph)
        self.bn = bn
        self.kernels = Kernels(tf.as_dtype(precision), compiled)

    def __call__(self, tiles: tf.Tensor) -> tf.Tensor:
        """Run the network; with the tiles' own statistics one tile at a time on a processor, all together on a GPU."""
        if self.bn == "moving" or tiles.shape[0] == 1 or not self.kernels.one_at_a_time:
            return self._run(tiles)
        return tf.map_fn(lambda tile: self._run(tile[tf.newaxis])[0], tiles, parallel_iterations=1)

    def _run(self, tiles: tf.Tensor) -> tf.Tensor:
        values: dict[str, _Value] = {}
        for layer in self.layers:
            values[layer.name] = self._apply(layer, tiles, [values[key] for key in layer.inputs])
        return self._exact(values[self.output])

    def _apply(self, layer: Layer, tiles: tf.Tensor, inputs: list[_Value]) -> _Value:
        if layer.kind == "InputLayer":
            return _Value(tf.cast(tiles, self.kernels.dtype), exact=tiles)
        if layer.kind == "Conv3D":
            return self._output(layer, inputs[0]) if layer.name in self.exact else self._convolution(layer, inputs[0])
        if layer.kind == "Conv3DTranspose":
            return self._spread(layer, inputs[0])
        if layer.kind == "BatchNormalization":
            return inputs[0].normalised(*self._scale_and_shift(layer, inputs[0]))
        if layer.kind == "Activation":
            return inputs[0].activated("elu")
        if layer.kind == "PReLU":
            return inputs[0].activated("prelu", layer.weights["alpha"].reshape(-1))
        if layer.kind == "Concatenate":
            return _Value(parts=inputs)
        return self._sum(layer, inputs)

    def _scale_and_shift(self, layer: Layer, value: _Value) -> tuple[tf.Tensor, tf.Tensor]:
        weights = layer.weights
        if self.bn == "batch":
            mean, variance = self._statistics(value)
        else:
            mean, variance = weights["moving_mean"], weights["moving_variance"]
        scale = weights["gamma"] * tf.math.rsqrt(variance + layer.epsilon)
        return scale, weights["beta"] - mean * scale

    def _statistics(self, value: _Value) -> tuple[tf.Tensor, tf.Tensor]:
        if value.statistics is None:
            if value.parts:
                found = [self._statistics(part) for part in value.parts]
                value.statistics = tuple(tf.concat(which, -1) for which in zip(*found, strict=True))
            else:
                value.statistics = self.kernels.statistics(self._tensor(value))
        return value.statistics

    def _convolution(self, layer: Layer, value: _Value) -> _Value:
        kernel, bias = layer.weights["kernel"], layer.weights.get("bias")
        if layer.is_pointwise and value.parts and value.tensor is None:
            return _Value(self._pointwise_over_parts(kernel, bias, value.parts))
        if value.exact is not None:
            exact = self.kernels.convolve(value.exact, kernel, bias, layer.strides)
            return _Value(tf.cast(exact, self.kernels.dtype), exact=exact)
        return _Value(self.kernels.convolve(self._tensor(value), kernel, bias, layer.strides))

    def _spread(self, layer: Layer, value: _Value) -> _Value:
        x = self._exact(value) if layer.name in self.exact else self._tensor(value)
        return _Value(self.kernels.spread(x, layer.weights["kernel"], layer.weights.get("bias")))

    def _sum(self, layer: Layer, values: list[_Value]) -> _Value:
        if layer.name in self.exact:
            return _Value(tf.add_n([self._exact(value) for value in values]))
        return _Value(self.kernels.total([self._term(value) for value in values]))

    def _pointwise_over_parts(self, kernel, bias, parts: list[_Value]) -> tf.Tensor:
        products = [
            self.kernels.convolve(self._tensor(part), piece, None)
            for part, piece in zip(parts, self._split(kernel, parts), strict=True)
        ]
        one = None if bias is None else np.ones_like(bias)
        return self.kernels.total([Term(products[0], one, bias), *map(Term, products[1:])])

    def _output(self, layer: Layer, value: _Value) -> _Value:
        """The output layer, or one whose result is only added to it, in float32 under every precision."""
        kernel, bias = layer.weights["kernel"], layer.weights.get("bias", 0.0)
        if layer.is_pointwise:
            parts = value.parts or [value]
            pieces = self._split(kernel, parts)
            total = tf.add_n([self._dot(part, piece) for part, piece in zip(parts, pieces, strict=True)])
        else:
            total = self.kernels.convolve(self._exact(value), kernel, None, layer.strides)
        return _Value(total + bias)

    def _dot(self, value: _Value, kernel) -> tf.Tensor:
        return self.kernels.dot(self._tensor(value) if value.exact is None else value.exact, kernel)

    def _split(self, kernel, parts: list[_Value]) -> list[Any]:
        widths = [self._tensor(part).shape[-1] for part in parts]
        return np.split(kernel, np.cumsum(widths)[:-1], axis=3)

    def _exact(self, value: _Value) -> tf.Tensor:
        return tf.cast(self._tensor(value), tf.float32) if value.exact is None else value.exact

    def _tensor(self, value: _Value) -> tf.Tensor:
        """The value's tensor; what was pending is computed now, and kept."""
        if value.tensor is None:
            if value.parts:
                value.tensor = self.kernels.join([Term(leaf) for leaf in self._leaves(value)])
            elif value.source is not None and self._is_apart(value.source):
                value.tensor = self.kernels.join(self._terms_of_leaves(value))
            else:
                value.tensor = self.kernels.total([self._term(value)])
        return value.tensor

    def _is_apart(self, value: _Value) -> bool:
        """Whether the value is a concatenation that has not been built, and need not be."""
        if not value.parts or value.tensor is not None:
            return False
        return self.kernels.joins_on_the_way([leaf.shape[-1] for leaf in self._leaves(value)])

    def _leaves(self, value: _Value) -> list[tf.Tensor]:
        """The tensors that a concatenation, and those within it, are of."""
        if value.parts and value.tensor is None:
            return [leaf for part in value.parts for leaf in self._leaves(part)]
        return [self._tensor(value)]

    def _terms_of_leaves(self, value: _Value) -> list[Term]:
        """What is pending on a concatenation, done to each tensor in it."""
        assert value.source is not None
        leaves, terms, first = self._leaves(value.source), [], 0
        for leaf in leaves:
            here = slice(first, first := first + leaf.shape[-1])
            own = [which if which is None else which[..., here] for which in (value.scale, value.shift, value.slopes)]
            terms.append(Term(leaf, own[0], own[1], value.activation, own[2]))
        return terms

    def _term(self, value: _Value) -> Term:
        if value.source is None or self._is_apart(value.source):
            return Term(self._tensor(value))
        return Term(self._tensor(value.source), value.scale, value.shift, value.activation, value.slopes)


def _computed_exactly(graph: Graph) -> set[str]:
    """The output layer, and those from which sums and transposed convolutions alone lead to it."""
    exact = {graph.output}
    for layer in reversed(graph.layers):
        readers = graph.readers(layer.name)
        if readers and all(r.name in exact and r.kind in ("Conv3DTranspose", "Add") for r in readers):
            exact.add(layer.name)
    return exact


class _Value:
    """What a layer returns: a tensor, a concatenation not yet built, or another value with something pending."""

    def __init__(self, tensor=None, *, exact=None, parts=None, source=None):
        self.tensor = tensor
        self.exact = exact  # the same in float32, where that is known
        self.parts: list[_Value] = parts or []
        self.source: _Value | None = source
        self.statistics: Any = None
        self.scale = self.shift = self.activation = self.slopes = None

    def normalised(self, scale, shift) -> _Value:
        """This value, scaled and shifted when it is first needed."""
        value = _Value(source=self)
        value.scale, value.shift = scale, shift
        return value

    def activated(self, activation: str, slopes=None) -> _Value:
        """This value, activated when it is first needed, in one pass with what was pending already."""
        fresh = self.source is None or self.activation is not None
        value = _Value(source=self if fresh else self.source)
        if not fresh:
            value.scale, value.shift = self.scale, self.shift
        value.activation, value.slopes = activation, slopes
        return value
