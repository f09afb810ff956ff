"""Slice presets trained by the command: tiny, resumed to the bit, with their cards; and what is refused."""

import csv
import re
from dataclasses import replace
from functools import lru_cache

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from slice_helpers import make_slice_shards

from mdcsrn_tf.cli.train import main as train
from mdcsrn_tf.models.features import load_features
from mdcsrn_tf.models.files import load_model, read_card
from mdcsrn_tf.papers import PRESETS
from mdcsrn_tf.shards.dataset import read_manifest
from mdcsrn_tf.training import dry_run
from mdcsrn_tf.training.checkpoints import CheckpointFolder, load_checkpoint
from mdcsrn_tf.training.loop import compile_updates
from mdcsrn_tf.training.run import model_card
from mdcsrn_tf.training.settings import TrainSettings, override
from mdcsrn_tf.training.state import build_state
from mdcsrn_tf.training.steps import objective_of
from mdcsrn_tf.weights import find_model

SLICES = [name for name, preset in PRESETS.items() if preset.training.sample.rank == 2]
PAIRS = 4
QUIET = (
    "--batch_size=2",
    "--set=feature_side=32",
    "--set=run.log_every=1",
    "--set=run.validate_every=100",
    "--set=run.picture_every=0",
    "--set=run.checkpoint_every=1",
)


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    made = {}

    def get(preset, side):
        recipe = PRESETS[preset].training
        channels = recipe.sample.low_channels, recipe.sample.high_channels
        key = (*channels, recipe.normalisation, side)
        if key not in made:
            folder = tmp_path_factory.mktemp("shards")
            made[key] = make_slice_shards(folder, side, channels, pairs=PAIRS, normalisation=recipe.normalisation)
        return made[key]

    return get


def side_of(preset):
    """64 pixels are the U-net's least."""
    return 64 if preset.startswith(("7t/unet", "7t/pix2pix")) else 16


def command(shards, preset, workdir, *more, side=16):
    arguments = [f"--data={shards(preset, side)}", f"--workdir={workdir}", f"--preset={preset}", *QUIET]
    arguments.append(f"--set=patch_size={side}")
    if preset.startswith("srgan2d/"):
        arguments.append("--set=critic.filters=2")
    if preset.startswith("7t/pix2pix") and side == 16:
        arguments.append("--set=critic.layers=2")
    return [*arguments, *(f"--set={phase.name}.steps=2" for phase in PRESETS[preset].training.phases), *more]


load_features_once = lru_cache(load_features)


@pytest.fixture
def no_curves(monkeypatch):
    """To draw them takes as long as all else."""
    monkeypatch.setattr("mdcsrn_tf.training.run.draw_curves", lambda *_: None)


@pytest.fixture
def eagerly(monkeypatch):
    """Steps as Python runs them, S's network with one block, the U-net for 16 pixels: it would take minutes otherwise.

    The networks whose features are compared, which learn nothing, are made once.
    """
    for name in (name for name in SLICES if name.startswith("srgan2d/")):
        short = replace(PRESETS[name].network, blocks=1, filters=8)
        monkeypatch.setitem(PRESETS, name, replace(PRESETS[name], network=short))
    for name in (name for name in SLICES if name.startswith(("7t/unet", "7t/pix"))):
        monkeypatch.setitem(
            PRESETS, name, replace(PRESETS[name], network=replace(PRESETS[name].network, filters=2, levels=4))
        )
    monkeypatch.setattr("mdcsrn_tf.training.features.load_features", load_features_once)
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


def gan(plan):
    return plan.objective.critic is not None


def read_by(plan):
    """The networks whose features it compares."""
    return frozenset(term.loss for term in plan.terms) & {"vgg16", "vgg19"}


def state_of(preset):
    """The kinds of what a phase holds from step to step; the other losses are functions of a batch."""
    network, plan = PRESETS[preset].network, PRESETS[preset].training.phases[-1]
    return type(network), type(plan.objective), type(plan.objective.critic), read_by(plan), bool(plan.drops)


def losses(presets):
    return {term.loss for preset in presets for phase in PRESETS[preset].training.phases for term in phase.terms}


RESUMED = tuple({state_of(preset): preset for preset in SLICES}.values())  # one of each
TRAINED = (*RESUMED, "srgan2d/model1-released")  # and one that adds another loss to that of features


def test_every_loss_and_every_way_of_tiling_is_trained_by():
    assert losses(TRAINED) == losses(SLICES) == {"l1", "l2", "gradient", "vgg16", "vgg19"}
    assert {PRESETS[preset].tiles for preset in TRAINED} == {PRESETS[preset].tiles for preset in SLICES}


