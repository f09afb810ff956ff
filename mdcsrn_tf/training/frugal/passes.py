"""What is done to a feature map between convolutions in training, each as one pass over memory that XLA compiles.

Sums and statistics are float32 whatever the feature maps are; maps come out in the dtype they came in.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from mdcsrn_tf.models.statistics import groups_of_channels, statistics_in_groups


def _compiled(function: Callable) -> Callable:
    """The function, compiled by XLA for each new shape."""
    return functools.wraps(function)(tf.function(function, jit_compile=True, autograph=False))


def statistics(x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Mean and biased variance of each channel over the batch and all voxels; constants to a gradient."""
    x = tf.stop_gradient(x)
    groups = groups_of_channels(x.shape)
    if groups is None:
        return tf.nn.moments(tf.cast(x, tf.float32), axes=list(range(x.shape.rank - 1)))
    return statistics_in_groups(x, groups)


@_compiled
def activate(x: tf.Tensor, scale: tf.Tensor, shift: tf.Tensor) -> tf.Tensor:
    """ELU(scale * x + shift)."""
    value = tf.cast(x, tf.float32) * scale + shift
    # exp(x) - 1 and not expm1, which XLA expands at length: the difference is below 6e-8.
    return tf.cast(tf.where(value > 0.0, value, tf.exp(tf.minimum(value, 0.0)) - 1.0), x.dtype)


def activate_gradient(
    x: tf.Tensor, y: tf.Tensor, dy: tf.Tensor, mean: tf.Tensor, variance: tf.Tensor, gamma: tf.Tensor, epsilon: float
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """The gradient of y = ELU(gamma * n + beta), n = (x - mean) / sqrt(variance + epsilon), by x, gamma and beta.

    The mean and the variance are those of x over the batch, and their part of the gradient is in it.
    """
    slope = _before_elu(y, dy)
    dgamma, dbeta = _sums(x, slope, mean, variance, epsilon)
    return _before_normalising(x, slope, mean, tf.math.rsqrt(variance + epsilon), gamma, dgamma, dbeta), dgamma, dbeta


@_compiled
def _before_elu(y: tf.Tensor, dy: tf.Tensor) -> tf.Tensor:
    y = tf.cast(y, tf.float32)
    return tf.cast(tf.cast(dy, tf.float32) * tf.where(y > 0.0, 1.0, y + 1.0), dy.dtype)


def _sums(x, slope, mean, variance, epsilon) -> tuple[tf.Tensor, tf.Tensor]:
    """The sums over voxels of slope * n and of slope: by the kernel, in which XLA's take twice the time.

    As for statistics, it is fast where several voxels side by side fill its vectors. It is told that mean and variance
    are given: then what it does to a channel is the same wherever that stands.
    """
    groups, channels = groups_of_channels(x.shape) or 1, x.shape[-1]
    folded = [1, 1, -1, groups * channels]
    found = tf.raw_ops.FusedBatchNormGradV3(
        y_backprop=tf.reshape(slope, folded),
        x=tf.reshape(x, folded),
        scale=tf.ones([groups * channels]),
        reserve_space_1=tf.tile(mean, [groups]),
        reserve_space_2=tf.tile(variance, [groups]),
        reserve_space_3=tf.zeros([0]),
        epsilon=epsilon,
        is_training=False,
    )
    each = (found.scale_backprop, found.offset_backprop)
    dgamma, dbeta = (tf.reduce_sum(tf.reshape(which, [groups, channels]), 0) for which in each)
    return dgamma, dbeta


@_compiled
def _before_normalising(x, slope, mean, inverse_deviation, gamma, dgamma, dbeta) -> tf.Tensor:
    share = 1.0 / math.prod(x.shape[:-1])
    normal = (tf.cast(x, tf.float32) - mean) * inverse_deviation
    dx = (gamma * inverse_deviation) * (tf.cast(slope, tf.float32) - share * dbeta - normal * (share * dgamma))
    return tf.cast(dx, x.dtype)


@_compiled
def project(parts: list[tf.Tensor], kernel: tf.Tensor) -> tf.Tensor:
    """A 1x1x1 convolution of the parts, side by side, to one channel, in float32; `kernel` is [channels, 1]."""
    pieces = tf.split(kernel[:, 0], _widths(parts))
    sums = [tf.reduce_sum(tf.cast(part, tf.float32) * piece, -1) for part, piece in zip(parts, pieces, strict=True)]
    return tf.add_n(sums)[..., tf.newaxis]


@_compiled
def project_gradient(parts: list[tf.Tensor], kernel: tf.Tensor, dy: tf.Tensor) -> tuple[list[tf.Tensor], tf.Tensor]:
    """The gradient of `project` by each part and by the kernel."""
    rows = _as_rows(dy)
    pieces = tf.split(kernel[:, 0], _widths(parts))
    dparts = [tf.cast(dy * piece, part.dtype) for part, piece in zip(parts, pieces, strict=True)]
    return dparts, tf.concat([tf.matmul(_as_rows(part), rows, transpose_a=True) for part in parts], 0)


def _as_rows(x: tf.Tensor) -> tf.Tensor:
    return tf.reshape(tf.cast(x, tf.float32), [-1, x.shape[-1]])


def _widths(parts: list[Any]) -> list[int]:
    return [part.shape[-1] for part in parts]
