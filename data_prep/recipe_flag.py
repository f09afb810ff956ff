"""--recipe: the training whose scans are made, where no other flag says how they shall be."""

from __future__ import annotations

from absl import flags

from mdcsrn_tf.papers import RECIPES, get_recipe
from mdcsrn_tf.papers.config import TrainingRecipe
from mdcsrn_tf.papers.mdcsrn import QUICK


def define_recipe_flag(values: flags.FlagValues, decides: str) -> None:
    """The flag --recipe; `decides` names the flags whose defaults hang on it."""
    ours = " and ".join(name for name, recipe in RECIPES.items() if recipe.interpolation == QUICK.interpolation)
    flags.DEFINE_enum(
        "recipe",
        QUICK.name,
        list(RECIPES),
        f"The recipe of mdcsrn-train that this is for: it decides {decides}, unless given. {ours}: as the "
        "bundled default network expects its scans; journal and miccai: as the papers'.",
        flag_values=values,
    )


def asked_recipe(values: flags.FlagValues) -> TrainingRecipe:
    """The recipe that --recipe names."""
    return get_recipe(values.recipe)
