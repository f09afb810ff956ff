"""Our side of gpu_steps.py: the Keras networks on JAX, as recipes/jax_volumes trains them; no TensorFlow.

    python benchmarks/gpu_jax.py CASE,CASE,... [tiny]

All cases are compiled side by side in threads, the first ones first.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ["KERAS_BACKEND"] = "jax"
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.gpu_cases import CASES, TINY, Case, in_short, obey, say, seconds_each
from mdcsrn_tf.papers import get_preset
from recipes.jax_volumes.states import fresh
from recipes.jax_volumes.train import build_networks
from recipes.jax_volumes.updates import Updates


def main() -> None:
    """Compile in the background, and do as told."""
    names, *tiny = sys.argv[1:]
    found: dict[str, Compiled] = {}
    cases = [(TINY if tiny else CASES)[name] for name in names.split(",")]
    threading.Thread(target=compile_all, args=(cases, found), daemon=True).start()
    obey(
        {
            "settle": lambda name: found[name].settle(),
            "time": lambda name, count: found[name].time(count),
            "drop": lambda name: {"dropped": bool(found.pop(name, None))},
        }
    )


def compile_all(cases: list[Case], found: dict[str, Compiled]) -> None:
    """Trace one after the other, compile side by side."""
    with ThreadPoolExecutor(len(cases)) as pool:
        for case in cases:
            with telling(case):
                function, arguments = volume_of(case) if case.kind == "volume" else step_of(case)
                pool.submit(compile_one, case, function.lower(*arguments), arguments, found)


def compile_one(case: Case, lowered: Any, arguments: tuple, found: dict[str, Compiled]) -> None:
    """Compile, and say so."""
    started = time.monotonic()
    with telling(case):
        found[case.name] = Compiled(lowered.compile(), arguments, case.kind)
        tell(case, compile_seconds=round(time.monotonic() - started, 1))


@contextmanager
def telling(case: Case) -> Iterator[None]:
    """Tell what goes wrong."""
    try:
        yield
    except Exception as error:
        tell(case, error=in_short(error))


def tell(case: Case, **what: Any) -> None:
    """That a case is ready, or never will be."""
    say(command="prepare", case=case.name, version=jax.__version__, device=jax.devices()[0].device_kind, **what)


class FixedBatch(Updates):
    """The updates of the recipe on one batch that is given in place of the volumes."""

    def _draw(self, volumes: Any, step: Any, stream: int) -> tuple[Any, tuple[Any, Any]]:
        return jax.random.key(0), volumes

    def of_kind(self, kind: str) -> Callable[..., tuple[dict, dict]]:
        """One update: (state, batch, rate, lambda) to the next state and what it found."""
        if kind == "critic":
            return lambda state, batch, rate, lam: self._critic_update(state, batch)
        return self._generator_update


def step_of(case: Case) -> tuple[Any, tuple]:
    """A step of the recipe for the preset, jitted, and its arguments; the state is donated."""
    args = settings(case)
    updates = FixedBatch(args, case.patch, *build_networks(args, case.patch))
    state = fresh(updates.exact, updates.critic)
    shape = (case.batch, *3 * (case.patch,), 1)
    batch = tuple(jax.random.normal(jax.random.key(seed), shape) for seed in range(2))
    step = jax.jit(updates.of_kind(case.kind), donate_argnums=0)
    return step, (state, batch, jnp.float32(1e-4), jnp.float32(0.1))


def settings(case: Case) -> argparse.Namespace:
    """The flags of recipes/jax_volumes/train.py that decide a step's cost."""
    phase = "l1" if case.kind in ("l1", "volume") else "gan"
    objective: Any = get_preset(case.preset).training.phase("gan").objective
    critic = {"critic_filters": objective.critic.filters, "critic_precision": "float32", "critic_rate": 1e-4}
    common = {"phase": phase, "preset": case.preset, "init": "glorot", "init_from": None, "batch": case.batch}
    steps = {"steps_per_call": 1, "critic_steps": 1, "exchange": 0, "seed": 0, "weight": 0.0}
    rest = {"penalty": 10.0, "ema": 0.99, "bn_momentum": 0.99, "precision": "mixed_bfloat16"}
    return argparse.Namespace(**common, **critic, **steps, **rest)


def volume_of(case: Case) -> tuple[Any, tuple]:
    """A volume, tile by tile by trained statistics; its edges are multiples of the cores'."""
    generator = build_networks(settings(case), case.patch)[0]
    weights = [variable.value for variable in generator.trainable_variables]
    moving = [variable.value for variable in generator.non_trainable_variables]
    tile, margin, core = case.patch, case.margin, case.patch - 2 * case.margin
    counts = [size // core for size in case.shape]
    corners = np.array(list(product(*(range(0, size, core) for size in case.shape))), np.int32)
    assert math.prod(counts) * core**3 == math.prod(case.shape)

    def super_resolve(weights: list, moving: list, volume: Any) -> Any:
        padded = jnp.pad(volume, margin, mode="reflect")

        def some(places: Any) -> Any:
            cut = jax.vmap(lambda place: jax.lax.dynamic_slice(padded, place, (tile,) * 3))(places)
            output = generator.stateless_call(weights, moving, cut[..., None], training=False)[0]
            return output[:, margin:-margin, margin:-margin, margin:-margin, 0]

        cores = jax.lax.map(some, jnp.asarray(corners.reshape(-1, case.batch, 3)))
        grid = cores.reshape(*counts, core, core, core).transpose(0, 3, 1, 4, 2, 5)
        return grid.reshape(case.shape)

    volume = np.random.default_rng(0).standard_normal(case.shape, np.float32)
    return jax.jit(super_resolve), (weights, moving, volume)


class Compiled:
    """A case ready to run."""

    def __init__(self, function: Any, arguments: tuple, kind: str):
        self.function, self.arguments, self.kind = function, arguments, kind

    def run(self) -> Any:
        """A step from where the last one ended, or the whole volume from the host's memory to the host's."""
        if self.kind == "volume":
            return np.asarray(self.function(*self.arguments))
        state, found = self.function(*self.arguments)
        self.arguments = (state, *self.arguments[1:])
        return found

    def settle(self) -> dict[str, Any]:
        """Run until it is warm; seconds of a run then."""
        seconds_each(self.run, jax.block_until_ready, 3)
        return {"seconds": seconds_each(self.run, jax.block_until_ready, 3)}

    def time(self, count: int) -> dict[str, Any]:
        """Seconds of a run, and the memory that XLA has planned for it."""
        plan = self.function.memory_analysis()
        sizes = plan.argument_size_in_bytes + plan.output_size_in_bytes + plan.temp_size_in_bytes
        seconds = seconds_each(self.run, jax.block_until_ready, count)
        return {"seconds": seconds, "bytes": sizes - plan.alias_size_in_bytes}


if __name__ == "__main__":
    main()