@pytest.mark.parametrize("preset", TRAINED)
def test_a_preset_of_each_kind_trains_resumes_and_says_in_its_card_how_it_is_run(
    preset, shards, tmp_path, eagerly, no_curves
):
    plan = PRESETS[preset].training.phases[-1]
    asked = command(shards, preset, tmp_path, "--features=random")
    assert train(asked) == 0
    first, trained = map(load_checkpoint, CheckpointFolder(tmp_path / "checkpoints" / plan.name, 9).paths())
    # The feature network is in no checkpoint, so in no optimizer either.
    parts = {name.split("/")[0] for name in trained.arrays}
    assert parts == {"generator", "generator_optimizer"} | ({"critic", "critic_optimizer"} if gan(plan) else set())
    moved = {name for name, array in trained.arrays.items() if not np.array_equal(array, first.arrays[name])}
    assert {name.split("/")[0] for name in moved} == parts
    assert_its_terms_are_summed(plan, tmp_path / "metrics.csv")
    if preset in RESUMED:
        assert_it_resumes_to_the_bit(asked, trained)
    card = read_card(tmp_path / f"last_{plan.name}.keras")
    assert_it_says_how_it_is_run(card, preset)
    assert [found["weights"] for found in card.notes.get("features", ())] == ["random"] * len(read_by(plan))


def assert_it_says_how_it_is_run(card, preset):
    tiles = PRESETS[preset].tiles
    assert (card.preset, card.planes, card.bn) == (preset, ("axial",), "moving")
    assert (card.tile, card.margin, card.stride) == ((tiles.tile, tiles.crop, tiles.stride) if tiles else (0, 0, 0))


def assert_it_resumes_to_the_bit(asked, trained):
    trained.path.unlink()
    assert train(asked) == 0, "from the first step's checkpoint on"
    again = load_checkpoint(trained.path).arrays
    assert trained.arrays.keys() == again.keys()
    for name, array in again.items():
        np.testing.assert_array_equal(array, trained.arrays[name], err_msg=name)


def assert_its_terms_are_summed(plan, log):
    """The logged intensity loss of each step is the weighted sum of its terms."""
    with log.open() as stream:
        rows = [row for row in csv.DictReader(stream) if (row["phase"], row["kind"]) == (plan.name, "train")]
    assert [row["step"] for row in rows] == ["1", "2"]
    for row in rows:
        assert_terms_are_summed(plan, row)


def assert_terms_are_summed(plan, metrics):
    terms = sum(term.weight * float(metrics[f"{term.loss}_loss"]) for term in plan.terms) if len(plan.terms) > 1 else 0
    assert np.isfinite(float(metrics["loss"]))
    assert not terms or float(metrics["intensity_loss"]) == pytest.approx(terms, rel=1e-4)


@pytest.fixture(scope="module")
def features():
    return {name: load_features_once(name, None, random=True, side=32) for name in ("vgg16", "vgg19")}


@pytest.mark.parametrize("preset", [preset for preset in SLICES if preset not in TRAINED])
def test_the_other_presets_take_a_step_and_say_in_their_card_how_they_are_run(preset, shards, features, eagerly):
    """Without the command around it, which takes longer than the step."""
    settings = TrainSettings(PRESETS[preset], PRESETS[preset].training.phases[-1].name, jit=False)
    if preset.startswith("srgan2d/"):
        settings = override(settings, ["critic.filters=2"])
    side, plan, sample = side_of(preset), settings.plan, PRESETS[preset].training.sample
    rng = np.random.default_rng(0)
    shapes = [(2, side, side, channels) for channels in (sample.low_channels, sample.high_channels)]
    batch = [tf.constant(rng.uniform(-1, 1, shape).astype(np.float32)) for shape in shapes]
    state = build_state(settings.preset, plan.name, patch_size=side)
    before = state.arrays()
    (name,) = objective_of(plan).updates
    metrics = compile_updates(settings, state, tf.distribute.get_strategy(), features)(name, batch, 0, 1e-3, 1e-3)
    assert_terms_are_summed(plan, metrics)
    moved = {key.split("/")[0] for key, array in state.arrays().items() if not np.array_equal(array, before[key])}
    assert moved == {"generator", "generator_optimizer"} | ({"critic", "critic_optimizer"} if gan(plan) else set())
    assert_it_says_how_it_is_run(model_card(settings, read_manifest(shards(preset, 16)), {}), preset)


