"""S's generator: SRResNet on slices, ReLU and 3x3 ends, no up-sampling (thick and thin slices have one matrix).

Model 1 maps a slice to a slice; Model 2 to three neighbouring ones; ours, `stack3`, three to the middle one.
"""

from __future__ import annotations

import keras
import numpy as np
from keras import layers

from mdcsrn_tf.models.slices import conv, image, norm
from mdcsrn_tf.papers.networks2d import BN_MOMENTUM_2D, Srresnet2dConfig


def build_srresnet2d(
    config: Srresnet2dConfig, bn_momentum: float = BN_MOMENTUM_2D, name: str = "srresnet2d"
) -> keras.Model:
    """Build the network for slices of any size: (batch, H, W, low_channels) -> (batch, H, W, high_channels)."""

    def conv_norm(x, name, conv_name, norm_name):
        x = conv(x, config.filters, 3, f"{name}_{conv_name}", "normal", use_bias=False)
        return norm(x, f"{name}_{norm_name}", "normal", bn_momentum)

    def residual_block(x, name):
        y = layers.ReLU(name=f"{name}_relu")(conv_norm(x, name, "conv1", "norm1"))
        return layers.Add(name=f"{name}_add")([x, conv_norm(y, name, "conv2", "norm2")])

    inputs = image(config.low_channels)
    stem = x = layers.ReLU(name="stem_relu")(conv(inputs, config.filters, 3, "stem_conv", "normal"))
    for index in range(1, config.blocks + 1):
        x = residual_block(x, f"block{index}")
    x = layers.Add(name="long_skip")([stem, conv_norm(x, "trunk", "conv", "norm")])
    outputs = conv(x, config.high_channels, 3, "reconstruct", "normal", dtype="float32")
    return keras.Model(inputs, outputs, name=name)


def start_as_identity(model: keras.Model) -> None:
    """Make every output channel the middle input channel, the rest of the weights untouched.

    Two stem filters carry the input's positive and negative part past the residual trunk, whose last gain
    starts at 0, and the output subtracts one from the other. Ours, not the paper's (docs/decisions.md).
    """
    stem, reconstruct, last_norm = (model.get_layer(name) for name in ("stem_conv", "reconstruct", "trunk_norm"))
    kernel, bias = stem.get_weights()
    kernel[..., :2] = 0.0
    kernel[1, 1, kernel.shape[2] // 2, :2] = (1.0, -1.0)
    stem.set_weights([kernel, bias])
    last_norm.gamma.assign(np.zeros(last_norm.gamma.shape, np.float32))
    weights, bias = reconstruct.get_weights()
    weights = np.zeros_like(weights)
    weights[1, 1, 0, :], weights[1, 1, 1, :] = 1.0, -1.0
    reconstruct.set_weights([weights, bias])
