"""The loop on a tiny network: resume, stop, choose the best, tell what happens."""

import csv
import os
import signal
import types
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
import train_helpers

from mdcsrn_tf.errors import UserError
from mdcsrn_tf.training import loop
from mdcsrn_tf.training.checkpoints import CheckpointFolder
from mdcsrn_tf.training.log import MetricsTable
from mdcsrn_tf.training.loop import Phase, TrainData, compile_updates
from mdcsrn_tf.training.settings import TrainSettings, override
from mdcsrn_tf.training.state import build_state
from mdcsrn_tf.training.steps.wgan_gp import WGAN_GP
from mdcsrn_tf.training.validation import Validator, reestimate_statistics


class Crash(Exception):
    """Stands for whatever ends a process between two steps."""


@pytest.fixture(autouse=True)
def _repeatable():
    keras.utils.set_random_seed(0)
    tf.config.experimental.enable_op_determinism()


def without_rates(settings):
    """The settings that a step is compiled of: neither rates, which it is given, nor lengths, nor what ends a phase."""
    recipe = settings.preset.training
    phases = tuple(
        replace(
            plan, learning_rate=1.0, steps=1, drops=(), objective=replace(plan.objective, critic_learning_rate=None)
        )
        for plan in recipe.phases
    )
    preset = replace(settings.preset, training=replace(recipe, phases=phases, bn_reestimation_batches=0))
    return replace(settings, preset=preset, changed=())


@lru_cache
def untrained(settings):
    """The networks of a phase, which its runs take in turn, the values that they begin with, and their updates."""
    keras.utils.set_random_seed(0)
    state = build_state(settings.preset, settings.phase)
    return state, state.arrays(), lru_cache(lambda strategy: compile_updates(settings, state, strategy))


EVALUATORS = {}


class CompiledOnce(Validator):
    """Takes what was compiled for the same networks before."""

    def __init__(self, state, batches, judge, *, statistics, jit):
        super().__init__(state, batches, judge, statistics=statistics, jit=jit)
        key = id(state), judge, statistics, jit
        _, self._evaluate = EVALUATORS.setdefault(key, (state, self._evaluate))


@pytest.fixture(autouse=True)
def _compiled_once(monkeypatch):
    def compile_once(settings, state, strategy, features):
        known, _, updates = untrained(without_rates(settings))
        if state is known:
            return updates(strategy)
        return compile_updates(settings, state, strategy, features)

    monkeypatch.setattr(loop, "compile_updates", compile_once)
    monkeypatch.setattr(loop, "Validator", CompiledOnce)


def phase(workdir, settings, data=None, save_best=lambda *_: None, **options):
    """A run from the start: every variable has its first value again."""
    state, arrays, _ = untrained(without_rates(settings))
    state.restore(arrays, {}, "the start")
    keras.utils.set_random_seed(0)
    return Phase(settings, state, data or train_helpers.data(), Path(workdir), save_best, **options)


def data_that(act, at):
    """The tiny data, with `act()` called before the batch of step `at` is handed out."""
    whole = train_helpers.data()

    def training(start_step):
        def acting(step, *pair):
            if int(step) == at:
                act()
            return pair

        def numbered(step, pair):
            batch = tf.numpy_function(acting, [step, *pair], [tf.float32, tf.float32])
            return tuple(tf.ensure_shape(b, p.shape) for b, p in zip(batch, pair, strict=True))

        return whole.training(start_step).enumerate(start_step).map(numbered)

    return TrainData(training, whole.validation)


def arrays(workdir, name):
    return CheckpointFolder(Path(workdir) / "checkpoints" / name, 9).latest()


def rows(workdir):
    with (Path(workdir) / "metrics.csv").open() as stream:
        return list(csv.DictReader(stream))


def settings_of(kind):
    """The tiny run of an objective: pixelwise and Wasserstein are the tiny preset's own phases."""
    options = ("run.checkpoint_every=2", "learning_rate=0.01", "gan.learning_rate=0.01")
    if kind != "bce":
        return train_helpers.settings(kind, *options)
    recipe = replace(train_helpers.TINY.training, phases=(replace(train_helpers.BCE, drops=((0.5, 0.1),)),))
    start = TrainSettings(replace(train_helpers.TINY, training=recipe), "gan")
    return override(start, [*options, "run.log_every=1", "run.validate_every=3", "run.picture_every=0"])


