"""The networks of the field study: which are trained and for how long, by the command's own function."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from benchmarks.field_plan import Training
from mdcsrn_tf.cli.train import main as train
from mdcsrn_tf.inference.slices import SliceTiling, super_resolve_planes, windows
from mdcsrn_tf.inference.tiling import seam_figure_at
from mdcsrn_tf.models.files import read_card
from mdcsrn_tf.papers import PRESETS
from mdcsrn_tf.papers.field94t import TILES

CRITIC_STEPS = (100, 150)  # between which its loss is averaged
Apply = Callable[[dict[str, Any]], np.ndarray]


def trained(training: Training, work: Path, precision: str, *flags: str, folder: str = "") -> Path:
    """The run's folder, after training by quick2d; what is trained already, here or on a GPU, is left as it is."""
    workdir = work / (folder or training.folder)
    if trained_elsewhere(workdir):
        return workdir
    published = training.published
    name = published.name
    command = [
        f"--data={work / 'shards'}",
        f"--workdir={workdir}",
        f"--preset={name}",
        "--recipe=quick2d",
        f"--steps={training.steps}",
        f"--batch_size={training.batch}",
        f"--learning_rate={training.rate}",
        f"--set={training.preset.training.phases[0].name}.learning_rate_decay={training.decay}",
        f"--precision={precision}",
        "--features=random",
        "--set=run.checkpoint_minutes=3",
        "--set=run.validate_every=100",
        *flags,
    ]
    try:
        PRESETS[name] = training.preset
        code = train(command)
    finally:
        PRESETS[name] = published
    if code or not list(workdir.glob("last_*.keras")):  # refused, or stopped by a signal
        raise SystemExit(code or 130)
    return workdir


def trained_elsewhere(workdir: Path) -> dict[str, Any]:
    """What the card of a model that recipes/jax_slices brought here says of its training; of any other, nothing."""
    brought = next(workdir.glob("best_*.keras"), None)
    return read_card(brought).notes.get("trained_with", {}) if brought else {}


def start_of(training: Training, trainings: Sequence[Training]) -> Training | None:
    """What it goes on from: what was trained before or, for a GAN, its generator alone, if that is trained."""
    alone = [other for other in trainings if other.alone and other.task() == training.task()]
    return training.before or (alone[0] if alone and training.is_gan and not training.alone else None)


def start_flags(training: Training, trainings: Sequence[Training], work: Path) -> tuple[str, ...]:
    """The flags of the command for what begins with another's model.

    What goes on sees patches mirrored by chance, as on a GPU: by then it has seen each of them many times.
    """
    start = start_of(training, trainings)
    flips = ("--set=flips=True",) if training.before else ()
    return (f"--init_from={measured_model(work / start.folder)}", *flips) if start else ()


def kept_step(workdir: Path) -> int:
    """The step whose model is measured."""
    return read_card(measured_model(workdir)).notes["step"]


def measured_model(workdir: Path) -> Path:
    """The run's best model by its validation error; of a GAN that was trained here its last one.

    A GAN that begins with its generator alone errs least before it has learned anything.
    """
    last = workdir / "last_gan.keras"
    return last if last.is_file() and not trained_elsewhere(workdir) else next(workdir.glob("best_*.keras"))


def network(workdir: Path, merge: Literal["mean", "core"] = "mean") -> Apply:
    """The run's measured model on axial slices in the paper's tiles: a U-net knows no others.

    Tiles are averaged where they overlap, as its card and the paper's text say, or laid side by side (`core`).
    """

    def apply(pair: dict[str, Any]) -> np.ndarray:
        from mdcsrn_tf.inference.engines import load_engine
        from mdcsrn_tf.inference.settings import Settings

        engine: Any = load_engine(measured_model(workdir), Settings())
        return super_resolve_planes(engine.apply, pair["low"], [2], tiling_of(engine, merge))

    return apply


def tiling_of(engine: Any, merge: Literal["mean", "core"]) -> SliceTiling:
    """The tiles that the engine's card asks for."""
    card = engine.card
    return SliceTiling(card.tile, card.margin, card.stride, merge, batch=16, multiple=engine.multiple)


def seams(pair: dict[str, Any], result: np.ndarray) -> float | None:
    """How much more the result of cores side by side changes across their borders than beside them: 1, no seam."""
    tiles = SliceTiling(TILES.tile, TILES.crop)
    borders = [[span.keep_from for span in windows(length, tiles)][1:] for length in pair["low"].shape[:2]]
    return seam_figure_at(result, [*borders, []])


def seconds_of(workdir: Path) -> float:
    """How long its training took, all its parts together."""
    (phase,) = json.loads((workdir / "run.json").read_text(encoding="utf-8"))["results"].values()
    return round(phase["seconds"], 1)


def training_losses(workdir: Path, column: str, first: int = 0, last: int | None = None) -> list[float]:
    """The values of a column of the run's log, of training steps after `first` and up to `last`."""
    with (workdir / "metrics.csv").open(encoding="utf-8") as stream:
        rows = [row for row in csv.DictReader(stream) if row["kind"] == "train"]
    return [float(row[column]) for row in rows if first < int(row["step"]) <= (last or int(row["step"]))]


def critic_alone(generator: Training, work: Path, precision: str) -> list[float]:
    """The losses of the discriminator of a GAN that learns against its L1 network, which stands still."""
    start = next((work / generator.folder).glob("best_*.keras"))
    gan = replace(generator, steps=CRITIC_STEPS[1], alone=False, decay="constant")  # the discriminator's rate, too
    flags = (f"--init_from={start}", "--set=gan.learning_rate=0.0")
    workdir = trained(gan, work, precision, *flags, folder=f"{gan.name}-critic-alone")
    return training_losses(workdir, "critic_loss", *CRITIC_STEPS)
