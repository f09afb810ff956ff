"""The layers Keras lacks: batch normalisation and ELU, fast and frugal on volumes, and the critic's normalisation.

Stock `keras.layers.BatchNormalization` handles a 5-D tensor with broadcasts and reductions that cost more
than the convolutions around it. On the TensorFlow backend this one views the volume as a 2-D image, which
costs nothing, and calls the fused kernel. Weights, names and results are the stock layer's.

In mixed precision the two work as a pair: feature maps come in and go out in bfloat16, and only those are
kept for the gradient; between them, and within them, everything is float32, which a CPU also does faster.
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
    """Batch normalisation over the last axis of volumes or images, by the fused kernel where there is one.

    `training=True` normalises by the batch's statistics and moves the moving ones (unless within
    `moving_statistics_kept()`), `training=False` by the moving statistics: the paper's two modes.

    The output has the layer's compute dtype. With `autocast=False` the input may be of a lower one.
    """

    def call(self, inputs, training=None, mask=None):
        """Normalise `inputs`; a mask is not supported and none of our networks has one."""
        if not (training and self.trainable):
            return self._normalise(inputs, self.moving_mean, self.moving_variance)
        outputs, mean, variance = self._normalise_by_batch(inputs)
        self.follow(mean, variance)
        return outputs

    def follow(self, mean, variance):
        """Move the moving statistics towards a batch's, unless within `moving_statistics_kept()`."""
        if not _keep_moving_statistics.get():
            self._move(self.moving_mean, mean)
            self._move(self.moving_variance, variance)

    def _normalise(self, inputs, mean, variance):
        if _has_fused_kernel(inputs):
            outputs = _fused(inputs, self.gamma, self.beta, mean, variance, self.epsilon)
        else:
            wide = ops.cast(inputs, "float32")
            outputs = ops.batch_normalization(wide, mean, variance, -1, self.beta, self.gamma, self.epsilon)
        return ops.cast(outputs, self.compute_dtype)

    def _normalise_by_batch(self, inputs):
        if _has_fused_kernel(inputs):
            outputs, mean, variance = _fused_by_batch(inputs, self.gamma, self.beta, self.epsilon)
            return ops.cast(outputs, self.compute_dtype), mean, variance
        wide = ops.cast(inputs, "float32")
        mean, variance = ops.moments(wide, axes=tuple(range(len(inputs.shape) - 1)))
        return self._normalise(inputs, mean, variance), mean, variance

    def _move(self, moving, batch_value):
        moving.assign(moving * self.momentum + ops.cast(batch_value, moving.dtype) * (1.0 - self.momentum))


@keras.saving.register_keras_serializable(package="mdcsrn_tf")
class Elu(keras.layers.Activation):
    """ELU, computed in the input's dtype (with `autocast=False`) and returned in the layer's compute dtype.

    The gradient needs the output alone, so in mixed precision that is all that is kept.
    """

    def __init__(self, activation="elu", **kwargs):
        super().__init__(activation, **kwargs)

    def call(self, inputs):
        """max(x, exp(x) - 1), elementwise."""
        if keras.backend.standardize_dtype(inputs.dtype) == self.compute_dtype:
            return ops.elu(inputs)
        if keras.backend.backend() == "tensorflow":
            return _narrowing_elu(inputs, self.compute_dtype)
        return ops.cast(ops.elu(inputs), self.compute_dtype)


@keras.saving.register_keras_serializable(package="mdcsrn_tf")
class VolumeLayerNormalization(keras.layers.Layer):
    """Layer normalisation of [B, D, H, W, C] over D, H, W and C, with a gain and a bias a channel.

    WGAN-GP differentiates the critic's slope once more. Keras's normalisations take no gradient through the mean
    within the variance: right for a first derivative, where that part is zero, and wrong for the second.
    """

    def __init__(self, epsilon=1e-3, **kwargs):
        super().__init__(**kwargs)
        self.epsilon = epsilon

    def build(self, input_shape):
        """One gain and one bias a channel."""
        self.gamma = self.add_weight(name="gamma", shape=(input_shape[-1],), initializer="ones")
        self.beta = self.add_weight(name="beta", shape=(input_shape[-1],), initializer="zeros")

    def call(self, inputs):
        """(x - mean) / sqrt(variance + epsilon) * gamma + beta, statistics a sample."""
        axes = (1, 2, 3, 4)
        centred = inputs - ops.mean(inputs, axes, keepdims=True)
        variance = ops.mean(ops.square(centred), axes, keepdims=True)
        return centred * ops.rsqrt(variance + self.epsilon) * self.gamma + self.beta

    def get_config(self):
        """The layer's settings."""
        return {**super().get_config(), "epsilon": self.epsilon}


