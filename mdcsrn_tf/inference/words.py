"""How factors, sizes and names of axes are worded, in what is said of a scan."""

from __future__ import annotations

from collections.abc import Sequence


def times(factors: Sequence[float]) -> str:
    """`2x`, or `2x4` where they differ."""
    distinct = sorted(set(factors))
    return f"{distinct[0]:g}x" if len(distinct) == 1 else "x".join(f"{factor:g}" for factor in factors)


def times_on_axes(factors: Sequence[float]) -> str:
    """`2x along 2 axes`."""
    return f"{times(factors)} along {len(factors)} ax{'i' if len(factors) == 1 else 'e'}s"


def with_commas(names: Sequence[str]) -> str:
    """`LR,AP`."""
    return ",".join(names)


def millimetres(sizes: Sequence[float]) -> str:
    """`1x1x0.5`."""
    return "x".join(f"{size:.4g}" for size in sizes)


def with_and(names: Sequence[str]) -> str:
    """`LR, AP and IS`."""
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else "".join(names)
