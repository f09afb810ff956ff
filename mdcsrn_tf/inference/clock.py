"""How long the parts of one scan's way took, for the line that is printed when it is done."""

from __future__ import annotations

import time


class Clock:
    """What took how long."""

    def __init__(self) -> None:
        self._last = time.monotonic()
        self._laps: list[str] = []

    def go_on(self) -> None:
        """After a time of waiting, which counts for nothing."""
        self._last = time.monotonic()

    def lap(self, name: str) -> None:
        """What was done since the last lap is called so."""
        now = time.monotonic()
        self._laps.append(f"{name} {now - self._last:.1f} s")
        self._last = now

    def __str__(self) -> str:
        return ", ".join(self._laps)
