"""Scans one after the other, the next one being read and the last one being written while one is computed."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from mdcsrn_tf.inference.room import LARGE_TILE_BYTES, room_at_hand

AMPLE = 4 << 30  # bytes at hand: with less, nothing is held beside the scan that is computed
COPIES = 16  # of a scan: about what reading one, computing another and writing a third take, beside a tile

Item = TypeVar("Item")
Scan = TypeVar("Scan")
Write = Callable[[], None]


def has_ample_room(scan_bytes: int) -> bool:
    """Whether three scans of so many bytes may be held at a time."""
    return room_at_hand() >= max(AMPLE, LARGE_TILE_BYTES + COPIES * scan_bytes)


def overlapped(
    items: Sequence[Item],
    read: Callable[[Item], Scan],
    compute: Callable[[Item, Scan], Write | None],
    on_error: Callable[[Item, Exception], None],
    has_room: Callable[[Scan], bool],
    on_interrupt: Callable[[], None] = lambda: None,
) -> None:
    """Read, compute and write each item; `compute` returns what writes its result.

    One item at a time is read ahead, and one is written, each by a thread of its own: at most three are held. What goes
    wrong with an item is told to `on_error` with it, and the others go on, unless that raises. The last one, and every
    one beside which there is no room for others like it, is written before anything else is done, and let go. A key
    that interrupts ends what the two threads are at, after `on_interrupt`: no thread can be stopped.
    """
    # Python's warning filters are all threads' own: where two change them in turn, one of them comes back too late.
    with warnings.catch_warnings(), _Ahead(read) as ahead, _Written(on_error) as written:
        for place, item in enumerate(items):
            scan: Scan | None = None
            write: Write | None = None
            try:
                scan = ahead.take(item)
                others = place + 1 < len(items) and has_room(scan)
                if others:
                    ahead.read(items[place + 1])
                write = compute(item, scan)
                scan = None
                written.wait()
                if write:
                    written.follow(item, write, at_once=not others)
            except Exception as error:
                _tell(on_error, item, error, written)
            except KeyboardInterrupt:
                if ahead.waits or written.waits:
                    on_interrupt()
                raise
            finally:
                scan = write = None  # these hold the scan and its result, while the next one is read
        written.wait()


def _tell(on_error: Callable, item: object, error: Exception, written: _Written) -> None:
    """Of what went wrong; where that ends the run, also of what went wrong with the item before."""
    try:
        on_error(item, error)
    except Exception:
        written.wait()
        raise


class _OneThread:
    """A thread that is at its work's end when it is left."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1)

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()


class _Ahead(_OneThread):
    """The one item that is being read ahead."""

    def __init__(self, read: Callable):
        super().__init__()
        self._read = read
        self._future: Future | None = None

    def read(self, item: object) -> None:
        """Let the reader read it."""
        self._future = self._pool.submit(self._read, item)

    def take(self, item: object) -> Any:
        """The item's scan, which is then held here no longer; read now, where it was not read ahead."""
        if self._future is None:
            return self._read(item)
        try:
            return self._future.result()
        finally:
            if self._future.done():
                self._future = None

    @property
    def waits(self) -> bool:
        """Whether it is still to be read."""
        return self._future is not None and not self._future.done()


class _Written(_OneThread):
    """The one item that is being written."""

    def __init__(self, on_error: Callable):
        super().__init__()
        self._on_error = on_error
        self._last: tuple | None = None

    def follow(self, item: object, write: Write, at_once: bool) -> None:
        """Have it written, beside what comes next or before."""
        if at_once:
            write()
        else:
            self._last = item, self._pool.submit(write)

    @property
    def waits(self) -> bool:
        """Whether it is still to be written."""
        return self._last is not None and not self._last[1].done()

    def wait(self) -> None:
        """Until it is written; what went wrong is told."""
        if self._last is None:
            return
        item, future = self._last
        self._last = None
        try:
            future.result()
        except Exception as error:
            self._on_error(item, error)