@pytest.mark.parametrize("preset", ["7t/fcn2", "7t/dcgan1", "7t/pix2pix11"])
def test_a_compiled_step_is_the_step_that_python_takes(preset, features):
    """As `train` compiles it, which the steps above do not."""
    settings = TrainSettings(PRESETS[preset], PRESETS[preset].training.phases[-1].name, jit=False)
    side, plan = side_of(preset), settings.plan
    rng = np.random.default_rng(0)
    batch = [tf.constant(rng.uniform(-1, 1, (2, side, side, 1)).astype(np.float32)) for _ in range(2)]
    found = []
    for compiled in (True, False):
        keras.utils.set_random_seed(1)
        state = build_state(PRESETS[preset], plan.name, patch_size=side)
        before = state.arrays()
        tf.config.run_functions_eagerly(not compiled)
        try:
            update = compile_updates(settings, state, tf.distribute.get_strategy(), features)
            (name,) = objective_of(plan).updates
            metrics = update(name, batch, 0, 1e-3, 1e-3)
        finally:
            tf.config.run_functions_eagerly(False)
        found.append({key: float(value) for key, value in metrics.items()})
        moved = {key.split("/")[0] for key, array in state.arrays().items() if not np.array_equal(array, before[key])}
        assert moved >= {"generator"} | ({"critic"} if state.critic else set())
    assert found[0] == pytest.approx(found[1], rel=1e-3)


def test_a_generator_of_the_gan_phase_starts_from_the_pixel_phases(shards, tmp_path, monkeypatch, eagerly, no_curves):
    preset = PRESETS["srgan2d/stack3"]
    monkeypatch.setitem(PRESETS, preset.name, replace(preset, network=replace(preset.network, blocks=2, filters=8)))
    asked = command(shards, "srgan2d/stack3", tmp_path, "--features=random", "--recipe=quick2d")
    drawn = ("--set=run.validate_every=2", "--set=run.picture_every=2")  # of each phase the start, and not the end
    assert train([*asked, "--set=bn_reestimation_batches=1", *drawn]) == 0
    model, card = load_model(tmp_path / "best_gan.keras")
    assert (card.tile, card.margin, card.stride, card.planes) == (0, 0, 0, ("axial",)), "whole slices"
    assert card.notes["recipe"] == "quick2d" and card.notes["started_from"]["phase"] == "l1"
    rows = (tmp_path / "metrics.csv").read_text().splitlines()
    assert "critic_loss" in rows[0] and any(row.startswith("gan,2,train") for row in rows)
    # The identity start: the untrained network's error is its input's.
    first = dict(zip(rows[0].split(","), next(row for row in rows if row.startswith("l1,0,")).split(","), strict=True))
    assert float(first["psnr"]) == pytest.approx(float(first["input_psnr"]), abs=1e-3)
    assert model.input_shape[-1] == 3 and model.output_shape[-1] == 1
    assert {path.name for path in (tmp_path / "pictures").iterdir()} == {"l1-000000000.png", "gan-000000000.png"}
    assert np.asarray(Image.open(tmp_path / "pictures" / "l1-000000000.png")).std() > 10


def test_a_model_of_another_preset_is_a_start_where_the_network_is_the_same(
    shards, tmp_path, eagerly, no_curves, capfd
):
    assert train(command(shards, "7t/dcsrn2d-l1", tmp_path / "l1")) == 0
    said = "".join(capfd.readouterr())
    assert "step 2: validation" in said and "mdcsrn-train: done" in said
    begun = tmp_path / "l1" / "last_l1.keras"
    assert train(command(shards, "7t/dcsrn2d-l2", tmp_path / "l2", f"--init_from={begun}", "--quiet")) == 0
    said = "".join(capfd.readouterr())
    assert "validation" not in said and "mdcsrn-train" not in said
    card = read_card(next((tmp_path / "l2").glob("last_*.keras")))
    assert card.preset == "7t/dcsrn2d-l2" and card.notes["started_from"]["step"] == 2
    assert train(command(shards, "7t/fcn2", tmp_path / "fcn2", f"--init_from={begun}")) == 1
    assert f"{begun} holds a 7t/dcsrn2d-l1, but --preset is 7t/fcn2." in capfd.readouterr().err


