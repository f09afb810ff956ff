"""P's discriminators (Fig. 13b, d, f, h). They see one image, not the pair, and give logits: no sigmoid."""

from __future__ import annotations

import keras
from keras import layers

from mdcsrn_tf.models.slices import conv, dense, image, leaky, norm
from mdcsrn_tf.papers.networks2d import DenseDiscriminatorConfig, PatchDiscriminatorConfig, PooledDiscriminatorConfig


def build_dense_discriminator(config: DenseDiscriminatorConfig, side: int, channels: int = 1) -> keras.Model:
    """Build (b) for square patches of `side` pixels: (batch, side, side, channels) -> (batch, 1)."""
    inputs = x = image(channels, side, "patch")
    for index, filters in enumerate(config.filters, start=1):
        x = leaky(conv(x, filters, 3, f"conv{index}", "torch"), f"conv{index}_leaky")
    x = leaky(dense(layers.Flatten(name="flatten")(x), config.hidden, "dense", "torch"), "dense_leaky")
    return keras.Model(inputs, dense(x, 1, "logit", "torch", "float32"), name="dense_discriminator")


def build_pooled_discriminator(config: PooledDiscriminatorConfig, side: int, channels: int = 1) -> keras.Model:
    """Build (d) or (f) for square patches of `side` pixels: (batch, side, side, channels) -> (batch, 1)."""
    # (kernel, zeros on each side, pool, its stride): 64 pixels become 65, 32, 34, 16, 18 and 4. The figure's 15
    # instead of 16 cannot come from 34 by its own kernel.
    stages = ((2, 1, 3, 2), (3, 2, 3, 2), (3, 2, 4, 4))
    inputs = x = image(channels, side, "patch")
    for index, (filters, (size, zeros, pool, stride)) in enumerate(zip(config.filters, stages, strict=True), start=1):
        x = leaky(conv(x, filters, size, f"conv{index}", "torch", padding=zeros), f"conv{index}_leaky")
        x = layers.MaxPooling2D(pool, strides=stride, name=f"conv{index}_pool")(x)
    x = layers.Flatten(name="flatten")(x)
    return keras.Model(inputs, dense(x, 1, "logit", "torch", "float32"), name="pooled_discriminator")


def build_patch_discriminator(config: PatchDiscriminatorConfig, side: int, channels: int = 1) -> keras.Model:
    """Build (h), pix2pix's PatchGAN: (batch, side, side, channels) -> (batch, h, w, 1), a logit for each part."""

    def normed_conv(x, filters, name, stride):
        x = conv(x, filters, 4, f"{name}_conv", "normal", stride=stride, padding=1, use_bias=False)
        return leaky(norm(x, f"{name}_norm", "normal"), f"{name}_leaky")

    inputs = image(channels, side, "patch")
    x = conv(inputs, config.filters, 4, "layer1_conv", "normal", stride=2, padding=1)
    x = leaky(x, "layer1_leaky")
    for index in range(2, config.layers + 1):
        x = normed_conv(x, config.filters * min(2 ** (index - 1), 8), f"layer{index}", stride=2)
    x = normed_conv(x, config.filters * min(2**config.layers, 8), f"layer{config.layers + 1}", stride=1)
    logits = conv(x, 1, 4, "logits", "normal", padding=1, dtype="float32")
    return keras.Model(inputs, logits, name="patch_discriminator")
