"""The two slice papers as data: Table 1 of P, the schedules of both, and their tables, as literals of this file."""

import math

import pytest

from mdcsrn_tf.papers import SLICE_PRESETS, TABLES
from mdcsrn_tf.papers.config import PhaseRecipe, Term
from mdcsrn_tf.papers.networks2d import ReleasedDiscriminatorConfig
from mdcsrn_tf.papers.srgan2d_tables import PRINTED_PAIRS

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
        (phase,) = SLICE_PRESETS[f"7t/{name}"].recipe.phases
        weights = {term.loss: term.weight for term in phase.terms}
        losses = tuple(weights.get(loss, 0) for loss in ("l1", "l2", "gradient", "vgg16"))
        found[name] = (*losses, phase.rate, phase.gan.rate, PANELS[repr(phase.gan.discriminator)])
        assert (phase.gan.adversarial_weight, phase.gan.halved, phase.epochs) == (1.0, True, 30)
        assert set(weights) <= {"l1", "l2", "gradient", "vgg16"}
    assert found == TABLE1
    for name, loss in CNNS.items():
        (phase,) = SLICE_PRESETS[f"7t/{name}"].recipe.phases
        assert (phase.terms, phase.rate, phase.epochs, phase.gan) == ((Term(loss, 1.0),), 1e-3, 10, None)
    assert {f"7t/{name}" for name in (*TABLE1, *CNNS)} == {name for name in SLICE_PRESETS if name.startswith("7t/")}


def test_penn_trains_2910_and_8730_steps_on_its_9300_pairs():
    for name, steps in (("7t/fcn1", 2910), ("7t/unet7", 8730)):
        recipe = SLICE_PRESETS[name].recipe
        assert (recipe.sample.patch, recipe.batch) == ((64, 64), 32)
        assert recipe.phases[0].total(9300, recipe.batch) == steps


def rates_by_epoch(phase, pairs):
    total = phase.total(pairs, 1)
    firsts = [phase.rate * phase.factor_at(epoch * pairs, total) for epoch in range(phase.epochs)]
    lasts = [phase.rate * phase.factor_at((epoch + 1) * pairs - 1, total) for epoch in range(phase.epochs)]
    return [f"{first:.0e}".replace("e-0", "e-") for first in firsts], firsts == lasts


def test_the_stanford_schedules_are_the_papers_and_the_releases():
    pre, gan = SLICE_PRESETS["srgan2d/model1-released"].recipe.phases
    assert (pre.total(6008, 1), gan.total(6008, 1)) == (6_008, 30_040)
    assert rates_by_epoch(gan, 6008) == (["1e-4", "1e-4", "1e-5", "1e-5", "1e-6"], True)
    assert rates_by_epoch(pre, 6008) == (["1e-4"], True)
    pre, gan = SLICE_PRESETS["srgan2d/model2-released"].recipe.phases
    assert (pre.total(907, 1), gan.total(907, 1)) == (4_535, 18_140)
    assert rates_by_epoch(gan, 907) == (["1e-4"] * 10 + ["1e-5"] * 10, True)
    # The paper: "switched halfway through training", in the middle of the third of five epochs.
    gan = SLICE_PRESETS["srgan2d/model1"].recipe.phases[1]
    factors = [gan.factor_at(step, 30_040) for step in (0, 15_019, 15_020, 30_039)]
    assert factors == [1.0, 1.0, 0.1, 0.1]


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
    preset = SLICE_PRESETS[f"srgan2d/{name}"]
    pre, gan = preset.recipe.phases
    sample = preset.recipe.sample
    assert (sample.patch, preset.recipe.batch, sample.source) == ((512, 512), 1, "slices")
    assert (sample.low_channels, sample.high_channels) == channels
    assert (preset.network.low_channels, preset.network.high_channels, preset.network.blocks) == (*channels, 16)
    assert (pre.terms, pre.rate, pre.gan) == ((Term("l2", 1.0),), 1e-4, None)
    assert {term.loss: term.weight for term in gan.terms} == terms
    assert (gan.gan.adversarial_weight, gan.gan.halved, gan.gan.rate) == (1e-3, False, 1e-4)
    assert gan.gan.discriminator == ReleasedDiscriminatorConfig()


def test_steps_stand_above_epochs():
    assert PhaseRecipe("l1", 10, 1e-3, (Term("l1", 1.0),), steps=300).total(9300, 32) == 300


def test_the_printed_digits():
    psnr = {row.method: row.metrics["psnr_penn"][0] for name in ("penn2", "penn3") for row in TABLES[name].rows}
    assert list(psnr.values()) == [
        57.01, 56.47, 65.51, 62.83, 64.1, 65.31, 67.44, 67.06, 65.67, 65.90, 66.17, 67.55, 66.27, 65.87, 63.18, 61.07,
    ]  # fmt: skip
    # A mean of logarithms lies above the logarithm of the mean: the table's two columns fit a peak of 255.
    for name in ("penn2", "penn3"):
        for row in TABLES[name].rows:
            of_mean = 10 * math.log10(255**2 / row.metrics["mse_penn"][0])
            assert 0.05 < row.metrics["psnr_penn"][0] - of_mean < 1.85, row.method
    mse = [row.metrics["mse"][0] for row in TABLES["srgan2d1"].rows]
    assert mse == [5.39e7, 4.73e7, 3.90e5, 3.46e5]
    assert [round(value / 512, -2) for value in mse[:2]] == [105_300, 92_400], "what the remark says"
    assert sum(PRINTED_PAIRS["model1"]) == 8749 != PRINTED_PAIRS["all"]
