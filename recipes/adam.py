"""Keras's Adam as a pure function, for the recipes that train with JAX."""

from __future__ import annotations

from typing import Any


def adam(weights: list, gradients: list, m: list, v: list, step: Any, rate: Any) -> tuple[list, list, list]:
    """The arrays `weights` after an update, and both moments (0.9, 0.999, 1e-7); `step` is its number, from 1."""
    m = [0.9 * old + 0.1 * g for old, g in zip(m, gradients, strict=True)]
    v = [0.999 * old + 0.001 * g * g for old, g in zip(v, gradients, strict=True)]
    rate = rate * (1 - 0.999**step) ** 0.5 / (1 - 0.9**step)
    return [w - rate * a / (b**0.5 + 1e-7) for w, a, b in zip(weights, m, v, strict=True)], m, v
