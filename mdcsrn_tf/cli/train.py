"""`mdcsrn-train`: flags -> settings -> one library call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from absl import flags

from mdcsrn_tf.chatter import load_tensorflow_quietly
from mdcsrn_tf.command_line import in_own_process, run_command, warn
from mdcsrn_tf.errors import UserError
from mdcsrn_tf.papers import PRESETS, RECIPE_NAMES, get_preset, with_recipe
from mdcsrn_tf.papers.forests import FORESTS
from mdcsrn_tf.shards.joined import read_manifests
from mdcsrn_tf.training.settings import TrainSettings, override, with_terms
from mdcsrn_tf.training.stop_request import end_when_stuck
from mdcsrn_tf.weights import find_model, list_models

DESCRIPTION = """Train a network: a preset's phases, or one of them.

Repeat the same command to continue an interrupted run from its last checkpoint."""


_OF_FORESTS = ("preset", "data", "workdir", "seed", "quiet")
HEADINGS = {"data": "Everyday", "steps": "What to change of the preset and its recipe", "precision": "How it is run"}


def define_flags(values: flags.FlagValues) -> None:
    """What to train on, what to train, which fields of the preset to change, and how to run."""
    own: dict[str, Any] = {"flag_values": values}
    flags.DEFINE_string(
        "data",
        None,
        "Folder of shards, by mdcsrn-shards or mdcsrn-pairs; several, with commas between, are mixed.",
        **own,
    )
    flags.DEFINE_string("workdir", None, "Folder of this run: checkpoints, models, metrics.csv, pictures.", **own)
    presets = ", ".join([*PRESETS, *FORESTS])
    flags.DEFINE_string("preset", "journal/b4u4k12", f"The network: {presets}.", **own)
    flags.DEFINE_enum(
        "recipe", None, RECIPE_NAMES, "Train by this recipe (default: that of the preset's paper).", **own
    )
    flags.DEFINE_string("phase", "all", "One phase of the recipe (l1 or gan), or all.", **own)
    flags.DEFINE_string(
        "init_from",
        None,
        "A .keras model, or a bundled network's name, to start from; each later phase starts from the best of the one "
        "before.",
        **own,
    )
    _define_changes(own)
    _define_running(own)


def _define_changes(own: dict[str, Any]) -> None:
    """The fields of the preset."""
    flags.DEFINE_integer(
        "steps",
        None,
        "Length of the first phase that is run (of GAN phases in the unit in which their edition counts).",
        lower_bound=1,
        **own,
    )
    flags.DEFINE_integer("batch_size", None, "Patches in a (global) batch.", lower_bound=1, **own)
    flags.DEFINE_float("learning_rate", None, "Adam's rate in the first phase that is run.", **own)
    flags.DEFINE_string("loss", None, "The content loss: l1, mse (the papers' predecessor's), 1.5*l1+2*mse.", **own)
    flags.DEFINE_string("vgg_weights", None, "Keras's file of VGG weights, for presets whose loss reads it.", **own)
    flags.DEFINE_enum(
        "features", "given", ["given", "random"], "random: VGG with random weights, for trials; no paper's loss.", **own
    )
    flags.DEFINE_multi_string(
        "set",
        [],
        "FIELD=VALUE: change one more field of the recipe (patch_size, init, interpolation, ...), of the first phase "
        "that is run (learning_rate_decay, ...) or of a named one (l1.steps, gan.critic_warmup_steps, ...), of critic. "
        "(filters, ...) or of run. (log_every, validate_every, picture_every, checkpoint_every, checkpoint_minutes, "
        "keep_checkpoints).",
        **own,
    )


def _define_running(own: dict[str, Any]) -> None:
    """How to run it."""
    flags.DEFINE_enum(
        "precision",
        "float32",
        ["float32", "tensorfloat32", "mixed_bfloat16"],
        "The generator's; the critic's is float32. tensorfloat32 rounds what the convolutions of both read (on GPUs).",
        **own,
    )
    flags.DEFINE_integer(
        "seed",
        0,
        "Of the initial weights, the order of the patches and the penalty.",
        lower_bound=0,
        upper_bound=2**32 - 1,
        **own,
    )
    flags.DEFINE_enum(
        "strategy",
        "single",
        ["single", "mirrored", "multiworker"],
        "One device, all of this machine's, or several machines' (by TF_CONFIG).",
        **own,
    )
    flags.DEFINE_bool("jit", False, "Compile the steps with XLA: for GPUs; ten times slower on a CPU.", **own)
    flags.DEFINE_bool("allow_change", False, "Continue a run although its settings changed.", **own)
    flags.DEFINE_bool("quiet", False, "No progress bar and no log lines, only warnings and errors.", **own)
    flags.DEFINE_bool("dry_run", False, "Print the schedule, the sizes and the estimated memory and time.", **own)


def settings_from(values: flags.FlagValues) -> list[TrainSettings]:
    """The preset with the fields that flags change, for each phase that is to be run."""
    preset = get_preset(values.preset)
    if values.recipe:
        preset = with_recipe(preset, values.recipe)
    recipe = preset.training
    phases = recipe.phases if values.phase == "all" else (recipe.phase(values.phase),)
    first = phases[0].name
    settings = TrainSettings(
        preset,
        first,
        values.precision,
        values.seed,
        values.strategy,
        values.jit,
        features=values.features,
        vgg_weights=values.vgg_weights,
    )
    given = {
        f"{first}.steps": values.steps,
        "batch_size": values.batch_size,
        f"{first}.learning_rate": values.learning_rate,
    }
    settings = override(settings, [f"{name}={value!r}" for name, value in given.items() if value is not None])
    if values.loss:
        settings = with_terms(settings, values.loss)
    settings = override(settings, [*values.set, *(["run.quiet=true"] if values.quiet else [])])
    return [replace(settings, phase=phase.name) for phase in phases]


def _grow_forest(values: flags.FlagValues) -> int:
    """A forest has one training, without steps: of all settings it takes the seed alone."""
    _need_folders(values)
    given = next((name for name in values if values[name].present and name not in _OF_FORESTS), None)
    if given:
        raise UserError(f"--{given} is for networks; {values.preset} is a forest and takes --data, --workdir, --seed.")
    load_tensorflow_quietly(own_process=in_own_process())
    from mdcsrn_tf.training.forest import train_forest

    return train_forest(values.preset, values.data, Path(values.workdir), seed=values.seed, quiet=values.quiet)


def _need_folders(values: flags.FlagValues) -> None:
    for name in ("data", "workdir"):
        if not values[name].value:
            raise UserError(f"mdcsrn-train needs --{name}.")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; the return value is the exit code."""
    return run_command("mdcsrn-train", DESCRIPTION, define_flags, _run, argv, HEADINGS)


