"""A network as a plain graph: what each layer is, its weights, and whose outputs it reads. No Keras is needed for it.

It knows the layers that inference computes by itself (`KINDS`), on volumes of one channel. It is read straight from a
`.keras` file (`graph_of_file`) or made from a Keras model (`graph_of_keras`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

# By the names of their Keras classes; an `Activation` is an ELU, a `BatchNormalization` has a gain and an offset.
KINDS = ("InputLayer", "Conv3D", "Conv3DTranspose", "BatchNormalization", "Activation", "PReLU", "Concatenate", "Add")


@dataclass(frozen=True, eq=False)
class Layer:
    """One layer. Sizes and strides are [D, H, W]; only convolutions have filters, sizes, strides and padding."""

    name: str
    kind: str
    inputs: tuple[str, ...] = ()  # the names of the layers whose outputs it reads
    weights: Mapping[str, np.ndarray] = field(default_factory=dict)  # float32, by Keras's names and in its shapes
    filters: int = 0
    kernel_size: tuple[int, ...] = ()
    strides: tuple[int, ...] = (1, 1, 1)
    padding: str = "valid"  # or "same"; of a transposed convolution, whose kernel is as wide as its strides, no matter
    epsilon: float = 0.0  # of a batch normalisation

    @property
    def is_pointwise(self) -> bool:
        """Whether it is a 1x1x1 convolution, voxel by voxel."""
        return self.kind == "Conv3D" and {*self.kernel_size, *self.strides} == {1}

    def sides_after(self, sides: Sequence[int]) -> tuple[int, ...]:
        """The sides of what it makes of a volume of those sides."""
        if self.kind == "Conv3DTranspose":
            return tuple(side * by for side, by in zip(sides, self.strides, strict=True))
        return tuple(-(-side // by) for side, by in zip(sides, self.strides, strict=True))


@dataclass(frozen=True, eq=False)
class Graph:
    """A network: float32 [batch, D, H, W, 1] to the same."""

    name: str
    layers: tuple[Layer, ...]  # each after those that it reads
    output: str  # the layer whose output is the network's
    sides: tuple[int | None, ...] = (None, None, None)  # that its volumes must have; None: any

    def sides_after(self, sides: Sequence[int]) -> tuple[int, ...] | None:
        """The sides of what it makes of a volume of those sides; None where feature maps of unlike sides meet."""
        known: dict[str, tuple[int, ...]] = {}
        for layer in self.layers:
            read = {known[name] for name in layer.inputs} or {tuple(sides)}
            if len(read) > 1:
                return None
            known[layer.name] = layer.sides_after(*read)
        return known[self.output]

    def channels(self) -> dict[str, int]:
        """Of what each layer makes, by its name."""
        known: dict[str, int] = {}
        for layer in self.layers:
            read = [known[name] for name in layer.inputs]
            known[layer.name] = layer.filters or (sum(read) if layer.kind == "Concatenate" else max(read, default=1))
        return known

    def readers(self, name: str) -> list[Layer]:
        """The layers that read what that one makes."""
        return [layer for layer in self.layers if name in layer.inputs]
