"""One update of one network: `l1_step`, `critic_step`, `generator_step`. Each returns its metrics.

A step sees one replica's share of the batch. Losses are means over it and are divided by the number of
replicas before the gradient is taken, because the optimizers sum gradients over replicas.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from mdcsrn_tf.models.layers import moving_statistics_kept
from mdcsrn_tf.training import losses

Metrics = dict[str, tf.Tensor]


@dataclass(frozen=True)
class StepOptions:
    """The numbers of the recipe that a step needs."""

    loss: str = "l1"
    adversarial_weight: float = 0.1  # lambda of eq. 3
    intensity_weight: float = 1.0
    penalty_weight: float = 10.0
    replicas: int = 1

    def intensity_loss(self, super_res: tf.Tensor, high_res: tf.Tensor) -> tf.Tensor:
        """Mean absolute error (both papers) or mean squared error (their predecessor)."""
        chosen = losses.mean_absolute_error if self.loss == "l1" else losses.mean_squared_error
        return chosen(super_res, high_res)


def l1_step(state: Any, options: StepOptions, low_res: tf.Tensor, high_res: tf.Tensor) -> Metrics:
    """Update the generator by the intensity loss alone."""
    with tf.GradientTape() as tape:
        super_res = state.generator(low_res, training=True)
        loss = options.intensity_loss(super_res, high_res)
        share = loss / options.replicas
    norm = _update(tape, share, state.generator, state.generator_optimizer, options)
    return {"loss": loss, "gradient_norm": norm}


def critic_step(
    state: Any, options: StepOptions, low_res: tf.Tensor, high_res: tf.Tensor, alpha: tf.Tensor
) -> Metrics:
    """Update the critic by `D(SR) - D(HR)` and the gradient penalty; the generator stays as it is."""
    with moving_statistics_kept():
        super_res = tf.stop_gradient(state.generator(low_res, training=True))

    def score(patches):
        return state.critic(patches, training=True)

    with tf.GradientTape() as tape:
        real, fake = score(high_res), score(super_res)
        earth_mover = losses.earth_mover_estimate(real, fake)
        penalty = losses.gradient_penalty(score, high_res, super_res, alpha)
        loss = options.penalty_weight * penalty - earth_mover
        share = loss / options.replicas
    norm = _update(tape, share, state.critic, state.critic_optimizer, options)
    return {
        "critic_loss": loss,
        "earth_mover": earth_mover,
        "penalty": penalty,
        "score_real": tf.reduce_mean(real),
        "score_fake": tf.reduce_mean(fake),
        "critic_gradient_norm": norm,
    }


def generator_step(state: Any, options: StepOptions, low_res: tf.Tensor, high_res: tf.Tensor) -> Metrics:
    """Update the generator by the intensity loss and lambda times `-D(SR)` (eq. 3); the critic stays."""
    with tf.GradientTape() as tape:
        super_res = state.generator(low_res, training=True)
        intensity = options.intensity_loss(super_res, high_res)
        adversarial = losses.adversarial_loss(state.critic(super_res, training=False))
        loss = options.intensity_weight * intensity + options.adversarial_weight * adversarial
        share = loss / options.replicas
    norm = _update(tape, share, state.generator, state.generator_optimizer, options)
    return {
        "loss": loss,
        "intensity_loss": intensity,
        "adversarial_loss": adversarial,
        "gradient_norm": norm,
    }


def draw_alpha(seed: int, step: tf.Tensor, batch: int) -> tf.Tensor:
    """The blending shares of a critic step, one per sample: uniform, a pure function of (seed, step)."""
    return tf.random.stateless_uniform([batch], seed=tf.stack([tf.constant(seed, tf.int64), step]))


def _update(tape: tf.GradientTape, loss: tf.Tensor, model: Any, optimizer: Any, options: StepOptions) -> tf.Tensor:
    """Take the gradient, apply it, and return its norm (on one replica: its share, scaled to the whole)."""
    variables = model.trainable_variables
    gradients = tape.gradient(loss, variables)
    optimizer.apply(gradients, variables)
    return tf.linalg.global_norm(gradients) * options.replicas
