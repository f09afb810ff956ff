"""The project's networks with 3D convolutions as a GPU's matrix units like them; the function is the same.

A library's 3D convolution to 12 maps leaves most of a matrix unit empty, and XLA lays its data out the slow way. Here a
3x3x3 convolution is one 2D convolution of all slices to three times as many maps, whose thirds are added up one slice
apart (5x5x5 and 9x9x9 likewise); of a single map it is a product with its 27 neighbours; and a 1x1x1 convolution is a
product. Those that step to a small grid and back (`fast/`) are such convolutions of it.
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
        """[B, D, H, W, C] and a kernel [x, y, z, C, K] to [B, D, H, W, K], or its steps, in the inputs' dtype."""
        inputs, kernel = jnp.asarray(inputs), jnp.asarray(kernel)
        size = kernel.shape[:3]
        if size == (1, 1, 1):
            return inputs @ kernel[0, 0, 0]
        if self.padding != "same":
            return super().convolution_op(inputs, kernel)
        if self.strides == (1, 1, 1) and len(set(size)) == 1 and size[0] % 2:
            if inputs.shape[-1] == 1 and size[0] == 3:
                return neighbours(inputs) @ kernel.reshape(27, -1)
            return by_slices(inputs, kernel)
        if size == (3, 3, 3) and len(set(self.strides)) == 1:
            return strided(inputs, kernel, self.strides[0])
        if size == tuple(3 * step for step in self.strides) and divides(self.strides, inputs.shape[1:4]):
            return by_slices(*on_small_grid(inputs, kernel, self.strides))
        return super().convolution_op(inputs, kernel)


class GpuConv3DTranspose(keras.layers.Conv3DTranspose):
    """A Conv3DTranspose whose voxels each become a block of their own, as a product; Keras's own of any other."""

    def call(self, inputs: Any) -> Any:
        """[B, d, h, w, C] to [B, d * step, h * step, w * step, K]."""
        if self.kernel_size != self.strides or self.use_bias:
            return super().call(inputs)
        inputs, kernel = jnp.asarray(inputs), jnp.asarray(self.kernel, self.compute_dtype)
        blocks = jnp.einsum("bdhwc,xyzkc->bdxhywzk", inputs, kernel)
        batch, *sizes = inputs.shape[:4]
        fine = [size * step for size, step in zip(sizes, self.strides, strict=True)]
        return blocks.reshape(batch, *fine, kernel.shape[3])


def divides(steps: tuple[int, ...], sizes: tuple[int, ...]) -> bool:
    """Whether every side is a whole number of steps."""
    return all(size % step == 0 for size, step in zip(sizes, steps, strict=True))


def on_small_grid(volume: Any, kernel: Any, steps: tuple[int, int, int]) -> tuple[Any, Any]:
    """A volume and a kernel of three steps as those of the small grid, a step's voxels as channels."""
    batch, *sizes, channels = volume.shape
    split = [part for size, step in zip(sizes, steps, strict=True) for part in (size // step, step)]
    small = volume.reshape(batch, *split, channels).transpose(0, 1, 3, 5, 2, 4, 6, 7)
    taps = kernel.reshape(*(part for step in steps for part in (3, step)), channels, -1)
    taps = taps.transpose(0, 2, 4, 1, 3, 5, 6, 7)
    return small.reshape(*small.shape[:4], -1), taps.reshape(3, 3, 3, -1, kernel.shape[-1])


def neighbours(volume: Any) -> Any:
    """[B, D, H, W, 1] to [B, D, H, W, 27]."""
    padded = jnp.pad(volume[..., 0], [(0, 0), (1, 1), (1, 1), (1, 1)])
    depth, height, width = volume.shape[1:4]
    shifted = [
        padded[:, i : i + depth, j : j + height, k : k + width] for i in range(3) for j in range(3) for k in range(3)
    ]
    return jnp.stack(shifted, axis=-1)


def by_slices(volume: Any, kernel: Any) -> Any:
    """One 2D convolution of all slices to maps for each of the kernel's slices, and their sum a slice apart each.

    Input and output maps are filled up to multiples of 8 with zeros: cuDNN would copy every map to do so.
    """
    batch, depth, height, width, channels = volume.shape
    size, maps = kernel.shape[0], kernel.shape[-1]
    flat = kernel.transpose(1, 2, 3, 0, 4).reshape(size, size, channels, size * maps)
    flat = jnp.pad(flat, [(0, 0), (0, 0), (0, -channels % EIGHT), (0, -size * maps % EIGHT)])
    volume = jnp.pad(volume, [(0, 0)] * 4 + [(0, -channels % EIGHT)])
    slices = jax.lax.conv_general_dilated(
        volume.reshape(batch * depth, height, width, -1),
        flat,
        (1, 1),
        "SAME",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    slices = slices.reshape(batch, depth, height, width, -1)
    around = size // 2
    edges = [(0, 0), (around, around), (0, 0), (0, 0), (0, 0)]
    # The kernel's slice i is met by the volume's slice that many below (or above) the output's.
    apart = [jnp.pad(slices[..., i * maps : (i + 1) * maps], edges)[:, i : i + depth] for i in range(size)]
    return sum(apart[1:], apart[0])


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
        kind = {keras.layers.Conv3D: GpuConv3D, keras.layers.Conv3DTranspose: GpuConv3DTranspose}
        rebuilt = kind.get(type(layer), type(layer)).from_config(config)
        rebuilt.autocast = layer.autocast
        return rebuilt

    copy = keras.models.clone_model(model, clone_function=rebuild)
    copy.set_weights(model.get_weights())
    return copy
