"""Which network is updated at step n of the GAN phase, and at which rate. Pure: no state, no TensorFlow.

A step is one update of one network from one batch. `docs/decisions.md` says how both papers were read.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

Update = Literal["critic", "generator"]


@dataclass(frozen=True)
class GanSchedule:
    """Warm-up, then blocks of alternating steps, each followed by extra critic steps."""

    warmup: int
    critic_per_generator: int
    block: int  # alternating steps before the extra critic steps
    extra: int
    total: int

    @classmethod
    def of(cls, recipe: Any) -> GanSchedule:
        """The schedule of a `presets.GanRecipe`."""
        cycle = recipe.critic_steps_per_generator_step + 1
        in_generator_steps = recipe.counted_in == "generator_steps"
        block = recipe.extra_critic_every * (cycle if in_generator_steps else 1)
        total = recipe.length
        if in_generator_steps:
            extras = recipe.length // recipe.extra_critic_every * recipe.extra_critic_steps
            total = recipe.critic_warmup_steps + recipe.length * cycle + extras
        return cls(
            recipe.critic_warmup_steps, cycle - 1, block, recipe.extra_critic_steps, total
        )

    def update_at(self, step: int) -> Update:
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

    def _ends_cycle(self, alternating_step: int) -> bool:
        return alternating_step % (self.critic_per_generator + 1) == self.critic_per_generator


def learning_rate_at(step: int, base: float, total: int, decay: str) -> float:
    """The rate of step `step`: constant (both papers), or half a cosine from `base` to 0 (`quick`)."""
    if decay == "constant":
        return base
    if decay == "cosine":
        return base * 0.5 * (1 + math.cos(math.pi * min(step, total) / max(total, 1)))
    raise ValueError(f"unknown learning rate decay {decay!r}")
