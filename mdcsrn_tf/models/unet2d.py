"""The U-net of P's models 5 to 11 (Fig. 13g): pix2pix's, for 64 pixels, with 16 filters at its outermost level.

Its output is linear, not pix2pix's tanh: z-scores leave [-1, 1]. Model 6 sharpens the output by a fixed kernel.
"""

from __future__ import annotations

import keras
import numpy as np
from keras import layers

from mdcsrn_tf.models.slices import conv, conv_transpose, image, leaky, norm
from mdcsrn_tf.papers.networks2d import BN_MOMENTUM_2D, Unet2dConfig

# The paper prints "c" where this 0 stands, and says that the sum is 1.
SHARPEN_3 = np.array([[0, -1, 0], [-1, 5, -1], [0, -1, 0]], np.float32)
_BINOMIAL = np.array([1, 4, 6, 4, 1], np.float32)
SHARPEN_5 = -np.outer(_BINOMIAL, _BINOMIAL) / 256
SHARPEN_5[2, 2] = 476 / 256
SHARPENERS: dict[int, np.ndarray] = {3: SHARPEN_3, 5: SHARPEN_5}


def build_unet2d(config: Unet2dConfig, bn_momentum: float = BN_MOMENTUM_2D, name: str = "unet2d") -> keras.Model:
    """Build the network for slices whose sides are multiples of 64: (batch, H, W, 1) -> the same shape."""
    filters = [config.filters * min(2**level, 8) for level in range(config.levels)]

    def normed(x, name):
        return norm(x, f"{name}_norm", "normal", bn_momentum)

    inputs = image(1)
    levels = [conv(inputs, filters[0], 4, "down1_conv", "normal", stride=2, use_bias=False)]
    for index in range(2, config.levels + 1):
        x = leaky(levels[-1], f"down{index}_leaky")
        x = conv(x, filters[index - 1], 4, f"down{index}_conv", "normal", stride=2, use_bias=False)
        levels.append(x if index == config.levels else normed(x, f"down{index}"))
    x = levels[-1]
    for index in range(config.levels, 1, -1):
        x = layers.ReLU(name=f"up{index}_relu")(x)
        x = conv_transpose(x, filters[index - 2], f"up{index}_conv", "normal", use_bias=False)
        x = layers.Concatenate(name=f"up{index}_concat")([levels[index - 2], normed(x, f"up{index}")])
    x = conv_transpose(layers.ReLU(name="up1_relu")(x), 1, "reconstruct", "normal", dtype="float32")
    if config.final == "tanh":
        x = layers.Activation("tanh", dtype="float32", name="tanh")(x)
    return keras.Model(inputs, sharpened(x, config.sharpen) if config.sharpen else x, name=name)


def sharpened(x, size: int):
    """`x` convolved with the fixed kernel of that size; what lies outside the image counts as the pixel itself.

    Made of plain layers: zeros outside, then the share of the kernel that met them, which a convolution of ones
    tells, times the pixel.
    """
    kernel = SHARPENERS[size]
    inside = _fixed_conv(x, kernel, 0.0, "sharpen")
    ones = _fixed_conv(x, np.zeros((1, 1)), 1.0, "sharpen_ones")
    outside = layers.Multiply(name="sharpen_border")([x, _fixed_conv(ones, -kernel, 1.0, "sharpen_outside")])
    return layers.Add(dtype="float32", name="sharpened")([inside, outside])


def _fixed_conv(x, kernel: np.ndarray, bias: float, name: str):
    return layers.Conv2D(
        1,
        len(kernel),
        padding="same",
        trainable=False,
        kernel_initializer=keras.initializers.Constant(kernel[..., np.newaxis, np.newaxis].tolist()),
        bias_initializer=keras.initializers.Constant(bias),
        dtype="float32",
        name=name,
    )(x)
