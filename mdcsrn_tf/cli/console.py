"""What a command tells its user: log lines and errors on standard error, bars on a terminal, else a line a minute."""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from mdcsrn_tf.command_line import sentence_of

_SECONDS = 60.0  # between two lines of progress where there is no terminal


class Console:
    """Standard error, by way of tqdm, so that lines and bars do not mix."""

    def __init__(self, name: str, quiet: bool = False, clock: Callable[[], float] = time.monotonic):
        self._name = name
        self._quiet = quiet
        self._clock = clock

    def say(self, line: str) -> None:
        """A line of the log."""
        if not self._quiet:
            self._write(f"{self._name}: {line}")

    def failed(self, error: Exception) -> str:
        """A scan that failed: its sentence, and the traceback of a mistake of ours."""
        reason = sentence_of(error)
        if reason is None:
            # A mistake of ours must not cost the other scans of the night, nor its own traceback.
            traceback.print_exception(error, file=sys.stderr)
            reason = " ".join(f"{type(error).__name__}: {error}".split())
        self._write(f"{self._name}: error: {reason}")
        return reason

    @contextmanager
    def scan(self, name: str, place: int, count: int) -> Iterator[Callable[[int, int], None]]:
        """The progress of one scan, number `place` of `count`: called with parts done and parts in all, as tiles."""
        label = name if count == 1 else f"{name} ({place + 1} of {count})"
        if self._quiet or not sys.stderr.isatty():
            yield self._lines(label)
            return
        from tqdm import tqdm

        with tqdm(unit="part", desc=label, leave=False) as bar:
            yield lambda done, total: _move(bar, done, total)

    def _lines(self, label: str) -> Callable[[int, int], None]:
        last = self._clock()

        def update(done: int, total: int) -> None:
            nonlocal last
            now = self._clock()
            if done < total and now - last >= _SECONDS:
                last = now
                self.say(f"{label}: {done} of {total} parts")

        return update

    def _write(self, line: str) -> None:
        from tqdm import tqdm

        tqdm.write(line, file=sys.stderr)


def _move(bar, done: int, total: int) -> None:
    bar.total = total
    bar.update(done - bar.n)
