"""What the field study trains: a preset, its steps, patches and rate. It loads no TensorFlow (recipes/jax_slices)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from mdcsrn_tf.errors import UserError
from mdcsrn_tf.models.features import VGG_FILES
from mdcsrn_tf.papers import get_preset
from mdcsrn_tf.papers.config import PhaseRecipe, Pixelwise, Preset, Term
from mdcsrn_tf.papers.quick2d import RATE

# What the thresholds are about comes first; what works most for a pixel gets fewer and smaller steps.
PLAN = (
    "fcn2:300x32,dcsrn2d-l1:900x16@1e-3:cosine,unet7-alone:900x32@2e-3:cosine,unet7:300x32,dcsrn2d-l2:300x16,"
    "dcgan1:300x16,unet5:300x32@2e-3,unet6:300x32@2e-3,unet8:300x32@2e-3,pix2pix9:300x32,pix2pix10:300x32,fcn1:100x16,"
    "dcgan2:100x8,dcgan3:100x8,dcgan4:100x8,dcsrn2d-p:100x8,pix2pix11:100x8"
)
Decay = Literal["constant", "cosine"]
BY = "-by-"  # between a preset's name and a loss that is not its own


@dataclass(frozen=True)
class Training:
    """A preset's name without 7t/, its steps, patches and rate, and whether its discriminator is left out.

    `fcn2-by-l1` is the preset fcn2 with another loss than its own.
    """

    name: str
    steps: int
    batch: int
    rate: float = RATE
    alone: bool = False
    decay: Decay = "constant"  # of the rate; half a cosine ends at zero
    before: Training | None = None  # whose best model it goes on from
    short: bool = False  # a row of its own, beside that of a longer training

    @property
    def folder(self) -> str:
        """What its run is called."""
        beginning = f"{self.before.folder}-then" if self.before else self.name
        endings = ("-cosine" * (self.decay == "cosine"), "-alone" * self.alone)
        return f"{beginning}-{self.steps}x{self.batch}-{self.rate:g}{''.join(endings)}"

    @property
    def row(self) -> str:
        """What its row is called."""
        ending = f", {self.steps} steps" if self.short else ""
        return f"{self.name} without its discriminator{ending}" if self.alone else f"{self.name}{ending}"

    @property
    def is_gan(self) -> bool:
        """Whether the preset has a discriminator."""
        return self._phase().objective.critic is not None

    @property
    def random_features(self) -> bool:
        """Whether its loss reads VGG's features, which are random ones here."""
        return any(term.loss in VGG_FILES for term in self._phase().terms)

    def task(self) -> tuple[Any, ...]:
        """What decides its training without a discriminator: Adam does not see the loss's scale."""
        terms = self._phase().terms
        shares = tuple((term.loss, round(term.weight / terms[0].weight, 6)) for term in terms)
        return self.published.network, shares

    @property
    def published(self) -> Preset:
        """The paper's preset."""
        return get_preset(f"7t/{self.name.partition(BY)[0]}")

    @property
    def preset(self) -> Preset:
        """What is trained: the paper's preset, without its discriminator where that is left out."""
        return without_discriminator(self._wanted) if self.alone else self._wanted

    @property
    def _wanted(self) -> Preset:
        _, by, loss = self.name.partition(BY)
        return with_loss(self.published, loss) if by else self.published

    def _phase(self) -> PhaseRecipe:
        return self._wanted.training.phases[0]


def planned(text: str) -> list[Training]:
    """`unet7:300x32,fcn2:900x16@2e-3:cosine` to what is to be trained, each GAN after its generator alone.

    Generators that learn the same without their discriminators are trained once; `unet7-alone:900x32` trains one
    alone, for longer than the GANs that come after it. `fcn2:300x32+100x32@1e-4` goes on after the first 300 steps,
    in a run of its own. `fcn2-short:300x32` has a row of its own beside `fcn2:4000x32`, `fcn2-by-l1` learns from L1.
    """
    found: list[Training] = []
    for part in filter(None, text.split(",")):
        training = _one(part)
        alone = replace(training, alone=True)
        if training.is_gan and alone.task() not in {other.task() for other in found if other.alone}:
            found.append(alone)
        if not training.alone:
            found.append(training)
    return found


def _one(part: str) -> Training:
    name, _, lengths = part.partition(":")
    short = name.endswith("-short")
    name = name.removesuffix("-short")
    alone = name.endswith("-alone")
    training: Training | None = None
    for length in (lengths or "300x32").split("+"):
        steps, batch, rate, decay = _length(part, length)
        training = Training(name.removesuffix("-alone"), steps, batch, rate, alone, decay, training, short)
    assert training is not None  # splitting never gives an empty list
    return training


def _length(part: str, text: str) -> tuple[int, int, float, Decay]:
    """`900x16@2e-3:cosine` to steps, patches, rate and decay."""
    length, _, rate = text.partition("@")
    steps, batch = map(int, length.split("x"))
    rate, _, decay = rate.partition(":")
    decay = decay or "constant"
    if decay not in get_args(Decay):
        raise UserError(f"{part}: a rate's decay is {' or '.join(get_args(Decay))}, not {decay}.")
    return steps, batch, float(rate or RATE), decay  # type: ignore[return-value]


def with_loss(preset: Preset, loss: str) -> Preset:
    """The preset of a CNN with that loss alone."""
    (phase,) = preset.training.phases
    return replace(preset, training=replace(preset.training, phases=(replace(phase, terms=(Term(loss),)),)))


def without_discriminator(preset: Preset) -> Preset:
    """The preset whose generator learns by its content loss alone: what an adversarial weight of 0 gives, for less."""
    (gan,) = preset.training.phases
    alone = replace(gan, name="l1", objective=Pixelwise())
    return replace(preset, training=replace(preset.training, phases=(alone,)))
