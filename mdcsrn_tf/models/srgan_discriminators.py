"""S's discriminators: the one that its own code trained, and SRGAN's original. Both give one logit: no sigmoid."""

from __future__ import annotations

import keras
from keras import layers

from mdcsrn_tf.models.slices import conv, dense, image, leaky, norm
from mdcsrn_tf.papers.networks2d import LedigDiscriminatorConfig, ReleasedDiscriminatorConfig


def build_released_discriminator(config: ReleasedDiscriminatorConfig, side: int, channels: int = 1) -> keras.Model:
    """Build it for square slices of `side` pixels: (batch, side, side, channels) -> (batch, 1)."""

    def normed(x, filters, size, name, stride=1):
        x = conv(x, filters, size, f"{name}_conv", "normal", stride=stride, use_bias=False)
        return norm(x, f"{name}_norm", "normal")

    inputs = image(channels, side, "slice")
    x = leaky(conv(inputs, config.filters, 4, "down1_conv", "normal", stride=2), "down1_leaky")
    for index in range(2, 7):
        x = leaky(normed(x, config.filters * 2 ** (index - 1), 4, f"down{index}", stride=2), f"down{index}_leaky")
    x = leaky(normed(x, 16 * config.filters, 1, "narrow1"), "narrow1_leaky")
    skip = x = normed(x, 8 * config.filters, 1, "narrow2")
    x = leaky(normed(x, 2 * config.filters, 1, "residual1"), "residual1_leaky")
    x = leaky(normed(x, 2 * config.filters, 3, "residual2"), "residual2_leaky")
    x = normed(x, 8 * config.filters, 3, "residual3")
    x = leaky(layers.Add(name="residual_add")([skip, x]), "residual_leaky")
    logit = dense(layers.Flatten(name="flatten")(x), 1, "logit", "normal", "float32")
    return keras.Model(inputs, logit, name="released_discriminator")


def build_ledig_discriminator(config: LedigDiscriminatorConfig, side: int, channels: int = 1) -> keras.Model:
    """Build it for square patches of `side` pixels: (batch, side, side, channels) -> (batch, 1)."""
    inputs = image(channels, side, "slice")
    x = leaky(conv(inputs, config.filters, 3, "stage1_conv", "normal"), "stage1_leaky")
    blocks = [(1, 2), *((stage, stride) for stage in (2, 3, 4) for stride in (1, 2))]
    for stage, stride in blocks:
        name = f"stage{stage}" + ("_down" if stride == 2 else "")
        filters = config.filters * 2 ** (stage - 1)
        x = conv(x, filters, 3, f"{name}_conv", "normal", stride=stride, use_bias=False)
        x = leaky(norm(x, f"{name}_norm", "normal"), f"{name}_leaky")
    x = leaky(dense(layers.Flatten(name="flatten")(x), config.hidden, "dense", "normal"), "dense_leaky")
    return keras.Model(inputs, dense(x, 1, "logit", "normal", "float32"), name="ledig_discriminator")
