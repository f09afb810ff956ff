"""mDCSRN in both editions, and the networks they compare with: presets and recipes.

Presets carry the papers' own codes (`b4u4k12`: 4 blocks of 4 units at growth rate 12; `-r`: with J's
reconstruction network). M is the MICCAI 2018 paper, J the journal version.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from mdcsrn_tf.papers.config import (
    FsrcnnConfig,
    MdcsrnConfig,
    PhaseRecipe,
    Preset,
    SrdensenetConfig,
    SrresnetConfig,
    TrainingRecipe,
    WganGp,
)

MICCAI = TrainingRecipe(
    name="miccai",
    patch_size=64,
    batch_size=2,
    phases=(
        PhaseRecipe(name="l1", steps=500_000, learning_rate=1e-4),
        PhaseRecipe(
            name="gan",
            steps=550_000,
            learning_rate=5e-6,
            objective=WganGp(adversarial_weight=0.001, critic_steps_per_generator_step=7, counted_in="steps"),
        ),
    ),
)
JOURNAL = TrainingRecipe(
    name="journal",
    patch_size=40,
    batch_size=6,
    phases=(
        PhaseRecipe(name="l1", steps=800_000, learning_rate=1e-4),
        PhaseRecipe(
            name="gan",
            steps=200_000,
            learning_rate=5e-6,
            objective=WganGp(adversarial_weight=0.1, critic_steps_per_generator_step=5, counted_in="generator_steps"),
        ),
    ),
)
# Ours, not the papers': for budgets of hundreds of steps (docs/decisions.md, "The quick recipe").
QUICK = TrainingRecipe(
    name="quick",
    patch_size=40,
    batch_size=4,
    init="identity",
    interpolation="sinc",
    normalisation="tissue_level",
    contrast=0.3,
    brightness=0.0,
    bn_momentum=0.9,
    bn_reestimation_batches=64,
    phases=(
        PhaseRecipe(name="l1", steps=900, learning_rate=1e-3, learning_rate_decay="cosine"),
        PhaseRecipe(
            name="gan",
            steps=500,
            learning_rate=5e-5,
            objective=WganGp(
                adversarial_weight=0.1,
                critic_steps_per_generator_step=5,
                counted_in="generator_steps",
                critic_warmup_steps=100,
                extra_critic_every=50,
                extra_critic_steps=20,
            ),
        ),
    ),
)
# Ours: what the bundled networks are trained by (docs/decisions.md, "The robust recipe").
ROBUST = replace(
    QUICK,
    name="robust",
    batch_size=2,
    phases=(replace(QUICK.phases[0], steps=20_000, learning_rate=5e-4), QUICK.phases[1]),
    exchange="half",
)
RECIPES = {recipe.name: recipe for recipe in (MICCAI, JOURNAL, QUICK, ROBUST)}


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
