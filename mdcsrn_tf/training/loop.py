"""The loop: iterate, log, validate, save, resume; stop on NaN and on a signal."""

from __future__ import annotations

import dataclasses
import math
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import tensorflow as tf

from mdcsrn_tf.errors import UserError
from mdcsrn_tf.models.xla import xla_works
from mdcsrn_tf.training.checkpoints import CheckpointFolder
from mdcsrn_tf.training.content import Features
from mdcsrn_tf.training.distribution import any_process, distribute, is_chief, spans_processes
from mdcsrn_tf.training.log import TrainingLog, Window
from mdcsrn_tf.training.pictures import draw_patches
from mdcsrn_tf.training.schedule import learning_rate_at
from mdcsrn_tf.training.settings import TrainSettings, difference
from mdcsrn_tf.training.state import TrainState, critic_rate
from mdcsrn_tf.training.steps import StepOptions, metric_columns, objective_of
from mdcsrn_tf.training.steps.objective import Metrics
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
    features: Mapping[str, Features] = field(default_factory=dict)
    history: Mapping[str, Any] = field(default_factory=dict)  # what the phase started from, for who goes on with it

    def __post_init__(self) -> None:
        self.name, self.plan = self.settings.phase, self.settings.plan
        self.objective = objective_of(self.plan)
        self.schedule = self.objective.schedule(self.plan)
        self.total = self.schedule.total
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
        recipe = self.settings.preset.training
        self._validator = Validator(
            self.state,
            self.data.validation,
            self.objective.judge,
            statistics=self.settings.statistics,
            jit=self.settings.jit and xla_works(),
        )
        self._log = TrainingLog(
            self.workdir,
            self.name,
            progress.step,
            self.total,
            recipe.batch_size,
            metric_columns(recipe),
            writes=self.writes,
            shows=self.writes and not self.settings.upkeep.quiet,
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
            if old and "objective" not in old:
                raise UserError(
                    f"{self.workdir} holds an unfinished run of an earlier version of this program; finish it with "
                    "that version, or take another --workdir."
                )
            changes = difference(old, self.settings.comparable())
        except (KeyError, TypeError, AttributeError) as error:
            raise UserError(f"The checkpoint {checkpoint.path} is damaged; remove it to use the one before.") from error
        if changes and not self.allow_change:
            raise UserError(
                f"{self.workdir} holds a run with other settings ({'; '.join(changes)}): use the old ones, "
                "another --workdir, or --allow_change to go on with the new ones."
            )
        self.found = dict(checkpoint.meta.get("found", {}))  # the last validation's, for the last model's card
        self.state.restore(checkpoint.arrays, progress, str(checkpoint.path))
        self.state.progress.complete = self.state.progress.complete and self.state.progress.step >= self.total

    def _train(self, stop: StopRequest) -> bool:
        """Train to the end of the phase (False) or to a stop request (True)."""
        progress, window = self.state.progress, Window()
        if progress.step == 0:
            self._validate()
        update = compile_updates(self.settings, self.state, self.strategy, self.features)
        batches = distribute(
            self.strategy, partial(self.data.training, progress.step), self.settings.preset.training.batch_size
        )
        batches = iter(batches)
        while progress.step < self.total and not self._must_stop(stop):
            rates = self._rate(progress.step), self._rate(progress.step, critic_rate(self.plan))
            name = self.schedule.update_at(progress.step)
            window.add(progress.step, update(name, next(batches), progress.step, *rates))
            progress.step += 1
            self._log.advance(progress.step)
            self._after_step(window)
        self._flush(window)
        self._save()
        return self._must_stop(stop)

    def _must_stop(self, stop: StopRequest) -> bool:
        """Whether to end here; processes that step together ask each other, at the steps that are logged."""
        stop.fetch()
        if not spans_processes(self.strategy):
            return stop.signal is not None
        if self.state.progress.step % self.settings.upkeep.log_every:
            return False
        # Only what all processes agreed on counts: a signal that arrives meanwhile is seen at the next logged step.
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
        every = self.settings.upkeep.picture_every
        if self.writes and every and (progress.step // self.validate_every) % every == 0:
            self._draw()

    def _keep_best(self) -> None:
        """Save the model if its objective judges it better than all before."""
        progress = self.state.progress
        merit = self.objective.merit(self.found, self.schedule.counts_before(progress.step)[1])
        if merit is not None and (progress.best is None or merit < progress.best):
            # Until a model has a finite merit, the latest stands in for the best.
            progress.best, progress.best_step = merit if math.isfinite(merit) else None, progress.step
            if self.writes:
                self.save_best(self.state, self.found)

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
            settings, done = self.settings.comparable(), dataclasses.asdict(progress)
            meta = {"settings": settings, "progress": done, "found": self.found, "history": dict(self.history)}
            self.checkpoints.save(progress.step, self.state.arrays(), meta)

    def _rate(self, step: int, base: float | None = None) -> float:
        plan = self.plan
        base = plan.learning_rate if base is None else base
        return learning_rate_at(step, base, self.total, plan.learning_rate_decay, plan.drops)

    def _results(self, stopped: int | None) -> dict[str, Any]:
        return {**dataclasses.asdict(self.state.progress), "total": self.total, "signal": stopped, **self.found}


def compile_updates(
    settings: TrainSettings,
    state: TrainState,
    strategy: tf.distribute.Strategy,
    features: Mapping[str, Features] | None = None,
) -> Callable:
    """`update(name, batch, step, rate, critic_rate) -> metrics`, each of the objective's updates compiled once."""
    plan, batch_size = settings.plan, settings.preset.training.batch_size
    replicas = strategy.num_replicas_in_sync
    jit = (settings.jit and xla_works()) or None
    options = StepOptions(plan.objective, plan.terms, replicas, settings.seed, batch_size, features or {})

    def compiled(replica_step: Callable) -> Callable:
        # Without AutoGraph, which would rewrite every function it meets: nothing here branches on a tensor.
        @tf.function(jit_compile=jit, autograph=False)
        def everywhere(low_res: Any, high_res: Any, step: tf.Tensor) -> Metrics:
            metrics = strategy.run(replica_step, (state, options, low_res, high_res, step))
            return {key: strategy.reduce("MEAN", value, axis=None) for key, value in metrics.items()}

        return everywhere

    updates = {name: compiled(function) for name, function in objective_of(plan).updates.items()}

    def update(name: str, batch: Any, step: int, rate: float, critic_rate: float | None = None) -> Metrics:
        state.generator_optimizer.learning_rate.assign(rate)
        if state.critic_optimizer is not None:
            state.critic_optimizer.learning_rate.assign(rate if critic_rate is None else critic_rate)
        return updates[name](*batch, tf.constant(step, tf.int64))

    return update
