"""The few tensor operations that inference spends its time in, each in the form that measured fastest.

`benchmarks/infer_volume.py` measures them together. `compiled` lets XLA fuse the element-wise ones (never the
convolutions, at which it is ten times slower than oneDNN on a processor); without it only plain operations are
used, which any reader of a SavedModel understands.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from mdcsrn_tf.inference.room import runs_on_processor
from mdcsrn_tf.models.statistics import groups_of_channels, statistics_in_groups
from mdcsrn_tf.models.xla import xla_works


@dataclass(frozen=True)
class Term:
    """`activation(scale * x + shift)`, each of them optional; scale, shift and slopes are per channel."""

    x: Any
    scale: Any = None
    shift: Any = None
    activation: str | None = None
    slopes: Any = None

    @property
    def is_plain(self) -> bool:
        """Whether the term is `x` itself."""
        return self.scale is None and self.activation is None


class Kernels:
    """The operations for one compute dtype."""

    def __init__(self, dtype: tf.DType, compiled: bool):
        self.dtype = dtype
        self.compiled = compiled and xla_works()
        # The fused kernel's statistics are the processor's fast way, and of one tile; a GPU takes those of all at once.
        self.one_at_a_time = self.compiled and runs_on_processor()
        self._fused = {
            name: tf.function(function, jit_compile=True, autograph=False)
            for name, function in (("sum", _sum_of_terms), ("join", _join_of_terms), ("dot", _dot))
        }

    def total(self, terms: Sequence[Term]) -> tf.Tensor:
        """The sum of the terms, in one pass over memory, in the compute dtype."""
        if len(terms) == 1 and terms[0].is_plain:
            return terms[0].x
        arrays, activations = _unpacked(terms)
        if self.compiled:
            return self._fused["sum"](arrays, activations, self.dtype)
        return _plain_sum_of_terms(arrays, activations, self.dtype)

    def joins_on_the_way(self, widths: Sequence[int]) -> bool:
        """Whether `join` does terms of so many channels in less time than one after the other.

        In bfloat16 XLA is slow where a part does not fill a vector.
        """
        return self.compiled and (self.dtype == tf.float32 or all(width % 16 == 0 for width in widths))

    def join(self, terms: Sequence[Term]) -> tf.Tensor:
        """The terms side by side along the channels, in one pass over memory, in the compute dtype."""
        arrays, activations = _unpacked(terms)
        if self.compiled:
            return self._fused["join"](arrays, activations, self.dtype)
        return tf.concat([self.total([term]) for term in terms], axis=-1)

    def statistics(self, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Mean and biased variance of each channel of each tile, float32."""
        single = self.one_at_a_time and x.shape.is_fully_defined() and x.shape[0] == 1
        groups = groups_of_channels(x.shape) if single else None
        if groups is None:
            return tf.nn.moments(tf.cast(x, tf.float32), axes=(1, 2, 3), keepdims=True)
        mean, variance = statistics_in_groups(x, groups)
        each = [1, 1, 1, 1, x.shape[-1]]
        return tf.reshape(mean, each), tf.reshape(variance, each)

    def convolve(
        self, x: tf.Tensor, kernel: tf.Tensor, bias: Any, strides: Sequence[int] = (1, 1, 1), padding: str = "SAME"
    ) -> tf.Tensor:
        """A convolution in the dtype of x."""
        y = tf.nn.conv3d(x, tf.cast(kernel, x.dtype), [1, *strides, 1], padding)
        return y if bias is None else tf.nn.bias_add(y, tf.cast(bias, y.dtype))

    def spread(self, x: tf.Tensor, kernel: tf.Tensor, bias: Any) -> tf.Tensor:
        """A transposed convolution whose kernel is as wide as its strides, in the dtype of x."""
        batch, *sides, _ = tf.unstack(tf.shape(x))
        strides, filters = kernel.shape[:3], kernel.shape[3]
        shape = tf.stack([batch, *(side * by for side, by in zip(sides, strides, strict=True)), filters])
        y = tf.nn.conv3d_transpose(x, tf.cast(kernel, x.dtype), shape, [1, *strides, 1], "VALID")
        return y if bias is None else tf.nn.bias_add(y, tf.cast(bias, y.dtype))

    def dot(self, x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        """A 1x1x1 convolution to a few channels, summed and returned in float32 whatever the dtype of x."""
        if self.compiled:
            return self._fused["dot"](x, tf.reshape(kernel, kernel.shape[3:]))
        return tf.nn.conv3d(tf.cast(x, tf.float32), kernel, [1] * 5, "SAME")


def _unpacked(terms: Sequence[Term]) -> tuple[list[tuple], tuple[str | None, ...]]:
    """The terms as a `tf.function` takes them: what varies, and what does not."""
    arrays = [(term.x, term.scale, term.shift, term.slopes) for term in terms]
    return arrays, tuple(term.activation for term in terms)


def _sum_of_terms(arrays, activations, dtype):
    values = [
        _evaluate(x, scale, shift, slopes, activation)
        for (x, scale, shift, slopes), activation in zip(arrays, activations, strict=True)
    ]
    return tf.cast(tf.add_n(values) if len(values) > 1 else values[0], dtype)


def _evaluate(x, scale, shift, slopes, activation) -> tf.Tensor:
    value = tf.cast(x, tf.float32)
    if scale is not None:
        value = value * scale + shift
    if activation == "elu":
        # exp(x) - 1 and not expm1, which XLA expands at length: the difference is below 6e-8.
        return tf.where(value > 0.0, value, tf.exp(tf.minimum(value, 0.0)) - 1.0)
    if activation == "prelu":
        return tf.where(value > 0.0, value, value * slopes)
    return value


def _plain_sum_of_terms(arrays, activations, dtype):
    values = []
    for (x, scale, shift, slopes), activation in zip(arrays, activations, strict=True):
        value = x if scale is None else x * tf.cast(scale, x.dtype) + tf.cast(shift, x.dtype)
        if activation == "elu":
            value = tf.nn.elu(value)
        elif activation == "prelu":
            value = tf.nn.relu(value) - tf.nn.relu(-value) * tf.cast(slopes, value.dtype)
        values.append(tf.cast(value, dtype))
    return tf.add_n(values) if len(values) > 1 else values[0]


def _join_of_terms(arrays, activations, dtype):
    return tf.concat(
        [
            tf.cast(_evaluate(x, scale, shift, slopes, activation), dtype)
            for (x, scale, shift, slopes), activation in zip(arrays, activations, strict=True)
        ],
        axis=-1,
    )


def _dot(x, weights):
    rows = tf.reshape(tf.cast(x, tf.float32), [-1, weights.shape[0]])
    return tf.reshape(tf.matmul(rows, weights), [*x.shape[:-1], weights.shape[1]])
