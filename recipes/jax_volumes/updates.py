"""One update of one network as a pure function, and many of them in one dispatch.

A state is a dictionary of lists of arrays: `weights`, `moving` (the statistics of batch normalisation), Adam's `m` and
`v`, the averaged weights `ema`, and `step`; in the GAN phase `critic`, `critic_m`, `critic_v` and `critic_step` too.
"""

from __future__ import annotations

import argparse
from typing import Any

import jax
import jax.numpy as jnp

from recipes.adam import adam
from recipes.jax_volumes.volume_patches import Volumes, draw_batch


def gradient_penalty(score: Any, real: Any, fake: Any, alpha: Any) -> Any:
    """`(||grad D(x_hat)||_2 - 1)^2`, one alpha a sample, as in mdcsrn_tf/training/losses.py."""
    share = alpha.reshape(-1, 1, 1, 1, 1)
    slopes = jax.grad(lambda between: score(between).sum())(share * real + (1 - share) * fake)
    return jnp.mean((jnp.sqrt(jnp.sum(slopes**2, axis=(1, 2, 3, 4)) + 1e-12) - 1.0) ** 2)


class Updates:
    """The updates of one run, compiled; `generator` computes in the run's precision, `exact` in float32."""

    def __init__(self, args: argparse.Namespace, patch: int, generator: Any, exact: Any, critic: Any):
        self.args, self.patch = args, patch
        self.generator, self.exact, self.critic = generator, exact, critic
        self.of_batch = args.statistics == "batch"  # what the generator normalises by
        self.advance = jax.jit(self._gan if critic else self._l1, donate_argnums=0)
        self.critic_only = jax.jit(self._critic_only, donate_argnums=0)
        self.statistics = jax.jit(self._statistics)
        self.restore = jax.jit(lambda w, moving, low: generator.stateless_call(w, moving, low, training=False)[0])

    def _draw(self, volumes: Volumes, step: Any, stream: int) -> tuple[Any, tuple[Any, Any]]:
        key = jax.random.fold_in(jax.random.key(4 * self.args.seed + stream), step)
        return key, draw_batch(volumes, key, self.args.batch, self.patch, self.args.exchange)

    def _generator_update(self, state: dict, volumes: Volumes, rate: Any, lam: Any) -> tuple[dict, dict]:
        args, step = self.args, state["step"]
        _, (low, high) = self._draw(volumes, step, 2 if self.critic else 0)

        def loss(weights):
            fake, moving = self.generator.stateless_call(weights, state["moving"], low, training=self.of_batch)
            intensity = jnp.mean(jnp.abs(fake - high))
            if not self.critic:
                return intensity, (moving, {"loss": intensity})
            adversarial = -jnp.mean(self.critic.stateless_call(state["critic"], [], fake)[0])
            return intensity + lam * adversarial, (moving, {"loss": intensity, "adversarial_loss": adversarial})

        (_, (moving, found)), gradients = jax.value_and_grad(loss, has_aux=True)(state["weights"])
        norm = jnp.sqrt(sum(jnp.sum(g * g) for g in gradients))
        weights, m, v = adam(state["weights"], gradients, state["m"], state["v"], step + 1.0, rate)
        keep = jnp.minimum(args.ema, (1.0 + step) / (10.0 + step))
        ema = [keep * old + (1 - keep) * new for old, new in zip(state["ema"], weights, strict=True)]
        new = {"weights": weights, "moving": moving, "m": m, "v": v, "ema": ema, "step": step + 1}
        return state | new, found | {"gradient_norm": norm}

    def _critic_update(self, state: dict, volumes: Volumes) -> tuple[dict, dict]:
        step = state["critic_step"]
        key, (low, real) = self._draw(volumes, step, 1)
        # The statistics are those of the generator's own updates, but the moving ones stay.
        fake = self.generator.stateless_call(state["weights"], state["moving"], low, training=self.of_batch)[0]
        fake = jax.lax.stop_gradient(fake)
        alpha = jax.random.uniform(jax.random.fold_in(key, 1), (real.shape[0],))

        def loss(critic):
            def score(patches):
                return self.critic.stateless_call(critic, [], patches, training=True)[0]

            distance = score(real).mean() - score(fake).mean()
            penalty = gradient_penalty(score, real, fake, alpha)
            return self.args.penalty * penalty - distance, {"earth_mover": distance, "penalty": penalty}

        gradients, found = jax.grad(loss, has_aux=True)(state["critic"])
        critic, m, v = adam(
            state["critic"], gradients, state["critic_m"], state["critic_v"], step + 1.0, self.args.critic_rate
        )
        return state | {"critic": critic, "critic_m": m, "critic_v": v, "critic_step": step + 1}, found

    def _l1(self, state: dict, volumes: Volumes, rate: Any, lam: Any) -> tuple[dict, dict]:
        return repeat(lambda s: self._generator_update(s, volumes, rate, lam), state, self.args.steps_per_call)

    def _critic_only(self, state: dict, volumes: Volumes) -> tuple[dict, dict]:
        return repeat(lambda s: self._critic_update(s, volumes), state, self.args.critic_steps)

    def _gan(self, state: dict, volumes: Volumes, rate: Any, lam: Any) -> tuple[dict, dict]:
        def cycle(state):
            state, found = self._critic_only(state, volumes)
            state, more = self._generator_update(state, volumes, rate, lam)
            return state, found | more

        return repeat(cycle, state, self.args.steps_per_call)

    def _statistics(self, weights: list, moving: list, volumes: Volumes) -> list:
        """The statistics as means over batches: from zero, one update leaves (1 - momentum) of a batch's.

        Those that are given stay.
        """
        if not self.of_batch:
            return moving
        args, key = self.args, jax.random.key(self.args.seed + 10**6)
        measured = [
            variable.path.split("/")[-1].startswith("moving_") for variable in self.exact.non_trainable_variables
        ]
        nothing = [jnp.zeros_like(each) if new else each for each, new in zip(moving, measured, strict=True)]

        def add(total, step):
            batch = draw_batch(volumes, jax.random.fold_in(key, step), args.batch, self.patch, args.exchange)
            after = self.exact.stateless_call(weights, nothing, batch[0], training=True)[1]
            share = (1 - args.bn_momentum) * args.bn_batches
            return [t + a / share if new else t for t, a, new in zip(total, after, measured, strict=True)], None

        # What is not a statistic, such as a fixed kernel, stays.
        return jax.lax.scan(add, nothing, jnp.arange(args.bn_batches))[0]


def repeat(update: Any, state: dict, count: int) -> tuple[dict, dict]:
    """`count` updates in one dispatch: the state after them, and the means of what they found."""
    state, found = jax.lax.scan(lambda carry, _: update(carry), state, length=count)
    return state, {name: jnp.mean(values) for name, values in found.items()}