@pytest.mark.parametrize(
    ("preset", "more", "sentence"),
    [
        ("7t/dcsrn2d-p", (), "VGG16's weights: give the standard Keras file vgg16_weights_tf"),
        ("srgan2d/model1", ("--vgg_weights=absent.h5",), "There is no file absent.h5 of VGG weights"),
        (
            "7t/unet6",
            ("--set=patch_size=48",),
            r"recipe trains on 48\^2: make new shards by mdcsrn-pairs --patch=48, or say --set=patch_size=64\.",
        ),
        ("7t/fcn2", ("--loss=l3",), "There is no loss 'l3' of slices; there are l1, l2, gradient, gradient_signed"),
        ("7t/fcn2", ("--recipe=quick",), "quick recipe does not fit 7t/fcn2; its recipes are its own and quick2d"),
        ("7t/fcn2", ("--preset=journal/b4u4k12",), "The shards hold slices, on which journal/b4u4k12 cannot train"),
        ("7t/fcn2", ("--preset=srgan2d/stack3", "--features=random"), "hold 1 slices in and 1 out, .* --stack=3"),
    ],
)
def test_what_cannot_be_trained_is_refused_in_a_sentence(preset, more, sentence, shards, tmp_path, capfd):
    assert train(command(shards, preset, tmp_path, *more, side=side_of(preset))) == 1
    assert re.search(sentence, capfd.readouterr().err)
    assert not list(tmp_path.glob("*.keras"))


@pytest.mark.parametrize(
    ("preset", "phase", "sentence"),
    [
        # Of the phase that needs them nothing is built before they are asked for.
        ("srgan2d/model1", "all", "The loss needs VGG19's weights"),
        # No weights are asked for that shards of another kind would have no use for.
        ("srgan2d/stack3", "gan", "hold 1 slices in and 1 out, but srgan2d/stack3 maps 3 to 1"),
    ],
)
def test_a_dry_run_refuses_what_the_run_would(preset, phase, sentence, shards, tmp_path, capfd, monkeypatch):
    monkeypatch.setattr(dry_run, "build_state", None)
    asked = [f"--data={shards('srgan2d/model1', 16)}", f"--preset={preset}", f"--phase={phase}", "--set=patch_size=16"]
    assert train([*asked, "--dry_run"]) == 1
    assert sentence in capfd.readouterr().err
    assert train([*asked, f"--workdir={tmp_path / 'run'}"]) == 1
    assert sentence in capfd.readouterr().err and not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("model", "sentence"),
    [("gone.keras", "There is no model file"), (None, "holds a fast/b4u4k16, but --preset is miccai/b2u4k16")],
)
def test_a_dry_run_looks_at_the_model_that_the_run_would_start_from(model, sentence, tmp_path, capfd, monkeypatch):
    monkeypatch.setattr(dry_run, "build_state", None)
    start = tmp_path / model if model else find_model("fast-b4u4k16")
    assert train(["--preset=miccai/b2u4k16", "--phase=l1", f"--init_from={start}", "--dry_run"]) == 1
    assert sentence in capfd.readouterr().err


def test_patches_that_the_network_cannot_halve_are_refused_by_its_name(shards, tmp_path, capfd):
    asked = [f"--data={shards('7t/unet6', 16)}", f"--workdir={tmp_path}", "--preset=7t/unet6", "--set=patch_size=16"]
    assert train(asked) == 1
    assert "unet2d halves its images 6 times and takes sides that are multiples of 64" in capfd.readouterr().err


def test_a_dry_run_counts_the_steps_of_epochs_where_it_knows_the_shards(shards, capsys, monkeypatch):
    preset = "7t/dcgan1"
    flags = [f"--preset={preset}", "--batch_size=2", "--set=patch_size=16", "--dry_run"]
    with monkeypatch.context() as patch:  # one step is timed below
        patch.setattr(dry_run, "_measure", lambda *_: {"both": 1.0})
        assert train(flags) == 0
        told = capsys.readouterr().out
        patch.setattr(dry_run, "_measure", lambda *_: {"critic": 1.0, "generator": 1.0})
        epochs = ["--preset=miccai/b2u4k16", "--set=patch_size=16", "--phase=gan", "--set=gan.epochs=2", "--dry_run"]
        assert train([*epochs, "--set=critic.filters=2"]) == 0
        counted = capsys.readouterr().out
    assert "2 epochs of the training patches, with --data" in counted and "h in all" not in counted
    assert "30 epochs of the training patches" in told and "loss 1.5 l1 + 1.5 gradient" in told  # M's Table 1
    assert train([*flags, f"--data={shards(preset, 16)}"]) == 0
    # 30 epochs of 4 patches in batches of 2.
    text = capsys.readouterr().out
    assert "60 steps, each of the critic and the generator, in that order; Adam 5e-05 to 5e-05, the critic's" in text
    assert "the critic's 2e-05 to 2e-05, loss 1.5 l1 + 1.5 gradient" in text
