"""The two slice papers as data: Table 1 of P, the schedules of both, and their tables, as literals of this file."""

import math

import pytest

from mdcsrn_tf.errors import UserError
from mdcsrn_tf.papers import PRESETS, TABLES, get_preset, with_recipe
from mdcsrn_tf.papers.config import BceGan, Pixelwise, Term
from mdcsrn_tf.papers.networks2d import ReleasedDiscriminatorConfig
from mdcsrn_tf.papers.srgan2d_tables import PRINTED_PAIRS
from mdcsrn_tf.training.schedule import learning_rate_at
from mdcsrn_tf.training.settings import TrainSettings, in_steps, override

# P Table 1: L1, L2, gradient, perceptual; the generator's and the discriminator's rate; the panel of its discriminator
TABLE1 = {
    "dcgan1": (1.5, 0, 1.5, 0, 5e-5, 2e-5, "b"),
    "dcgan2": (1.5, 0, 0, 0, 2e-4, 2e-5, "d"),
    "dcgan3": (1.5, 0, 0, 0, 2e-4, 2e-5, "f"),
    "dcgan4": (1.5, 0, 1.5, 0, 2e-4, 2e-5, "f"),
    "unet5": (1.5, 0, 2, 0, 2e-3, 2e-4, "d"),
    "unet6": (1.5, 0, 2, 0, 2e-3, 2e-4, "d"),
    "unet7": (2, 0, 0, 0, 2e-3, 2e-4, "d"),
    "unet8": (1.5, 0, 2, 0, 2e-3, 1e-3, "d"),
    "pix2pix9": (1.5, 0, 0, 0, 5e-5, 2e-5, "h"),
    "pix2pix10": (0, 1.5, 0, 0, 5e-5, 2e-5, "h"),
    "pix2pix11": (1.5, 0, 0, 1, 5e-5, 2e-5, "h"),
}
PANELS = {
    "DenseDiscriminatorConfig(filters=(4, 8, 16, 1), hidden=256)": "b",
    "PooledDiscriminatorConfig(filters=(64, 64, 64))": "d",
    "PooledDiscriminatorConfig(filters=(64, 128, 128))": "f",
    "PatchDiscriminatorConfig(filters=8, layers=4)": "h",
}
CNNS = {"fcn1": "l2", "fcn2": "l2", "dcsrn2d-l1": "l1", "dcsrn2d-l2": "l2", "dcsrn2d-p": "vgg16"}


def test_the_penn_presets_are_table_1():
    found = {}
    for name in TABLE1:
        (phase,) = PRESETS[f"7t/{name}"].training.phases
        weights = {term.loss: term.weight for term in phase.terms}
        losses = tuple(weights.get(loss, 0) for loss in ("l1", "l2", "gradient", "vgg16"))
        gan = phase.objective
        found[name] = (*losses, phase.learning_rate, gan.critic_learning_rate, PANELS[repr(gan.critic)])
        assert (gan.adversarial_weight, gan.halved, phase.epochs) == (1.0, True, 30)
        assert set(weights) <= {"l1", "l2", "gradient", "vgg16"}
    assert found == TABLE1
    for name, loss in CNNS.items():
        (phase,) = PRESETS[f"7t/{name}"].training.phases
        assert (phase.terms, phase.learning_rate, phase.epochs) == ((Term(loss, 1.0),), 1e-3, 10)
        assert phase.objective == Pixelwise()
    assert {f"7t/{name}" for name in (*TABLE1, *CNNS)} == {name for name in PRESETS if name.startswith("7t/")}


def test_penn_trains_2910_and_8730_steps_on_its_9300_pairs():
    for name, steps in (("7t/fcn1", 2910), ("7t/unet7", 8730)):
        recipe = PRESETS[name].training
        assert (recipe.sample.rank, recipe.patch_size, recipe.batch_size) == (2, 64, 32)
        assert lengths(name, 9300) == [steps]


def lengths(name, pairs):
    """The phases' lengths in steps on that many training pairs."""
    preset = PRESETS[name]
    settings = in_steps(TrainSettings(preset, preset.training.phases[0].name), pairs)
    return [phase.steps for phase in settings.preset.training.phases]


def factor_at(phase, step, total):
    return learning_rate_at(step, 1.0, total, phase.learning_rate_decay, phase.drops)


def rates_by_epoch(phase, pairs):
    total = phase.epochs * pairs
    rates = [phase.learning_rate * factor_at(phase, epoch * pairs, total) for epoch in range(phase.epochs)]
    lasts = [phase.learning_rate * factor_at(phase, (epoch + 1) * pairs - 1, total) for epoch in range(phase.epochs)]
    return [f"{rate:.0e}".replace("e-0", "e-") for rate in rates], rates == lasts


