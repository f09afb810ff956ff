"""The Wasserstein GAN with gradient penalty: both papers' second phase."""

from __future__ import annotations

import math
from collections.abc import Mapping

import tensorflow as tf

from mdcsrn_tf.models.layers import moving_statistics_kept
from mdcsrn_tf.training import losses
from mdcsrn_tf.training.distribution import replica_slice
from mdcsrn_tf.training.schedule import GanSchedule
from mdcsrn_tf.training.state import TrainState
from mdcsrn_tf.training.steps.objective import GENERATOR_COLUMNS, Metrics, Objective, StepOptions, apply_gradient


def critic_step(
    state: TrainState, options: StepOptions, low_res: tf.Tensor, high_res: tf.Tensor, alpha: tf.Tensor
) -> Metrics:
    """Update the critic by `D(SR) - D(HR)` and the gradient penalty; the generator stays as it is."""
    with moving_statistics_kept():
        super_res = tf.stop_gradient(state.super_resolve(low_res))

    def score(patches):
        return state.critic(patches, training=True)

    with tf.GradientTape() as tape:
        real, fake = score(high_res), score(super_res)
        earth_mover = losses.earth_mover_estimate(real, fake)
        penalty = losses.gradient_penalty(score, high_res, super_res, alpha)
        loss = options.objective.gradient_penalty_weight * penalty - earth_mover
        share = loss / options.replicas
    norm = apply_gradient(tape, share, state.critic, state.critic_optimizer, options)
    return {
        "critic_loss": loss,
        "earth_mover": earth_mover,
        "penalty": penalty,
        "score_real": tf.reduce_mean(real),
        "score_fake": tf.reduce_mean(fake),
        "critic_gradient_norm": norm,
    }


def generator_step(
    state: TrainState, options: StepOptions, low_res: tf.Tensor, high_res: tf.Tensor, step: tf.Tensor | None = None
) -> Metrics:
    """Update the generator by the content loss and lambda times `-D(SR)` (eq. 3); the critic stays."""
    with tf.GradientTape() as tape:
        super_res = state.super_resolve(low_res)
        adversarial = losses.adversarial_loss(state.critic(super_res, training=False))
        found = options.generator_loss(super_res, high_res, adversarial)
        share = found["loss"] / options.replicas
    norm = apply_gradient(tape, share, state.generator, state.generator_optimizer, options)
    return {**found, "gradient_norm": norm}


def draw_alpha(seed: int, step: tf.Tensor, batch: int) -> tf.Tensor:
    """The blending shares of a critic step, one per sample: uniform, a pure function of (seed, step)."""
    return tf.random.stateless_uniform([batch], seed=tf.stack([tf.constant(seed, tf.int64), step]))


def _critic_update(
    state: TrainState, options: StepOptions, low_res: tf.Tensor, high_res: tf.Tensor, step: tf.Tensor
) -> Metrics:
    alpha = draw_alpha(options.seed, step, options.batch_size)
    alpha = replica_slice(alpha, options.batch_size // options.replicas)
    return critic_step(state, options, low_res, high_res, alpha)


def _least_distance(found: Mapping[str, float], generator_updates: int) -> float | None:
    """The EM distance (J section 4.1); before the generator's first update the critic is still learning to tell.

    No distance is negative: where the estimate is, the critic fails, and the model is never the best.
    """
    if not generator_updates:
        return None
    return found["earth_mover"] if found["earth_mover"] > 0 else math.inf


def _earth_mover(state: TrainState, super_res: tf.Tensor, high_res: tf.Tensor) -> Metrics:
    scores = state.critic(high_res, training=False) - state.critic(super_res, training=False)
    return {"earth_mover": tf.reduce_sum(scores)}


WGAN_GP = Objective(
    updates={"critic": _critic_update, "generator": generator_step},
    schedule=GanSchedule.of,
    merit=_least_distance,
    columns=(
        *GENERATOR_COLUMNS,
        "critic_loss",
        "earth_mover",
        "penalty",
        "score_real",
        "score_fake",
        "critic_gradient_norm",
    ),
    judge=_earth_mover,
)
