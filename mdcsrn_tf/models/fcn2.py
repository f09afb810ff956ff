"""P's FCN2 (Fig. 3b): down by three pools, up by three transposed convolutions, nothing across."""

from __future__ import annotations

import keras
from keras import layers

from mdcsrn_tf.models.slices import conv, conv_transpose, image, norm
from mdcsrn_tf.papers.networks2d import BN_MOMENTUM_2D, Fcn2Config


def build_fcn2(config: Fcn2Config, bn_momentum: float = BN_MOMENTUM_2D, name: str = "fcn2") -> keras.Model:
    """Build the network for slices whose sides are multiples of 8: (batch, H, W, 1) -> the same shape."""

    def norm_relu(x, name):
        return layers.ReLU(name=f"{name}_relu")(norm(x, f"{name}_norm", "torch", bn_momentum))

    inputs = x = image(1)
    for index, (size, filters) in enumerate(config.down, start=1):
        x = norm_relu(conv(x, filters, size, f"down{index}_conv", "torch"), f"down{index}")
        x = layers.MaxPooling2D(2, name=f"down{index}_pool")(x)
    *hidden, last = config.up
    for index, filters in enumerate(hidden, start=1):
        x = norm_relu(conv_transpose(x, filters, f"up{index}_conv", "torch"), f"up{index}")
    outputs = conv_transpose(x, last, "reconstruct", "torch", dtype="float32")
    return keras.Model(inputs, outputs, name=name)
