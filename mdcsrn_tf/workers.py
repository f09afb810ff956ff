"""Worker processes that need no looking after, and how many cores there are for them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import connection

from mdcsrn_tf.errors import UserError


def available_cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def worker_pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    """So many processes, spawned (a fork of a process with threads may hang), that end when this one does."""
    try:
        context = multiprocessing.get_context("spawn")
        pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_live_as_worker)
    except (OSError, ImportError, NotImplementedError) as error:
        raise UserError(
            f"This system has no shared memory for several processes ({error}); let /dev/shm be writable, or take "
            "--workers=1."
        ) from error
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)  # where something failed, jobs that wait are not begun


def _live_as_worker() -> None:
    """Let a worker end when its parent is killed, or it would wait for jobs for ever, and at once by Ctrl-C.

    The terminal interrupts all processes of a command; a worker would else begin the next of the jobs that lie in its
    queue, and the command wait for it.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
