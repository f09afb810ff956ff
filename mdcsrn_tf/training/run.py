"""A whole training run: shards in, each phase's best and last model out, a run record beside them."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from mdcsrn_tf import __version__
from mdcsrn_tf.command_line import warn
from mdcsrn_tf.errors import UserError, first_line, is_out_of_memory
from mdcsrn_tf.files import remove_abandoned
from mdcsrn_tf.models.files import ModelCard, load_model, read_card, save_model
from mdcsrn_tf.papers.config import TrainingRecipe
from mdcsrn_tf.run_record import RunRecord, plain
from mdcsrn_tf.shards import dataset
from mdcsrn_tf.shards.augmentation import DARKNESS, Augmentation
from mdcsrn_tf.shards.joined import read_manifests
from mdcsrn_tf.training.checkpoints import CheckpointFolder
from mdcsrn_tf.training.data_check import fitted, remarks_on, remarks_on_start
from mdcsrn_tf.training.distribution import (
    WORKER_LOST,
    held_by_chief,
    is_chief,
    make_strategy,
    replica_batch,
    spans_processes,
    start_again,
    variables_of,
)
from mdcsrn_tf.training.features import features_of, remarks_on_features, with_checksum
from mdcsrn_tf.training.log import MetricsTable
from mdcsrn_tf.training.loop import Phase, TrainData
from mdcsrn_tf.training.pictures import draw_curves
from mdcsrn_tf.training.settings import TrainSettings
from mdcsrn_tf.training.state import TrainState, build_state, copy_weights
from mdcsrn_tf.training.workdir import check_workdir

DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def train(
    settings: Sequence[TrainSettings],
    data: str,
    workdir: Path,
    *,
    init_from: str | None = None,
    allow_change: bool = False,
) -> int:
    """Run the phases one after the other; 0 when they are complete or were stopped by SIGTERM.

    `data` is a folder of shards, or several, separated by commas.
    """
    manifest = read_manifests(data)
    settings = fitted(settings, manifest)  # first: no weights are to be fetched for shards that do not fit
    remarks = (*manifest.remarks, *remarks_on(settings[0], manifest), *remarks_on_features(settings))
    warn("mdcsrn-train", remarks)
    settings = [replace(with_checksum(phase), data_sha256=manifest.sha256) for phase in settings]
    strategy = _set_up(settings[0])
    record = RunRecord.begin(settings, {"folder": data, "manifest_sha256": manifest.sha256})
    try:
        with held_by_chief(workdir, strategy):
            stopped = _run_phases(settings, manifest, workdir, strategy, init_from, allow_change, record)
    except (OSError, MemoryError, tf.errors.OpError) as error:
        if isinstance(error, WORKER_LOST) and spans_processes(strategy):
            print(f"mdcsrn-train: a worker was lost ({type(error).__name__}); waiting for it to come back.", flush=True)
            start_again()
        sentence = _sentence_of(error, settings[0].preset.training, workdir)
        if sentence is None:
            raise
        raise UserError(sentence) from error
    if stopped is None and not settings[0].upkeep.quiet:
        print(
            f"mdcsrn-train: done; each phase's best model and its last are in {workdir} (best_*.keras, last_*.keras)."
        )
    return stopped or 0


def _run_phases(
    settings: Sequence[TrainSettings],
    manifest: Any,
    workdir: Path,
    strategy: tf.distribute.Strategy,
    init_from: str | None,
    allow_change: bool,
    record: RunRecord,
) -> int | None:
    """The phases one after the other; the exit code where one was stopped."""
    for phase in settings:
        with dataset.shard_errors():
            results = _run_phase(phase, manifest, workdir, strategy, init_from, allow_change)
        init_from = None
        record.results[phase.phase] = results
        if is_chief(strategy):
            record.write(workdir / "run.json")
            draw_curves(workdir / "curves.png", MetricsTable(workdir / "metrics.csv").rows())
        if results["signal"] is not None:
            return _stopped(results, workdir)
    return None


def model_card(settings: TrainSettings, manifest: Any, notes: dict[str, Any]) -> ModelCard:
    """What inference must know of a model trained under these settings on these shards."""
    recipe = settings.preset.training
    return ModelCard(
        preset=settings.preset.name,
        version=__version__,
        interpolation=manifest.interpolation,
        axes=tuple(manifest.axes),
        factor=tuple(manifest.factor),
        slices=manifest.slices,
        **_tiles(settings, manifest),
        bn=settings.statistics,
        normalisation=manifest.normalisation,
        tested={"factors": [list(factor) for factor in manifest.factors]} if len(manifest.factors) > 1 else {},
        notes=plain({"recipe": recipe.name, "phase": settings.phase, "changed": settings.changed, **notes}),
    )


def _tiles(settings: TrainSettings, manifest: Any) -> dict[str, Any]:
    """How the card says that the network is run: on cubes, or on the shards' planes in tiles or whole."""
    inference, tiles = settings.preset.inference, settings.preset.tiles
    if manifest.rank == 3:
        return {"tile": inference.tile, "margin": inference.margin}
    if tiles is None:
        return {"tile": 0, "margin": 0, "planes": manifest.planes}
    return {"tile": tiles.tile, "margin": tiles.crop, "stride": tiles.stride, "planes": manifest.planes}


