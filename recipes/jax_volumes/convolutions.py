"""The project's networks with 3D convolutions as a GPU's matrix units like them; the function is the same.

A library's 3D convolution to 12 maps leaves most of a matrix unit empty, and XLA lays its data out the slow way. Here a
3x3x3 convolution is one 2D convolution of all slices to three times as many maps, whose thirds are added up one slice
apart; of a single map it is a product with its 27 neighbours; and a 1x1x1 convolution is a product.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import keras

EIGHT = 8  # maps that a matrix unit takes at a time


class GpuConv3D(keras.layers.Conv3D):
    """A Conv3D that computes as above where it can, and as Keras does elsewhere."""

    def convolution_op(self, inputs: Any, kernel: Any) -> Any:
        """[B, D, H, W, C] and [3, 3, 3, C, K] to [B, D, H, W, K], in the inputs' dtype."""
        inputs, kernel = jnp.asarray(inputs), jnp.asarray(kernel)
        size = kernel.shape[:3]
        if size == (1, 1, 1):
            return inputs @ kernel[0, 0, 0]
        if size != (3, 3, 3) or self.padding != "same":
            return super().convolution_op(inputs, kernel)
        if self.strides != (1, 1, 1):
            return strided(inputs, kernel, self.strides[0])
        if inputs.shape[-1] == 1:
            return neighbours(inputs) @ kernel.reshape(27, -1)
        return by_slices(inputs, kernel)


def neighbours(volume: Any) -> Any:
    """[B, D, H, W, 1] to [B, D, H, W, 27]."""
    padded = jnp.pad(volume[..., 0], [(0, 0), (1, 1), (1, 1), (1, 1)])
    depth, height, width = volume.shape[1:4]
    shifted = [
        padded[:, i : i + depth, j : j + height, k : k + width] for i in range(3) for j in range(3) for k in range(3)
    ]
    return jnp.stack(shifted, axis=-1)


def by_slices(volume: Any, kernel: Any) -> Any:
    """One 2D convolution of all slices to 3 K maps, and their sum one slice apart.

    Input and output maps are filled up to multiples of 8 with zeros: cuDNN would copy every map to do so.
    """
    batch, depth, height, width, channels = volume.shape
    maps = kernel.shape[-1]
    flat = kernel.transpose(1, 2, 3, 0, 4).reshape(3, 3, channels, 3 * maps)
    flat = jnp.pad(flat, [(0, 0), (0, 0), (0, -channels % EIGHT), (0, -3 * maps % EIGHT)])
    volume = jnp.pad(volume, [(0, 0)] * 4 + [(0, -channels % EIGHT)])
    slices = jax.lax.conv_general_dilated(
        volume.reshape(batch * depth, height, width, -1),
        flat,
        (1, 1),
        "SAME",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    slices = slices.reshape(batch, depth, height, width, -1)
    edges = [(0, 0), (1, 1), (0, 0), (0, 0), (0, 0)]
    before = jnp.pad(slices[..., :maps], edges)[:, :depth]  # of slice z - 1
    after = jnp.pad(slices[..., 2 * maps : 3 * maps], edges)[:, 2:]  # of slice z + 1
    return before + slices[..., maps : 2 * maps] + after


def strided(volume: Any, kernel: Any, stride: int) -> Any:
    """A padded convolution of that stride along each axis: for each third of the kernel, the slices that it meets."""
    sizes = volume.shape[1:4]
    pads = [max((-(-size // stride) - 1) * stride + 3 - size, 0) for size in sizes]
    edges = [(pad // 2, pad - pad // 2) for pad in pads]
    padded = jnp.pad(volume, [(0, 0), edges[0], (0, 0), (0, 0), (0, 0)])
    depth = -(-sizes[0] // stride)
    total = None
    for third in range(3):
        met = padded[:, third : third + stride * (depth - 1) + 1 : stride]
        part = jax.lax.conv_general_dilated(
            met.reshape(-1, *met.shape[2:]),
            kernel[third],
            (stride, stride),
            edges[1:],
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )
        total = part if total is None else total + part
    return total.reshape(volume.shape[0], depth, *total.shape[1:])


def for_gpu(model: keras.Model, precision: str = "") -> keras.Model:
    """A copy of the model, with the same weights, of such convolutions; `precision` is theirs (empty: as they are)."""

    def rebuild(layer: keras.layers.Layer) -> keras.layers.Layer:
        config = layer.get_config()
        is_convolution = type(layer) is keras.layers.Conv3D
        if is_convolution and precision:
            config["dtype"] = precision
        rebuilt = (GpuConv3D if is_convolution else layer.__class__).from_config(config)
        rebuilt.autocast = layer.autocast
        return rebuilt

    copy = keras.models.clone_model(model, clone_function=rebuild)
    copy.set_weights(model.get_weights())
    return copy
