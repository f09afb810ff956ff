"""The loop: iterate, log, validate, save, resume; stop on NaN and on a signal."""

from __future__ import annotations

import dataclasses
import math
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import tensorflow as tf

from mdcsrn_tf.errors import UserError
from mdcsrn_tf.training.checkpoints import CheckpointFolder
from mdcsrn_tf.training.distribution import (
    any_process,
    distribute,
    is_chief,
    replica_batch,
    replica_slice,
    spans_processes,
)
from mdcsrn_tf.training.log import TrainingLog, Window
from mdcsrn_tf.training.pictures import draw_patches
from mdcsrn_tf.training.schedule import GanSchedule, learning_rate_at
from mdcsrn_tf.training.settings import TrainSettings, difference
from mdcsrn_tf.training.state import TrainState
from mdcsrn_tf.training.steps import wgan_gp as train_steps
from mdcsrn_tf.training.stop_request import StopRequest
from mdcsrn_tf.training.validation import Validator, reestimate_statistics


@dataclass(frozen=True)
class TrainData:
    """Where batches of (low_res, high_res) come from; both are global batches."""

    # Endless, from that step on, a pure function of it; with `part=(start, size)` only those places of each batch.
    training: Callable[..., tf.data.Dataset]
    validation: Callable[[], tf.data.Dataset]


