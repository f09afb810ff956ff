"""One update of a slice network and its discriminator, as a pure function, and many of them in one dispatch.

A state is a dictionary: lists of arrays `weights`, their exponential average `averaged`, `fixed` (BN's statistics and
fixed kernels), Adam's `m` and `v`; with a discriminator `critic`, `critic_fixed`, `critic_m` and `critic_v`, too; and
`step`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from slice_losses import content_loss, discriminator_loss, real_cross_entropy

from recipes.adam import adam


def turned(pairs: Any, key: Any) -> Any:
    """Each pair of patches [batch, side, side, 2] flipped along either axis or transposed, or not, by chance."""
    chosen = jax.random.bernoulli(key, 0.5, (3, len(pairs), 1, 1, 1))
    pairs = jnp.where(chosen[0], pairs[:, ::-1], pairs)
    pairs = jnp.where(chosen[1], pairs[:, :, ::-1], pairs)
    return jnp.where(chosen[2], pairs.transpose(0, 2, 1, 3), pairs)


def cosine(step: Any, total: Any) -> Any:
    """Half a cosine from 1 to 0."""
    return 0.5 * (1 + jnp.cos(jnp.pi * jnp.minimum(step / total, 1.0)))


class SliceSteps:
    """The compiled updates of one phase; `patches` are all pairs on the device, [N, side, side, 2] float16.

    `decay` is what an update leaves of the average of the weights (0: the average is the weights as they are).
    """

    def __init__(
        self,
        phase: Any,
        networks: tuple[Any, Any],
        features: Mapping[str, Callable],
        batch: int,
        seed: int,
        decay: float = 0.0,
    ):
        self.phase, self.batch, self.seed, self.decay = phase, batch, seed, decay
        self.generator, self.critic = networks
        self.content = partial(content_loss, phase.terms, features)
        self.is_statistic = [v.path.endswith(("/moving_mean", "/moving_variance")) for v in self.fixed]
        self.advance = jax.jit(self._advance, static_argnames="count", donate_argnums=0)
        self.statistics = jax.jit(self._statistics, static_argnames="count")
        self.restore = jax.jit(lambda w, fixed, low: self.generator.stateless_call(w, fixed, low, training=False)[0])

    @property
    def fixed(self) -> list:
        """The generator's variables that no gradient moves."""
        return self.generator.non_trainable_variables

    def fresh(self, start: tuple[list, list] | None = None) -> dict[str, Any]:
        """The state before the first step; `start`: weights and fixed variables of the generator, if not its own."""
        state = {"step": jnp.int32(0), **self._part(self.generator, "weights", "")}
        if start:
            state |= {"weights": list(map(jnp.array, start[0])), "fixed": list(map(jnp.array, start[1]))}
        state["averaged"] = list(map(jnp.array, state["weights"]))
        return state | (self._part(self.critic, "critic", "critic_") if self.critic else {})

    @staticmethod
    def _part(network: Any, name: str, prefix: str) -> dict[str, list]:
        # Copies: a dispatch gives its arguments' memory away.
        weights = [jnp.array(v.value) for v in network.trainable_variables]
        fixed = [jnp.array(v.value) for v in network.non_trainable_variables]
        return {name: weights, f"{prefix}fixed": fixed} | {
            f"{prefix}{moment}": [jnp.zeros_like(w) for w in weights] for moment in "mv"
        }

    def _drawn(self, patches: Any, step: Any, stream: int) -> tuple[Any, Any]:
        key = jax.random.fold_in(jax.random.key(2 * self.seed + stream), step)
        which, how = jax.random.split(key)
        pairs = patches[jax.random.randint(which, (self.batch,), 0, len(patches))].astype(jnp.float32)
        pairs = turned(pairs, how)
        return pairs[..., :1], pairs[..., 1:]

    def _update(self, state: dict, patches: Any, total: Any) -> tuple[dict, dict]:
        """The discriminator on the results as they are, then the generator against it, on the same batch."""
        low, high = self._drawn(patches, state["step"], 0)
        share, number = cosine(state["step"], total), state["step"] + 1.0

        def generate(weights):
            return self.generator.stateless_call(weights, state["fixed"], low, training=True)

        fake, pull_back, fixed = jax.vjp(generate, state["weights"], has_aux=True)
        found = {}
        if self.critic:
            state, found = self._critic_update(state, jax.lax.stop_gradient(fake), high, share)
        (loss, content), slope = jax.value_and_grad(self._generator_loss, has_aux=True)(fake, high, state)
        (gradients,) = pull_back(slope)
        rate = self.phase.learning_rate * share
        weights, m, v = adam(state["weights"], gradients, state["m"], state["v"], number, rate)
        averaged = self._averaged(state["averaged"], weights, state["step"])
        state = state | {"weights": weights, "averaged": averaged, "fixed": fixed, "m": m, "v": v}
        return state | {"step": state["step"] + 1}, found | {"loss": loss, "content": content}

    def _averaged(self, averaged: list, weights: list, step: Any) -> list:
        """The average after an update; a short one to begin with, which forgets the first weights."""
        kept = jnp.minimum(self.decay, (1.0 + step) / (10.0 + step))
        return [kept * old + (1 - kept) * new for old, new in zip(averaged, weights, strict=True)]

    def _generator_loss(self, fake: Any, high: Any, state: dict) -> tuple[Any, Any]:
        content = self.content(fake, high)
        if not self.critic:
            return content, content
        adversarial = real_cross_entropy(self._judge(state["critic"], state, fake))
        return content + self.phase.objective.adversarial_weight * adversarial, content

    def _critic_update(self, state: dict, fake: Any, real: Any, share: Any) -> tuple[dict, dict]:
        objective = self.phase.objective

        def loss(critic):
            logits = (self._judge(critic, state, patches) for patches in (real, fake))
            return discriminator_loss(*logits, halved=objective.halved)

        value, gradients = jax.value_and_grad(loss)(state["critic"])
        rate = objective.critic_learning_rate * share
        moments = (state["critic_m"], state["critic_v"])
        critic, m, v = adam(state["critic"], gradients, *moments, state["step"] + 1.0, rate)
        return state | {"critic": critic, "critic_m": m, "critic_v": v}, {"critic_loss": value}

    def _judge(self, critic: list, state: dict, patches: Any) -> Any:
        return self.critic.stateless_call(critic, state["critic_fixed"], patches, training=True)[0]

    def _advance(self, state: dict, patches: Any, total: Any, count: int) -> tuple[dict, dict]:
        """`count` updates: the state after them, and the means of what they found."""
        state, found = jax.lax.scan(lambda s, _: self._update(s, patches, total), state, length=count)
        return state, {name: jnp.mean(values) for name, values in found.items()}

    def _statistics(self, weights: list, fixed: list, patches: Any, count: int) -> list:
        """BN's statistics as means over `count` batches: from zero, one update leaves (1 - momentum) of a batch's."""
        momentum = self.phase_momentum
        start = [jnp.zeros_like(f) if moves else f for f, moves in zip(fixed, self.is_statistic, strict=True)]

        def add(total, step):
            low, _ = self._drawn(patches, step, 1)
            after = self.generator.stateless_call(weights, start, low, training=True)[1]
            return [t + a for t, a in zip(total, after, strict=True)], None

        sums = jax.lax.scan(add, [jnp.zeros_like(f) for f in fixed], jnp.arange(count))[0]
        means = [total / ((1 - momentum) * count) for total in sums]
        return [mean if moves else f for mean, f, moves in zip(means, fixed, self.is_statistic, strict=True)]

    @property
    def phase_momentum(self) -> float:
        """Of the generator's batch normalisations, which all have the same."""
        return next(layer.momentum for layer in self.generator.layers if hasattr(layer, "momentum"))
