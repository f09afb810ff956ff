"""The field study's measures on images whose answers are known, and its table."""

from dataclasses import replace
from pathlib import Path

import keras
import nibabel
import numpy as np
import pytest
import tensorflow as tf

from benchmarks import field_networks, field_page, field_pairs, field_time
from benchmarks.field_floors import best_curve, best_of_neighbours, best_shaded
from benchmarks.field_page import thresholds
from benchmarks.field_plan import PLAN, planned, without_discriminator
from benchmarks.field_study import measured, per_pixel, regression, told, under_curve
from benchmarks.field_validation import compared
from data_prep.variants import MAKERS
from mdcsrn_tf.errors import UserError
from mdcsrn_tf.models.forest import features
from mdcsrn_tf.papers import field94t
from mdcsrn_tf.scans.volumes import Volume
from mdcsrn_tf.training.state import build_state
from mdcsrn_tf.training.steps import StepOptions, objective_of


@pytest.fixture
def pair():
    rng = np.random.default_rng(0)
    high = rng.standard_normal((24, 20, 3))
    return {"low": np.cbrt(high), "high": high, "head": np.abs(high) < 1.5, "std": 0.2}


def test_psnr_energy_and_correlation(pair):
    off = measured(lambda pair: pair["high"] + 0.5, {"a": pair})["a"]
    assert off["psnr"] == pytest.approx(20.0)  # 0.5 deviations of 0.2 are a tenth of the range
    assert off["high_correlation"] == pytest.approx(1) and off["mid_energy"] == pytest.approx(1)
    half = measured(lambda pair: -0.5 * pair["high"], {"a": pair})["a"]
    assert half["mid_energy"] == pytest.approx(0.25) and half["high_correlation"] == pytest.approx(-1)


def test_validation_measures_leave_the_patches_borders_out():
    truth = np.random.default_rng(0).standard_normal((3, 24, 24))
    found = truth / 2
    found[:, :4] = 99
    measures = compared(found, truth)
    assert measures["mse"] == pytest.approx(0.25 * np.mean(truth[:, 4:-4, 4:-4] ** 2))
    assert measures["high_energy"] == pytest.approx(0.25) and measures["mid_correlation"] == pytest.approx(1)


def test_a_slope_across_a_patch_is_no_energy_of_the_high_band():
    truth = np.random.default_rng(0).standard_normal((3, 64, 64))
    slope = 20 * np.linspace(-1, 1, 64)[:, np.newaxis]  # a step of 40 from edge to edge, if the patch were repeated
    assert compared(truth + slope, truth)["high_energy"] == pytest.approx(1, abs=0.01)


def test_the_best_curve_takes_a_curve_back(pair):
    assert measured(best_curve, {"a": pair})["a"]["psnr"] > 100  # the truth is the cube of the input
    assert under_curve(pair, 3 + 2 * pair["low"]) > 100


def test_what_is_fitted_takes_back_shading_and_a_blur(pair):
    i, j, k = np.meshgrid(*(np.linspace(-1, 1, size) for size in pair["high"].shape), indexing="ij")
    low = np.random.default_rng(1).standard_normal(pair["high"].shape)
    shaded = {**pair, "low": low, "high": (1 + 0.2 * i * j - 0.1 * k**2) * low**2}
    assert measured(best_shaded, {"a": shaded})["a"]["psnr"] > 100
    assert measured(best_curve, {"a": shaded})["a"]["psnr"] < 60
    around = 0.5 * low + 0.3 * np.roll(low, 1, axis=0) - 0.2 * np.roll(low, (2, -2), axis=(0, 1))
    inside = pair["head"].copy()
    inside[[0, 1, -2, -1]] = inside[:, [0, 1, -2, -1]] = False
    mixed = {**pair, "low": low, "high": around + low**3, "head": inside}
    assert measured(best_of_neighbours, {"a": mixed})["a"]["psnr"] > 100
    assert measured(best_shaded, {"a": mixed})["a"]["psnr"] < 60


def test_a_mask_of_bright_pixels_is_measured_beside_the_heads(pair):
    bright = pair["high"] > 0
    both = measured(lambda pair: pair["high"] + np.where(bright, 0.05, 0.5), {"a": {**pair, "bright": bright}})["a"]
    assert both["psnr_bright"] == pytest.approx(40.0) and both["psnr"] < 30


