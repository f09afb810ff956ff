"""A family that is not ours, added as CONTRIBUTING.md says: a network, a preset and an objective, and nothing else."""

from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf
from infer_helpers import data_of, hr_volume, infer, write_scan
from slice_helpers import make_slice_shards

from mdcsrn_tf.cli.export import main as export
from mdcsrn_tf.cli.train import main as train
from mdcsrn_tf.models import BUILDERS
from mdcsrn_tf.papers import PRESETS
from mdcsrn_tf.papers.config import InferenceSettings, ObjectiveConfig, PhaseRecipe, Preset, Sample, TrainingRecipe
from mdcsrn_tf.papers.networks2d import PatchDiscriminatorConfig
from mdcsrn_tf.training.checkpoints import CheckpointFolder
from mdcsrn_tf.training.content import discriminator_loss, mean_absolute_error, real_cross_entropy
from mdcsrn_tf.training.schedule import EveryStep
from mdcsrn_tf.training.steps import OBJECTIVES, Objective
from mdcsrn_tf.training.steps.objective import apply_gradient, least_error


@dataclass(frozen=True)
class StrangerConfig:
    filters: int = 4


def build_stranger(config: StrangerConfig, name: str = "stranger") -> keras.Model:
    """Three neighbouring slices to three, ending in tanh."""
    inputs = keras.Input((None, None, 3), name="low_res")
    x = keras.layers.Conv2D(config.filters, 3, padding="same", activation="relu", name="features")(inputs)
    x = keras.layers.Conv2D(3, 3, padding="same", name="result")(x)
    return keras.Model(inputs, keras.layers.Activation("tanh", name="bounded")(x), name=name)


@dataclass(frozen=True, kw_only=True)
class StrangerGan(ObjectiveConfig):
    weight: float = 0.1


def both_step(state, options, low_res, high_res, step):
    with tf.GradientTape() as of_generator, tf.GradientTape() as of_critic:
        super_res = state.generator(low_res, training=True)
        real, fake = state.critic(high_res, training=True), state.critic(super_res, training=True)
        critic_loss = discriminator_loss(real, fake, halved=True)
        loss = mean_absolute_error(super_res, high_res) + options.objective.weight * real_cross_entropy(fake)
    apply_gradient(of_critic, critic_loss, state.critic, state.critic_optimizer, options)
    apply_gradient(of_generator, loss, state.generator, state.generator_optimizer, options)
    return {"loss": loss, "critic_loss": critic_loss}


GAN = Objective({"both": both_step}, lambda phase: EveryStep("both", phase.steps), least_error, ("loss", "critic_loss"))
OBJECTIVE = StrangerGan(critic=PatchDiscriminatorConfig(2, 2))
PHASE = PhaseRecipe(name="gan", steps=4, learning_rate=1e-3, objective=OBJECTIVE)
RECIPE = TrainingRecipe("stranger", 16, 2, (PHASE,), Sample(2, 3, 3), init="paper", normalisation="zscore_each_image")
PRESET = Preset("stranger", StrangerConfig(), RECIPE, InferenceSettings(bn="moving"))


def test_a_strangers_network_is_trained_resumed_exported_and_run_on_a_folder(tmp_path, monkeypatch):
    monkeypatch.setitem(BUILDERS, StrangerConfig, build_stranger)
    monkeypatch.setitem(PRESETS, "stranger", PRESET)
    monkeypatch.setitem(OBJECTIVES, StrangerGan, GAN)
    flags = [f"--data={make_slice_shards(tmp_path / 'shards', 16, (3, 3), pairs=4)}", "--preset=stranger"]
    flags.append("--set=run.picture_every=0")
    assert train([*flags, f"--workdir={tmp_path}/whole"]) == 0
    assert train([*flags, f"--workdir={tmp_path}/resumed", "--steps=2"]) == 0
    assert train([*flags, f"--workdir={tmp_path}/resumed", "--allow_change"]) == 0
    one, two = (CheckpointFolder(tmp_path / name / "checkpoints/gan", 1).latest() for name in ("whole", "resumed"))
    assert one.meta["progress"]["step"] == 4
    np.testing.assert_equal(one.arrays, two.arrays)

    scans = [write_scan(tmp_path / "scans" / f"{name}.nii.gz", hr_volume((16, 18, 17))) for name in "ab"]
    best, saved = tmp_path / "whole" / "best_gan.keras", tmp_path / "saved"
    assert export([f"--model={best}", f"--output={saved}"]) == 0
    for model, output in ((best, "by_keras"), (saved, "by_graph")):
        assert infer(f"--input={tmp_path}/scans", f"--output={tmp_path / output}", f"--model={model}") == 0
    for scan in scans:
        found = [data_of(tmp_path / output / f"{scan.name[0]}_sr.nii.gz") for output in ("by_keras", "by_graph")]
        np.testing.assert_allclose(found[0], found[1], rtol=1e-4, atol=1e-2)
