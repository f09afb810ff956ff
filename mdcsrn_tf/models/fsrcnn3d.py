"""FSRCNN(d=56, s=12, m=4) in 3D: the papers' lightest baseline.

As in J section 4.2, the transposed convolution at its end becomes a convolution of the same scale.
"""

from __future__ import annotations

import keras
import numpy as np
from keras import layers

from mdcsrn_tf.papers.config import FsrcnnConfig


def build_fsrcnn3d(config: FsrcnnConfig, name: str = "fsrcnn3d") -> keras.Model:
    """Build the network for volumes of any size: (batch, D, H, W, 1) -> the same shape."""
    inputs = keras.Input((None, None, None, 1), name="low_res")
    x = _conv_prelu(inputs, config.features, 5, "extract")
    x = _conv_prelu(x, config.shrunk, 1, "shrink")
    for index in range(1, config.mappings + 1):
        x = _conv_prelu(x, config.shrunk, 3, f"map{index}")
    x = _conv_prelu(x, config.features, 1, "expand")
    outputs = layers.Conv3D(1, 9, padding="same", dtype="float32", name="reconstruct")(x)
    return keras.Model(inputs, outputs, name=name)


def start_as_identity(model: keras.Model) -> None:
    """Make the network return its input: channel 0 carries it through, alone, and alone is read at the end.

    Ours, not the papers' (docs/decisions.md).
    """
    convolutions = [layer for layer in model.layers if isinstance(layer, layers.Conv3D)]
    for conv in convolutions:
        kernel, bias = conv.get_weights()
        if conv.name == "reconstruct":
            kernel = np.zeros_like(kernel)
        middle = kernel.shape[0] // 2
        kernel[..., 0] = 0.0
        kernel[middle, middle, middle, 0, 0] = 1.0
        conv.set_weights([kernel, bias])
    for prelu in (layer for layer in model.layers if isinstance(layer, layers.PReLU)):
        (alpha,) = prelu.get_weights()
        alpha[..., 0] = 1.0
        prelu.set_weights([alpha])


def _conv_prelu(x, filters: int, size: int, name: str):
    x = layers.Conv3D(filters, size, padding="same", name=f"{name}_conv")(x)
    return layers.PReLU(shared_axes=[1, 2, 3], name=f"{name}_prelu")(x)
