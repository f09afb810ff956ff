"""The networks of the field study: which are trained and for how long, by the command's own function."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mdcsrn_tf.cli.train import main as train
from mdcsrn_tf.papers import PRESETS, get_preset
from mdcsrn_tf.papers.config import Pixelwise, Preset
from mdcsrn_tf.papers.quick2d import RATE
from mdcsrn_tf.training.content import needed_features

# What the thresholds are about comes first; what works most for a pixel gets fewer and smaller steps.
PLAN = (
    "fcn2:300x32,dcsrn2d-l1:900x16,unet7:900x32@2e-3,dcsrn2d-l2:300x16,dcgan1:300x16,unet5:300x32@2e-3,"
    "unet6:300x32@2e-3,unet8:300x32@2e-3,pix2pix9:300x32,pix2pix10:300x32,fcn1:100x16,dcgan2:100x8,dcgan3:100x8,"
    "dcgan4:100x8,dcsrn2d-p:100x8,pix2pix11:100x8"
)
STRIDE = 28  # between tiles, whose results are averaged: half of what each keeps
CRITIC_STEPS = (100, 150)  # between which its loss is averaged
Apply = Callable[[dict[str, Any]], np.ndarray]


@dataclass(frozen=True)
class Training:
    """A preset's name without 7t/, its steps, patches and rate, and whether its discriminator is left out."""

    name: str
    steps: int
    batch: int
    rate: float = RATE
    alone: bool = False

    @property
    def folder(self) -> str:
        """What its run is called."""
        return f"{self.name}-{self.steps}x{self.batch}-{self.rate:g}{'-alone' if self.alone else ''}"

    @property
    def row(self) -> str:
        """What its row is called."""
        return f"{self.name} without its discriminator" if self.alone else self.name

    @property
    def is_gan(self) -> bool:
        """Whether the preset has a discriminator."""
        return self._phase().objective.critic is not None

    @property
    def random_features(self) -> bool:
        """Whether its loss reads VGG's features, which are random ones here."""
        return bool(needed_features(self._phase().terms))

    def task(self) -> tuple[Any, ...]:
        """What decides its training without a discriminator: Adam does not see the loss's scale."""
        terms = self._phase().terms
        shares = tuple((term.loss, round(term.weight / terms[0].weight, 6)) for term in terms)
        return get_preset(f"7t/{self.name}").network, shares, self.steps, self.batch, self.rate

    def _phase(self) -> Any:
        return get_preset(f"7t/{self.name}").training.phases[0]


def planned(text: str) -> list[Training]:
    """`unet7:300x32,fcn2:300x32` to what is to be trained, each GAN after its generator alone.

    Generators that learn the same without their discriminators are trained once.
    """
    found: list[Training] = []
    for part in filter(None, text.split(",")):
        name, _, length = part.partition(":")
        length, _, rate = (length or "300x32").partition("@")
        steps, batch = map(int, length.split("x"))
        training = Training(name, steps, batch, float(rate or RATE))
        alone = replace(training, alone=True)
        if training.is_gan and alone.task() not in {other.task() for other in found if other.alone}:
            found.append(alone)
        found.append(training)
    return found


def without_discriminator(preset: Preset) -> Preset:
    """The preset whose generator learns by its content loss alone: what an adversarial weight of 0 gives, for less."""
    (gan,) = preset.training.phases
    alone = replace(gan, name="l1", objective=Pixelwise())
    return replace(preset, training=replace(preset.training, phases=(alone,)))


def trained(training: Training, work: Path, precision: str, *flags: str, folder: str = "") -> Path:
    """The run's folder, after training by quick2d; what is trained already is left as it is."""
    workdir = work / (folder or training.folder)
    name = f"7t/{training.name}"
    command = [
        f"--data={work / 'shards'}",
        f"--workdir={workdir}",
        f"--preset={name}",
        "--recipe=quick2d",
        f"--steps={training.steps}",
        f"--batch_size={training.batch}",
        f"--learning_rate={training.rate}",
        f"--precision={precision}",
        "--features=random",
        "--set=run.checkpoint_minutes=3",
        "--set=run.validate_every=100",
        *flags,
    ]
    published = PRESETS[name]
    try:
        if training.alone:
            PRESETS[name] = without_discriminator(published)
        code = train(command)
    finally:
        PRESETS[name] = published
    if code or not list(workdir.glob("last_*.keras")):  # refused, or stopped by a signal
        raise SystemExit(code or 130)
    return workdir


def network(workdir: Path) -> Apply:
    """The run's best model by its validation, on axial slices in the paper's tiles: a U-net knows no others."""

    def apply(pair: dict[str, Any]) -> np.ndarray:
        from mdcsrn_tf.inference.engines import load_engine
        from mdcsrn_tf.inference.settings import Settings
        from mdcsrn_tf.inference.slices import SliceTiling, super_resolve_planes

        engine: Any = load_engine(next(workdir.glob("best_*.keras")), Settings())
        card = engine.card
        tiling = SliceTiling(card.tile, card.margin, STRIDE, "mean", batch=16, multiple=engine.multiple)
        return super_resolve_planes(engine.apply, pair["low"], [2], tiling)

    return apply


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
    gan = replace(generator, steps=CRITIC_STEPS[1], alone=False)
    flags = (f"--init_from={start}", "--set=gan.learning_rate=0.0")
    workdir = trained(gan, work, precision, *flags, folder=f"{gan.name}-critic-alone")
    return training_losses(workdir, "critic_loss", *CRITIC_STEPS)
