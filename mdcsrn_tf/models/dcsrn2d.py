"""P's DCSRN on slices (Fig. 3c): a stem, four dense units, a normalised output convolution.

The text's 24 stem filters give the published count, the figure's 48 do not.
"""

from __future__ import annotations

import keras
from keras import layers

from mdcsrn_tf.models.layers import Elu
from mdcsrn_tf.models.slices import conv, image, norm
from mdcsrn_tf.papers.networks2d import BN_MOMENTUM_2D, Dcsrn2dConfig


def build_dcsrn2d(config: Dcsrn2dConfig, bn_momentum: float = BN_MOMENTUM_2D, name: str = "dcsrn2d") -> keras.Model:
    """Build the network for slices of any size: (batch, H, W, 1) -> the same shape."""

    def activate(x, name):
        return Elu(name=f"{name}_elu")(norm(x, f"{name}_norm", "torch", bn_momentum))

    inputs = image(1)
    features = conv(inputs, config.stem, 3, "stem", "torch")
    for index in range(1, config.units + 1):
        grown = conv(activate(features, f"unit{index}"), config.growth, 3, f"unit{index}_conv", "torch")
        features = layers.Concatenate(name=f"unit{index}_concat")([features, grown])
    outputs = conv(activate(features, "reconstruct"), 1, 3, "reconstruct", "torch", dtype="float32")
    return keras.Model(inputs, outputs, name=name)