def test_the_stanford_schedules_are_the_papers_and_the_releases():
    assert lengths("srgan2d/model1-released", 6008) == [6_008, 30_040]
    pre, gan = PRESETS["srgan2d/model1-released"].training.phases
    assert rates_by_epoch(gan, 6008) == (["1e-4", "1e-4", "1e-5", "1e-5", "1e-6"], True)
    assert rates_by_epoch(pre, 6008) == (["1e-4"], True)
    assert lengths("srgan2d/model2-released", 907) == [4_535, 18_140]
    pre, gan = PRESETS["srgan2d/model2-released"].training.phases
    assert rates_by_epoch(gan, 907) == (["1e-4"] * 10 + ["1e-5"] * 10, True)
    # The paper: "switched halfway through training", in the middle of the third of five epochs.
    gan = PRESETS["srgan2d/model1"].training.phases[1]
    assert [factor_at(gan, step, 30_040) for step in (0, 15_019, 15_020, 30_039)] == [1.0, 1.0, 0.1, 0.1]


@pytest.mark.parametrize(
    ("name", "channels", "terms"),
    [
        ("model1", (1, 1), {"vgg19": 2e-6}),
        ("model2", (1, 3), {"vgg19": 2e-6}),
        ("model1-released", (1, 1), {"l2": 1.0, "vgg19": 2e-6}),
        ("model2-released", (1, 3), {"l2": 1.0, "vgg19": 2e-6}),
        ("stack3", (3, 1), {"vgg19": 2e-6}),
    ],
)
def test_the_stanford_presets_hold_the_papers_settings(name, channels, terms):
    preset = PRESETS[f"srgan2d/{name}"]
    pre, gan = preset.training.phases
    sample = preset.training.sample
    recipe = preset.training
    assert (sample.rank, recipe.patch_size, recipe.batch_size, sample.source) == (2, 512, 1, "slices")
    assert (sample.low_channels, sample.high_channels) == channels
    assert (preset.network.low_channels, preset.network.high_channels, preset.network.blocks) == (*channels, 16)
    assert (pre.terms, pre.learning_rate, pre.objective) == ((Term("l2", 1.0),), 1e-4, Pixelwise())
    assert {term.loss: term.weight for term in gan.terms} == terms
    critic = gan.objective
    assert (critic.adversarial_weight, critic.halved, critic.critic_learning_rate) == (1e-3, False, None)
    assert (gan.learning_rate, critic.critic) == (1e-4, ReleasedDiscriminatorConfig())


def test_steps_stand_above_epochs():
    settings = TrainSettings(PRESETS["7t/unet7"], "gan")
    assert in_steps(override(settings, ["gan.steps=300"]), 9300).plan.steps == 300


def test_the_printed_digits():
    psnr = {name: [row.metrics["psnr_penn"][0] for row in TABLES[name].rows] for name in ("penn2", "penn3")}
    assert psnr["penn2"] == [57.01, 56.47, 65.51, 62.83, 64.1]
    assert psnr["penn3"] == [65.31, 67.44, 67.06, 65.67, 65.90, 66.17, 67.55, 66.27, 65.87, 63.18, 61.07]
    # A mean of logarithms lies above the logarithm of the mean: the table's two columns fit a peak of 255.
    for name in ("penn2", "penn3"):
        for row in TABLES[name].rows:
            of_mean = 10 * math.log10(255**2 / row.metrics["mse_penn"][0])
            assert 0.05 < row.metrics["psnr_penn"][0] - of_mean < 1.85, row.method
    mse = [row.metrics["mse"][0] for row in TABLES["srgan2d1"].rows]
    assert mse == [5.39e7, 4.73e7, 3.90e5, 3.46e5]
    assert [round(value / 512, -2) for value in mse[:2]] == [105_300, 92_400], "what the remark says"
    assert sum(PRINTED_PAIRS["model1"]) == 8749 != PRINTED_PAIRS["all"]


def test_the_quick_recipe_keeps_losses_and_discriminator_and_changes_rates_and_lengths():
    for name, preset in PRESETS.items():
        if preset.training.sample.rank == 3:
            continue
        quick = with_recipe(preset, "quick2d")
        assert (quick.name, quick.network, quick.tiles) == (name, preset.network, preset.tiles)
        assert quick.training.init == ("identity" if name.startswith("srgan2d/") else "paper")
        for old, new in zip(preset.training.phases, quick.training.phases, strict=True):
            assert (new.name, new.terms, new.objective.critic) == (old.name, old.terms, old.objective.critic)
            assert (new.steps, new.epochs, new.learning_rate, new.drops) == (300, 0, 1e-3, ())
            if isinstance(new.objective, BceGan):
                assert new.objective.critic_learning_rate == 2e-4
                assert new.objective.adversarial_weight == old.objective.adversarial_weight


@pytest.mark.parametrize(("preset", "recipe"), [("7t/fcn1", "quick"), ("fsrcnn3d", "quick2d")])
def test_a_recipe_for_another_rank_is_refused(preset, recipe):
    with pytest.raises(UserError, match=f"The {recipe} recipe does not fit {preset}"):
        with_recipe(get_preset(preset), recipe)
