"""Scans one after the other, the next one being read and the last one being written while one is computed."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

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
) -> None:
    """Read, compute and write each item; `compute` returns what writes its result.

    One item at a time is read ahead, and one is written, each by a thread of its own: at most three are held. What goes
    wrong with an item is told to `on_error` with it, and the others go on, unless that raises. The last one, and every
    one beside which there is no room for others like it, is written before anything else is done, and let go.
    """
    # Python's warning filters are all threads' own: where two change them in turn, one of them comes back too late.
    with (
        warnings.catch_warnings(),
        ThreadPoolExecutor(1, "reader") as reader,
        ThreadPoolExecutor(1, "writer") as writer,
    ):
        ahead: Future[Scan] | None = None
        written = _Written(on_error)
        for place, item in enumerate(items):
            waiting, ahead = ahead, None
            scan: Scan | None = None
            write: Write | None = None
            try:
                scan = waiting.result() if waiting else read(item)
                waiting = None  # it would hold the scan as long as the next one is read
                others = place + 1 < len(items) and has_room(scan)
                ahead = reader.submit(read, items[place + 1]) if others else None
                write = compute(item, scan)
                scan = None
                written.wait()
                if write:
                    written.follow(item, write, writer if others else None)
            except Exception as error:
                on_error(item, error)
            finally:
                waiting = scan = write = None  # these hold the scan and its result, while the next one is read
        written.wait()


class _Written:
    """The one item that is being written."""

    def __init__(self, on_error: Callable):
        self._on_error = on_error
        self._last: tuple | None = None

    def follow(self, item: object, write: Write, writer: ThreadPoolExecutor | None) -> None:
        """Let the writer write it, or do so now where there is none."""
        if writer:
            self._last = item, writer.submit(write)
        else:
            write()

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
