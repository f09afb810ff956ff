"""One device, several, or several machines: the strategies of `tf.distribute` behind one small face."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import tensorflow as tf

from mdcsrn_tf.errors import UserError
from mdcsrn_tf.locks import only_run_in


def make_strategy(name: str) -> tf.distribute.Strategy:
    """The strategy `single`, `mirrored` or `multiworker` (which reads TF_CONFIG, as TensorFlow documents)."""
    if name == "mirrored":
        return tf.distribute.MirroredStrategy()
    if name == "multiworker":
        try:
            workers = json.loads(os.environ.get("TF_CONFIG") or "{}").get("cluster", {}).get("worker")
        except (ValueError, AttributeError):  # no JSON, or of another shape
            workers = None
        if not workers:
            raise UserError(
                "--strategy=multiworker needs the environment variable TF_CONFIG, "
                "with the addresses of all workers and this worker's index (docs/decisions.md)."
            )
        return tf.distribute.MultiWorkerMirroredStrategy()
    return tf.distribute.get_strategy()


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Whether this process writes the files: the only one, or worker 0."""
    resolver = strategy.cluster_resolver
    return resolver is None or not resolver.task_type or resolver.task_id == 0


@contextmanager
def variables_of(strategy: tf.distribute.Strategy) -> Iterator[None]:
    """Build models in here: their variables are the strategy's, batch statistics averaged over replicas."""

    def averaged(create: Callable[..., Any], **options: Any) -> Any:
        if options.get("aggregation") in (None, tf.VariableAggregation.NONE):
            options["aggregation"] = tf.VariableAggregation.MEAN
        return create(**options)

    with strategy.scope():
        if strategy.num_replicas_in_sync == 1:
            yield
        else:
            with tf.variable_creator_scope(averaged):
                yield


def spans_processes(strategy: tf.distribute.Strategy) -> bool:
    """Whether other processes take part in every step."""
    return isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)


def any_process(strategy: tf.distribute.Strategy, flag: bool) -> bool:
    """Whether any process passed True; all of them must ask at the same step."""
    if not spans_processes(strategy):
        return flag
    return float(_total(strategy)(tf.constant(float(flag)))) > 0


@contextmanager
def held_by_chief(folder: Path, strategy: tf.distribute.Strategy) -> Iterator[None]:
    """Hold the folder, in the one process of the run that writes; where it cannot, no process goes on.

    The others would wait for it at their first step, for ever.
    """
    with ExitStack() as stack:
        refusal = None
        if is_chief(strategy):
            try:
                stack.enter_context(only_run_in(folder))
            except UserError as error:
                refusal = error
        if any_process(strategy, refusal is not None):
            raise refusal or UserError(f"Worker 0, which writes to {folder}, cannot; its own message says why.")
        yield


@lru_cache(maxsize=1)
def _total(strategy: tf.distribute.Strategy) -> Callable[[tf.Tensor], tf.Tensor]:
    """The sum of a number over all processes, traced once."""
    return tf.function(
        lambda value: strategy.reduce("SUM", strategy.run(lambda mine: mine, (value,)), axis=None), autograph=False
    )


# What a step raises when another worker has gone.
WORKER_LOST = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.InternalError,
)


def start_again() -> None:
    """Replace this process by the same command: TensorFlow joins a cluster only once in a process's life."""
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, sys.orig_argv)


def replica_batch(strategy: tf.distribute.Strategy, batch_size: int) -> int:
    """Each replica's share of the global batch."""
    share, rest = divmod(batch_size, strategy.num_replicas_in_sync)
    if rest or not share:
        raise UserError(
            f"The batch of {batch_size} cannot be shared equally by {strategy.num_replicas_in_sync} replicas; "
            "choose --batch_size as a multiple of that."
        )
    return share


def distribute(strategy: tf.distribute.Strategy, batches: Callable[..., tf.data.Dataset], batch_size: int) -> Any:
    """Hand every replica its consecutive share of each global batch; a process reads its own replicas' alone.

    `batches()` gives the global batches, `batches(part=(start, size))` those places of each.
    """
    share = replica_batch(strategy, batch_size)
    if strategy.num_replicas_in_sync == 1:
        return batches()

    def of_this_process(context: tf.distribute.InputContext) -> tf.data.Dataset:
        size = batch_size // context.num_input_pipelines
        mine = batches(part=(context.input_pipeline_id * size, size))
        return mine if size == share else mine.unbatch().batch(share, drop_remainder=True)

    return strategy.distribute_datasets_from_function(of_this_process)


def replica_slice(values: tf.Tensor, share: int) -> tf.Tensor:
    """The part of a per-sample tensor of the global batch that belongs to the replica calling this."""
    index = tf.distribute.get_replica_context().replica_id_in_sync_group
    return values[index * share : (index + 1) * share]
