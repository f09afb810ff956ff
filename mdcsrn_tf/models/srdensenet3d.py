"""SRDenseNet in 3D with J's settings: what mDCSRN's connections are compared with.

J Fig. 4(b): inside a block only the first unit sees the block's input, and the output leaves it out. As in
J section 4.2, the up-sampling layers become one convolution of the same scale.
"""

from __future__ import annotations

import keras
from keras import layers

from mdcsrn_tf.models.layers import BatchNormalization, Elu
from mdcsrn_tf.papers.config import BN_EPSILON, BN_MOMENTUM, SrdensenetConfig


def build_srdensenet3d(
    config: SrdensenetConfig, bn_momentum: float = BN_MOMENTUM, name: str = "srdensenet3d"
) -> keras.Model:
    """Build the network for volumes of any size: (batch, D, H, W, 1) -> the same shape."""

    def conv(x, filters, size, name, dtype=None):
        return layers.Conv3D(filters, size, padding="same", dtype=dtype, name=name)(x)

    def norm(x, name):
        return BatchNormalization(momentum=bn_momentum, epsilon=BN_EPSILON, name=name)(x)

    def dense_unit(x, name):
        x = Elu(name=f"{name}_elu")(norm(x, f"{name}_norm"))
        return conv(x, config.growth, 3, f"{name}_conv")

    def dense_block(x, name):
        features = dense_unit(x, f"{name}_unit1")
        for index in range(2, config.units + 1):
            grown = dense_unit(features, f"{name}_unit{index}")
            features = layers.Concatenate(name=f"{name}_unit{index}_concat")([features, grown])
        return features

    inputs = keras.Input((None, None, None, 1), name="low_res")
    levels = [conv(inputs, 2 * config.growth, 3, "stem")]
    for index in range(1, config.blocks + 1):
        levels.append(dense_block(levels[-1], f"block{index}"))
    x = layers.Concatenate(name="levels")(levels)
    x = norm(conv(x, 4 * config.growth, 1, "reconstruct_bottleneck"), "reconstruct_norm")
    # Activated, as every layer of the original but the last is: without, the three convolutions would be one.
    x = conv(Elu(name="reconstruct_elu")(x), 4 * config.growth, 3, "same_scale_conv")
    x = Elu(name="same_scale_elu")(x)
    outputs = conv(x, 1, 3, "reconstruct", dtype="float32")
    return keras.Model(inputs, outputs, name=name)