def test_a_regression_finds_what_is_linear_in_the_features(pair):
    samples = features(pair["low"][:, :, 0])
    weights = np.linspace(-1, 1, 25)
    predict = regression(samples, samples @ weights + 0.3)
    np.testing.assert_allclose(predict(samples), samples @ weights + 0.3, atol=1e-5)
    result = per_pixel(predict, integers=False)(pair)
    np.testing.assert_allclose(
        result[:, :, 1] - pair["low"][:, :, 1],
        (features(pair["low"][:, :, 1]) @ weights + 0.3).reshape(24, 20),
        atol=1e-4,
    )


def test_a_brain_stays_where_it_lies_in_a_smaller_grid():
    rng = np.random.default_rng(0)
    data = rng.uniform(1, 2, (20, 18, 16)).astype(np.float32)
    mask = np.zeros(data.shape, bool)
    mask[8:12, 2:9, 5:7] = True
    affine = np.array([[0.0, -2, 0, 5], [1, 0, 0, -7], [0, 0, 3, 1], [0, 0, 0, 1]])
    header = nibabel.Nifti1Image(data, affine).header
    found = field_pairs.only(Volume(data, affine, Path("a"), header, data.dtype), mask, MAKERS["brain"])
    assert found.data.shape == (4 + 4 + 4, 2 + 7 + 4, 4 + 2 + 4)  # 4 voxels around it, where there are as many
    inside = np.argwhere(found.data > 0)
    assert len(inside) == mask.sum()
    there = np.rint(
        (inside @ found.affine[:3, :3].T + found.affine[:3, 3] - affine[:3, 3]) @ np.linalg.inv(affine[:3, :3]).T
    )
    there = there.astype(int)
    np.testing.assert_array_equal(found.data[tuple(inside.T)], data[tuple(there.T)])
    assert mask[tuple(there.T)].all()


def test_each_scan_that_is_learned_from_is_a_person_of_its_own(tmp_path, monkeypatch):
    written = []
    monkeypatch.setattr(field_pairs, "write_once", lambda folder, kinds, path: written.append(kinds))
    assert field_pairs.write_learned(tmp_path, Path("sub-09_T1w.nii.gz")) == [
        "sub-09T1w", "sub-09T1wbrain", "sub-09T1winverted"
    ]  # fmt: skip
    assert field_pairs.write_learned(tmp_path, Path("sub-16_ce-gd_T1w.nii.gz")) == ["sub-16cegdT1w"]
    assert written[0] == {"sub-09T1w": "whole", "sub-09T1wbrain": "brain", "sub-09T1winverted": "inverted"}
    people = {name.split("_")[0] for name in field_pairs.LEARN}
    assert not people & {name.split("_")[0] for name in (*field_pairs.CHECK, *field_pairs.MEASURE)}


def row(psnr, mid_correlation=0.9, high_energy=0.1, **facts):
    value = {"psnr": psnr, "psnr_bright": psnr - 1, "mid_energy": 0.5, "mid_correlation": mid_correlation}
    return {**facts, "sub-07": {**value, "high_energy": high_energy, "high_correlation": 0.2}}


ROWS = {
    "input under its best curve": row(24.0),
    "unet7": row(
        23.456,
        0.86,
        0.3,
        **{"steps": 7, "batch": 8, "rate": 0.002, "start": "it", "psnr_under_curve": {"sub-07": 24.567}},
        seams={"sub-07": {"cores": 1.307, "averaged": 1.02}},
    ),
    "unet7 without its discriminator": row(
        24.4,
        high_energy=0.14,
        steps=2,
        batch=4,
        rate=0.01,
        kept=2,
        decay="cosine",
        before={
            "steps": 5,
            "batch": 4,
            "rate": 0.1,
            "device": "a GPU",
            "kept": 3,
            "decay": "cosine",
            "before": None,
            "ema": 0.9,
        },
    ),
    "dcsrn2d-l1": row(24.1),
}


