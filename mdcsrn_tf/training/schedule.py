"""Which update step n of a phase makes, and at which rate. Pure: no state, no TensorFlow.

A step takes one batch. `docs/decisions.md` says how both papers were read.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from mdcsrn_tf.papers.config import PhaseRecipe


class Schedule(Protocol):
    """Which update each step of a phase makes."""

    @property
    def total(self) -> int:
        """The phase's length in steps."""

    def update_at(self, step: int) -> str:
        """The name of the update that step `step` (from 0) makes."""

    def counts_before(self, step: int) -> tuple[int, int]:
        """How many updates of the critic and of the generator the steps before `step` hold."""

    def shares(self) -> dict[str, int]:
        """How many steps of the phase make each update."""

    def describe(self, objective: Any) -> list[str]:
        """The phase in a few lines of text."""


@dataclass(frozen=True)
class EveryStep:
    """The same update in every step: of the generator alone, or of critic and generator (`both`)."""

    update: Literal["generator", "both"]
    total: int

    def update_at(self, step: int) -> str:
        """That update."""
        return self.update

    def counts_before(self, step: int) -> tuple[int, int]:
        """Of the critic and of the generator."""
        return (step if self.update == "both" else 0), step

    def shares(self) -> dict[str, int]:
        """All steps make that update."""
        return {self.update: self.total}

    def describe(self, objective: Any) -> list[str]:
        """One line."""
        what = "the critic and the generator, in that order" if self.update == "both" else "the generator"
        return [f"{self.total:,} steps, each of {what}"]


@dataclass(frozen=True)
class GanSchedule:
    """Warm-up, then blocks of alternating steps, each followed by extra critic steps."""

    warmup: int
    critic_per_generator: int
    block: int  # alternating steps before the extra critic steps
    extra: int
    total: int

    @classmethod
    def of(cls, phase: PhaseRecipe) -> GanSchedule:
        """The schedule of a phase whose objective is a `papers.config.WganGp`."""
        recipe: Any = phase.objective
        cycle = recipe.critic_steps_per_generator_step + 1
        in_generator_steps = recipe.counted_in == "generator_steps"
        block = recipe.extra_critic_every * (cycle if in_generator_steps else 1)
        total = phase.steps
        if in_generator_steps:
            extras = phase.steps // recipe.extra_critic_every * recipe.extra_critic_steps
            total = recipe.critic_warmup_steps + phase.steps * cycle + extras
        return cls(recipe.critic_warmup_steps, cycle - 1, block, recipe.extra_critic_steps, total)

    def update_at(self, step: int) -> str:
        """The network that step `step` (from 0) updates."""
        if step < self.warmup:
            return "critic"
        blocks, offset = divmod(step - self.warmup, self.block + self.extra)
        if offset >= self.block:
            return "critic"
        return "generator" if self._ends_cycle(blocks * self.block + offset) else "critic"

    def counts_before(self, step: int) -> tuple[int, int]:
        """How many critic and generator updates the steps before `step` hold."""
        blocks, offset = divmod(max(step - self.warmup, 0), self.block + self.extra)
        alternating = blocks * self.block + min(offset, self.block)
        generator = alternating // (self.critic_per_generator + 1)
        return step - generator, generator

    def text(self, start: int, stop: int) -> str:
        """The steps from `start` to before `stop`, a letter each: C critic, G generator."""
        return "".join(self.update_at(step)[0].upper() for step in range(start, min(stop, self.total)))

    def shares(self) -> dict[str, int]:
        """How many steps of the phase update the critic, and how many the generator."""
        return dict(zip(("critic", "generator"), self.counts_before(self.total), strict=True))

    def describe(self, objective: Any) -> list[str]:
        """Counts, and the letters around the first boundaries."""
        critic, generator = self.counts_before(self.total)
        first, block = self.warmup, self.warmup + self.block
        before = max(block - 8, 0)
        return [
            f"{self.total:,} steps: {critic:,} of the critic, {generator:,} of the generator; "
            f"lambda {objective.adversarial_weight:g}",
            f"critic alone: {self.warmup:,} steps; then {self.critic_per_generator} to 1, "
            f"and {self.extra} more after every {self.block:,} steps of that",
            f"from step {first:,}: {self.text(first, first + 24)}...",
            f"from step {before:,}: {self.text(before, block + 8)}... (C critic, G generator)",
        ]

    def _ends_cycle(self, alternating_step: int) -> bool:
        return alternating_step % (self.critic_per_generator + 1) == self.critic_per_generator


def learning_rate_at(
    step: int, base: float, total: int, decay: str, drops: Sequence[tuple[float, float]] = ()
) -> float:
    """The rate of step `step` (from 0): constant (both papers), or half a cosine from `base` to 0 (`quick`).

    Each of `drops` is (share of the phase, factor): from that step on the rate is multiplied by the factor.

    >>> [learning_rate_at(step, 1.0, 4, "constant", ((0.5, 0.1),)) for step in range(4)]
    [1.0, 1.0, 0.1, 0.1]
    """
    # A share of a third of 3 steps is step 1, whatever the rounding says.
    base *= next((factor for share, factor in reversed(drops) if share * total <= step + 1e-6), 1.0)
    if decay == "constant":
        return base
    if decay == "cosine":
        return base * 0.5 * (1 + math.cos(math.pi * min(step, total) / max(total, 1)))
    raise ValueError(f"unknown learning rate decay {decay!r}")
