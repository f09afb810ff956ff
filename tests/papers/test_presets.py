"""Presets are the papers' settings, literally; a typo gets help."""

import dataclasses

import pytest

from mdcsrn_tf.errors import UserError
from mdcsrn_tf.papers import get_preset, get_recipe
from mdcsrn_tf.papers.config import CriticConfig, Pixelwise, Term
from mdcsrn_tf.papers.mdcsrn import JOURNAL, MICCAI, PRESETS, QUICK, ROBUST


def test_names_are_the_papers_codes():
    assert list(PRESETS) == [
        "miccai/b1u8k16",
        "miccai/b2u4k16",
        "miccai/b3u4k16",
        "miccai/b4u4k16",
        "journal/b1u16k12-r",
        "journal/b4u4k12-r",
        "journal/b1u12k12-r",
        "journal/b4u4k12",
        "journal/b6u4k12",
        "journal/b8u4k12",
        "journal/b4u4k8",
        "journal/b4u4k16",
        "journal/b8u4k8",
        "fsrcnn3d",
        "srresnet3d",
        "srdensenet3d",
    ]
    assert all(preset.name == name for name, preset in PRESETS.items())


def test_miccai_recipe_is_section_3_2():
    assert (MICCAI.patch_size, MICCAI.batch_size) == (64, 2)
    l1, phase = MICCAI.phases
    assert (l1.name, l1.steps, l1.learning_rate, l1.objective) == ("l1", 500_000, 1e-4, Pixelwise())
    gan = phase.objective
    assert (gan.adversarial_weight, gan.critic_warmup_steps, gan.critic_steps_per_generator_step) == (1e-3, 10_000, 7)
    assert (gan.extra_critic_steps, gan.extra_critic_every, gan.counted_in) == (200, 500, "steps")
    assert (phase.learning_rate, phase.steps, gan.gradient_penalty_weight) == (5e-6, 550_000, 10.0)


def test_journal_recipe_is_section_4_1():
    assert (JOURNAL.patch_size, JOURNAL.batch_size) == (40, 6)
    l1, phase = JOURNAL.phases
    assert (l1.name, l1.steps, l1.learning_rate, l1.objective) == ("l1", 800_000, 1e-4, Pixelwise())
    assert JOURNAL.patches_per_subject == 18
    gan = phase.objective
    assert (gan.adversarial_weight, gan.critic_warmup_steps, gan.critic_steps_per_generator_step) == (0.1, 10_000, 5)
    assert (gan.extra_critic_steps, gan.extra_critic_every, gan.counted_in) == (200, 500, "generator_steps")
    assert (phase.learning_rate, phase.steps, gan.gradient_penalty_weight) == (5e-6, 200_000, 10.0)


def test_only_the_quick_recipe_leaves_the_papers():
    for recipe in (MICCAI, JOURNAL):
        assert (recipe.init, recipe.interpolation, recipe.bn_reestimation_batches) == ("glorot", "linear", 0)
        for phase in recipe.phases:
            assert (phase.learning_rate_decay, phase.drops) == ("constant", ())
            assert phase.terms == (Term("l1", 1.0),)
            assert phase.objective.critic in (None, CriticConfig())
    assert (QUICK.init, QUICK.interpolation, QUICK.normalisation) == ("identity", "sinc", "tissue_level")
    assert (QUICK.contrast, QUICK.brightness, QUICK.exchange) == (0.3, 0.0, "never")
    same = ("init", "interpolation", "normalisation", "contrast", "brightness", "patch_size", "bn_momentum")
    assert all(getattr(ROBUST, name) == getattr(QUICK, name) for name in same)
    assert (ROBUST.exchange, ROBUST.batch_size, ROBUST.phase("l1").learning_rate) == ("half", 2, 5e-4)
    assert not any(preset.training is QUICK for preset in PRESETS.values())


def test_each_preset_has_its_editions_training_and_inference():
    for name, preset in PRESETS.items():
        assert preset.training is (MICCAI if name.startswith("miccai/") else JOURNAL)
        assert (preset.inference.tile, preset.inference.margin, preset.inference.bn) == (70, 3, "batch")


def test_presets_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        get_preset("fsrcnn3d").training = MICCAI


@pytest.mark.parametrize(
    ("typo", "meant"),
    [("journal/b4u4k21", "journal/b4u4k12"), ("micai/b4u4k16", "miccai/b4u4k16"), ("srresnet", "srresnet3d")],
)
def test_a_typo_gets_the_nearest_names(typo, meant):
    with pytest.raises(UserError, match=meant):
        get_preset(typo)


def test_nonsense_gets_all_names():
    with pytest.raises(UserError, match="miccai, journal, quick"):
        get_recipe("zzz")
