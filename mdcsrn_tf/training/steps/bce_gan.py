"""A GAN whose critic classifies: it and then the generator learn from each batch, by binary cross-entropy."""

from __future__ import annotations

import tensorflow as tf

from mdcsrn_tf.training import content as losses
from mdcsrn_tf.training.schedule import EveryStep
from mdcsrn_tf.training.state import TrainState
from mdcsrn_tf.training.steps.objective import (
    GENERATOR_COLUMNS,
    Metrics,
    Objective,
    StepOptions,
    apply_gradient,
    least_error,
)


def critic_step(state: TrainState, options: StepOptions, super_res: tf.Tensor, high_res: tf.Tensor) -> Metrics:
    """Update the critic towards 1 for originals and 0 for results."""
    with tf.GradientTape() as tape:
        real, fake = (_logits(state, options, patches) for patches in (high_res, super_res))
        loss = losses.discriminator_loss(real, fake, halved=options.objective.halved)
        share = loss / options.replicas
    norm = apply_gradient(tape, share, state.critic, state.critic_optimizer, options)
    return {"critic_loss": loss, "critic_gradient_norm": norm}


def bce_step(
    state: TrainState, options: StepOptions, low_res: tf.Tensor, high_res: tf.Tensor, step: tf.Tensor | None = None
) -> Metrics:
    """Update the critic, then the generator against it, on the same batch and the same results."""
    with tf.GradientTape() as tape:
        super_res = state.super_resolve(low_res)
        with tape.stop_recording():
            judged = critic_step(state, options, super_res, high_res)
        adversarial = losses.real_cross_entropy(_logits(state, options, super_res))
        found = options.generator_loss(super_res, high_res, adversarial)
        share = found["loss"] / options.replicas
    norm = apply_gradient(tape, share, state.generator, state.generator_optimizer, options)
    return {**found, "gradient_norm": norm, **judged}


def _logits(state: TrainState, options: StepOptions, patches: tf.Tensor) -> tf.Tensor:
    logits = state.critic(patches, training=True)
    return losses.mean_logits(logits) if options.objective.patches == "mean_logit" else logits


BCE_GAN = Objective(
    updates={"both": bce_step},
    schedule=lambda phase: EveryStep("both", phase.steps),
    merit=least_error,
    columns=(*GENERATOR_COLUMNS, "critic_loss", "critic_gradient_norm"),
)
