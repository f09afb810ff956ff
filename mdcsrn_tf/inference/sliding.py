"""A network that slides through a volume: each layer keeps what its next planes need, and computes none of it twice.

Tiles recompute their margins along three axes. Here a column, as long as the volume with its margins, goes through the
network a slab of planes at a time. A layer's output lies `lag` planes behind the newest input plane, as many as it sees
ahead, and is as much narrower on every side of the other two axes: nothing is padded. What is still to be read of
earlier planes is kept from slab to slab.

Only for trained statistics: a tile's own would be those of a tile.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import tensorflow as tf

from mdcsrn_tf.inference.fused import FusedNetwork
from mdcsrn_tf.inference.kernels import Kernels, Term
from mdcsrn_tf.inference.settings import ApplyColumn, Progress
from mdcsrn_tf.models.graph import Layer

PLANES = 7  # of a slab: more would save no work, and take more memory
NOTHING = Term(None)  # no scale, no shift, no activation


@dataclass(frozen=True)
class Source:
    """What a layer reads: streams side by side, all at one lag, with what is still to be done to them."""

    streams: tuple[str, ...]
    lag: int
    todo: Term = NOTHING  # to all their channels side by side


@dataclass
class Stream:
    """What a convolution gives, slab after slab: its lag, its channels, and how many planes of the past are read."""

    lag: int
    channels: int
    past: int = 0


@dataclass
class Plan:
    """The streams by the layer that makes them, in its order, and what it makes them of."""

    streams: dict[str, Stream] = field(default_factory=dict)
    steps: list[tuple[Layer, Source]] = field(default_factory=list)
    # Of a pointwise output layer: its weights for each stream, whose share of the sum is kept in place of the stream.
    weights: dict[str, np.ndarray] = field(default_factory=dict)
    shares: dict[str, Stream] = field(default_factory=dict)

    def read(self, source: Source, before: int) -> None:
        """Note that `before` planes are read ahead of as many as a slab has."""
        for key in source.streams:
            stream = self.streams[key]
            stream.past = max(stream.past, source.lag - stream.lag + before)

    def width(self, layer: Layer, source: Source) -> int:
        """The channels, over all planes, that the layer reads for a slab."""
        planes = PLANES + layer.weights["kernel"].shape[0] - 1
        return planes * sum(self.streams[key].channels for key in source.streams)


def plan_of(network: FusedNetwork) -> Plan | None:
    """How the network slides; None where it cannot: strides, sums, kernels that are no cubes, activations in a row."""
    plan, sources = Plan(), dict[str, Source]()
    for layer in network.layers:
        source = _source_of(layer, [sources[key] for key in layer.inputs], plan, network.output)
        if source is None:
            return None
        sources[layer.name] = source
    ends = plan.steps and plan.steps[-1][0].name == network.output
    return plan if ends else None


def _shared_out(layer: Layer, source: Source, plan: Plan) -> None:
    """Let each stream's share of the output be computed with the stream."""
    ends = np.cumsum([plan.streams[key].channels for key in source.streams])[:-1]
    for key, weights in zip(source.streams, np.split(layer.weights["kernel"], ends, axis=3), strict=True):
        plan.weights[key] = plan.weights.get(key, 0.0) + weights  # a stream may stand there twice
        plan.shares[key] = Stream(plan.streams[key].lag, 1, source.lag - plan.streams[key].lag)


def _source_of(layer: Layer, inputs: list[Source], plan: Plan, output: str) -> Source | None:
    """What those that read the layer read."""
    if layer.kind == "InputLayer":
        plan.streams[layer.name] = Stream(0, 1)
        return Source((layer.name,), 0)
    if layer.kind == "Conv3D":
        return _convolved(layer, inputs[0], plan, layer.name == output)
    if layer.kind == "Concatenate" and all(source.todo.is_plain for source in inputs):
        keys = tuple(key for source in inputs for key in source.streams)
        return Source(keys, max(source.lag for source in inputs))
    if layer.kind == "BatchNormalization" and inputs[0].todo.is_plain:
        weights = layer.weights
        scale = weights["gamma"] / np.sqrt(weights["moving_variance"] + np.float32(layer.epsilon))
        return _with(inputs[0], scale=scale, shift=weights["beta"] - weights["moving_mean"] * scale)
    if layer.kind in ("Activation", "PReLU") and inputs[0].todo.activation is None:
        slopes = layer.weights["alpha"].reshape(-1) if layer.kind == "PReLU" else None
        return _with(inputs[0], activation="prelu" if layer.kind == "PReLU" else "elu", slopes=slopes)
    return None


