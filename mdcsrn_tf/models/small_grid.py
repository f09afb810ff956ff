"""A network of ours that works on the scanner's small grid: a quarter of the voxels, where two axes are 2x coarser.

What lies in one voxel of the small grid becomes channels (space to depth), mDCSRN's dense blocks work on these, and
each voxel of the small grid then gives its own of the fine one (depth to space): a correction, added to the input.

All of it is plain Keras layers, which any backend runs and any reader of the file knows. Space to depth with a
convolution after it is one strided convolution, and depth to space is a transposed one whose weights are fixed.
"""

from __future__ import annotations

import math

import keras
import numpy as np
from keras import layers

from mdcsrn_tf.models.mdcsrn import DensePieces
from mdcsrn_tf.papers.config import BN_MOMENTUM, SmallGridConfig


def build_small_grid(config: SmallGridConfig, bn_momentum: float = BN_MOMENTUM, name: str = "fast") -> keras.Model:
    """Build the network: (batch, D, H, W, 1) -> the same shape, for volumes whose sides the steps divide.

    The grid is the fine one, to which the volume was interpolated, with the coarse axes first. Which voxel of the fine
    grid a voxel of the small one begins with is open: training patches begin anywhere, so tiles may.
    """
    inputs = keras.Input((None, None, None, 1), name="low_res")
    pieces = DensePieces(config.blocks, bn_momentum)
    features = pieces.dense_blocks(_stem(inputs, config))
    # Zero, so that the network starts as the identity and its voxels side by side as equals: no checkerboard.
    corrections = layers.Conv3D(
        math.prod(config.step), 1, use_bias=False, kernel_initializer="zeros", name="reconstruct"
    )(features)
    correction = depth_to_space(corrections, config.step, "depth_to_space")
    outputs = layers.Add(dtype="float32", name="corrected")([inputs, correction])
    return keras.Model(inputs, outputs, name=name)


def start_as_identity(model: keras.Model) -> None:
    """Make the network return its input: its correction becomes zero. So a fresh one starts anyway."""
    reconstruct = model.get_layer("reconstruct")
    reconstruct.set_weights([np.zeros_like(weights) for weights in reconstruct.get_weights()])


def _stem(inputs, config: SmallGridConfig):
    """A 3x3x3 convolution of the small grid, each of whose voxels holds its fine ones as channels.

    On the fine grid that is a convolution three steps wide, step by step: `same` padding puts one step of zeros at
    either end, one voxel of the small grid.
    """
    return layers.Conv3D(
        2 * config.blocks.growth,
        tuple(3 * step for step in config.step),
        strides=config.step,
        padding="same",
        use_bias=config.blocks.use_bias,
        name="stem",
    )(inputs)


def depth_to_space(x, step: tuple[int, int, int], name: str):
    """Channel (a, b, c) of a voxel, counted row by row, becomes its fine voxel (a, b, c); exact, nothing is learned."""
    count = math.prod(step)
    kernel = np.eye(count, dtype=np.float32).reshape(*step, 1, count)
    return layers.Conv3DTranspose(
        1,
        step,
        strides=step,
        use_bias=False,
        trainable=False,
        kernel_initializer=keras.initializers.Constant(kernel.tolist()),
        name=name,
    )(x)
