"""The convolutions of a dense network in training, each a function of the feature maps that it reads side by side.

TensorFlow would keep for the gradient what each convolution reads: concatenations that hold every feature map many
times over. These keep the feature maps alone, and put them side by side once more when the gradient needs them. Nothing
here has a second derivative.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from mdcsrn_tf.training.frugal import passes


@dataclass(frozen=True)
class Convolution:
    """A 3D convolution of Keras's: its weights as tensors, and how it runs."""

    kernel: tf.Tensor  # float32
    bias: tf.Tensor | None
    strides: tuple[int, ...]
    padding: str
    dtype: tf.DType  # in which it computes

    @classmethod
    def of(cls, layer: Any) -> Convolution:
        """Of a layer's weights as they are now."""
        bias = tf.convert_to_tensor(layer.bias) if layer.use_bias else None
        strides, dtype = (1, *layer.strides, 1), tf.as_dtype(layer.compute_dtype)
        return cls(tf.convert_to_tensor(layer.kernel), bias, strides, layer.padding.upper(), dtype)

    @property
    def weights(self) -> list[tf.Tensor]:
        """What a gradient is taken by."""
        return [self.kernel] if self.bias is None else [self.kernel, self.bias]

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        """Convolve; x is of the convolution's dtype."""
        y = tf.nn.conv3d(x, tf.cast(self.kernel, self.dtype), self.strides, self.padding)
        return y if self.bias is None else tf.nn.bias_add(y, tf.cast(self.bias, self.dtype))

    def by_input(self, kernel: tf.Tensor, x: tf.Tensor, dy: tf.Tensor) -> tf.Tensor:
        """The gradient by x, what `kernel`, this one's or a part of it, reads."""
        kernel = tf.cast(kernel, self.dtype)
        dx = tf.raw_ops.Conv3DBackpropInputV2(
            input_sizes=tf.shape(x), filter=kernel, out_backprop=dy, strides=self.strides, padding=self.padding
        )
        return tf.ensure_shape(dx, x.shape)

    def by_kernel(self, x: tf.Tensor, dy: tf.Tensor) -> tf.Tensor:
        """The gradient by the kernel, or by the part of it that reads x."""
        voxels, reads, gives = self.kernel.shape[:3], x.shape[-1], self.kernel.shape[-1]
        if self._fills_vectors_from_input(reads, gives):
            turned = _by_kernel(dy, (*voxels, gives, reads), x, self.strides, self.padding)
            dkernel = tf.transpose(tf.reverse(turned, [0, 1, 2]), [0, 1, 2, 4, 3])
        else:
            dkernel = _by_kernel(x, (*voxels, reads, gives), dy, self.strides, self.padding)
        return tf.cast(dkernel, tf.float32)

    def _fills_vectors_from_input(self, reads: int, gives: int) -> bool:
        """Whether the gradient by the kernel is faster with what is read and what is given exchanged.

        It is the same sum, seen from the other side. A processor's vectors hold sixteen channels of what is given: 12
        leave a quarter idle, the 48 that are read none. In float32 other things count for more.
        """
        same = {*self.strides} == {1} and self.padding == "SAME" and all(n % 2 for n in self.kernel.shape[:3])
        return same and self.dtype == tf.bfloat16 and gives % 16 != 0 and reads > gives

    def by_bias(self, dy: tf.Tensor) -> list[tf.Tensor]:
        """The gradient by the bias, where there is one."""
        return [] if self.bias is None else [tf.cast(tf.raw_ops.BiasAddGrad(out_backprop=dy), tf.float32)]


def convolve_activated(
    parts: Sequence[tf.Tensor], statistics: tuple[tf.Tensor, tf.Tensor], norm: Any, convolution: Convolution
) -> tf.Tensor:
    """Convolution(ELU(norm(parts side by side))), normalised by `statistics`: those of the parts themselves."""
    mean, variance = statistics

    @tf.custom_gradient
    def unit(gamma, beta, *tensors):
        parts = tensors[len(convolution.weights) :]
        scale = gamma * tf.math.rsqrt(variance + norm.epsilon)
        activated = passes.activate(_side_by_side(parts, convolution.dtype), scale, beta - mean * scale)

        def gradient(dy):
            by_activated = convolution.by_input(convolution.kernel, activated, dy)
            by_weights = [convolution.by_kernel(activated, dy), *convolution.by_bias(dy)]
            with tf.control_dependencies([by_activated]):
                x = _side_by_side(parts, convolution.dtype)
            dx, dgamma, dbeta = passes.activate_gradient(
                x, activated, by_activated, mean, variance, gamma, norm.epsilon
            )
            return dgamma, dbeta, *by_weights, *_apart(dx, parts)

        return convolution(activated), gradient

    return unit(tf.convert_to_tensor(norm.gamma), tf.convert_to_tensor(norm.beta), *convolution.weights, *parts)


def convolve(parts: Sequence[tf.Tensor], convolution: Convolution) -> tf.Tensor:
    """Convolution(parts side by side). Its gradient, part by part, takes a third of the time of cutting a whole one."""

    @tf.custom_gradient
    def unit(*tensors):
        parts = tensors[len(convolution.weights) :]
        pieces = tf.split(convolution.kernel, [part.shape[-1] for part in parts], -2)

        def gradient(dy):
            wide = [tf.cast(part, convolution.dtype) for part in parts]
            dkernel = tf.concat([convolution.by_kernel(part, dy) for part in wide], -2)
            dparts = [convolution.by_input(piece, part, dy) for piece, part in zip(pieces, wide, strict=True)]
            return dkernel, *convolution.by_bias(dy), *_in_dtypes_of(parts, dparts)

        return convolution(_side_by_side(parts, convolution.dtype)), gradient

    return unit(*convolution.weights, *parts)


def project(parts: Sequence[tf.Tensor], convolution: Convolution) -> tf.Tensor:
    """The same for one of 1x1x1 voxel that computes in float32, of parts that need not be."""
    shape = convolution.kernel.shape

    @tf.custom_gradient
    def unit(kernel, *parts):
        def gradient(dy):
            dparts, dkernel = passes.project_gradient(list(parts), kernel, dy)
            return dkernel, *dparts

        return passes.project(list(parts), kernel), gradient

    y = unit(tf.reshape(convolution.kernel, shape[-2:]), *parts)
    return y if convolution.bias is None else tf.nn.bias_add(y, convolution.bias)


def _side_by_side(parts: Sequence[tf.Tensor], dtype: tf.DType) -> tf.Tensor:
    return tf.cast(parts[0] if len(parts) == 1 else tf.concat(parts, -1), dtype)


def _apart(dx: tf.Tensor, parts: Sequence[tf.Tensor]) -> list[tf.Tensor]:
    """The gradient by each part."""
    return _in_dtypes_of(parts, tf.split(dx, [part.shape[-1] for part in parts], -1) if len(parts) > 1 else [dx])


def _in_dtypes_of(parts: Sequence[tf.Tensor], pieces: Sequence[tf.Tensor]) -> list[tf.Tensor]:
    return [tf.cast(piece, part.dtype) for piece, part in zip(pieces, parts, strict=True)]


def _by_kernel(x: tf.Tensor, size: tuple[int, ...], dy: tf.Tensor, strides: tuple[int, ...], padding: str) -> tf.Tensor:
    return tf.raw_ops.Conv3DBackpropFilterV2(
        input=x, filter_sizes=size, out_backprop=dy, strides=strides, padding=padding
    )
