"""What a network's graph says of sizes: how far an output voxel sees, which sizes go in, how much work it is.

Read off the Keras graph, so it holds for any network of convolutions, pools and voxel-wise layers, of any rank; what
inference needs, also off a graph that was read without Keras.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from mdcsrn_tf.errors import UserError
from mdcsrn_tf.models.graph import Graph

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Reach:
    """Along an axis: element i stands at input voxel `jump * i` and sees from there `low` to `high` voxels."""

    low: int = 0
    high: int = 0
    jump: Fraction = Fraction(1)

    def joined(self, other: Reach) -> Reach:
        """The reach of a layer that reads this tensor and `other`."""
        return Reach(min(self.low, other.low), max(self.high, other.high), max(self.jump, other.jump))


Step = tuple[Any, tuple[Reach, ...], tuple[Reach, ...]]  # an operation, the reach of what it reads and of what it gives


def receptive_field_radius(model: keras.Model) -> int | None:
    """How far, in voxels, an output voxel sees; None where strides or pools make that depend on where it lies."""
    reaches = [after for _, _, after in _walk(model)]
    if any(along.jump != 1 for reach in reaches for along in reach):
        return None
    return max(max(-along.low, along.high) for along in reaches[-1])


def seamless_margin(network: Graph | keras.Model) -> int:
    """How wide a border tiles need so that where they are cut changes nothing, if all begin at multiples of its grid.

    The receptive field's radius, or for a network with strides a bound of what any voxel sees, a multiple of
    `size_multiple`.
    """
    *_, (_, _, last) = _walk(network)
    multiple = size_multiple(network)
    return multiple * math.ceil(max(max(-along.low, along.high) for along in last) / multiple)


def feature_channels(network: Graph | keras.Model) -> int:
    """The channels of all feature maps that the network computes: an upper bound of what it keeps for an input voxel.

    A map on a coarser grid counts for its share of the voxels.
    """
    return math.ceil(sum(int(getattr(layer, "filters", 0)) / _voxels(after) for layer, _, after in _walk(network)))


def live_channels(model: keras.Model) -> int:
    """What the network holds at its fullest moment, in channels of its input's size; for networks on slices.

    While a layer runs there are the tensors that it or a later one reads, and twice its own once more: TensorFlow
    reorders what it convolves, normalises by way of a copy, and leaves holes between (up to 1.3 times the former).
    """
    steps = list(_walk(model))
    ends = {id(tensor): number for number, tensors in enumerate(map(_read, steps)) for tensor in tensors}
    live, fullest = {id(tensor): Fraction(tensor.shape[-1]) for tensor in model.inputs}, Fraction(0)
    for number, step in enumerate(steps):
        live |= dict(_written(step))
        own = sum(live[id(tensor)] for tensor in _read(step)) + sum(size for _, size in _written(step))
        fullest = max(fullest, sum(live.values(), Fraction(2 * own)))
        live = {tensor: size for tensor, size in live.items() if ends.get(tensor, number) > number}
    return math.ceil(fullest)


def size_multiple(network: Graph | keras.Model) -> int:
    """Every side of an image must be a multiple of this number."""
    return max([1, *(math.ceil(along.jump) for _, _, after in _walk(network) for along in after)])


def probes(network: Graph | keras.Model, rank: int) -> list[tuple[int, ...]]:
    """Sides that a network on images of that rank must take; one may halve and double its images."""
    multiple = size_multiple(network)
    if rank == 3 and multiple == 1:
        return [(24, 26, 28), (23, 25, 27)]
    sides = (24, 26, 28) if rank == 3 else (24, 28)
    return [tuple(multiple * max(place, side // multiple) for place, side in enumerate(sides, 1))]


def with_fixed(sides: Sequence[int], fixed: Sequence[int | None]) -> tuple[int, ...]:
    """The sides, but for those that a network's input has fixed."""
    return tuple(size or free for size, free in zip(fixed, sides, strict=True))


