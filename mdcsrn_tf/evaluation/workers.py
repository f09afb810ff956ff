"""Run the same function on many subjects: here, in worker processes, or on a Dask cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from mdcsrn_tf.errors import UserError
from mdcsrn_tf.workers import worker_pool

_CLUSTER_TIMEOUT = "15s"

Outcome = tuple[Any, Any]  # (task, its result or the exception it raised)


def run_all(
    function: Callable[[Any], Any], tasks: Sequence[Any], workers: int = 1, cluster: str | None = None
) -> Iterator[Outcome]:
    """Yield every task with what came of it, as they finish; no exception of a task stops the others."""
    if cluster:
        yield from _on_cluster(function, tasks, cluster)
    elif workers > 1 and len(tasks) > 1:
        yield from _in_processes(function, tasks, workers)
    else:
        for task in tasks:
            yield task, _attempt(function, task)


def _attempt(function: Callable[[Any], Any], task: Any) -> Any:
    try:
        return function(task)
    except Exception as error:  # whatever is wrong with one subject must not stop the others
        return error


def _in_processes(function: Callable[[Any], Any], tasks: Sequence[Any], workers: int) -> Iterator[Outcome]:
    lost = []
    for task, outcome in _one_pool(function, tasks, workers):
        if isinstance(outcome, BrokenProcessPool):
            lost.append(task)
        else:
            yield task, outcome
    # A worker that was killed takes the whole pool along. Each unfinished task gets one more try alone, so
    # that only the one which kills its worker (out of memory, say) is lost.
    for task in lost:
        yield from _one_pool(function, [task], 1)


def _one_pool(function: Callable[[Any], Any], tasks: Sequence[Any], workers: int) -> Iterator[Outcome]:
    with worker_pool(workers) as pool:
        futures: dict[Future, Any] = {pool.submit(_attempt, function, task): task for task in tasks}
        for future in as_completed(futures):
            try:
                yield futures[future], future.result()
            except BrokenProcessPool as error:
                yield futures[future], error


def _on_cluster(function: Callable[[Any], Any], tasks: Sequence[Any], address: str) -> Iterator[Outcome]:
    try:
        import distributed
    except ImportError as error:
        raise UserError("--cluster needs the extra 'cluster': pip install 'mdcsrn-tf[cluster]'.") from error
    try:
        client = distributed.Client(address, timeout=_CLUSTER_TIMEOUT, set_as_default=False)
    except (OSError, ValueError) as error:
        raise UserError(f"No Dask scheduler answers at {address}.") from error
    with client:
        futures = {client.submit(_attempt, function, task, pure=False): task for task in tasks}
        for future in distributed.as_completed(list(futures), loop=client.loop):
            failure = future.exception()
            yield futures[future], (future.result() if failure is None else failure)
