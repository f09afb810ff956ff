"""SRResNet in 3D: the papers' heaviest baseline, 64 filters and 8 residual blocks.

As in J section 4.2, its sub-pixel up-sampling becomes one convolution of the same scale.
"""

from __future__ import annotations

import keras
from keras import layers

from mdcsrn_tf.models.layers import BatchNormalization
from mdcsrn_tf.papers.config import BN_EPSILON, BN_MOMENTUM, SrresnetConfig


def build_srresnet3d(config: SrresnetConfig, bn_momentum: float = BN_MOMENTUM, name: str = "srresnet3d") -> keras.Model:
    """Build the network for volumes of any size: (batch, D, H, W, 1) -> the same shape."""

    def conv(x, name, size=3, filters=config.filters, dtype=None):
        return layers.Conv3D(filters, size, padding="same", dtype=dtype, name=name)(x)

    def norm(x, name):
        return BatchNormalization(momentum=bn_momentum, epsilon=BN_EPSILON, name=name)(x)

    def prelu(x, name):
        return layers.PReLU(shared_axes=[1, 2, 3], name=name)(x)

    def residual_block(x, name):
        y = prelu(norm(conv(x, f"{name}_conv1"), f"{name}_norm1"), f"{name}_prelu")
        y = norm(conv(y, f"{name}_conv2"), f"{name}_norm2")
        return layers.Add(name=f"{name}_add")([x, y])

    inputs = keras.Input((None, None, None, 1), name="low_res")
    stem = x = prelu(conv(inputs, "stem_conv"), "stem_prelu")
    for index in range(1, config.blocks + 1):
        x = residual_block(x, f"block{index}")
    x = norm(conv(x, "trunk_conv"), "trunk_norm")
    x = layers.Add(name="long_skip")([stem, x])
    # Normalised as the other convolutions between stem and output are: so it comes to the published 2.005M.
    x = prelu(norm(conv(x, "same_scale_conv"), "same_scale_norm"), "same_scale_prelu")
    outputs = conv(x, "reconstruct", size=5, filters=1, dtype="float32")
    return keras.Model(inputs, outputs, name=name)
