"""What comes bundled: small files, each with a card inside, a section in the card's page, and its curves."""

import csv
import re
from pathlib import Path

import numpy as np
import pytest

from mdcsrn_tf import weights
from mdcsrn_tf.models.files import read_card
from mdcsrn_tf.papers import PRESETS
from mdcsrn_tf.scans.head import head_mask
from mdcsrn_tf.scans.kspace import degrade
from mdcsrn_tf.scans.volumes import read_volume
from recipes.jax_volumes import carry_scans, training_data

FOLDER = Path(weights.__file__).parent
PAGE = (FOLDER / "README.md").read_text(encoding="utf-8")
NAMES = weights.list_models()


def section(name):
    return re.search(rf"^## {re.escape(name)}\n(.*?)(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE).group(1)


@pytest.mark.parametrize("name", NAMES)
def test_every_network_is_small_and_described(name):
    assert (FOLDER / f"{name}.keras").stat().st_size < 3e6
    card, text = read_card(FOLDER / f"{name}.keras"), section(name)
    assert card.preset in PRESETS and f"`{card.preset}`" in text
    assert (card.axes, card.factor) in ((("LR", "AP"), (2, 2)), (("IS",), (3,)), (("LR", "AP", "IS"), (2, 2, 2)))
    assert f"--set=interpolation={card.interpolation}" in text or f"zero-filled {card.interpolation} inputs" in text
    assert card.bn == "moving"


@pytest.mark.parametrize("name", NAMES)
def test_the_curves_reach_the_step_that_is_bundled(name):
    notes = read_card(FOLDER / f"{name}.keras").notes
    rows = [row for row in csv.DictReader((FOLDER / f"{name}.csv").open()) if row["kind"] == "validation"]
    if notes.get("kept") == "mean":
        begun = notes.get("started_from", {}).get("step")  # of what it began with, which has a curve of its own
        own = {step for step in notes["mean"]["steps"] if step != begun}
        assert "validation" not in notes and own and own <= {int(row["step"]) for row in rows}
        assert notes["mean"]["steps"][-1] == notes["step"] and sum(notes["mean"]["shares"]) == pytest.approx(1)
        return
    # mdcsrn-train chooses by the least error, recipes/jax_volumes by the largest gain over the input.
    rows = [row for row in rows if row.get("part") == rows[-1].get("part")]  # earlier parts have patches of their own
    measure, best = ("gain", max) if "trained_with" in notes else ("mse", min)
    kept = notes["validation"][measure]
    if notes["phase"] == "l1":
        assert kept == pytest.approx(best(float(row[measure]) for row in rows), rel=1e-5)
    found = [float(row[measure]) for row in rows if int(row["step"]) == notes["step"]]
    assert any(value == pytest.approx(kept, rel=1e-5) for value in found)


def test_the_default_is_named_and_there():
    assert (FOLDER / "default.txt").read_text(encoding="utf-8").strip() == NAMES[0]


def test_the_page_says_what_must_be_said():
    assert "Not a medical device" in PAGE
    recipe = (FOLDER.parents[1] / "recipes" / "robust_data.sh").read_text(encoding="utf-8")
    rows = [line.split(" | ") for line in PAGE.splitlines() if line.startswith("| ")]
    for names, use in (("training", "training"), ("validation", "validation")):
        scans = re.search(rf"^{names}=\((.*?)\)", recipe, re.DOTALL | re.MULTILINE).group(1).split()
        for scan in scans:
            number, contrast = scan.split("_", 1)
            said = [row for row in rows if number in row[0] and contrast.split("_")[-1] in row[0]]
            assert said and use in said[0][-1] and said[0][3], f"scan {scan} has no licence there"


def test_both_recipes_learn_from_the_same_scans():
    script = (FOLDER.parents[1] / "recipes" / "robust_data.sh").read_text(encoding="utf-8")
    for name, scans in (
        ("training", carry_scans.TRAINING),
        ("validation", carry_scans.VALIDATION),
        ("heads", carry_scans.HEADS),
        ("not_turned", training_data.NOT_TURNED),
    ):
        listed = re.search(rf"^{name}=\((.*?)\)", script, re.DOTALL | re.MULTILINE).group(1).split()
        assert sorted(listed) == sorted(scans)


@pytest.mark.parametrize("name", [None, "fast-b4u4k16"])
def test_these_networks_gain_on_a_tight_crop_of_a_whole_head(name):
    from mdcsrn_tf.inference.volume import super_resolve_volume

    high_res = read_volume("tests/golden/real_crop.nii.gz").data
    low_res, head = degrade(high_res, (2, 2), (0, 1), "sinc"), head_mask(high_res)
    images = low_res, super_resolve_volume(name, low_res)
    before, after = (10 * np.log10(np.mean((image - high_res)[head] ** 2)) for image in images)
    assert before - after > 0.5  # dB; the first default, with z-scores, lost 0.9


def test_for_a_path_the_bundled_networks_are_not_looked_at(tmp_path, monkeypatch):
    """Their folder may be closed to who runs a network of their own."""

    def closed(folder):
        raise PermissionError(folder)

    monkeypatch.setattr("mdcsrn_tf.weights.list_models", closed)
    own = tmp_path / f"{NAMES[0]}.keras"
    own.touch()
    assert weights.find_model(own) == weights.find_model(str(own)) == own
    with pytest.raises(PermissionError):
        weights.find_model(own.name)