def _run_phase(
    settings: TrainSettings,
    manifest: Any,
    workdir: Path,
    strategy: tf.distribute.Strategy,
    init_from: str | None,
    allow_change: bool,
) -> dict[str, Any]:
    check_workdir(workdir, settings.phase)  # in every process: the others would wait for a chief that has gone
    keras.utils.set_random_seed(settings.seed)
    with variables_of(strategy):
        state = build_state(
            settings.preset, settings.phase, precision=settings.precision, patch_size=manifest.patch_size
        )
        features = features_of(settings)
    start = Path(init_from) if init_from else _phase_before(settings, workdir)
    history = _history(settings, workdir, start, named=bool(init_from))
    if is_chief(strategy):
        remove_abandoned(workdir)

    def save(kept: str, state: TrainState, found: dict[str, float]) -> None:
        notes = {"kept": kept, "step": state.progress.step, "validation": found, "data_sha256": manifest.sha256}
        if features:
            notes["features"] = [found.origin for found in features.values()]
        card = model_card(settings, manifest, manifest.notes | notes | history)
        save_model(workdir / f"{kept}_{settings.phase}.keras", state.generator, card)

    data = _batches(settings, manifest)
    phase = Phase(settings, state, data, workdir, partial(save, "best"), strategy, allow_change, features, history)
    if not phase.checkpoints.paths():
        _initialise(state, settings, manifest, start, named=bool(init_from))
    results = phase.run()
    if results["complete"] and is_chief(strategy):
        save("last", state, phase.found)
    return results


def _history(settings: TrainSettings, workdir: Path, start: Path | None, *, named: bool) -> dict[str, Any]:
    """For the cards: the notes of the model that the phase started from, which hold those of the one before it.

    A phase that goes on started where its checkpoint says; UserError where --init_from names another model.
    """
    history = {"started_from": read_card(start).notes} if start is not None and start.is_file() else {}
    checkpoint = CheckpointFolder(workdir / "checkpoints" / settings.phase, 1).latest()
    if checkpoint is None or "history" not in checkpoint.meta:
        return history
    if named and history and history != checkpoint.meta["history"]:
        raise UserError(
            f"{workdir} holds a {settings.phase} phase that did not start from {start}: leave out --init_from to go "
            "on with it, or take another --workdir."
        )
    return checkpoint.meta["history"]


