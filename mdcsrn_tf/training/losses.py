"""The papers' losses as small pure functions. All are computed in float32, whatever the network's precision.

Batches are (batch, depth, height, width, channel); scores are (batch, 1).
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

# sqrt has an infinite slope at 0, so a critic that is flat somewhere would turn every weight into NaN.
NORM_EPSILON = 1e-12


def mean_absolute_error(super_res: tf.Tensor, high_res: tf.Tensor) -> tf.Tensor:
    """The intensity loss (M eq. 4, J eq. 4)."""
    return tf.reduce_mean(tf.abs(float32(super_res) - float32(high_res)))


def mean_squared_error(super_res: tf.Tensor, high_res: tf.Tensor) -> tf.Tensor:
    """The loss of the ISBI predecessor, and what chooses J's checkpoint of the first phase."""
    return tf.reduce_mean(tf.square(float32(super_res) - float32(high_res)))


def adversarial_loss(fake_scores: tf.Tensor) -> tf.Tensor:
    """What the generator gets from the critic: `-D(SR)` (M and J eq. 5)."""
    return -tf.reduce_mean(float32(fake_scores))


def earth_mover_estimate(real_scores: tf.Tensor, fake_scores: tf.Tensor) -> tf.Tensor:
    """`D(HR) - D(SR)`: what the critic maximises, an estimate of the Wasserstein-1 distance."""
    return tf.reduce_mean(float32(real_scores)) - tf.reduce_mean(float32(fake_scores))


def blend(real: tf.Tensor, fake: tf.Tensor, alpha: tf.Tensor) -> tf.Tensor:
    """`alpha * HR + (1 - alpha) * SR`, one alpha per sample."""
    shape = tf.concat([tf.shape(alpha)[:1], tf.ones([tf.rank(real) - 1], tf.int32)], 0)
    share = tf.cast(tf.reshape(alpha, shape), real.dtype)
    return share * real + (1 - share) * fake


def gradient_penalty(
    critic: Callable[[tf.Tensor], tf.Tensor], real: tf.Tensor, fake: tf.Tensor, alpha: tf.Tensor
) -> tf.Tensor:
    """`(||grad D(x_hat)||_2 - 1)^2` of WGAN-GP, the norm per sample over all voxels, averaged over the batch.

    `alpha` (batch,) is uniform in [0, 1) and passed in, so that the function is pure.
    """
    between = blend(real, fake, alpha)
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(between)
        # The samples are independent of each other, so the sum's gradient holds each sample's own.
        scores = tf.reduce_sum(critic(between))
    gradients = tape.gradient(scores, between)
    squares = tf.reduce_sum(tf.square(gradients), axis=list(range(1, gradients.shape.rank)))
    return tf.reduce_mean(tf.square(tf.sqrt(squares + NORM_EPSILON) - 1.0))


def float32(tensor: tf.Tensor) -> tf.Tensor:
    """The tensor in float32, whatever precision a network gave it in."""
    return tf.cast(tensor, tf.float32)
