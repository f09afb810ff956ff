"""The critic: SRGAN's discriminator in 3D, layer-normalised as WGAN-GP asks (M Fig. 1C, J Fig. 3D).

Its dense head fixes the patch size: 64 in M, 40 in J. It scores, it does not classify: no sigmoid.
"""

from __future__ import annotations

import keras
from keras import layers

from mdcsrn_tf.models.layers import VolumeLayerNormalization
from mdcsrn_tf.papers.config import CriticConfig


def build_critic(config: CriticConfig, side: int, channels: int = 1, name: str = "critic") -> keras.Model:
    """Build the critic for cubic patches: (batch, side, side, side, channels) -> (batch, 1), float32."""

    def leaky(x, name):
        return layers.LeakyReLU(negative_slope=config.leak, name=name)(x)

    def conv_block(x, filters, stride, name, normalise=True):
        x = layers.Conv3D(filters, 3, strides=stride, padding="same", name=f"{name}_conv")(x)
        if normalise:
            x = VolumeLayerNormalization(name=f"{name}_norm")(x)
        return leaky(x, f"{name}_leaky")

    inputs = x = keras.Input((side, side, side, channels), name="patch")
    for stage in range(config.stages):
        filters = config.filters * 2**stage
        x = conv_block(x, filters, 1, f"stage{stage + 1}", normalise=stage > 0)
        x = conv_block(x, filters, 2, f"stage{stage + 1}_down")
    x = layers.Flatten(name="flatten")(x)
    x = leaky(layers.Dense(config.dense_units, name="dense")(x), "dense_leaky")
    score = layers.Dense(1, name="score")(x)
    return keras.Model(inputs, score, name=name)
