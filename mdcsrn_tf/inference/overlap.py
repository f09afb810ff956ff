"""Scans one after the other, the next one being read and the last one being written while one is computed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from mdcsrn_tf.inference.room import room_at_hand

AMPLE = 4 << 30  # bytes at hand: with less, nothing is held beside the scan that is computed

Item = TypeVar("Item")
Scan = TypeVar("Scan")
Write = Callable[[], None]


def has_ample_room() -> bool:
    """Whether three scans may be held at a time."""
    return room_at_hand() >= AMPLE


def overlapped(
    items: Sequence[Item],
    read: Callable[[Item], Scan],
    compute: Callable[[Item, Scan], Write | None],
    on_error: Callable[[Item, Exception], None],
    has_room: Callable[[], bool] = has_ample_room,
) -> None:
    """Read, compute and write each item; `compute` returns what writes its result.

    One item at a time is read ahead, and one is written, each by a thread of its own: at most three are held. What goes
    wrong with an item is told to `on_error` with it, and the others go on, unless that raises. The last one, and every
    one where there is little room, is written before anything else is done.
    """
    with ThreadPoolExecutor(1, "reader") as reader, ThreadPoolExecutor(1, "writer") as writer:
        ahead: Future[Scan] | None = None
        written = _Written(on_error)
        for place, item in enumerate(items):
            waiting, ahead = ahead, None
            try:
                scan = waiting.result() if waiting else read(item)
                waiting = None  # it would hold the scan as long as the next one is read
                others = place + 1 < len(items) and has_room()
                ahead = reader.submit(read, items[place + 1]) if others else None
                write = compute(item, scan)
                del scan
                written.wait()
                if write and others:
                    written.follow(item, writer.submit(write))
                elif write:
                    write()
            except Exception as error:
                on_error(item, error)
        written.wait()


class _Written:
    """The one item that is being written."""

    def __init__(self, on_error: Callable):
        self._on_error = on_error
        self._last: tuple | None = None

    def follow(self, item: object, future: Future) -> None:
        self._last = item, future

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
