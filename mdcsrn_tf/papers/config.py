"""Both papers as frozen dataclasses: no other file holds a hyper-parameter.

M is the MICCAI 2018 paper, J the journal version; presets carry the papers' own codes
(`b4u4k12`: 4 blocks of 4 units at growth rate 12; `-r`: with J's reconstruction network).
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Literal

from mdcsrn_tf.errors import UserError

# The papers are silent on both; these are the defaults of TensorFlow 1, which they were trained with.
BN_MOMENTUM = 0.99
BN_EPSILON = 1e-3


@dataclass(frozen=True)
class MdcsrnConfig:
    """The generator of M Fig. 1 and J Fig. 3."""

    blocks: int
    units: int
    growth: int
    compress_first: bool  # J: a compressor "before each DenseBlock"; M: "before all the following"
    bottleneck: bool  # J: 1x1x1 to 4k before a 3x3x3 convolution whose input is wider than that
    use_bias: bool  # the published counts of M only come out without convolution biases
    reconstruction: Literal["direct", "bottleneck"] = "direct"  # J Fig. 5 (a), (b)


@dataclass(frozen=True)
class FsrcnnConfig:
    """FSRCNN(d, s, m) in 3D, same-scale output."""

    features: int = 56
    shrunk: int = 12
    mappings: int = 4


@dataclass(frozen=True)
class SrresnetConfig:
    """SRResNet in 3D, one same-scale convolution in place of its up-sampling."""

    filters: int = 64
    blocks: int = 8


@dataclass(frozen=True)
class SrdensenetConfig:
    """SRDenseNet in 3D with J's settings, close to those of mDCSRN b8u4."""

    blocks: int = 8
    units: int = 4
    growth: int = 12


NetworkConfig = MdcsrnConfig | FsrcnnConfig | SrresnetConfig | SrdensenetConfig


@dataclass(frozen=True)
class CriticConfig:
    """SRGAN's discriminator in 3D with layer normalisation (M Fig. 1C, J Fig. 3D)."""

    filters: int = 64
    stages: int = 4  # each doubles the filters of the one before and ends with stride 2
    dense_units: int = 1024
    leak: float = 0.2


@dataclass(frozen=True)
class GanRecipe:
    """The WGAN-GP phase (M section 3.2, J section 4.1)."""

    adversarial_weight: float  # lambda of eq. 3
    critic_steps_per_generator_step: int
    # What "500 steps" and the length of the phase count: M says "steps", J "iterations of G training".
    counted_in: Literal["steps", "generator_steps"]
    length: int
    critic_warmup_steps: int = 10_000
    extra_critic_every: int = 500
    extra_critic_steps: int = 200
    learning_rate: float = 5e-6
    gradient_penalty_weight: float = 10.0  # WGAN-GP's


@dataclass(frozen=True)
class TrainingRecipe:
    """One edition's training, from patches to schedule."""

    name: str
    patch_size: int
    batch_size: int
    l1_steps: int
    gan: GanRecipe
    learning_rate: float = 1e-4
    learning_rate_decay: Literal["constant", "cosine"] = "constant"
    init: Literal["glorot", "identity"] = "glorot"
    interpolation: Literal["linear", "sinc"] = "linear"
    bn_momentum: float = BN_MOMENTUM
    # Batches over which BN's moving statistics are measured anew when the L1 phase ends (0: never).
    bn_reestimation_batches: int = 0
    patches_per_subject: int = 18


@dataclass(frozen=True)
class InferenceSettings:
    """J section 4.1, "SR Generation"."""

    tile: int = 70
    margin: int = 3
    bn: Literal["batch", "moving"] = "batch"


@dataclass(frozen=True)
class Preset:
    """A network with its edition's training recipe, critic and inference settings."""

    name: str
    network: NetworkConfig
    training: TrainingRecipe
    critic: CriticConfig = CriticConfig()
    inference: InferenceSettings = InferenceSettings()


MICCAI = TrainingRecipe(
    name="miccai",
    patch_size=64,
    batch_size=2,
    l1_steps=500_000,
    gan=GanRecipe(
        adversarial_weight=0.001, critic_steps_per_generator_step=7, counted_in="steps", length=550_000
    ),
)
JOURNAL = TrainingRecipe(
    name="journal",
    patch_size=40,
    batch_size=6,
    l1_steps=800_000,
    gan=GanRecipe(
        adversarial_weight=0.1, critic_steps_per_generator_step=5, counted_in="generator_steps", length=200_000
    ),
)
# Ours, not the papers': for budgets of hundreds of steps (docs/decisions.md, "The quick recipe").
QUICK = TrainingRecipe(
    name="quick",
    patch_size=40,
    batch_size=4,
    l1_steps=900,
    learning_rate=1e-3,
    learning_rate_decay="cosine",
    init="identity",
    bn_momentum=0.9,
    bn_reestimation_batches=64,
    gan=GanRecipe(
        adversarial_weight=0.1,
        critic_steps_per_generator_step=5,
        counted_in="generator_steps",
        length=500,
        critic_warmup_steps=100,
        extra_critic_every=50,
        extra_critic_steps=20,
        learning_rate=5e-5,
    ),
)
RECIPES = {recipe.name: recipe for recipe in (MICCAI, JOURNAL, QUICK)}


def _miccai(blocks: int, units: int) -> Preset:
    network = MdcsrnConfig(blocks, units, growth=16, compress_first=False, bottleneck=False, use_bias=False)
    return Preset(f"miccai/b{blocks}u{units}k16", network, MICCAI)


def _journal(
    blocks: int, units: int, growth: int, reconstruction: Literal["direct", "bottleneck"] = "direct"
) -> Preset:
    network = MdcsrnConfig(
        blocks, units, growth, compress_first=True, bottleneck=True, use_bias=True, reconstruction=reconstruction
    )
    suffix = "-r" if reconstruction == "bottleneck" else ""
    return Preset(f"journal/b{blocks}u{units}k{growth}{suffix}", network, JOURNAL)


PRESETS = {
    preset.name: preset
    for preset in (
        _miccai(1, 8),  # DCSRN, the ISBI predecessor
        _miccai(2, 4),
        _miccai(3, 4),
        _miccai(4, 4),
        _journal(1, 16, 12, "bottleneck"),
        _journal(4, 4, 12, "bottleneck"),
        _journal(1, 12, 12, "bottleneck"),
        _journal(4, 4, 12),
        _journal(6, 4, 12),
        _journal(8, 4, 12),
        _journal(4, 4, 8),
        _journal(4, 4, 16),
        _journal(8, 4, 8),
        Preset("fsrcnn3d", FsrcnnConfig(), JOURNAL),
        Preset("srresnet3d", SrresnetConfig(), JOURNAL),
        Preset("srdensenet3d", SrdensenetConfig(), JOURNAL),
    )
}


def get_preset(name: str) -> Preset:
    """The preset of that name; a typo gets the nearest names."""
    return _look_up(name, PRESETS, "preset")


def get_recipe(name: str) -> TrainingRecipe:
    """The training recipe of that name: `miccai`, `journal` or `quick`."""
    return _look_up(name, RECIPES, "recipe")


def _look_up(name: str, known: dict, kind: str):
    if name in known:
        return known[name]
    nearest = difflib.get_close_matches(name, known, n=3, cutoff=0.4) or list(known)
    raise UserError(f"There is no {kind} {name!r}; did you mean {', '.join(nearest)}?")
