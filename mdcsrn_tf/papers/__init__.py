"""The papers as data: what each fixes of its networks, its training and its tables; no other code holds their numbers.

One file a paper: its presets and recipes, and beside it the tables it prints. Here is how to look one up.
"""

from __future__ import annotations

import difflib
from dataclasses import replace

from mdcsrn_tf.errors import UserError
from mdcsrn_tf.papers import fast, field94t, mdcsrn, srgan2d
from mdcsrn_tf.papers.config import Preset, TrainingRecipe
from mdcsrn_tf.papers.field94t_tables import PENN2, PENN3
from mdcsrn_tf.papers.mdcsrn import RECIPES
from mdcsrn_tf.papers.mdcsrn_tables import JOURNAL1, JOURNAL2, JOURNAL3, JOURNAL4, MICCAI1, MICCAI2
from mdcsrn_tf.papers.quick2d import NAME as QUICK2D
from mdcsrn_tf.papers.quick2d import quick2d
from mdcsrn_tf.papers.srgan2d_tables import SRGAN2D1

__all__ = [
    "PRESETS",
    "RECIPES",
    "RECIPE_NAMES",
    "TABLES",
    "get_preset",
    "get_recipe",
    "published_exact_parameters",
    "published_ops",
    "published_parameters",
    "with_recipe",
]

TABLES = {
    table.name: table for table in (MICCAI1, MICCAI2, JOURNAL1, JOURNAL2, JOURNAL3, JOURNAL4, SRGAN2D1, PENN2, PENN3)
}
PRESETS: dict[str, Preset] = {**mdcsrn.PRESETS, **srgan2d.PRESETS, **field94t.PRESETS, **fast.PRESETS}
RECIPE_NAMES = (*RECIPES, QUICK2D)


def published_parameters(preset: str) -> dict[str, str]:
    """The million parameters printed for a preset, by table: two tables may contradict each other.

    >>> published_parameters("journal/b4u4k12")
    {'journal1': '0.22', 'journal2': '0.23'}
    """
    return {
        table.name: row.million_parameters
        for table in TABLES.values()
        for row in table.rows
        if row.preset == preset and row.million_parameters is not None
    }


def published_exact_parameters(preset: str) -> int | None:
    """The parameters printed in full for a preset of the slice networks."""
    return next(
        (row.parameters for table in TABLES.values() for row in table.rows if row.preset == preset and row.parameters),
        None,
    )


def published_ops(preset: str) -> float | None:
    """The papers' `#ops` for a preset, in millions; M alone prints it."""
    return next(
        (row.million_ops for row in MICCAI1.rows + MICCAI2.rows if row.preset == preset and row.million_ops), None
    )


def get_preset(name: str) -> Preset:
    """The preset of that name; a typo gets the nearest names.

    >>> get_preset("journal/b4u4k12").network.growth
    12
    """
    return _look_up(name, PRESETS, "preset")


def get_recipe(name: str) -> TrainingRecipe:
    """The training recipe for volumes of that name: `miccai`, `journal`, `quick` or `robust`."""
    return _look_up(name, RECIPES, "recipe")


def with_recipe(preset: Preset, name: str) -> Preset:
    """The preset trained by another recipe: one for volumes, or `quick2d` for slices."""
    if (name == QUICK2D) != (preset.training.sample.rank == 2):
        right = QUICK2D if preset.training.sample.rank == 2 else ", ".join(RECIPES)
        raise UserError(f"The {name} recipe does not fit {preset.name}; its recipes are its own and {right}.")
    return quick2d(preset) if name == QUICK2D else replace(preset, training=get_recipe(name))


def _look_up(name: str, known: dict, kind: str):
    if name in known:
        return known[name]
    nearest = difflib.get_close_matches(name, known, n=3, cutoff=0.4) or list(known)
    raise UserError(f"There is no {kind} {name!r}; did you mean {', '.join(nearest)}?")