def _narrowing_elu(inputs, dtype):
    import tensorflow as tf

    @tf.custom_gradient
    def narrow(x):
        y = tf.cast(tf.nn.elu(x), dtype)

        def gradient(dy):
            return tf.raw_ops.EluGrad(gradients=tf.cast(dy, x.dtype), outputs=_cast_when(dy, y, x.dtype))

        return y, gradient

    return narrow(inputs)


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
    """Normalise by the batch's statistics: the outputs in float32, the mean and the biased variance."""
    import tensorflow as tf

    kernel = _fused_training_kernel if inputs.dtype == tf.float32 else _widening_kernel
    outputs, mean, unbiased = kernel(inputs, tf.convert_to_tensor(gamma), tf.convert_to_tensor(beta), epsilon)
    # The kernel returns the unbiased variance, Keras moves its statistics by the biased one.
    count = tf.cast(tf.size(inputs) // inputs.shape[-1], unbiased.dtype)
    return tf.ensure_shape(outputs, inputs.shape), mean, unbiased * (count - 1.0) / count


def _fused_training_kernel(volume, gamma, beta, epsilon):
    outputs = _run_training_kernel(volume, gamma, beta, epsilon)
    return _like(outputs.y, volume), outputs.batch_mean, outputs.batch_variance


def _widening_kernel(volume, gamma, beta, epsilon):
    """The same for a low-precision volume, computed in float32; it alone is kept for the gradient."""
    import tensorflow as tf

    @tf.custom_gradient
    def widen(x, gamma, beta):
        outputs = _run_training_kernel(tf.cast(x, tf.float32), gamma, beta, epsilon)

        def gradient(dy, *_):
            gradients = tf.raw_ops.FusedBatchNormGradV3(
                y_backprop=_as_image(dy),
                x=_as_image(_cast_when(dy, x, tf.float32)),
                scale=gamma,
                reserve_space_1=outputs.reserve_space_1,
                reserve_space_2=outputs.reserve_space_2,
                reserve_space_3=outputs.reserve_space_3,
                epsilon=epsilon,
                is_training=True,
            )
            dx = tf.cast(_like(gradients.x_backprop, x), x.dtype)
            return dx, gradients.scale_backprop, gradients.offset_backprop

        return (_like(outputs.y, x), outputs.batch_mean, outputs.batch_variance), gradient

    return widen(volume, gamma, beta)


def _run_training_kernel(volume, gamma, beta, epsilon):
    import tensorflow as tf

    empty = tf.zeros([0], gamma.dtype)
    return tf.raw_ops.FusedBatchNormV3(
        x=_as_image(volume), scale=gamma, offset=beta, mean=empty, variance=empty, epsilon=epsilon, is_training=True
    )


def _cast_when(there, tensor, dtype):
    """`tensor` cast to `dtype`, but not before `there` has been computed.

    The gradient casts what the forward pass has cast already. Without the wait the graph optimizer merges both casts
    into one, whose float32 result then stays in memory from the forward pass to the gradient.
    """
    import tensorflow as tf

    with tf.control_dependencies([there]):
        return tf.cast(tensor, dtype)


def _as_image(volume):
    """[B, D, H, W, C] -> [B, D * H, W, C]: the same bytes, seen as a 2-D image. An image stays as it is."""
    import tensorflow as tf

    if volume.shape.rank == 4:
        return volume
    shape = tf.shape(volume)
    image = tf.reshape(volume, [shape[0], shape[1] * shape[2], shape[3], shape[4]])
    return tf.ensure_shape(image, [volume.shape[0], None, volume.shape[3], volume.shape[4]])


def _like(image, volume):
    import tensorflow as tf

    return tf.reshape(image, tf.shape(volume))
