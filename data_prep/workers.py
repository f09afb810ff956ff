"""Run the jobs here, on local processes, or on an existing Dask cluster; yield results as they come."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from mdcsrn_tf.errors import UserError
from mdcsrn_tf.workers import worker_pool

Work = Callable[[Any], dict[str, Any]]
SECONDS_TO_ANSWER = 8  # that a scheduler is given


def run_local(work: Work, jobs: Sequence[Any], workers: int) -> Iterator[dict[str, Any]]:
    """Results of `work` on each job, by `workers` processes (1: in this one)."""
    workers = min(workers, len(jobs))
    if workers <= 1:
        yield from map(work, jobs)
        return
    with worker_pool(workers) as pool:
        futures = [pool.submit(work, job) for job in jobs]
        try:
            for future in as_completed(futures):
                yield future.result()
        except BrokenProcessPool as error:
            raise UserError(
                "A worker was killed, probably for want of memory; run the same command again with fewer "
                "--workers: finished scans are kept."
            ) from error


def run_on_cluster(work: Work, jobs: Sequence[Any], address: str) -> Iterator[dict[str, Any]]:
    """The same on the Dask scheduler at `address`, whose workers must see the same folders."""
    try:
        from dask import distributed
    except ImportError as error:
        raise UserError("--cluster needs Dask; install it with: pip install 'mdcsrn-tf[cluster]'.") from error
    try:
        client = distributed.Client(address, timeout=SECONDS_TO_ANSWER, set_as_default=False)
    except (OSError, TimeoutError, ValueError) as error:
        raise UserError(f"No Dask scheduler answers at --cluster={address} ({error}); start one.") from error
    with client:
        # Jobs are pure in their effect: a worker that dies has its jobs done again elsewhere.
        futures = client.map(work, jobs, pure=False, retries=3)
        try:
            for future in distributed.as_completed(futures, loop=client.loop):
                yield future.result()
        except distributed.KilledWorker as error:
            raise UserError(
                f"Workers of --cluster={address} keep dying at the same scan, probably for want of memory; "
                "run the same command again: finished scans are kept."
            ) from error
