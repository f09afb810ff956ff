"""The objectives that a phase may have, one a file: which updates it makes, and what chooses its checkpoint."""

from __future__ import annotations

from mdcsrn_tf.papers.config import BceGan, ObjectiveConfig, PhaseRecipe, Pixelwise, TrainingRecipe, WganGp
from mdcsrn_tf.training.steps.bce_gan import BCE_GAN
from mdcsrn_tf.training.steps.objective import Objective, StepOptions
from mdcsrn_tf.training.steps.pixelwise import PIXELWISE
from mdcsrn_tf.training.steps.wgan_gp import WGAN_GP

__all__ = ["OBJECTIVES", "Objective", "StepOptions", "metric_columns", "objective_of"]

# The class of a phase's `objective` -> its functions.
OBJECTIVES: dict[type[ObjectiveConfig], Objective] = {Pixelwise: PIXELWISE, WganGp: WGAN_GP, BceGan: BCE_GAN}


def objective_of(phase: PhaseRecipe) -> Objective:
    """The functions of the phase's objective."""
    return OBJECTIVES[type(phase.objective)]


def metric_columns(recipe: TrainingRecipe) -> tuple[str, ...]:
    """What the training steps of all phases of a recipe return, each name once."""
    names: list[str] = []
    for phase in recipe.phases:
        names += objective_of(phase).columns
        if len(phase.terms) > 1:
            names += [f"{term.loss}_loss" for term in phase.terms]
    return tuple(dict.fromkeys(names))