@pytest.mark.parametrize(("kind", "steps"), [("l1", 6), ("gan", 9), ("bce", 5)])
def test_a_run_that_crashed_ends_bit_identical_to_one_that_did_not(tmp_path, kind, steps):
    settings = settings_of(kind)
    name, at = settings.phase, min(steps, 5) - (kind == "bce")
    whole = phase(tmp_path / "whole", settings).run()
    assert whole["complete"]
    assert whole["step"] == steps

    def crash():
        raise Crash

    with pytest.raises(tf.errors.OpError, match="Crash"):
        phase(tmp_path / "crashed", settings, data_that(crash, at=at)).run()
    assert arrays(tmp_path / "crashed", name).meta["progress"]["step"] == 4
    # Another seed before resuming: nothing may depend on what is not in the checkpoint.
    keras.utils.set_random_seed(99)
    state = build_state(settings.preset, name)
    resumed = Phase(settings, state, train_helpers.data(), tmp_path / "crashed", lambda *_: None)
    resumed.run()

    one, two = (arrays(tmp_path / folder, name) for folder in ("whole", "crashed"))
    assert list(one.arrays) == list(two.arrays)
    for key in one.arrays:
        np.testing.assert_array_equal(one.arrays[key], two.arrays[key], err_msg=key)
    assert rows(tmp_path / "whole") == rows(tmp_path / "crashed")


def test_either_network_learns_at_its_own_rate_and_both_fall_together(tmp_path, monkeypatch):
    taken, compiled = [], loop.compile_updates

    def recording(settings, state, *others):
        update = compiled(settings, state, *others)

        def recorded(*arguments):
            metrics = update(*arguments)
            optimizers = state.generator_optimizer, state.critic_optimizer
            taken.append([float(optimizer.learning_rate) for optimizer in optimizers])
            return metrics

        return recorded

    monkeypatch.setattr(loop, "compile_updates", recording)
    phase(tmp_path, override(settings_of("bce"), ["gan.critic_learning_rate=0.002"])).run()
    np.testing.assert_allclose(taken, 3 * [[0.01, 0.002]] + 2 * [[0.001, 0.0002]], rtol=1e-6)


def test_no_row_is_written_twice_after_a_kill_before_the_first_checkpoint_or_at_the_very_end(tmp_path, name="l1"):
    settings = train_helpers.settings(name, "bn_reestimation_batches=2")
    phase(tmp_path / "whole", settings).run()
    statistics = {key: array for key, array in arrays(tmp_path / "whole", name).arrays.items() if "moving" in key}

    def crash(*_):
        raise Crash

    with pytest.raises(tf.errors.OpError, match="Crash"):
        phase(tmp_path / "crashed", settings, data_that(crash, at=2)).run()
    assert rows(tmp_path / "crashed") and arrays(tmp_path / "crashed", name) is None
    at_the_end = phase(tmp_path / "crashed", settings)
    save = at_the_end.checkpoints.save
    at_the_end.checkpoints.save = lambda *a: crash() if a[2]["progress"]["complete"] else save(*a)
    with pytest.raises(Crash):
        at_the_end.run()
    phase(tmp_path / "crashed", settings).run()
    assert rows(tmp_path / "whole") == rows(tmp_path / "crashed")
    again = arrays(tmp_path / "crashed", name).arrays
    assert len(statistics) == 2 * sum(key.endswith("moving_mean") for key in statistics) > 0
    for key, array in statistics.items():
        np.testing.assert_array_equal(array, again[key], err_msg=key)


def test_a_run_that_begins_at_step_0_again_begins_its_table_again(tmp_path):
    table = MetricsTable(tmp_path / "metrics.csv")
    table.rewind("l1", 0)
    for phase_name, step in (("l1", 0), ("gan", 0), ("gan", 1)):
        table.append({"phase": phase_name, "step": step, "kind": "validation"})
    table.rewind("gan", 0)
    assert [(row["phase"], row["step"]) for row in table.rows()] == [("l1", "0")]
    table.rewind("l1", 0)
    assert table.rows() == []


def test_the_gan_phase_ends_with_statistics_measured_anew_as_the_first_does(tmp_path):
    trained = phase(tmp_path, train_helpers.settings("gan", "bn_reestimation_batches=2"))
    trained.run()
    network = trained.state.generator
    found = [variable.numpy().copy() for variable in network.non_trainable_variables]
    assert reestimate_statistics(network, train_helpers.data().training(trained.total), 2)
    for variable, before in zip(network.non_trainable_variables, found, strict=True):
        np.testing.assert_allclose(variable.numpy(), before, rtol=1e-6)