@dataclass
class Phase:
    """One phase of training in a working folder; `run` may be called again after any interruption."""

    settings: TrainSettings
    state: TrainState
    data: TrainData
    workdir: Path
    save_best: Callable[[TrainState, dict[str, float]], None]
    strategy: tf.distribute.Strategy = field(default_factory=tf.distribute.get_strategy)
    allow_change: bool = False

    def __post_init__(self) -> None:
        recipe = self.settings.preset.training
        self.name = self.settings.phase
        self.schedule = GanSchedule.of(recipe.gan) if self.name == "gan" else None
        self.total = self.schedule.total if self.schedule else recipe.l1_steps
        self.writes = is_chief(self.strategy)
        upkeep = self.settings.upkeep
        self.validate_every = upkeep.validate_every or max(25, self.total // 100)
        self.checkpoints = CheckpointFolder(self.workdir / "checkpoints" / self.name, upkeep.keep_checkpoints)
        self.found: dict[str, float] = {}

    def run(self) -> dict[str, Any]:
        """Train to the end of the phase or to a stop signal; the results say which."""
        self.resume()
        progress = self.state.progress
        if progress.complete:
            return self._results(stopped=None)
        self._validator = Validator(
            self.state, self.data.validation, statistics=self.settings.statistics, jit=self.settings.jit
        )
        self._log = TrainingLog(
            self.workdir, self.name, progress.step, self.total, self.settings.preset.training.batch_size, self.writes
        )
        self._clock = time.monotonic()
        self._saved = time.monotonic()
        try:
            with StopRequest() as stop:
                stopped = self._train(stop)
                if not stopped:
                    self._finish()
                    stopped = self._must_stop(stop)
            return self._results(stop.signal if stopped else None)
        finally:
            self._log.close()

    def resume(self) -> None:
        """Continue from the newest checkpoint, unless its settings differ from this run's."""
        self.checkpoints.clear_partial()
        checkpoint = self.checkpoints.latest()
        if checkpoint is None:
            return
        try:
            old, progress = checkpoint.meta["settings"], checkpoint.meta["progress"]
            changes = difference(old, self.settings.comparable())
        except (KeyError, TypeError, AttributeError) as error:
            raise UserError(f"The checkpoint {checkpoint.path} is damaged; remove it to use the one before.") from error
        if changes and not self.allow_change:
            raise UserError(
                f"{self.workdir} holds a run with other settings ({'; '.join(changes)}): use the old ones, "
                "another --workdir, or --allow_change to go on with the new ones."
            )
        self.state.restore(checkpoint.arrays, progress, str(checkpoint.path))
        self.state.progress.complete = self.state.progress.complete and self.state.progress.step >= self.total

    def _train(self, stop: StopRequest) -> bool:
        """Train to the end of the phase (False) or to a stop request (True)."""
        progress, window = self.state.progress, Window()
        if progress.step == 0:
            self._validate()
        update = compile_updates(self.settings, self.state, self.strategy)
        batches = distribute(
            self.strategy, partial(self.data.training, progress.step), self.settings.preset.training.batch_size
        )
        batches = iter(batches)
        while progress.step < self.total and not self._must_stop(stop):
            network = self.schedule.update_at(progress.step) if self.schedule else "generator"
            window.add(progress.step, update(network, next(batches), progress.step, self._rate(progress.step)))
            progress.step += 1
            self._log.advance(progress.step)
            self._after_step(window)
        self._flush(window)
        self._save()
        return self._must_stop(stop)

    def _must_stop(self, stop: StopRequest) -> bool:
        """Whether to end here; processes that step together ask each other, at the steps that are logged."""
        if not spans_processes(self.strategy):
            return stop.signal is not None
        if self.state.progress.step % self.settings.upkeep.log_every:
            return False
        # What was agreed counts: a signal that comes while the answer is on its way has to wait for the next time.
        agreed = any_process(self.strategy, stop.signal is not None)
        if agreed and stop.signal is None:
            stop.signal = signal.SIGTERM
        return agreed

    def _after_step(self, window: Window) -> None:
        step, upkeep = self.state.progress.step, self.settings.upkeep
        validates = step % self.validate_every == 0 or step == self.total
        by_count = upkeep.checkpoint_every and step % upkeep.checkpoint_every == 0
        if step % upkeep.log_every == 0 or validates or by_count:
            self._flush(window)
            if validates:
                self._validate()
            if by_count or time.monotonic() - self._saved > 60 * upkeep.checkpoint_minutes:
                self._save()

    def _flush(self, window: Window) -> None:
        step = self.state.progress.step
        metrics, bad = window.flush()
        if bad is not None:
            name, at = bad
            self._stop_on_nan(name, at)
        if metrics:
            self._log.train(step, {"learning_rate": self._rate(step - 1), **metrics})

    def _stop_on_nan(self, name: str, step: int) -> None:
        kept = self.checkpoints.paths()
        where = f"the last good checkpoint is {kept[-1]}" if kept else "there is no checkpoint yet"
        raise UserError(
            f"{name} is not finite at step {step} of the {self.name} phase; {where}. "
            "Lower --learning_rate, or use --precision=float32, and start again from there with --allow_change."
        )

    def _validate(self) -> None:
        progress = self.state.progress
        self.found = self._validator()
        for name, value in self.found.items():
            if value != value or abs(value) == float("inf"):
                self._stop_on_nan(f"validation {name}", progress.step)
        self._log.validation(progress.step, self.found)
        self._keep_best()
        if self.writes and (progress.step // self.validate_every) % self.settings.upkeep.picture_every == 0:
            self._draw()

    def _keep_best(self) -> None:
        """J section 4.1: by validation error in the L1 phase, by EM distance in the GAN phase."""
        progress, merit = self.state.progress, self._merit()
        if merit is None:
            return
        if progress.best is None or merit < progress.best:
            # Until a model has a finite merit, the latest stands in for the best.
            progress.best, progress.best_step = merit if math.isfinite(merit) else None, progress.step
            if self.writes:
                self.save_best(self.state, self.found)

    def _merit(self) -> float | None:
        """The lower the better; None for what does not compete, infinite for what is never the best."""
        if self.schedule is None:
            return self.found["mse"]
        if not self.schedule.counts_before(self.state.progress.step)[1]:
            return None  # before the generator's first update the critic is still learning to tell
        distance = self.found["earth_mover"]
        return distance if distance > 0 else math.inf  # no distance is negative: the critic fails there

    def _draw(self) -> None:
        step = self.state.progress.step
        low_res, high_res = self._validator.examples()
        super_res = self._validator.super_resolve(tf.constant(low_res)).numpy()
        path = self.workdir / "pictures" / f"{self.name}-{step:09d}.png"
        draw_patches(path, low_res, super_res, high_res, title=f"{self.name} phase, step {step}")
        self._log.picture(step, path)

    def _finish(self) -> None:
        progress, count = self.state.progress, self.settings.preset.training.bn_reestimation_batches
        if reestimate_statistics(self.state.generator, self.data.training(self.total), count):
            self._log.say(f"{self.name}: the BN statistics were measured anew over {count} batches")
            self._validate()
        progress.complete = True
        self._save()

    def _save(self) -> None:
        progress = self.state.progress
        progress.seconds += time.monotonic() - self._clock
        self._clock = self._saved = time.monotonic()
        if self.writes:
            meta = {"settings": self.settings.comparable(), "progress": dataclasses.asdict(progress)}
            self.checkpoints.save(progress.step, self.state.arrays(), meta)

    def _rate(self, step: int) -> float:
        recipe = self.settings.preset.training
        base = recipe.gan.learning_rate if self.schedule else recipe.learning_rate
        return learning_rate_at(step, base, self.total, "constant" if self.schedule else recipe.learning_rate_decay)

    def _results(self, stopped: int | None) -> dict[str, Any]:
        return {**dataclasses.asdict(self.state.progress), "total": self.total, "signal": stopped, **self.found}


def compile_updates(settings: TrainSettings, state: TrainState, strategy: tf.distribute.Strategy) -> Callable:
    """`update(network, batch, step, learning_rate) -> metrics`, each network's step compiled once."""
    recipe = settings.preset.training
    share = replica_batch(strategy, recipe.batch_size)
    options = train_steps.StepOptions(
        settings.loss, recipe.gan.adversarial_weight, penalty_weight=recipe.gan.gradient_penalty_weight,
        replicas=strategy.num_replicas_in_sync,
    )  # fmt: skip

    def critic(low_res: tf.Tensor, high_res: tf.Tensor, step: tf.Tensor) -> train_steps.Metrics:
        alpha = replica_slice(train_steps.draw_alpha(settings.seed, step, recipe.batch_size), share)
        return train_steps.critic_step(state, options, low_res, high_res, alpha)

    def generator(low_res: tf.Tensor, high_res: tf.Tensor, step: tf.Tensor) -> train_steps.Metrics:
        chosen = train_steps.l1_step if settings.phase == "l1" else train_steps.generator_step
        return chosen(state, options, low_res, high_res)

    def compiled(replica_step: Callable) -> Callable:
        @tf.function(jit_compile=settings.jit or None)
        def everywhere(low_res: Any, high_res: Any, step: tf.Tensor) -> train_steps.Metrics:
            metrics = strategy.run(replica_step, (low_res, high_res, step))
            return {key: strategy.reduce("MEAN", value, axis=None) for key, value in metrics.items()}

        return everywhere

    steps = {"critic": compiled(critic), "generator": compiled(generator)}

    def update(network: str, batch: Any, step: int, learning_rate: float) -> train_steps.Metrics:
        optimizer: Any = state.critic_optimizer if network == "critic" else state.generator_optimizer
        optimizer.learning_rate.assign(learning_rate)
        return steps[network](*batch, tf.constant(step, tf.int64))

    return update
