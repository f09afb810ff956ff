"""The one layer Keras lacks: a batch normalisation that is fast on volumes.

Stock `keras.layers.BatchNormalization` handles a 5-D tensor with broadcasts and reductions that cost more
than the convolutions around it. On the TensorFlow backend this one views the volume as a 2-D image, which
costs nothing, and calls the fused kernel. Weights, names and results are the stock layer's.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import keras
from keras import ops

_keep_moving_statistics: ContextVar[bool] = ContextVar("keep_moving_statistics", default=False)


@contextmanager
def moving_statistics_kept() -> Iterator[None]:
    """Within it, a call with `training=True` uses the batch's statistics but leaves the moving ones alone.

    That is J section 4.1's "train mode" at test time, and the generator's part in a critic step. Inside a
    `tf.function` it acts while the function is traced, so enter it in the traced function.
    """
    token = _keep_moving_statistics.set(True)
    try:
        yield
    finally:
        _keep_moving_statistics.reset(token)


@keras.saving.register_keras_serializable(package="mdcsrn_tf")
class BatchNormalization(keras.layers.BatchNormalization):
    """Batch normalisation over the last axis of a 5-D tensor, by the fused kernel where there is one.

    `training=True` normalises by the batch's statistics and moves the moving ones (unless within
    `moving_statistics_kept()`), `training=False` by the moving statistics: the paper's two modes.
    """

    def call(self, inputs, training=None, mask=None):
        """Normalise `inputs`; a mask is not supported and none of our networks has one."""
        if not (training and self.trainable):
            return self._normalise(inputs, self.moving_mean, self.moving_variance)
        outputs, mean, variance = self._normalise_by_batch(inputs)
        if not _keep_moving_statistics.get():
            self._move(self.moving_mean, mean)
            self._move(self.moving_variance, variance)
        return outputs

    def _normalise(self, inputs, mean, variance):
        if _has_fused_kernel(inputs):
            return _fused(inputs, self.gamma, self.beta, mean, variance, self.epsilon)
        outputs = ops.batch_normalization(
            ops.cast(inputs, "float32"), mean, variance, -1, self.beta, self.gamma, self.epsilon
        )
        return ops.cast(outputs, self.compute_dtype)

    def _normalise_by_batch(self, inputs):
        if _has_fused_kernel(inputs):
            return _fused_by_batch(inputs, self.gamma, self.beta, self.epsilon)
        mean, variance = ops.moments(ops.cast(inputs, "float32"), axes=(0, 1, 2, 3))
        return self._normalise(inputs, mean, variance), mean, variance

    def _move(self, moving, batch_value):
        moving.assign(moving * self.momentum + ops.cast(batch_value, moving.dtype) * (1.0 - self.momentum))


def _has_fused_kernel(inputs) -> bool:
    dtype = keras.backend.standardize_dtype(inputs.dtype)
    return keras.backend.backend() == "tensorflow" and dtype in ("float32", "bfloat16", "float16")


def _fused(inputs, gamma, beta, mean, variance, epsilon):
    import tensorflow as tf

    folded, repeats = _folded(inputs)
    gamma, beta, mean, variance = (
        tf.tile(tf.convert_to_tensor(vector), repeats) for vector in (gamma, beta, mean, variance)
    )
    outputs = tf.raw_ops.FusedBatchNormV3(
        x=folded, scale=gamma, offset=beta, mean=mean, variance=variance, epsilon=epsilon, is_training=False
    )
    return tf.ensure_shape(tf.reshape(outputs.y, tf.shape(inputs)), inputs.shape)


def _folded(volume):
    """The same bytes with four voxels side by side in the channels, where their number allows it.

    The CPU kernel takes a slow path when the channels do not fill its vectors (36 or 60 of them: half as fast
    in float32, a tenth in bfloat16). With given statistics a channel may stand there any number of times.
    """
    import tensorflow as tf

    channels = volume.shape[-1]
    voxels = tf.size(volume) // channels
    repeats = tf.constant(1) if channels % 16 == 0 else tf.where(voxels % 4 == 0, 4, 1)
    return tf.reshape(volume, [1, 1, voxels // repeats, channels * repeats]), [repeats]


def _fused_by_batch(inputs, gamma, beta, epsilon):
    import tensorflow as tf

    # Here the channels cannot be folded, and in low precision the slow path costs more than two casts.
    slow_path = inputs.dtype != tf.float32 and inputs.shape[-1] % 16 != 0
    image = _as_image(tf.cast(inputs, tf.float32) if slow_path else inputs)
    empty = tf.zeros([0], gamma.dtype)
    outputs = tf.raw_ops.FusedBatchNormV3(
        x=image, scale=gamma, offset=beta, mean=empty, variance=empty, epsilon=epsilon, is_training=True
    )
    # The kernel returns the unbiased variance, Keras moves its statistics by the biased one.
    count = tf.cast(tf.size(inputs) // inputs.shape[-1], gamma.dtype)
    biased_variance = outputs.batch_variance * (count - 1.0) / count
    volume = tf.ensure_shape(tf.reshape(outputs.y, tf.shape(inputs)), inputs.shape)
    return tf.cast(volume, inputs.dtype), outputs.batch_mean, biased_variance


def _as_image(volume):
    """[B, D, H, W, C] -> [B, D * H, W, C]: the same bytes, seen as a 2-D image."""
    import tensorflow as tf

    shape = tf.shape(volume)
    image = tf.reshape(volume, [shape[0], shape[1] * shape[2], shape[3], shape[4]])
    return tf.ensure_shape(image, [volume.shape[0], None, volume.shape[3], volume.shape[4]])
