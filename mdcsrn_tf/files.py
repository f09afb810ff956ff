"""Files that are written whole or not at all, and their checksums."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import hashlib
import os
import re
import secrets
import shutil
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_OURS = re.compile(r"\.partial-(?P<host>.+)-(?P<pid>\d+)-[0-9a-f]{16}$")
_SECONDS_UNTIL_ABANDONED = 24 * 3600.0
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2  # from linux/fcntl.h and linux/fs.h
_ATTEMPTS = 100
_SWEPT: set[Path] = set()


@contextmanager
def replace_when_done(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a hidden path beside `path`; rename it to `path` when the block succeeds, remove it when it fails.

    The hidden path keeps the name, because writers choose the format by its suffixes. Both a file and a
    directory may be written there; a directory that is at `path` is exchanged for the new one in one step, and never
    for a file.
    """
    path = Path(path)
    with _folder_of_our_own(path.parent) as folder:
        partial = folder / path.name
        try:
            yield partial
        except OSError as error:
            if error.errno is not None and error.filename is None:  # a full disk's, as Python raises it
                error.filename = str(path)
            raise
        if not partial.is_dir():
            _flush_to_disk(partial)
        if not path.is_dir() or path.is_symlink():
            partial.replace(path)
        elif partial.is_dir():
            _exchange(partial, path, folder / "replaced")
        else:
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))


def check_writable(folder: Path) -> None:
    """OSError if nothing can be written to `folder`, which is made if need be."""
    folder.mkdir(parents=True, exist_ok=True)
    with _folder_of_our_own(folder):
        pass


def remove(path: Path) -> None:
    """Remove a file or a directory tree, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def remove_abandoned(folder: Path) -> None:
    """Remove from `folder` what killed runs were writing there, and nothing that a living one still writes."""
    try:
        entries = [entry for entry in folder.iterdir() if entry.name.startswith(".partial-")]
    except OSError:
        return
    for entry in entries:
        with suppress(OSError):  # it has just been finished, or another run removes it as well
            _remove_if_abandoned(entry)


def remove_abandoned_below(folder: Path) -> None:
    """The same in `folder` and in every folder below it."""
    for place, folders, _ in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        remove_abandoned(Path(place))


def can_be_read(path: Path) -> bool:
    """Whether it is a regular file: a named pipe would wait for a writer, and a name may be too long to be one."""
    try:
        return path.is_file()
    except OSError:
        return False


def sha256_of(path: str | os.PathLike[str]) -> str:
    """The file's SHA-256, read in pieces."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as stream:
        while piece := stream.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def this_host() -> str:
    """This machine's name, as far as it fits into a file name."""
    return re.sub(r"[^A-Za-z0-9.]", "", socket.gethostname())[:40] or "unnamed"


@contextmanager
def _folder_of_our_own(parent: Path) -> Iterator[Path]:
    """A new hidden folder in `parent`, locked as long as this process lives, and removed in the end.

    Its name holds the machine, the process and chance, since process numbers alone repeat in containers; mkdir
    refuses a name that is there, so that nobody can plant a link under it.
    """
    if parent not in _SWEPT:
        _SWEPT.add(parent)  # the first time that this process writes there
        remove_abandoned(parent)
    for _ in range(_ATTEMPTS):
        folder = parent / f".partial-{this_host()}-{os.getpid()}-{secrets.token_hex(8)}"
        folder.mkdir()
        descriptor = _lock(folder)
        # Between the two lines above another run may have taken it for a killed one's.
        if descriptor is not None and folder.is_dir():
            break
    else:
        raise OSError(errno.EBUSY, "other runs keep removing what is written there", str(parent))
    try:
        yield folder
    finally:
        remove(folder)
        os.close(descriptor)


def _lock(folder: Path) -> int | None:
    """A descriptor that holds the lock on `folder`; None if that is gone or somebody else's."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except OSError:
        # A file system without locks: the process number in the name has to do.
        return descriptor
    return descriptor


def _remove_if_abandoned(partial: Path) -> None:
    match = _OURS.fullmatch(partial.name)
    if match is None:
        return  # somebody else's; version 0.1.0's own names say too little to be told from those
    if match["host"] != this_host():
        # Another machine, or container, cannot be asked whether it still writes.
        if time.time() - partial.stat().st_mtime > _SECONDS_UNTIL_ABANDONED:
            remove(partial)
        return
    descriptor = os.open(partial, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        if not _is_locked(descriptor, int(match["pid"])):
            remove(partial)  # while its lock is held here: nobody can begin to write there
    finally:
        os.close(descriptor)


def _is_locked(descriptor: int, pid: int) -> bool:
    """Whether another process holds the lock; where there are no locks, whether it lives."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return Path(f"/proc/{pid}").exists()
    return False


def _exchange(new: Path, old: Path, aside: Path) -> None:
    """Let the directory `new` take the place of `old`, which comes to lie in the hidden folder."""
    if sys.platform.startswith("linux"):
        rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
        if rename and rename(_AT_FDCWD, os.fsencode(new), _AT_FDCWD, os.fsencode(old), _RENAME_EXCHANGE) == 0:
            return
    old.rename(aside)
    try:
        new.rename(old)
    except OSError:
        aside.rename(old)
        raise


def _flush_to_disk(path: Path) -> None:
    with path.open("rb") as stream:
        os.fsync(stream.fileno())
