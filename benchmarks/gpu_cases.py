"""What gpu_steps.py times, in the order of its worth, and how its two workers are talked to."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Case:
    """A training step of `batch` patches of edge `patch`, or a volume in tiles of that edge, `batch` at a time."""

    name: str
    kind: str  # l1, critic, generator, or volume
    preset: str
    batch: int
    patch: int
    shape: tuple[int, int, int] = (0, 0, 0)  # of the volume
    margin: int = 3


_LIST = (
    Case("l1-6", "l1", "journal/b4u4k12", 6, 40),
    Case("l1-64", "l1", "journal/b4u4k12", 64, 40),
    Case("volume", "volume", "journal/b4u4k12", 10, 70, (320, 320, 256)),
    Case("journal-critic", "critic", "journal/b4u4k12", 6, 40),
    Case("journal-generator", "generator", "journal/b4u4k12", 6, 40),
    Case("miccai-critic", "critic", "miccai/b4u4k16", 2, 64),
    Case("miccai-generator", "generator", "miccai/b4u4k16", 2, 64),
)
CASES = {case.name: case for case in _LIST}
# The same, too small to say anything: whether all of it runs, on any processor.
TINY = {
    case.name: Case(case.name, case.kind, case.preset, 2, 22 if case.kind == "volume" else 16, (32, 16, 16))
    for case in _LIST
}


def say(**answer: Any) -> None:
    """One line of JSON to gpu_steps.py."""
    print(json.dumps(answer), flush=True)


def obey(commands: dict[str, Callable[..., dict[str, Any]]]) -> None:
    """Answer `COMMAND CASE [NUMBER]` from standard input, line by line; what fails is said, and does not end it."""
    for line in sys.stdin:
        command, case, *numbers = line.split()
        try:
            say(command=command, case=case, **commands[command](case, *map(int, numbers)))
        except Exception as error:
            say(command=command, case=case, error=in_short(error))


def in_short(error: BaseException) -> str:
    """The kind of an error and the first line of what it says."""
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:200]}"


def seconds_each(run: Callable[[], Any], wait: Callable[[Any], Any], count: int) -> float:
    """Seconds of one of `count` runs, the last of which is waited for."""
    started = time.perf_counter()
    for _ in range(count):
        result = run()
    wait(result)
    return (time.perf_counter() - started) / count
