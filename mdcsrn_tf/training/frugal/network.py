"""A Keras network as training runs it: `model(low_res, training=True)` and its gradient, with less to keep.

In a dense network each feature map is read by every unit after it, through concatenations, normalised anew for each.
So this walks the network's layers while the graph is traced, and

- never keeps a concatenation: each convolution is told the feature maps to read side by side (`convolutions`);
- measures each feature map once: the statistics of a concatenation are those of its parts;
- normalises, activates and rounds in one pass over memory (`passes`).

The model itself, its weights and its files are untouched by this; what it is not made for is left to Keras's layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod

import keras
import tensorflow as tf

from mdcsrn_tf.models.layers import BatchNormalization, Elu
from mdcsrn_tf.models.xla import xla_works
from mdcsrn_tf.training.frugal import convolutions, passes
from mdcsrn_tf.training.frugal.convolutions import Convolution

# Voxels in a batch. Compiling the passes takes some seconds, which fewer would not give back.
_WORTH_COMPILING = 2**15


class FrugalNetwork:
    """`network(low_res)` is `model(low_res, training=True)`, to rounding; to be traced by a `tf.function`."""

    def __init__(self, model: keras.Model):
        self.model = model
        self.norms, self.skipped = _chains(model)

    def __call__(self, low_res: tf.Tensor) -> tf.Tensor:
        """Float32 patches [batch, D, H, W, 1] to the same; moves the moving statistics as Keras's layers do."""
        low_res = tf.convert_to_tensor(low_res)
        if not self._pays(low_res.shape):
            return self.model(low_res, training=True)
        values = {id(self.model.inputs[0]): [_Part(low_res)]}
        for layer in self.model.layers:
            if not (id(layer) in self.skipped or isinstance(layer, keras.layers.InputLayer)):
                source = self.norms.get(id(layer), layer).input
                read = [values[id(tensor)] for tensor in tf.nest.flatten(source)]
                values[id(layer.output)] = self._apply(layer, read)
        return _whole(values[id(self.model.outputs[0])])

    def values_held(self, shape: Sequence[int]) -> int:
        """About how many values a step holds at its fullest, for patches of that shape [batch, D, H, W, 1].

        Of Keras's layers all outputs. Of the frugal form what is kept for the gradient, and as much again: gradients
        and concatenations come and go beside it (benchmarks/results/train_step_*.json has the measured peaks).
        """
        layers = [layer for layer in self.model.layers if not isinstance(layer, keras.layers.InputLayer)]
        if not self._pays(tf.TensorShape(shape)):
            return values_of(layers, shape)
        spared = {id(norm) for norm in self.norms.values()}
        kept = [
            layer for layer in layers if id(layer) not in spared and not isinstance(layer, keras.layers.Concatenate)
        ]
        return 2 * values_of(kept, shape)

    def _pays(self, shape: tf.TensorShape) -> bool:
        on_processor = not tf.config.get_visible_devices("GPU")
        known = shape.is_fully_defined() and prod(shape[:-1]) >= _WORTH_COMPILING
        return bool(self.norms) and on_processor and known and xla_works()

    def _apply(self, layer: keras.layers.Layer, read: list[list[_Part]]) -> list[_Part]:
        if isinstance(layer, keras.layers.Concatenate):
            return [part for parts in read for part in parts]
        if id(layer) in self.norms:
            return [_Part(_normalised_convolution(self.norms[id(layer)], layer, read[0]))]
        if _is_simple(layer) and len(read[0]) > 1:
            return [_Part(_plain_convolution(layer, [part.tensor for part in read[0]]))]
        given = [_whole(parts) for parts in read]
        training = {"training": True} if isinstance(layer, keras.layers.BatchNormalization) else {}
        return [_Part(layer(given if len(given) > 1 else given[0], **training))]


def values_of(layers: Sequence[keras.layers.Layer], shape: Sequence[int]) -> int:
    """Values in the layers' outputs for patches of that shape [batch, D, H, W, 1]; a side that is open is as theirs."""
    sides = [layer.output.shape[1:] for layer in layers]
    return shape[0] * sum(prod(shape[1] if side is None else side for side in each) for each in sides)


@dataclass
class _Part:
    """A feature map, and its statistics as soon as they were wanted."""

    tensor: tf.Tensor
    measured: list[tuple[tf.Tensor, tf.Tensor]] = field(default_factory=list)

    @property
    def statistics(self) -> tuple[tf.Tensor, tf.Tensor]:
        if not self.measured:
            self.measured.append(passes.statistics(self.tensor))
        return self.measured[0]


def _whole(parts: list[_Part]) -> tf.Tensor:
    return parts[0].tensor if len(parts) == 1 else tf.concat([part.tensor for part in parts], -1)


def _normalised_convolution(norm: BatchNormalization, layer: keras.layers.Conv3D, parts: list[_Part]) -> tf.Tensor:
    found = [part.statistics for part in parts]
    mean, variance = (tf.concat(which, -1) for which in zip(*found, strict=True))
    norm.follow(mean, variance)
    tensors = [part.tensor for part in parts]
    return convolutions.convolve_activated(tensors, (mean, variance), norm, Convolution.of(layer))


def _plain_convolution(layer: keras.layers.Conv3D, tensors: list[tf.Tensor]) -> tf.Tensor:
    points = {*layer.kernel_size} == {*layer.strides} == {1}
    how = (
        convolutions.project
        if points and layer.compute_dtype == "float32" and layer.filters == 1
        else convolutions.convolve
    )
    return how(tensors, Convolution.of(layer))


def _chains(model: keras.Model) -> tuple[dict[int, BatchNormalization], set[int]]:
    """Convolutions that alone read a normalised and activated map: by their ids the norms; what that spares."""
    if len(model.inputs[0].shape) != 5:
        return {}, set()
    layers = [layer for layer in model.layers if not isinstance(layer, keras.layers.InputLayer)]
    source = {id(layer.output): layer for layer in layers}
    reads = [id(tensor) for layer in layers for tensor in tf.nest.flatten(layer.input)] + [id(model.outputs[0])]
    norms, skipped = {}, set()
    for layer in filter(_is_simple, layers):
        elu = source.get(id(layer.input))
        norm = source.get(id(elu.input)) if isinstance(elu, Elu) else None
        alone = all(reads.count(id(before.output)) == 1 for before in (elu, norm) if before is not None)
        if isinstance(norm, BatchNormalization) and norm.trainable and alone:
            norms[id(layer)] = norm
            skipped |= {id(elu), id(norm)}
    return norms, skipped


def _is_simple(layer: keras.layers.Layer) -> bool:
    if not isinstance(layer, keras.layers.Conv3D):
        return False
    linear = layer.activation is keras.activations.linear and layer.data_format == "channels_last"
    return linear and {*layer.dilation_rate, layer.groups} == {1}
