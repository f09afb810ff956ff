"""The generator, mDCSRN, of both editions (M Fig. 1, J Fig. 3 to 5).

`b` dense blocks of `u` dense units with growth rate `k`. There is no pooling and no up-sampling: the output
has the input's size, whatever it is. J adds three things: a compressor before the first block too, a
bottleneck where a unit's input is wider than 4k, and biases.
"""

from __future__ import annotations

import keras
import numpy as np
from keras import layers

from mdcsrn_tf.models.layers import BatchNormalization, Elu
from mdcsrn_tf.papers.config import BN_EPSILON, BN_MOMENTUM, MdcsrnConfig


def build_mdcsrn(config: MdcsrnConfig, bn_momentum: float = BN_MOMENTUM, name: str = "mdcsrn") -> keras.Model:
    """Build the network for volumes of any size: (batch, D, H, W, 1) -> the same shape."""
    inputs = keras.Input((None, None, None, 1), name="low_res")
    pieces = DensePieces(config, bn_momentum)
    stem = pieces.conv(inputs, 2 * config.growth, 3, "stem")
    outputs = pieces.reconstruct(pieces.dense_blocks(stem))
    return keras.Model(inputs, outputs, name=name)


def start_as_identity(model: keras.Model) -> None:
    """Make a directly reconstructing network return its input, the rest of its weights untouched.

    One stem filter becomes a delta and the reconstruction zero but for a one on that feature, which it sees
    because the stem is concatenated into it. Ours, not the papers' (docs/decisions.md).
    """
    stem, reconstruct = model.get_layer("stem"), model.get_layer("reconstruct")
    kernel, *stem_bias = stem.get_weights()
    kernel[..., 0] = 0.0
    kernel[1, 1, 1, 0, 0] = 1.0
    stem.set_weights([kernel, *stem_bias])
    weights, *bias = reconstruct.get_weights()
    weights = np.zeros_like(weights)
    weights[..., 0, 0] = 1.0
    reconstruct.set_weights([weights, *bias])


class DensePieces:
    """The pieces of the network, sharing one configuration; each takes a tensor and returns one."""

    def __init__(self, config: MdcsrnConfig, bn_momentum: float):
        self.config = config
        self.bn_momentum = bn_momentum

    def dense_blocks(self, stem):
        """All dense blocks: each sees the stem's features and the outputs of all before it."""
        levels = [stem]
        for index in range(1, self.config.blocks + 1):
            compress = self.config.compress_first or index > 1
            levels.append(self.dense_block(levels, f"block{index}", compress))
        return _concatenate(levels, "levels")

    def dense_block(self, levels, name: str, compress: bool):
        """J Fig. 4(a): every unit sees the block's input and all units before it; so does the output."""
        features = _concatenate(levels, f"{name}_inputs")
        if compress:
            features = self.conv(features, 2 * self.config.growth, 1, f"{name}_compress")
        for index in range(1, self.config.units + 1):
            grown = self.dense_unit(features, f"{name}_unit{index}")
            features = _concatenate([features, grown], f"{name}_unit{index}_concat")
        return features

    def dense_unit(self, x, name: str):
        """BN -> ELU -> convolution to k, through a 1x1x1 bottleneck of 4k "when needed" (J section 3.3)."""
        growth = self.config.growth
        if self.config.bottleneck and x.shape[-1] > 4 * growth:
            x = self.activate(x, f"{name}_bottleneck")
            x = self.conv(x, 4 * growth, 1, f"{name}_bottleneck_conv")
        x = self.activate(x, name)
        return self.conv(x, growth, 3, f"{name}_conv")

    def reconstruct(self, features):
        """J Fig. 5: (a) direct feature combination, or (b) SRDenseNet's reconstruction (the `-r` variants)."""
        if self.config.reconstruction == "direct":
            return self.conv(features, 1, 1, "reconstruct", dtype="float32")
        x = self.conv(features, 8 * self.config.growth, 1, "reconstruct_bottleneck")
        x = self.normalise(x, "reconstruct")
        return self.conv(x, 1, 3, "reconstruct", dtype="float32")

    def activate(self, x, name: str):
        """The pre-activation: BN, then ELU."""
        return Elu(name=f"{name}_elu")(self.normalise(x, name))

    def normalise(self, x, name: str):
        """Batch normalisation."""
        return BatchNormalization(momentum=self.bn_momentum, epsilon=BN_EPSILON, name=f"{name}_norm")(x)

    def conv(self, x, filters: int, size: int, name: str, dtype=None):
        """A same-size convolution; the output layer passes its own dtype."""
        return layers.Conv3D(filters, size, padding="same", use_bias=self.config.use_bias, dtype=dtype, name=name)(x)


def _concatenate(tensors, name: str):
    return tensors[0] if len(tensors) == 1 else layers.Concatenate(name=name)(tensors)