@pytest.mark.parametrize(
    "damage",
    [b"\xff\xfe", b"phase,step\nl1,0\n", b"phase,step,kind\nl1,many,train\n", b"phase,step,kind\nl1,\0,train\n"],
)
def test_a_damaged_table_of_metrics_is_a_sentence(tmp_path, damage):
    (tmp_path / "metrics.csv").write_bytes(damage)
    with pytest.raises(UserError, match=r"metrics\.csv is damaged .*move it away"):
        phase(tmp_path, train_helpers.settings("l1")).run()


@pytest.mark.parametrize(
    "meta", [{}, {"settings": {}}, {"settings": {}, "progress": 7}, {"settings": 1, "progress": {}}]
)
def test_a_checkpoint_without_its_settings_is_a_sentence(tmp_path, meta):
    CheckpointFolder(tmp_path / "checkpoints" / "l1", 1).save(3, {}, meta)
    with pytest.raises(UserError, match=r"step-000000003\.npz is damaged|other settings|another network"):
        phase(tmp_path, train_helpers.settings("l1")).run()


def test_sigterm_saves_the_step_it_came_in_and_the_run_continues(tmp_path):
    settings = train_helpers.settings("l1", "run.checkpoint_minutes=100")
    # The pipeline may be a few batches ahead of the loop, never behind.
    stopped = phase(tmp_path, settings, data_that(lambda: os.kill(os.getpid(), signal.SIGTERM), at=3)).run()
    assert stopped["signal"] == signal.SIGTERM
    assert 0 < stopped["step"] < 6
    assert not stopped["complete"]
    assert arrays(tmp_path, "l1").meta["progress"]["step"] == stopped["step"]
    assert phase(tmp_path, settings).run()["complete"]
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


@pytest.mark.parametrize(("name", "quantity"), [("l1", "loss"), ("gan", "critic_loss")])
def test_nan_stops_the_run_and_names_quantity_and_step(tmp_path, name, quantity):
    healthy = train_helpers.data()

    def training(start_step):
        def spoil(step, pair):
            low, high = pair
            return low, tf.where(step == 4, np.float32(np.nan), 1.0) * high

        return healthy.training(start_step).enumerate(start_step).map(spoil)

    settings = train_helpers.settings(name, "run.checkpoint_every=2", "run.log_every=2")
    with pytest.raises(UserError, match=rf"^{quantity} is not finite at step 4 of the {name} phase.*step-000000004"):
        phase(tmp_path, settings, TrainData(training, healthy.validation)).run()
    kept = arrays(tmp_path, name)
    assert kept.meta["progress"]["step"] == 4
    assert all(np.isfinite(array).all() for array in kept.arrays.values())


def test_a_changed_setting_is_refused_with_the_difference_unless_allowed(tmp_path):
    phase(tmp_path, train_helpers.settings("l1")).run()
    longer = train_helpers.settings("l1", "l1.steps=8")
    with pytest.raises(UserError, match=r"phase\.steps: 6 -> 8.*--allow_change"):
        phase(tmp_path, longer).run()
    assert phase(tmp_path, longer, allow_change=True).run()["step"] == 8


def test_an_unfinished_run_of_version_0_1_0_is_refused(tmp_path):
    run = phase(tmp_path, train_helpers.settings("l1"))
    run.checkpoints.save(3, run.state.arrays(), {"settings": {"preset.training.l1_steps": 6}, "progress": {}})
    with pytest.raises(UserError, match=r"earlier version.*another --workdir"):
        phase(tmp_path, train_helpers.settings("l1")).run()


def test_a_checkpoint_of_another_network_is_refused(tmp_path):
    settings = train_helpers.settings("l1")
    phase(tmp_path, settings).run()
    wider = replace(settings, preset=replace(settings.preset, network=replace(train_helpers.NETWORK, growth=6)))
    with pytest.raises(UserError, match="another network"):
        phase(tmp_path, wider, allow_change=True).run()


