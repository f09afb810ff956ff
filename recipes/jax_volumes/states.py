"""The whole state of a run of `train.py`: as it begins, and as a file to go on from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax.numpy as jnp
import keras
import numpy as np


def fresh(exact: keras.Model, critic: keras.Model | None) -> dict[str, Any]:
    """The state before the first update; every list has arrays of its own, since a dispatch gives them away."""
    weights = [jnp.array(v.value) for v in exact.trainable_variables]
    moving = [jnp.array(v.value) for v in exact.non_trainable_variables]
    state = {"weights": weights, "moving": moving, "ema": [jnp.array(w) for w in weights], "step": jnp.int32(0)}
    state |= {name: [jnp.zeros_like(w) for w in weights] for name in "mv"}
    if critic:
        weights = [jnp.array(v.value) for v in critic.trainable_variables]
        state |= {"critic": weights, "critic_step": jnp.int32(0)}
        state |= {f"critic_{name}": [jnp.zeros_like(w) for w in weights] for name in "mv"}
    return state


def keep(state: dict[str, Any], path: Path) -> None:
    """The whole state, to go on from."""
    flat = {
        f"{name}/{i:03d}" if isinstance(value, list) else name: np.asarray(array)
        for name, value in state.items()
        for i, array in enumerate(value if isinstance(value, list) else [value])
    }
    partial_path = path.with_name(f".partial-{path.name}")
    np.savez(partial_path, **flat)
    partial_path.replace(path)


def resumed(like: dict[str, Any], path: Path) -> dict[str, Any]:
    """The state that `keep` has kept, of the same networks as a fresh one."""
    with np.load(path) as found:
        return {
            name: [jnp.asarray(found[f"{name}/{i:03d}"]) for i in range(len(value))]
            if isinstance(value, list)
            else jnp.asarray(found[name])
            for name, value in like.items()
        }
