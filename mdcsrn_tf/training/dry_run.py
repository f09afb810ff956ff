"""What a run would do, before it does it: schedule, parameters, and estimates of memory and time."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from mdcsrn_tf.papers.config import PhaseRecipe
from mdcsrn_tf.training.features import features_of, with_checksum
from mdcsrn_tf.training.frugal import FrugalNetwork, values_of
from mdcsrn_tf.training.loop import compile_updates
from mdcsrn_tf.training.schedule import learning_rate_at
from mdcsrn_tf.training.settings import TrainSettings
from mdcsrn_tf.training.state import TrainState, build_state, critic_rate
from mdcsrn_tf.training.steps import objective_of

# TensorFlow itself and the data's pipeline, before any network.
BASE_BYTES = 0.7 * 2**30
# Copies of the critic's activations that its step holds: of HR, SR and the blend, and the penalty's gradients.
CRITIC_COPIES = 8


def describe(settings: Sequence[TrainSettings]) -> str:
    """A text on the phases of a run; it times one real step of each network with a batch of one."""
    for phase in settings:
        with_checksum(phase)  # weights that are missing are told before anything is timed
    lines = []
    for phase in settings:
        state = build_state(phase.preset, phase.phase, precision=phase.precision)
        lines.append(f"{phase.preset.name}, {phase.phase} phase, {phase.preset.training.name} recipe")
        lines += [*_sizes(phase, state), *_schedule(phase), *_costs(phase, state), ""]
    return "\n".join(lines).rstrip()


def estimated_bytes(settings: TrainSettings, state: TrainState) -> float:
    """Peak memory of a step: weights, gradients, Adam's moments, and what the networks' layers give.

    Rough by design (docs/decisions.md); benchmarks/train_step.py measures.
    """
    recipe = settings.preset.training
    width = 2 if settings.precision == "mixed_bfloat16" else 4
    shape = (recipe.batch_size, *[recipe.patch_size] * recipe.sample.rank, recipe.sample.low_channels)
    held = width * FrugalNetwork(state.generator).values_held(shape)
    weights = 16 * state.generator.count_params()
    if state.critic is not None:
        weights += 16 * state.critic.count_params()
        scored = 4 * values_of(state.critic.layers[1:], shape)
        held = max(held + 2 * scored, CRITIC_COPIES * scored)
    return BASE_BYTES + weights + held


def _sizes(settings: TrainSettings, state: TrainState) -> list[str]:
    recipe = settings.preset.training
    lines = [
        f"  batch {recipe.batch_size} of {recipe.patch_size}^{recipe.sample.rank}, {settings.precision}, "
        f"seed {settings.seed}, {settings.strategy}; changed by flags: {', '.join(settings.changed) or 'nothing'}",
        f"  generator: {_trainable(state.generator):,} trainable parameters",
    ]
    if state.critic is not None:
        lines.append(f"  critic: {_trainable(state.critic):,} trainable parameters")
    return lines


def _trainable(model: keras.Model) -> int:
    return sum(math.prod(variable.shape) for variable in model.trainable_variables)


def _schedule(settings: TrainSettings) -> list[str]:
    plan = settings.plan
    schedule = objective_of(plan).schedule(plan)
    terms = " + ".join(term.loss if term.weight == 1 else f"{term.weight:g} {term.loss}" for term in plan.terms)
    how = f"Adam {_rates(plan, schedule.total if plan.steps else 0)}, loss {terms}"
    if not plan.steps:
        return [f"  {plan.epochs} epochs of the training patches, with --data their steps are counted; {how}"]
    first, *others = schedule.describe(plan.objective)
    return [f"  {first}; {how}", *(f"  {line}" for line in others)]


def _rates(plan: PhaseRecipe, total: int) -> str:
    """The generator's from first step to last, and the critic's where it has one of its own."""
    own = [plan.learning_rate, critic_rate(plan)] if plan.objective.critic_learning_rate else [plan.learning_rate]
    if not total:
        return ", the critic's ".join(f"{rate:g}" for rate in own)
    at = partial(learning_rate_at, total=total, decay=plan.learning_rate_decay, drops=plan.drops)
    return ", the critic's ".join(f"{at(0, rate):g} to {at(total - 1, rate):g}" for rate in own)


def _costs(settings: TrainSettings, state: TrainState) -> list[str]:
    memory = estimated_bytes(settings, state) / 2**30
    seconds = _measure(settings, state)
    plan = settings.plan
    total = sum(count * seconds[name] for name, count in objective_of(plan).schedule(plan).shares().items())
    steps = ", ".join(f"{name} {value:.2f} s" for name, value in seconds.items())
    in_all = f", {total / 3600:,.1f} h in all" if plan.steps else ""
    return [
        f"  about {memory:.1f} GiB of memory at the peak",
        f"  about {steps} a step{in_all} (one patch timed on this machine, times the batch)",
    ]


def _measure(settings: TrainSettings, state: TrainState) -> dict[str, float]:
    """Seconds that each update of the objective takes, from the faster of two steps with one patch."""
    recipe = settings.preset.training
    single = replace(
        settings, preset=replace(settings.preset, training=replace(recipe, batch_size=1)), strategy="single"
    )
    features = features_of(replace(settings, features="random"))
    update: Any = compile_updates(single, state, tf.distribute.get_strategy(), features)
    rng, sides = np.random.default_rng(0), [recipe.patch_size] * recipe.sample.rank
    channels = recipe.sample.low_channels, recipe.sample.high_channels
    noise = [rng.standard_normal((1, *sides, count)).astype(np.float32) for count in channels]
    seconds = {}
    for name in objective_of(settings.plan).updates:
        update(name, noise, 0, 0.0)
        times = []
        for step in (1, 2):
            begun = time.perf_counter()
            for value in update(name, noise, step, 0.0).values():
                value.numpy()
            times.append(time.perf_counter() - begun)
        seconds[name] = min(times) * recipe.batch_size
    return seconds