def _with(source: Source, **todo: Any) -> Source:
    """The same streams, with so much more to be done to them."""
    return replace(source, todo=replace(source.todo, **todo))


def _convolved(layer: Layer, source: Source, plan: Plan, output: bool) -> Source | None:
    *size, _, filters = layer.weights["kernel"].shape
    if len({*size}) > 1 or size[0] % 2 == 0 or {*layer.strides} != {1}:
        return None
    if output and size[0] == 1 and source.todo.is_plain:
        if next(iter(plan.streams)) in source.streams:
            return None  # it reads the input itself: no network here does
        _shared_out(layer, source, plan)
    else:
        plan.read(source, size[0] - 1)
    plan.steps.append((layer, source))
    lag = source.lag + size[0] // 2
    plan.streams[layer.name] = Stream(lag, filters)
    return Source((layer.name,), lag)


def sliding_form(network: Any) -> SlidingNetwork | None:
    """The same network, sliding; None where it cannot, or runs layer by layer."""
    plan = plan_of(network) if isinstance(network, FusedNetwork) else None
    return None if plan is None else SlidingNetwork(plan, network.kernels)


class SlidingNetwork:
    """`network(slab, *kept)`: a column's next planes, float32 [planes, h, w, 1], and what was kept of those before,
    to its output, float32 [planes, h - 2 lag, w - 2 lag, 1], `lag` planes behind, and what is to be kept."""

    def __init__(self, plan: Plan, kernels: Kernels):
        self.plan = plan
        self.kernels = kernels
        *self._between, self._last = plan.steps
        self._input, output = next(iter(plan.streams)), plan.streams[self._last[0].name]
        self.lag = output.lag
        self._keeping = [*plan.streams.values(), *plan.shares.values()]
        # What a column holds for a place in its cross-section: the channels, over all planes, of the streams, of what
        # the last slab has left, and of the widest input of a layer. Measured peaks are about that.
        held = sum((PLANES + 2 * stream.past) * stream.channels for stream in self._keeping)
        self.channels_of_a_column = held + max(plan.width(*step) for step in self._between)

    def applier(self, column: Sequence[int], batch: int = 0) -> ApplyColumn:
        """The function that runs columns [1, D, H, W] of that shape, slab by slab; where a margin of the network's lag
        would see beyond the column, it returns zeros."""
        depth, *sides = column
        slab, keeps = tf.TensorSpec((PLANES, *sides, 1), tf.float32), self.kept(sides)
        function = tf.function(self, input_signature=[slab, *keeps], autograph=False).get_concrete_function()
        rows, columns = (slice(self.lag, side - self.lag) for side in sides)

        def apply(tiles: np.ndarray, on_slab: Progress) -> np.ndarray:
            planes = np.pad(tiles[0], [(0, -depth % PLANES), (0, 0), (0, 0)])[..., np.newaxis]
            kept, result = [tf.zeros(spec.shape, spec.dtype) for spec in keeps], np.zeros(planes.shape[:3], np.float32)
            for first in range(0, len(planes), PLANES):
                output, kept = function(tf.constant(planes[first : first + PLANES]), *kept)
                before = max(self.lag - first, 0)  # planes of the first slabs' output lie before the column
                if before < PLANES:
                    place = slice(first + before - self.lag, first + PLANES - self.lag)
                    result[place, rows, columns] = output.numpy()[before:, ..., 0]
                on_slab(first // PLANES + 1, len(planes) // PLANES)
            return result[np.newaxis, :depth]

        return apply

    def kept(self, sides: Sequence[int]) -> list[tf.TensorSpec]:
        """What is kept of each stream, and of each share, in a column of such a cross-section."""
        types = [tf.float32 if key == self._input else self.kernels.dtype for key in self.plan.streams]
        types += [tf.float32] * len(self.plan.shares)
        shapes = [(s.past, *(side - 2 * s.lag for side in sides), s.channels) for s in self._keeping]
        return [tf.TensorSpec(*one) for one in zip(shapes, types, strict=True)]

    def __call__(self, slab: tf.Tensor, *kept: tf.Tensor) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """Run the network on the next planes."""
        count = len(self.plan.streams)
        known = dict(zip(self.plan.streams, kept[:count], strict=True))
        shares = dict(zip(self.plan.shares, kept[count:], strict=True))
        known[self._input] = _after(known[self._input], slab)
        for layer, source in self._between:
            made = self._convolution(layer, source, known)
            if (key := layer.name) in shares:
                shares[key] = _after(shares[key], self.kernels.dot(made[tf.newaxis], self.plan.weights[key])[0])
            known[key] = _after(known[key], tf.cast(made, self.kernels.dtype))
        output = self._output(known, shares)
        ends = zip([*known.values(), *shares.values()], self._keeping, strict=True)
        return output, [_last(tensor, stream.past) for tensor, stream in ends]

    def _convolution(self, layer: Layer, source: Source, known: dict[str, tf.Tensor]) -> tf.Tensor:
        kernel, bias = layer.weights["kernel"], layer.weights.get("bias")
        return self.kernels.convolve(self._window(source, kernel.shape[0] - 1, known), kernel, bias, padding="VALID")[0]

    def _output(self, known: dict[str, tf.Tensor], shares: dict[str, tf.Tensor]) -> tf.Tensor:
        """The output layer, in float32 under every precision."""
        layer, source = self._last
        kernel, bias = layer.weights["kernel"], layer.weights.get("bias", 0.0)
        if shares:
            parts = [_middle(shares[key][:PLANES], self.lag - stream.lag) for key, stream in self.plan.shares.items()]
            return tf.add_n(parts) + bias
        window = tf.cast(self._window(source, kernel.shape[0] - 1, known), tf.float32)
        return self.kernels.convolve(window, kernel, None, padding="VALID")[0] + bias

    def _window(self, source: Source, before: int, known: dict[str, tf.Tensor]) -> tf.Tensor:
        """What a layer reads for a slab of its output: the streams side by side, what is to be done to them done."""
        leaves, todo = list(self._leaves(source, before, known)), source.todo
        if len(leaves) > 1 and (todo.is_plain or not self.kernels.joins_on_the_way([x.shape[-1] for x in leaves])):
            leaves = [self.kernels.join([Term(leaf) for leaf in leaves])]
        terms, first = [], 0
        for leaf in leaves:
            here = slice(first, first := first + leaf.shape[-1])
            own = [which if which is None else which[here] for which in (todo.scale, todo.shift, todo.slopes)]
            terms.append(Term(leaf, own[0], own[1], todo.activation, own[2]))
        return self.kernels.total(terms) if len(terms) == 1 else self.kernels.join(terms)

    def _leaves(self, source: Source, before: int, known: dict[str, tf.Tensor]) -> Iterator[tf.Tensor]:
        """Each stream's planes and the middle of them, [1, before + planes, h, w, c], at the source's lag."""
        for key in source.streams:
            stream = self.plan.streams[key]
            later = source.lag - stream.lag
            window = known[key][stream.past - later - before :][: before + PLANES]
            yield _middle(window, later)[tf.newaxis]


def _after(past: tf.Tensor, new: tf.Tensor) -> tf.Tensor:
    """The new planes behind those of the past."""
    return tf.concat([past, new], 0) if past.shape[0] else new


def _last(planes: tf.Tensor, count: int) -> tf.Tensor:
    """So many of the last planes, as a copy: a slice alone would keep all of them in memory until the next slab."""
    first = planes.shape[0] - count
    return planes[first:] if count < 2 else tf.concat([planes[first : first + 1], planes[first + 1 :]], 0)


def _middle(planes: tf.Tensor, border: int) -> tf.Tensor:
    """The planes [n, h, w, c] without so many voxels on each side."""
    rows, columns = (slice(border, side - border) for side in planes.shape[1:3])
    return planes[:, rows, columns]