def test_a_complete_phase_is_not_trained_again(tmp_path):
    settings = train_helpers.settings("l1")
    first = phase(tmp_path, settings).run()
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    again = phase(tmp_path, settings).run()
    assert again == first  # the last validation too, which the last model's card tells
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_the_first_phase_keeps_the_model_of_least_validation_error_from_step_0_on(tmp_path):
    kept = []
    settings = train_helpers.settings("l1", "run.validate_every=1", "learning_rate=0.02")
    results = phase(
        tmp_path, settings, save_best=lambda state, found: kept.append((state.progress.step, found["mse"]))
    ).run()
    errors = {int(row["step"]): float(row["mse"]) for row in rows(tmp_path) if row["kind"] == "validation"}
    assert sorted(errors) == list(range(7))
    records = [step for step in errors if all(errors[step] < errors[before] for before in range(step))]
    assert [step for step, _ in kept] == records
    assert results["best"] == min(errors.values())
    assert kept[0][0] == 0


def test_the_gan_phase_keeps_the_model_of_least_distance_once_the_generator_moves(tmp_path):
    kept = []
    settings = train_helpers.settings("gan", "run.validate_every=1", "gan.learning_rate=0.01")
    phase(tmp_path, settings, save_best=lambda state, found: kept.append((state.progress.step, found))).run()
    validations = [row for row in rows(tmp_path) if row["kind"] == "validation"]
    distance = {int(row["step"]): float(row["earth_mover"]) for row in validations}
    # CCCGCGCCG: the generator's first update is step 3, so the models after steps 4 to 9 compete.
    assert [step for step, _ in kept] == records(range(4, 10), distance)


def records(competing, distance):
    """The steps whose positive distance is the least so far; until there is one, every step."""
    best, steps = float("inf"), []
    for step in competing:
        merit = distance[step] if distance[step] > 0 else float("inf")
        if merit < best or best == float("inf"):
            steps.append(step)
            best = merit
    return steps


def test_a_negative_estimate_of_the_distance_is_never_the_best(tmp_path, monkeypatch):
    distances = [9, 9, 9, 9, -2, -0.01, 3, -0.01, 2, 2.5]  # after steps 0 to 9; those after 4 to 9 compete
    answers = iter(distances)
    monkeypatch.setattr(Validator, "__call__", lambda self: {"mse": 1.0, "psnr": 1.0, "earth_mover": next(answers)})
    kept = []
    settings = train_helpers.settings("gan", "run.validate_every=1")
    results = phase(tmp_path, settings, save_best=lambda state, _: kept.append(state.progress.step)).run()
    assert kept == [4, 5, 6, 8]  # 4 and 5 stand in until 6 comes
    assert (results["best"], results["best_step"]) == (2, 8)


def test_the_last_k_checkpoints_stay(tmp_path):
    phase(tmp_path, train_helpers.settings("l1", "run.checkpoint_every=1", "run.keep_checkpoints=2")).run()
    names = sorted(path.name for path in (tmp_path / "checkpoints" / "l1").iterdir())
    assert names == ["step-000000005.npz", "step-000000006.npz"]


def test_tensorboard_and_pictures_are_written(tmp_path):
    phase(tmp_path, train_helpers.settings("gan", "run.picture_every=2")).run()
    events = next((tmp_path / "tensorboard" / "gan").iterdir())
    tags = {
        value.tag
        for record in tf.data.TFRecordDataset(str(events))
        for value in tf.compat.v1.Event.FromString(record.numpy()).summary.value
    }
    assert {
        "train/loss",
        "train/earth_mover",
        "train/penalty",
        "train/gradient_norm",
        "train/critic_gradient_norm",
        "train/score_real",
        "train/score_fake",
        "train/adversarial_loss",
        "validation/psnr",
        "validation/earth_mover",
        "gan/patches",
    } <= tags
    pictures = sorted(path.name for path in (tmp_path / "pictures").iterdir())
    assert pictures == [f"gan-{step:09d}.png" for step in (0, 6)]
    pixels = tf.io.decode_png((tmp_path / "pictures" / pictures[0]).read_bytes()).numpy()
    assert pixels.std() > 10


def test_validation_is_mean_squared_error_over_all_patches(tmp_path):
    state = build_state(train_helpers.TINY, "gan")
    sizes = (2, 1)  # the last batch is smaller
    pairs = [train_helpers.batch(5, step, size) for step, size in enumerate(sizes)]
    spec = (tf.TensorSpec((None, *[train_helpers.PATCH] * 3, 1)),) * 2
    found = Validator(
        state, lambda: tf.data.Dataset.from_generator(lambda: iter(pairs), output_signature=spec), WGAN_GP.judge
    )()
    low, high = (np.concatenate(parts).astype(np.float64) for parts in zip(*pairs, strict=True))
    super_res = state.generator(low, training=False).numpy()
    error = np.mean((super_res - high) ** 2)
    assert found["mse"] == pytest.approx(error, rel=1e-5)
    peak = high.max() - high.min()
    assert found["psnr"] == pytest.approx(10 * np.log10(peak**2 / error), rel=1e-5)
    assert found["input_psnr"] == pytest.approx(10 * np.log10(peak**2 / np.mean((low - high) ** 2)), rel=1e-6)
    scores = state.critic(high).numpy().mean() - state.critic(super_res).numpy().mean()
    assert found["earth_mover"] == pytest.approx(scores, abs=1e-5)


