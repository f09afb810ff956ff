"""P's FCN1 (Fig. 3a) and the generators of its DCGANs (Fig. 13a, c, e): convolutions one after the other.

Batch normalisation and ReLU follow all but the last convolution: only so do the published counts come out.
"""

from __future__ import annotations

import keras
from keras import layers

from mdcsrn_tf.models.slices import conv, image, norm
from mdcsrn_tf.papers.networks2d import BN_MOMENTUM_2D, Chain2dConfig


def build_chain2d(config: Chain2dConfig, bn_momentum: float = BN_MOMENTUM_2D, name: str | None = None) -> keras.Model:
    """Build the network for slices of any size: (batch, H, W, 1) -> the same shape."""
    inputs = x = image(1)
    *hidden, (last_size, last_filters) = config.convolutions
    for index, (size, filters) in enumerate(hidden, start=1):
        x = conv(x, filters, size, f"conv{index}", "torch", padding=config.padding)
        x = layers.ReLU(name=f"conv{index}_relu")(norm(x, f"conv{index}_norm", "torch", bn_momentum))
    outputs = conv(x, last_filters, last_size, "reconstruct", "torch", padding=config.padding, dtype="float32")
    return keras.Model(inputs, outputs, name=name or config.name)
