"""Convolutions in whole numbers of eight bits, whose steps are found without looking at a single scan.

Eight bits cut an interval into 255 steps, so it has to be known how large values become. Where a convolution reads the
ELU of a batch normalisation, as in all dense networks here, the network's file says it: the normalisation shifts and
scales a channel to its offset and gain, by a tile's own statistics always, by the trained ones as far as a scan is like
those of training. What lies more than `_DEVIATIONS` gains from the offset is cut off. Channels differ in size, and so
do the weights that read them; each channel is measured in a unit of its own, which shares the difference evenly
between the two.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

import numpy as np

from mdcsrn_tf.models.graph import Graph, Layer

STEPS = 255
_LARGEST = 127  # of the kernel's numbers, either way
_DEVIATIONS = 10  # at six, the brightest voxels of scans were cut off
_TINY = 1e-12  # in place of a channel that is always zero, and of a kernel without weights


@dataclass(frozen=True, eq=False)
class EightBits:
    """A convolution in whole numbers: of what it reads, and of its kernel.

    What is read, in `units`, is rounded to one of STEPS + 1 numbers from `low` to `high`, of which one is zero. The
    convolution of that by `kernel`, times `scale`, is about the convolution of the reading by the layer's kernel.
    """

    units: np.ndarray  # float32 [channels in]
    low: float
    high: float
    kernel: np.ndarray  # int8 [k, k, k, channels in, channels out]
    scale: np.ndarray  # float32 [channels out]


def in_eight_bits(graph: Graph) -> dict[str, EightBits]:
    """Those of a network's convolutions that can be, by their names: larger than 1x1x1, of a normalised ELU."""
    layers = {layer.name: layer for layer in graph.layers}
    norms = {layer.name: _normalisation_before(layer, layers) for layer in graph.layers}
    return {name: of_convolution(layers[name], norm) for name, norm in norms.items() if norm is not None}


def of_convolution(layer: Layer, norm: Layer) -> EightBits:
    """A convolution that reads the ELU of a batch normalisation."""
    kernel = layer.weights["kernel"].astype(np.float64)
    below, above = _reach_of_elu(norm)
    largest = np.maximum(below, above)
    heaviest = np.maximum(np.abs(kernel).max(axis=(0, 1, 2, 4)), _TINY)
    # A channel's values, and its weights, are then both as large as sqrt(largest heaviest); the widest channel's are 1.
    units = np.sqrt(largest / heaviest) * np.sqrt(largest * heaviest).max()
    low, high = _ends((below / units).max(), (above / units).max())
    weights = kernel * units[:, np.newaxis]
    scale = np.maximum(np.abs(weights).max(axis=(0, 1, 2, 3)), _TINY) / _LARGEST
    numbers = np.rint(weights / scale).astype(np.int8)
    return EightBits(units.astype(np.float32), low, high, numbers, scale.astype(np.float32))


def _normalisation_before(layer: Layer, layers: dict[str, Layer]) -> Layer | None:
    """The batch normalisation whose ELU a convolution of more than 1x1x1 reads; None where it does not."""
    if layer.kind != "Conv3D" or layer.is_pointwise:
        return None
    activation = layers[layer.inputs[0]]
    norm = layers[activation.inputs[0]] if activation.kind == "Activation" else None
    return norm if norm is not None and norm.kind == "BatchNormalization" else None


def _reach_of_elu(norm: Layer) -> tuple[np.ndarray, np.ndarray]:
    """float64 [channels], twice: how far below and above zero the ELU of what a batch normalisation gives comes."""
    offset = norm.weights["beta"].astype(np.float64)
    reach = _DEVIATIONS * np.abs(norm.weights["gamma"].astype(np.float64))
    return np.maximum(-_elu(offset - reach), _TINY), np.maximum(_elu(offset + reach), _TINY)


def _elu(values: np.ndarray) -> np.ndarray:
    return np.where(values > 0, values, np.expm1(np.minimum(values, 0)))


def _ends(below: float, above: float) -> tuple[float, float]:
    """An interval of STEPS steps around [-below, above], zero being one of them: what pads a volume stays zero."""
    steps_below = min(max(ceil(STEPS * below / (below + above)), 1), STEPS - 1)
    step = max(below / steps_below, above / (STEPS - steps_below))
    return -steps_below * step, (STEPS - steps_below) * step
