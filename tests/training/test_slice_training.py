"""Slice presets trained by the command: tiny, resumed to the bit, with their cards; and what is refused."""

import re
from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf
from slice_helpers import make_slice_shards

from mdcsrn_tf.cli.train import main as train
from mdcsrn_tf.models.features import load_features
from mdcsrn_tf.models.files import load_model, read_card
from mdcsrn_tf.papers import PRESETS
from mdcsrn_tf.training.checkpoints import CheckpointFolder
from mdcsrn_tf.training.loop import compile_updates
from mdcsrn_tf.training.settings import TrainSettings
from mdcsrn_tf.training.state import build_state
from mdcsrn_tf.training.steps import StepOptions, objective_of

# Each network, discriminator and objective of both papers once; 64 pixels are the U-net's least. The other presets are
# these under other weights and rates: they take their steps below.
SIDES = {
    "srgan2d/model1": 16,
    "7t/fcn1": 16,
    "7t/fcn2": 16,
    "7t/dcsrn2d-l1": 16,
    "7t/dcgan1": 16,
    "7t/dcgan3": 16,
    "7t/unet6": 64,
    "7t/pix2pix11": 64,
}
SLICES = [name for name, preset in PRESETS.items() if preset.training.sample.rank == 2]
PAIRS = 4
QUIET = (
    "--batch_size=2",
    "--set=feature_side=32",
    "--set=run.log_every=1",
    "--set=run.validate_every=100",
    "--set=run.picture_every=100",
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


def command(shards, preset, workdir, *more):
    side = SIDES.get(preset, 16)
    arguments = [f"--data={shards(preset, side)}", f"--workdir={workdir}", f"--preset={preset}", *QUIET]
    arguments.append(f"--set=patch_size={side}")
    if preset.startswith("srgan2d/"):
        arguments.append("--set=critic.filters=2")
    return [*arguments, *(f"--set={phase.name}.steps=2" for phase in PRESETS[preset].training.phases), *more]


def checkpoint(workdir, phase):
    return CheckpointFolder(workdir / "checkpoints" / phase, 9).latest()


@pytest.fixture
def eagerly(monkeypatch):
    """Steps as Python runs them, S's network with one block: to compile what is trained here takes minutes."""
    model1 = PRESETS["srgan2d/model1"]
    short = replace(model1, network=replace(model1.network, blocks=1, filters=8))
    monkeypatch.setitem(PRESETS, model1.name, short)
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.mark.parametrize("preset", SIDES)
def test_presets_train_resume_to_the_bit_and_say_in_their_card_how_they_are_run(preset, shards, tmp_path, eagerly):
    recipe, tiles = PRESETS[preset].training, PRESETS[preset].tiles
    phase = recipe.phases[-1].name
    asked = command(shards, preset, tmp_path, "--features=random")
    assert train(asked) == 0
    trained = checkpoint(tmp_path, phase)
    # The feature network is in no checkpoint, so in no optimizer either.
    parts = {name.split("/")[0] for name in trained.arrays}
    critic = {"critic", "critic_optimizer"} if recipe.phase(phase).objective.critic else set()
    assert parts == {"generator", "generator_optimizer"} | critic
    trained.path.unlink()
    assert train(asked) == 0, "from the first step's checkpoint on"
    again = checkpoint(tmp_path, phase).arrays
    assert trained.arrays.keys() == again.keys()
    for name, array in again.items():
        np.testing.assert_array_equal(array, trained.arrays[name], err_msg=name)
    card = read_card(tmp_path / f"last_{phase}.keras")
    assert (card.preset, card.planes, card.bn) == (preset, ("axial",), "moving")
    assert (card.tile, card.margin, card.stride) == ((tiles.tile, tiles.crop, tiles.stride) if tiles else (0, 0, 0))
    reads = {term.loss for term in recipe.phase(phase).terms} & {"vgg16", "vgg19"}
    assert [found["weights"] for found in card.notes.get("features", ())] == ["random"] * len(reads)


@pytest.fixture(scope="module")
def features():
    return {name: load_features(name, None, random=True, side=32) for name in ("vgg16", "vgg19")}


@pytest.mark.parametrize("name", SLICES)
def test_every_preset_takes_a_step_by_its_last_objective(name, features):
    recipe = PRESETS[name].training
    plan = recipe.phases[-1]
    if name.startswith("srgan2d/"):
        critic = replace(plan.objective, critic=replace(plan.objective.critic, filters=2))
        plan = replace(plan, objective=critic)
        recipe = replace(recipe, phases=(*recipe.phases[:-1], plan))
    state = build_state(replace(PRESETS[name], training=recipe), plan.name, patch_size=64)
    before = state.arrays()
    low, high = (
        tf.constant(np.random.default_rng(count).uniform(-1, 1, (1, 64, 64, count)).astype(np.float32))
        for count in (recipe.sample.low_channels, recipe.sample.high_channels)
    )
    (update,) = objective_of(plan).updates.values()
    options = StepOptions(plan.objective, plan.terms, features=features)
    metrics = update(state, options, low, high, tf.constant(0, tf.int64))
    assert all(np.isfinite(value) for value in metrics.values())
    if len(plan.terms) > 1:
        total = sum(term.weight * float(metrics[f"{term.loss}_loss"]) for term in plan.terms)
        assert float(metrics["intensity_loss"]) == pytest.approx(total, rel=1e-4)
    moved = {key.split("/")[0] for key, array in state.arrays().items() if not np.array_equal(array, before[key])}
    expected = {"generator", "generator_optimizer"} | ({"critic", "critic_optimizer"} if state.critic else set())
    assert moved == expected


@pytest.mark.parametrize("preset", ["7t/fcn2", "7t/dcgan1", "7t/pix2pix11"])
def test_a_compiled_step_is_the_step_that_python_takes(preset, features):
    """As `train` compiles it, which the steps above do not."""
    settings = TrainSettings(PRESETS[preset], PRESETS[preset].training.phases[-1].name, jit=False)
    side, plan = SIDES[preset], settings.plan
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


def test_a_generator_of_the_gan_phase_starts_from_the_pixel_phases(shards, tmp_path, monkeypatch, eagerly):
    preset = PRESETS["srgan2d/stack3"]
    monkeypatch.setitem(PRESETS, preset.name, replace(preset, network=replace(preset.network, blocks=2, filters=8)))
    asked = command(shards, "srgan2d/stack3", tmp_path, "--features=random", "--recipe=quick2d")
    assert train([*asked, "--set=bn_reestimation_batches=1"]) == 0
    model, card = load_model(tmp_path / "best_gan.keras")
    assert (card.tile, card.margin, card.stride, card.planes) == (0, 0, 0, ("axial",)), "whole slices"
    assert card.notes["recipe"] == "quick2d" and card.notes["started_from"]["phase"] == "l1"
    rows = (tmp_path / "metrics.csv").read_text().splitlines()
    assert "critic_loss" in rows[0] and any(row.startswith("gan,2,train") for row in rows)
    # The identity start: the untrained network's error is its input's.
    first = dict(zip(rows[0].split(","), next(row for row in rows if row.startswith("l1,0,")).split(","), strict=True))
    assert float(first["psnr"]) == pytest.approx(float(first["input_psnr"]), abs=1e-3)
    assert model.input_shape[-1] == 3 and model.output_shape[-1] == 1


@pytest.mark.parametrize(
    ("preset", "more", "sentence"),
    [
        ("7t/dcsrn2d-p", (), "VGG16's weights: give the standard Keras file vgg16_weights_tf"),
        ("srgan2d/model1", ("--vgg_weights=absent.h5",), "There is no file absent.h5 of VGG weights"),
        ("7t/unet6", ("--set=patch_size=48",), r"patches of 64\^2, but the 7t/unet6 recipe trains on 48\^2"),
        ("7t/fcn2", ("--recipe=quick",), "quick recipe does not fit 7t/fcn2; its recipes are its own and quick2d"),
        ("7t/fcn2", ("--preset=journal/b4u4k12",), "The shards hold slices, on which journal/b4u4k12 cannot train"),
        ("7t/fcn2", ("--preset=srgan2d/stack3", "--features=random"), "hold 1 slices in and 1 out, .* --stack=3"),
    ],
)
def test_what_cannot_be_trained_is_refused_in_a_sentence(preset, more, sentence, shards, tmp_path, capfd):
    assert train(command(shards, preset, tmp_path, *more)) == 1
    assert re.search(sentence, capfd.readouterr().err)
    assert not list(tmp_path.glob("*.keras"))


def test_patches_that_the_network_cannot_halve_are_refused_by_its_name(shards, tmp_path, capfd):
    asked = [f"--data={shards('7t/unet6', 16)}", f"--workdir={tmp_path}", "--preset=7t/unet6", "--set=patch_size=16"]
    assert train(asked) == 1
    assert "unet2d halves its images 6 times and takes sides that are multiples of 64" in capfd.readouterr().err


def test_a_dry_run_counts_the_steps_of_epochs_where_it_knows_the_shards(shards, capsys):
    preset = "7t/dcgan1"
    flags = [f"--preset={preset}", "--batch_size=2", "--set=patch_size=16", "--dry_run"]
    assert train(flags) == 0
    assert "30 epochs of the training patches" in capsys.readouterr().out
    assert train([*flags, f"--data={shards(preset, 16)}"]) == 0
    # 30 epochs of 4 patches in batches of 2.
    text = capsys.readouterr().out
    assert "60 steps, each of the critic and the generator, in that order; Adam 5e-05 to 5e-05" in text
