"""One run at a time in a working folder, or for a moment only."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mdcsrn_tf.errors import UserError
from mdcsrn_tf.files import this_host

LOCK_NAME = ".lock"


@contextmanager
def only_run_in(folder: Path) -> Iterator[None]:
    """Hold `folder` (made if need be) for this run; UserError while another run holds it.

    The system itself lets go of the lock when its holder ends, however it ends, so a killed run never stands in
    the way of the next. The file says who holds it; it goes when the run ends.
    """
    path = folder / LOCK_NAME
    descriptor = _acquire(folder, path)
    try:
        os.truncate(descriptor, 0)
        os.pwrite(descriptor, f"process {os.getpid()} on {this_host()}\n".encode(), 0)
        yield
    finally:
        with suppress(OSError):
            path.unlink()
        os.close(descriptor)


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Hold `folder` for a moment, others waiting: to read a file in it, and write it with something added.

    It is the folder itself that is locked, so nothing is left behind. Where the file system knows no such locks,
    nobody waits.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _acquire(folder: Path, path: Path) -> int:
    while True:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        except OSError as error:
            raise UserError(f"Nothing can be written to {folder} ({error.strerror}); name another folder.") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(descriptor, 200, 0).decode(errors="replace").strip() or "another process"
            os.close(descriptor)
            raise UserError(
                f"Another run is working in {folder} ({holder}); wait for it, or name another folder."
            ) from error
        except OSError:
            return descriptor  # a file system without locks: nothing can be known
        # The file that was locked may be one that its holder has just removed.
        with suppress(OSError):
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                return descriptor
        os.close(descriptor)
