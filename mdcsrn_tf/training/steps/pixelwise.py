"""The content loss alone: both papers' first phase."""

from __future__ import annotations

import tensorflow as tf

from mdcsrn_tf.training.schedule import EveryStep
from mdcsrn_tf.training.state import TrainState
from mdcsrn_tf.training.steps.objective import Metrics, Objective, StepOptions, apply_gradient, least_error


def pixelwise_step(
    state: TrainState, options: StepOptions, low_res: tf.Tensor, high_res: tf.Tensor, step: tf.Tensor | None = None
) -> Metrics:
    """Update the generator by the content loss."""
    with tf.GradientTape() as tape:
        super_res = state.super_resolve(low_res)
        loss, parts = options.content(super_res, high_res)
        share = loss / options.replicas
    norm = apply_gradient(tape, share, state.generator, state.generator_optimizer, options)
    return {"loss": loss, **parts, "gradient_norm": norm}


PIXELWISE = Objective(
    updates={"generator": pixelwise_step},
    schedule=lambda phase: EveryStep("generator", phase.steps),
    merit=least_error,  # J section 4.1
    columns=("loss", "gradient_norm"),
)