def test_validation_normalises_as_the_models_card_says():
    state = build_state(train_helpers.TINY, "l1")
    low, high = train_helpers.batch(5, 0, 3)
    spec = (tf.TensorSpec((None, *[train_helpers.PATCH] * 3, 1)),) * 2

    def batches():
        return tf.data.Dataset.from_generator(lambda: iter([(low, high)]), output_signature=spec)

    each = [state.generator(patch[np.newaxis], training=False).numpy() for patch in low]
    before = [variable.numpy().copy() for variable in state.generator.variables]
    by_moving, by_batch = (Validator(state, batches, statistics=mode)()["mse"] for mode in ("moving", "batch"))
    for variable, value in zip(state.generator.variables, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)
    assert by_moving == pytest.approx(np.mean((np.concatenate(each) - high) ** 2), rel=1e-5)
    each = [state.generator(patch[np.newaxis], training=True).numpy() for patch in low]  # as inference: one at a time
    assert by_batch == pytest.approx(np.mean((np.concatenate(each) - high) ** 2), rel=1e-5)
    assert train_helpers.settings("l1").statistics == "batch"
    assert train_helpers.settings("l1", "bn_reestimation_batches=2").statistics == "moving"


@pytest.mark.parametrize(
    ("precision", "enabled"), [("float32", False), ("mixed_bfloat16", False), ("tensorfloat32", True)]
)
def test_float32_is_float32_on_a_gpu_too_unless_asked(precision, enabled):
    from mdcsrn_tf.training.run import _set_up

    _set_up(train_helpers.settings("l1", precision=precision))
    assert tf.config.experimental.tensor_float_32_execution_enabled() is enabled
    generator = build_state(train_helpers.TINY, "l1", precision=precision).generator
    assert {variable.dtype for variable in generator.variables} == {"float32"}


def test_reestimated_statistics_are_the_means_over_batches():
    state = build_state(train_helpers.TINY, "l1")
    norms = [layer for layer in state.generator.layers if hasattr(layer, "moving_variance")]
    first = norms[0]
    weights = [v.numpy().copy() for v in state.generator.trainable_variables]
    assert reestimate_statistics(state.generator, train_helpers.data().training(10), 4)
    inside = keras.Model(state.generator.input, first.input)
    means, variances = [], []
    for step in range(10, 14):
        features = inside(train_helpers.batch(0, step)[0]).numpy().astype(np.float64)
        means.append(features.mean(axis=(0, 1, 2, 3)))
        variances.append(features.var(axis=(0, 1, 2, 3)))
    np.testing.assert_allclose(first.moving_mean.numpy(), np.mean(means, axis=0), atol=1e-5)
    np.testing.assert_allclose(first.moving_variance.numpy(), np.mean(variances, axis=0), rtol=1e-3)
    for before, after in zip(weights, state.generator.trainable_variables, strict=True):
        np.testing.assert_array_equal(before, after.numpy())


def test_the_clock_counts_validation_and_measuring_anew(tmp_path, monkeypatch):
    """By a clock that only these two move, 100 s each: validated before training, at steps 3 and 6, and at the end."""
    now = [0.0]
    monkeypatch.setattr(loop, "time", types.SimpleNamespace(monotonic=lambda: now[0]))

    def takes_100_seconds(do):
        def slowly(*arguments):
            now[0] += 100.0
            return do(*arguments)

        return slowly

    monkeypatch.setattr(loop.Validator, "__call__", takes_100_seconds(loop.Validator.__call__))
    monkeypatch.setattr(loop, "reestimate_statistics", takes_100_seconds(reestimate_statistics))
    settings = train_helpers.settings("l1", "bn_reestimation_batches=1")
    assert phase(tmp_path, settings).run()["seconds"] == 500.0
    assert arrays(tmp_path, "l1").meta["progress"]["seconds"] == 500.0