def _batches(settings: TrainSettings, manifest: Any) -> TrainData:
    """The phase's training and validation batches from the shards."""
    recipe = settings.preset.training

    def training(start_step: int, part: tuple[int, int] | None = None) -> tf.data.Dataset:
        seed = len(recipe.phases) * settings.seed + settings.place  # the phases draw different patches
        return dataset.training_batches(
            manifest,
            "train",
            batch_size=recipe.batch_size,
            seed=seed,
            start_step=start_step,
            part=part,
            augment=augmentation(recipe),
        )

    @lru_cache(maxsize=1)  # looked through again and again: what reads it is traced once
    def validation() -> tf.data.Dataset:
        return dataset.validation_batches(manifest, "validation", batch_size=recipe.batch_size)

    return TrainData(training, validation)


def _phase_before(settings: TrainSettings, workdir: Path) -> Path | None:
    """The best model of the phase before this one, which this one starts from."""
    names = [phase.name for phase in settings.preset.training.phases]
    return workdir / f"best_{names[settings.place - 1]}.keras" if settings.place else None


def augmentation(recipe: TrainingRecipe) -> Augmentation:
    """The random changes of training pairs that the recipe asks for."""
    return Augmentation(
        flip=recipe.flips,
        swap=(0, 1) if recipe.exchange == "half" else None,
        scale=recipe.contrast,
        scale_about=DARKNESS if recipe.normalisation == "tissue_level" else 0.0,
        shift=recipe.brightness,
        gamma=recipe.gamma,
    )


def _initialise(state: TrainState, settings: TrainSettings, manifest: Any, path: Path | None, *, named: bool) -> None:
    """Start the generator from a model file, if this phase starts from one; `named` by --init_from or not."""
    if path is None:
        return
    if not named and not path.is_file():
        raise UserError(
            f"The {settings.phase} phase starts from the best model of the phase before, but there is no {path}: "
            f"run --phase={path.stem.removeprefix('best_')} first, or name a model by --init_from."
        )
    model, card = load_model(path)
    warn("mdcsrn-train", remarks_on_start(path, card, settings, manifest))
    copy_weights(model, state.generator)


def _set_up(settings: TrainSettings) -> tf.distribute.Strategy:
    """Make runs repeatable where that is cheap (on a CPU), and the strategy before any other operation."""
    keras.utils.set_random_seed(settings.seed)
    if settings.strategy == "single" and not tf.config.list_physical_devices("GPU"):
        tf.config.experimental.enable_op_determinism()
    # On a GPU TensorFlow rounds to TensorFloat-32 unless told not to; float32 shall mean float32.
    tf.config.experimental.enable_tensor_float_32_execution(settings.precision == "tensorfloat32")
    strategy = make_strategy(settings.strategy)
    replica_batch(strategy, settings.preset.training.batch_size)
    return strategy


def _sentence_of(error: Exception, recipe: TrainingRecipe, workdir: Path) -> str | None:
    """The sentence for an error of the disk's or for want of memory; None for any other."""
    if isinstance(error, tf.errors.PermissionDeniedError):
        return f"{workdir} cannot be written to ({first_line(error)}); check its rights."
    if _is_disk_full(error):
        return (
            f"Cannot write to {workdir}: no space left, or a quota or limit reached; the last checkpoint there is "
            "whole. Make room and repeat the command to continue from it."
        )
    if is_out_of_memory(error):
        return (
            f"The memory does not suffice for batches of {recipe.batch_size} patches of {recipe.patch_size}^"
            f"{recipe.sample.rank}; take a smaller --batch_size, or --precision=mixed_bfloat16."
        )
    return None


def _is_disk_full(error: Exception) -> bool:
    # HDF5 and TensorFlow say so in the text alone.
    return getattr(error, "errno", None) in DISK_FULL or any(os.strerror(code) in str(error) for code in DISK_FULL)


def _stopped(results: dict[str, Any], workdir: Path) -> int:
    name = signal.Signals(results["signal"]).name
    print(
        f"mdcsrn-train: stopped by {name} after step {results['step']} of {results['total']}; "
        f"the state is saved in {workdir}, the same command continues."
    )
    return 0 if results["signal"] == signal.SIGTERM else 130
