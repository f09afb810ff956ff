"""The quick recipe for slices, ours: a slice preset's losses and discriminator, at rates for hundreds of steps."""

from __future__ import annotations

from dataclasses import replace

from mdcsrn_tf.papers.config import PhaseRecipe, Preset
from mdcsrn_tf.papers.networks2d import Srresnet2dConfig

NAME = "quick2d"
STEPS = 300
RATE, CRITIC_RATE = 1e-3, 2e-4
PATCH, BATCH = 64, 16


def quick2d(preset: Preset) -> Preset:
    """The slice preset with this recipe; SRResNet starts as the identity, everything else as its paper draws it."""
    recipe = preset.training
    return replace(
        preset,
        training=replace(
            recipe,
            name=NAME,
            patch_size=PATCH,
            batch_size=BATCH,
            phases=tuple(_quick(phase) for phase in recipe.phases),
            init="identity" if isinstance(preset.network, Srresnet2dConfig) else "paper",
            bn_reestimation_batches=16,
        ),
    )


def _quick(phase: PhaseRecipe) -> PhaseRecipe:
    objective = phase.objective
    if objective.critic is not None:
        objective = replace(objective, critic_learning_rate=CRITIC_RATE)
    return replace(phase, epochs=0, steps=STEPS, learning_rate=RATE, drops=(), objective=objective)