def _describe(settings: list[TrainSettings], values: flags.FlagValues) -> int:
    """What the run would do, and what would be refused or remarked at its start."""
    from mdcsrn_tf.models.files import read_card
    from mdcsrn_tf.training.data_check import fitted, remarks_on, remarks_on_start
    from mdcsrn_tf.training.dry_run import describe
    from mdcsrn_tf.training.features import remarks_on_features

    warn("mdcsrn-train", remarks_on_features(settings))
    manifest = read_manifests(values.data) if values.data else None
    if manifest:
        settings = fitted(settings, manifest)
        warn("mdcsrn-train", (*manifest.remarks, *remarks_on(settings[0], manifest)))
    start = _start(values.init_from)
    if start:
        warn("mdcsrn-train", remarks_on_start(start, read_card(start), settings[0], manifest))
    print(describe(settings))
    return 0


def _start(named: str | None) -> Path | None:
    """The file of a bundled network of that name, where no file of the user's is called so.

    >>> _start("fast-b4u4k16").name, _start("run/best_l1.keras").as_posix(), _start(None)
    ('fast-b4u4k16.keras', 'run/best_l1.keras', None)
    """
    if not named:
        return None
    own = Path(named)
    return find_model(named) if own.name == named and not own.exists() and named in list_models() else own


def _run(values: flags.FlagValues) -> int:
    if values.preset in FORESTS:
        return _grow_forest(values)
    settings = settings_from(values)
    if values.jit and values.strategy != "single":
        raise UserError("--jit works with --strategy=single only.")
    if values.vgg_weights and values.features == "random":
        raise UserError("--features=random draws VGG's weights; leave out it or --vgg_weights.")
    if values.strategy == "multiworker" and not values.dry_run:
        end_when_stuck()
    load_tensorflow_quietly(own_process=in_own_process())
    if values.dry_run:
        return _describe(settings, values)
    _need_folders(values)
    from mdcsrn_tf.training import run as train_run

    start = _start(values.init_from)
    return train_run.train(
        settings,
        values.data,
        Path(values.workdir),
        init_from=str(start) if start else None,
        allow_change=values.allow_change,
    )
