"""The pieces that the slice networks share: tensor to tensor, each layer named by its path.

Tensors are (batch, height, width, channels). A `start` says how fresh weights are drawn (docs/decisions.md).
"""

from __future__ import annotations

import math

import keras
from keras import layers

from mdcsrn_tf.models.layers import BatchNormalization
from mdcsrn_tf.papers.networks2d import BN_EPSILON_2D, BN_MOMENTUM_2D, Padding, Start

NORMAL_SPREAD = 0.02


def image(channels: int, side: int | None = None, name: str = "low_res"):
    """The input of a network on slices of any size, or of `side` pixels."""
    return keras.Input((side, side, channels), name=name)


def conv(
    x,
    filters: int,
    size: int,
    name: str,
    start: Start,
    *,
    stride: int = 1,
    padding: Padding | int = "same",
    use_bias: bool = True,
    dtype: str | None = None,
):
    """A convolution; a `padding` other than "same" is that many pixels of zeros on each side."""
    if padding != "same":
        x = layers.ZeroPadding2D(1 if padding == "one" else padding, name=f"{name}_pad")(x)
    kernel, bias = starts(start, fan_in=x.shape[-1] * size * size)
    return layers.Conv2D(
        filters,
        size,
        strides=stride,
        padding="same" if padding == "same" else "valid",
        use_bias=use_bias,
        kernel_initializer=kernel,
        bias_initializer=bias,
        dtype=dtype,
        name=name,
    )(x)


def conv_transpose(x, filters: int, name: str, start: Start, *, use_bias: bool = True, dtype: str | None = None):
    """A transposed 4x4 convolution of stride 2: twice the size."""
    # PyTorch counts a transposed kernel's inputs on its output side.
    kernel, bias = starts(start, fan_in=filters * 16)
    return layers.Conv2DTranspose(
        filters,
        4,
        strides=2,
        padding="same",
        use_bias=use_bias,
        kernel_initializer=kernel,
        bias_initializer=bias,
        dtype=dtype,
        name=name,
    )(x)


def dense(x, units: int, name: str, start: Start, dtype: str | None = None):
    """A dense layer on flat features."""
    kernel, bias = starts(start, fan_in=x.shape[-1])
    return layers.Dense(units, kernel_initializer=kernel, bias_initializer=bias, dtype=dtype, name=name)(x)


def norm(x, name: str, start: Start, momentum: float = BN_MOMENTUM_2D):
    """Batch normalisation; its gain starts at 1, or near it where weights are drawn from a normal distribution."""
    gain = "ones" if start == "torch" else keras.initializers.RandomNormal(1.0, NORMAL_SPREAD)
    return BatchNormalization(momentum=momentum, epsilon=BN_EPSILON_2D, gamma_initializer=gain, name=name)(x)


def leaky(x, name: str, slope: float = 0.2):
    """A leaky ReLU."""
    return layers.LeakyReLU(negative_slope=slope, name=name)(x)


def starts(start: Start, fan_in: int) -> tuple[keras.initializers.Initializer, keras.initializers.Initializer]:
    """How a layer's kernel and bias are drawn."""
    if start == "normal":
        return keras.initializers.RandomNormal(0.0, NORMAL_SPREAD), keras.initializers.Zeros()
    limit = 1.0 / math.sqrt(fan_in)
    return keras.initializers.RandomUniform(-limit, limit), keras.initializers.RandomUniform(-limit, limit)