def test_thresholds_are_judged_by_the_rows_that_are_there():
    judged = thresholds({"rows": ROWS, "scans": ["sub-07"], "critic_alone": 0.31})
    assert [(round(entry["values"][0], 3), entry["met"]) for entry in judged] == [
        (0.4, True),  # the U-net over the floor
        (0.1, False),  # DCSRN2D is not 0.2 above it
        (0.4, True),  # both again, of the bright pixels
        (0.1, False),
        (2.143, True),
        (0.86, True),
        (-0.944, True),
        (0.31, False),
    ], "FCN2 is not there"


def test_each_gan_comes_after_its_generator_alone_once_a_task():
    found = planned("unet5:9x4,unet8:9x4,fcn2,unet7:9x4,pix2pix9:9x4,unet6:9x4")
    assert [training.row for training in found if training.alone] == [
        "unet5 without its discriminator",  # unet8 learns the same at other rates of the discriminator
        "unet7 without its discriminator",  # and pix2pix9's 1.5 L1 is its 2 L1 to Adam
        "unet6 without its discriminator",
    ]
    assert found[-2].folder == "unet6-9x4-0.001-alone"
    assert (found[3].name, found[3].steps, found[3].batch, found[3].rate) == ("fcn2", 300, 32, 1e-3)
    assert planned("fcn2:9x4@2e-3")[0].rate == 2e-3


def test_a_generator_alone_may_learn_for_longer_than_the_gan_after_it():
    alone, gan = planned("unet7-alone:90x4@2e-3:cosine,unet7:9x4")
    assert (alone.row, alone.steps, alone.decay) == ("unet7 without its discriminator", 90, "cosine")
    assert alone.folder == "unet7-90x4-0.002-cosine-alone"
    assert (gan.row, gan.steps, gan.decay) == ("unet7", 9, "constant")
    with pytest.raises(UserError, match="constant or cosine, not linear"):
        planned("fcn2:9x4@1e-3:linear")


def test_a_short_training_has_a_row_of_its_own_beside_the_long_one():
    long, short = planned("fcn2:90x4,fcn2-short:30x4")
    assert (long.row, short.row) == ("fcn2", "fcn2, 30 steps")
    assert short.folder == "fcn2-30x4-0.001"
    rows = {"fcn2, 300 steps": row(20.0), "dcsrn2d-l1, 300 steps": row(22.5)}
    (judged,) = thresholds({"rows": rows, "scans": ["sub-07"]})
    assert judged["met"] and judged["values"] == [-2.5]


def test_a_preset_learns_from_another_loss_if_it_is_named_so():
    own, other = planned("fcn2:9x4,fcn2-by-l1-short:9x4")
    terms = [[term.loss for term in training.preset.training.phases[0].terms] for training in (own, other)]
    assert terms == [["l2"], ["l1"]] and other.published is own.published and own.task() != other.task()
    assert (other.row, other.folder) == ("fcn2-by-l1, 9 steps", "fcn2-by-l1-9x4-0.001")


def test_what_was_trained_goes_on_in_a_run_of_its_own_and_gans_begin_there(tmp_path):
    alone, gan = planned("unet7-alone:90x4@2e-3:cosine+30x4@3e-4:cosine,unet7:9x4")
    first = planned("unet7-alone:90x4@2e-3:cosine")[0]
    assert (alone.before, alone.steps, alone.rate, alone.alone) == (first, 30, 3e-4, True)
    assert alone.folder == "unet7-90x4-0.002-cosine-alone-then-30x4-0.0003-cosine-alone"
    for training in (first, alone):
        (tmp_path / training.folder).mkdir()
        (tmp_path / training.folder / "best_l1.keras").touch()
    begin = f"--init_from={tmp_path / first.folder / 'best_l1.keras'}"
    assert field_networks.start_flags(alone, [alone, gan], tmp_path) == (begin, "--set=flips=True")
    assert field_networks.start_flags(gan, [alone, gan], tmp_path) == (begin.replace(first.folder, alone.folder),)
    assert field_networks.start_flags(first, [first], tmp_path) == ()
    # A row is measured anew when what it begins with is another.
    assert told(gan, [alone, gan])["start"] == alone.folder and "start" not in told(gan, [first, gan])


