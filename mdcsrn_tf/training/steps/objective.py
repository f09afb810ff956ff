"""What an objective consists of: the updates, when each is due, what chooses the checkpoint, what is logged."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import tensorflow as tf

from mdcsrn_tf.papers.config import PhaseRecipe, Pixelwise, Term
from mdcsrn_tf.training.content import ContentLoss, Features
from mdcsrn_tf.training.schedule import Schedule
from mdcsrn_tf.training.state import TrainState

Metrics = dict[str, tf.Tensor]
GENERATOR_COLUMNS = ("loss", "intensity_loss", "adversarial_loss", "gradient_norm")  # of a GAN's generator


@dataclass(frozen=True)
class StepOptions:
    """The numbers of the recipe that an update needs."""

    objective: Any = field(default_factory=Pixelwise)  # the configuration whose class names the objective
    terms: tuple[Term, ...] = (Term("l1"),)
    replicas: int = 1
    seed: int = 0
    batch_size: int = 0  # of the global batch
    features: Mapping[str, Features] = field(default_factory=dict)  # the frozen networks that feature losses read

    def content(self, super_res: tf.Tensor, high_res: tf.Tensor) -> tuple[tf.Tensor, Metrics]:
        """The weighted sum of the terms, and each term by itself where there are several."""
        total, parts = ContentLoss(self.terms, self.features)(super_res, high_res)
        return total, {f"{name}_loss": part for name, part in parts.items()} if len(self.terms) > 1 else {}

    def generator_loss(self, super_res: tf.Tensor, high_res: tf.Tensor, adversarial: tf.Tensor) -> Metrics:
        """A GAN's generator: its `loss`, the content loss and the weighted adversarial one, and each by itself."""
        content, parts = self.content(super_res, high_res)
        loss = content + self.objective.adversarial_weight * adversarial
        return {"loss": loss, "intensity_loss": content, **parts, "adversarial_loss": adversarial}


# (state, options, low_res, high_res, step) -> metrics. One replica's share of the batch; `step` is an int64 scalar.
# Traced without AutoGraph: what depends on a tensor's value takes tf.cond or tf.where.
Update = Callable[[TrainState, StepOptions, tf.Tensor, tf.Tensor, tf.Tensor], Metrics]


def nothing_more(state: TrainState, super_res: tf.Tensor, high_res: tf.Tensor) -> Metrics:
    """What an objective adds to a validation unless it says otherwise."""
    return {}


@dataclass(frozen=True)
class Objective:
    """An objective. Its configuration's class leads to it (`OBJECTIVES`)."""

    updates: Mapping[str, Update]  # by the names that the schedule gives
    schedule: Callable[[PhaseRecipe], Schedule]
    # From a validation's figures and the generator's updates so far: the lower the better; None: does not compete.
    merit: Callable[[Mapping[str, float], int], float | None]
    columns: tuple[str, ...]  # the metrics that its updates return
    # Figures that a validation adds to the errors, each summed over the patches of one batch.
    judge: Callable[[TrainState, tf.Tensor, tf.Tensor], Metrics] = nothing_more


def least_error(found: Mapping[str, float], generator_updates: int) -> float:
    """The validation error chooses the checkpoint."""
    return found["mse"]


def apply_gradient(
    tape: tf.GradientTape, loss: tf.Tensor, model: Any, optimizer: Any, options: StepOptions
) -> tf.Tensor:
    """Update `model` by the gradient of `loss / replicas`; returns the norm of the gradient of `loss`.

    Losses are means over one replica's share of the batch; the optimizers sum gradients over replicas.
    """
    variables = model.trainable_variables
    gradients = tape.gradient(loss, variables)
    optimizer.apply(gradients, variables)
    return tf.linalg.global_norm(gradients) * options.replicas