def check_sides(model: keras.Model, sides: tuple[int, ...]) -> None:
    """Refuse an image, patch or tile whose sides the network's halvings do not divide, by the network's name."""
    multiple = size_multiple(model)
    if any(side < 1 or side % multiple for side in sides):
        halvings = int(math.log2(multiple))
        often = {1: "once", 2: "twice"}.get(halvings, f"{halvings} times")
        raise UserError(
            f"{model.name} halves its images {often} and takes sides that are multiples of "
            f"{multiple}, not {' x '.join(map(str, sides))}: take patches or tiles of such a size."
        )


def macs_per_voxel(model: keras.Model) -> int:
    """Multiply-accumulates of all convolutions for one voxel of the input."""
    total = Fraction(0)
    for layer, before, after in _walk(model):
        if hasattr(layer, "kernel_size"):
            # A transposed convolution works once for each voxel that it reads, any other for each that it writes.
            total += math.prod(layer.kernel.shape) / _voxels(before if _is_transposed(layer) else after)
    return round(total)


def _voxels(reach: tuple[Reach, ...]) -> Fraction:
    """How many input voxels one element of a tensor stands for."""
    return math.prod((along.jump for along in reach), start=Fraction(1))


def _read(step: Step) -> list[Any]:
    import keras

    return keras.tree.flatten(step[0].input)


def _written(step: Step) -> list[tuple[int, Fraction]]:
    """Each tensor that a step of `_walk` gives, and its size in channels of the input's size."""
    import keras

    operation, _, after = step
    return [(id(tensor), tensor.shape[-1] / _voxels(after)) for tensor in keras.tree.flatten(operation.output)]


def _walk(network: Graph | keras.Model) -> Iterator[Step]:
    """Each operation of the graph with the reach, along each axis, of what it reads and of what it gives."""
    known = _inputs(network)
    for operation, inputs, outputs in _wired(network):
        sources = [known[key] for key in inputs]
        before = tuple(functools.reduce(Reach.joined, along) for along in zip(*sources, strict=True))
        after = tuple(_after(operation, along, axis) for axis, along in enumerate(before))
        known |= dict.fromkeys(outputs, after)
        yield operation, before, after


def _inputs(network: Graph | keras.Model) -> dict[Any, tuple[Reach, ...]]:
    if isinstance(network, Graph):
        return {layer.name: (Reach(),) * len(network.sides) for layer in network.layers if not layer.inputs}
    return {id(tensor): (Reach(),) * (len(tensor.shape) - 2) for tensor in network.inputs}


def _wired(network: Graph | keras.Model) -> Iterator[tuple[Any, Sequence[Any], Sequence[Any]]]:
    """Each operation that reads something, what it reads, and what it gives."""
    if isinstance(network, Graph):
        yield from ((layer, layer.inputs, [layer.name]) for layer in network.layers if layer.inputs)
        return
    import keras

    for operation in network.operations:
        if not isinstance(operation, keras.layers.InputLayer):
            tensors = [keras.tree.flatten(which) for which in (operation.input, operation.output)]
            yield operation, *([id(tensor) for tensor in some] for some in tensors)


def _after(operation: Any, before: Reach, axis: int) -> Reach:
    if type(operation).__name__.startswith("ZeroPadding"):
        zeros = operation.padding[axis][0]
        return Reach(before.low - zeros, before.high - zeros, before.jump)
    size = _setting(operation, axis, "kernel_size", "pool_size")
    size = (size - 1) * _setting(operation, axis, "dilation_rate") + 1
    stride = _setting(operation, axis, "strides")
    if _is_transposed(operation):
        jump = before.jump / stride
        return Reach(before.low - math.ceil(size * jump), before.high + math.ceil(size * jump), jump)
    first = -(max(size - stride, 0) // 2) if getattr(operation, "padding", "valid") == "same" else 0
    low = before.low + math.floor(first * before.jump)
    return Reach(low, before.high + math.ceil((first + size - 1) * before.jump), before.jump * stride)


def _setting(operation: Any, axis: int, *names: str) -> int:
    """The first of these settings that the layer has, along that axis; 1 where it has none."""
    found = next((getattr(operation, name) for name in names if getattr(operation, name, None)), (1,))
    return found[min(axis, len(found) - 1)]


def _is_transposed(operation: Any) -> bool:
    return "Transpose" in getattr(operation, "kind", type(operation).__name__)
