"""Files that are written whole or not at all, and their checksums."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replace_when_done(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a hidden path beside `path`; rename it to `path` when the block succeeds, remove it when it fails.

    The hidden name keeps the suffixes (`.nii.gz`), because writers choose the format by them. Both a file
    and a directory may be written there; an existing directory at `path` is replaced.
    """
    path = Path(path)
    partial = path.with_name(f".partial-{os.getpid()}-{path.name}")
    remove(partial)
    try:
        yield partial
        if partial.is_dir():
            remove(path)
        else:
            _flush_to_disk(partial)
        partial.replace(path)
    finally:
        remove(partial)


def remove(path: Path) -> None:
    """Remove a file or a directory tree, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def sha256_of(path: str | os.PathLike[str]) -> str:
    """The file's SHA-256, read in pieces."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as stream:
        while piece := stream.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def _flush_to_disk(path: Path) -> None:
    with path.open("rb") as stream:
        os.fsync(stream.fileno())
