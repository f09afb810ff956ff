"""`mdcsrn-train`: flags -> settings -> one library call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from absl import flags

from mdcsrn_tf.chatter import load_tensorflow_quietly
from mdcsrn_tf.command_line import run_command
from mdcsrn_tf.errors import UserError
from mdcsrn_tf.papers import PRESETS, RECIPES, get_preset, get_recipe
from mdcsrn_tf.training.settings import TrainSettings, override

DESCRIPTION = """Train mDCSRN: the L1 phase, the Wasserstein GAN phase, or both.

Repeat the same command to continue an interrupted run from its last checkpoint."""


def define_flags(values: flags.FlagValues) -> None:
    """What to train on, what to train, which fields of the preset to change, and how to run."""
    own: dict[str, Any] = {"flag_values": values}
    flags.DEFINE_string("data", None, "Folder of shards, made by mdcsrn-shards.", **own)
    flags.DEFINE_string("workdir", None, "Folder of this run: checkpoints, models, metrics.csv, pictures.", **own)
    flags.DEFINE_string("preset", "journal/b4u4k12", f"The network: {', '.join(PRESETS)}.", **own)
    flags.DEFINE_enum("recipe", None, list(RECIPES), "Train by this recipe, not by the preset's own edition's.", **own)
    flags.DEFINE_enum("phase", "all", ["l1", "gan", "all"], "The intensity phase, the GAN phase, or both.", **own)
    flags.DEFINE_string(
        "init_from", None,
        "A .keras model to start the first phase from; the GAN phase starts from WORKDIR/best_l1.keras.", **own
    )  # fmt: skip
    _define_changes(own)
    _define_running(own)


def _define_changes(own: dict[str, Any]) -> None:
    """The fields of the preset."""
    flags.DEFINE_integer(
        "steps", None,
        "Length of the L1 phase; with --phase=gan that of the GAN phase, in the unit in which its edition counts.",
        lower_bound=1, **own
    )  # fmt: skip
    flags.DEFINE_integer("batch_size", None, "Patches in a (global) batch.", lower_bound=1, **own)
    flags.DEFINE_float("learning_rate", None, "Adam's rate in the L1 phase; with --phase=gan in that.", **own)
    flags.DEFINE_enum("loss", "l1", ["l1", "mse"], "The intensity loss (mse: the papers' predecessor's).", **own)
    flags.DEFINE_multi_string(
        "set", [],
        "FIELD=VALUE: change one more field of the recipe (patch_size, init, interpolation, ...), of gan. (length, "
        "critic_warmup_steps, ...), of critic. (filters, ...) or of run. (log_every, validate_every, picture_every, "
        "checkpoint_every, checkpoint_minutes, keep_checkpoints).", **own
    )  # fmt: skip


def _define_running(own: dict[str, Any]) -> None:
    """How to run it."""
    flags.DEFINE_enum(
        "precision", "float32", ["float32", "tensorfloat32", "mixed_bfloat16"],
        "The generator's; the critic's is float32. tensorfloat32 rounds what the convolutions of both read "
        "(on GPUs).", **own
    )
    flags.DEFINE_integer("seed", 0, "Of the initial weights, the order of the patches and the penalty.", **own)
    flags.DEFINE_enum(
        "strategy", "single", ["single", "mirrored", "multiworker"],
        "One device, all of this machine's, or several machines' (by TF_CONFIG).", **own
    )  # fmt: skip
    flags.DEFINE_bool("jit", False, "Compile the steps with XLA: for GPUs; ten times slower on a CPU.", **own)
    flags.DEFINE_bool("allow_change", False, "Continue a run although its settings changed.", **own)
    flags.DEFINE_bool("dry_run", False, "Print the schedule, the sizes and the estimated memory and time.", **own)


def settings_from(values: flags.FlagValues, phase: str) -> TrainSettings:
    """The preset with the fields that flags change, for one phase."""
    preset = get_preset(values.preset)
    if values.recipe:
        preset = replace(preset, training=get_recipe(values.recipe))
    settings = TrainSettings(
        preset, phase, values.loss, values.precision, values.seed, values.strategy, values.jit  # type: ignore[arg-type]
    )
    in_gan = values.phase == "gan"
    assignments = []
    if values.steps is not None:
        assignments.append(f"{'gan.length' if in_gan else 'l1_steps'}={values.steps}")
    if values.batch_size is not None:
        assignments.append(f"batch_size={values.batch_size}")
    if values.learning_rate is not None:
        assignments.append(f"{'gan.' if in_gan else ''}learning_rate={values.learning_rate!r}")
    return override(settings, [*assignments, *values.set])


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; the return value is the exit code."""
    return run_command("mdcsrn-train", DESCRIPTION, define_flags, _run, argv)


def _run(values: flags.FlagValues) -> int:
    phases = ("l1", "gan") if values.phase == "all" else (values.phase,)
    settings = [settings_from(values, phase) for phase in phases]
    if values.jit and values.strategy != "single":
        raise UserError("--jit works with --strategy=single only.")
    load_tensorflow_quietly()
    if values.dry_run:
        from mdcsrn_tf.training.dry_run import describe

        print(describe(settings))
        return 0
    for name in ("data", "workdir"):
        if not values[name].value:
            raise UserError(f"mdcsrn-train needs --{name}.")
    from mdcsrn_tf.training import run as train_run

    return train_run.train(
        settings, Path(values.data), Path(values.workdir), init_from=values.init_from, allow_change=values.allow_change
    )
