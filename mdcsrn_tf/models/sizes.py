"""What a network's graph says of sizes: how far an output voxel sees, which sizes go in, how much work it is.

Read off the Keras graph, so it holds for any network of convolutions, pools and voxel-wise layers, of any rank.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from mdcsrn_tf.errors import UserError

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Reach:
    """Element i of a tensor stands at input voxel `jump * i` and sees from there `low` to `high` voxels."""

    low: int = 0
    high: int = 0
    jump: Fraction = Fraction(1)

    def joined(self, other: Reach) -> Reach:
        """The reach of a layer that reads this tensor and `other`."""
        return Reach(min(self.low, other.low), max(self.high, other.high), max(self.jump, other.jump))


def receptive_field_radius(model: keras.Model) -> int | None:
    """How far, in voxels, an output voxel sees; None where strides or pools make that depend on where it lies."""
    reaches = [after for _, _, after in _walk(model)]
    if any(reach.jump != 1 for reach in reaches):
        return None
    return max(-reaches[-1].low, reaches[-1].high)


def feature_channels(model: keras.Model) -> int:
    """The channels of all feature maps that the network computes: an upper bound of what it keeps at a time."""
    return sum(int(getattr(layer, "filters", 0)) for layer in model.layers)


def size_multiple(model: keras.Model) -> int:
    """Every side of an image must be a multiple of this number."""
    return max([1, *(math.ceil(after.jump) for _, _, after in _walk(model))])


def check_sides(model: keras.Model, sides: tuple[int, ...]) -> None:
    """Refuse an image, patch or tile whose sides the network's halvings do not divide, by the network's name."""
    multiple = size_multiple(model)
    if any(side < 1 or side % multiple for side in sides):
        raise UserError(
            f"{model.name} halves its images {int(math.log2(multiple))} times and takes sides that are multiples of "
            f"{multiple}, not {' x '.join(map(str, sides))}: take patches or tiles of such a size."
        )


def macs_per_voxel(model: keras.Model) -> int:
    """Multiply-accumulates of all convolutions for one voxel of the input."""
    total = Fraction(0)
    for layer, before, after in _walk(model):
        if hasattr(layer, "kernel_size"):
            # A transposed convolution works once for each voxel that it reads, any other for each that it writes.
            jump = before.jump if _is_transposed(layer) else after.jump
            total += math.prod(layer.kernel.shape) / jump ** len(layer.kernel_size)
    return round(total)


def _walk(model: keras.Model) -> Iterator[tuple[Any, Reach, Reach]]:
    """Each operation of the graph with the reach of what it reads and of what it gives."""
    import keras

    known = {id(tensor): Reach() for tensor in model.inputs}
    for operation in model.operations:
        if isinstance(operation, keras.layers.InputLayer):
            continue
        sources = [known[id(tensor)] for tensor in keras.tree.flatten(operation.input)]
        before = sources[0]
        for source in sources[1:]:
            before = before.joined(source)
        after = _after(operation, before)
        known |= {id(tensor): after for tensor in keras.tree.flatten(operation.output)}
        yield operation, before, after


def _after(operation: Any, before: Reach) -> Reach:
    if type(operation).__name__.startswith("ZeroPadding"):
        zeros = operation.padding[0][0]
        return Reach(before.low - zeros, before.high - zeros, before.jump)
    size = max(getattr(operation, "kernel_size", None) or getattr(operation, "pool_size", None) or (1,))
    size = (size - 1) * max(getattr(operation, "dilation_rate", None) or (1,)) + 1
    stride = max(getattr(operation, "strides", None) or (1,))
    if _is_transposed(operation):
        jump = before.jump / stride
        return Reach(before.low - math.ceil(size * jump), before.high + math.ceil(size * jump), jump)
    first = -((size - 1) // 2) if getattr(operation, "padding", "valid") == "same" else 0
    low = before.low + math.floor(first * before.jump)
    return Reach(low, before.high + math.ceil((first + size - 1) * before.jump), before.jump * stride)


def _is_transposed(operation: Any) -> bool:
    return "Transpose" in type(operation).__name__