def test_alone_a_generator_learns_as_under_an_adversarial_weight_of_zero():
    preset = field94t.PRESETS["7t/dcgan1"]
    (gan,) = preset.training.phases
    unheard = replace(gan, objective=replace(gan.objective, adversarial_weight=0.0))
    silenced = replace(preset, training=replace(preset.training, phases=(unheard,)))
    low, high = np.random.default_rng(0).standard_normal((2, 2, 16, 16, 1)).astype(np.float32)
    learned = []
    for kind in (silenced, without_discriminator(preset)):
        keras.utils.set_random_seed(0)
        (plan,) = kind.training.phases
        state = build_state(kind, plan.name, patch_size=16)
        (update,) = objective_of(plan).updates.values()
        update(state, StepOptions(plan.objective, plan.terms), tf.constant(low), tf.constant(high), None)
        learned.append([variable.numpy() for variable in state.generator.variables])
    for heard, alone in zip(*learned, strict=True):
        np.testing.assert_allclose(heard, alone, atol=1e-7)


def test_the_plan_holds_every_network_of_the_paper():
    assert {f"7t/{training.name}" for training in planned(PLAN)} == set(field94t.PRESETS)
    assert {training.name for training in planned(PLAN) if training.random_features} == {"dcsrn2d-p", "pix2pix11"}


def test_seams_are_counted_where_cores_lie_side_by_side():
    rng = np.random.default_rng(0)
    smooth = rng.standard_normal((120, 70, 2))  # cores of 56 pixels: borders before 56 and 112, and before 56
    pair = {"low": smooth}
    assert field_networks.seams(pair, smooth) == pytest.approx(1, abs=0.1)
    stepped = smooth.copy()
    stepped[56:] += 9
    assert field_networks.seams(pair, stepped) > 2
    assert field_networks.seams(pair, np.roll(stepped, 5, axis=0)) < 1, "beside the border, where it is no seam"


def test_the_table_stands_between_its_marks(tmp_path, monkeypatch):
    page = tmp_path / "page.md"
    page.write_text(f"before\n{field_page.BEGIN}\nold\n{field_page.END}\nafter\n")
    monkeypatch.setattr(field_page, "PAGE", page)
    results = {"scans": ["sub-07"], "rows": ROWS}
    record = {
        "started": "2026-01-02T00:00:00",
        "device": {"processor": "p", "cores": 1},
        "versions": {"mdcsrn_tf": "1"},
        "config": {"pixels": 5, "trees": 6, "slices": 9},
        "results": {**results, "thresholds": thresholds(results)},
    }
    field_page.write_table(record)
    text = page.read_text()
    length = "7 x 8 at 0.002, begun at its generator alone"
    assert f"| unet7 | {length} | 23.46 (24.57), 0.50 / 0.86, 0.30 / 0.20 | 1.31 / 1.02 |" in text
    assert "old" not in text
    length = "5 x 4 at 0.1, kept at 3, falling to 0, averaged weights, a GPU; then 2 x 4 at 0.01, falling to 0"
    assert f"| unet7 without its discriminator | {length} | 24.40" in text
    assert "| DCSRN2D, L1, over the floor (dB) | at least 0.2 | 0.100 | not met |" in text
    assert text.startswith("before\n") and text.endswith("\nafter\n") and "6 trees" in text
    assert "| U-net GAN over its L1 network (dB) | at least -3 | -0.944 | met |" in field_page.section(record)


def test_the_time_of_a_plan_is_that_of_its_steps_and_of_its_pairs():
    rows = {"fcn1": {"steps": 100, "batch": 16, "first_s": 6.0, "step_s": 0.3}}
    found = {"pairs": 4, "pairs_s": 90.0, "rows": rows}
    found["minutes"] = field_time.minutes(found)
    assert found["minutes"] == {"training": 0.6, "pairs": 1.5, "two_cores": 1.8}
    record = {"started": "2026-01-02", "device": {"processor": "p", "cores": 2}, "versions": {"mdcsrn_tf": "1"},
              "config": {"precision": "float32"}, "results": found}  # fmt: skip
    assert "| fcn1 | 100 x 16 | 0.30 | 0.5 |" in field_time.section(record)


def test_a_step_is_timed_on_the_networks_own_update():
    (training,) = planned("dcgan1-alone:3x2")
    found = field_time.step_seconds(training, "float32", repeats=1)
    assert found["first_s"] > found["step_s"] >= 0
