"""Standard output and error that cost nobody a result: closed, full or too narrow for a name, the work goes on."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO


@contextmanager
def forgiving_streams() -> Iterator[None]:
    """Within it, what cannot be printed is not printed."""
    _open_missing_descriptors()
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (_Forgiving(stream or _standard(number)) for number, stream in enumerate(before, 1))
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        sys.stdout, sys.stderr = before
        _flush_or_discard(before[0], 1)
        _flush_or_discard(before[1], 2)


class _Forgiving:
    """A text stream that swallows what its own stream cannot take."""

    def __init__(self, stream: TextIO):
        self._stream = stream
        with suppress(AttributeError, ValueError, OSError):
            # A name that the terminal's encoding has no letters for is spelled out.
            stream.reconfigure(errors="backslashreplace")  # type: ignore[attr-defined]

    def write(self, text: str) -> int:
        with suppress(OSError, ValueError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _open_missing_descriptors() -> None:
    """Let 0, 1 and 2 be open: the next file that is opened would else become standard error, and be written over."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            nowhere = os.open(os.devnull, os.O_RDWR)
            if nowhere != number:
                os.dup2(nowhere, number)
                os.close(nowhere)


def _standard(number: int) -> TextIO:
    return os.fdopen(number, "w", encoding="utf-8", closefd=False)


def _flush_or_discard(stream: TextIO | None, number: int) -> None:
    """Python flushes once more when it ends, and would fail there: what cannot be written goes nowhere."""
    try:
        if stream is not None:
            stream.flush()
    except (OSError, ValueError):
        with suppress(OSError, ValueError):
            if stream is not None and stream.fileno() == number:
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, number)
                os.close(nowhere)
