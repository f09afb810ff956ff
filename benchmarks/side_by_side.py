"""Time contenders fairly on a noisy machine: each in a process of its own, taking turns, medians compared.

A contender is a script that calls `serve(step)`: it warms up, says so, and takes one timed step whenever it
is asked. Between its turns it waits on a pipe, so contenders share nothing but the weather.
"""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks import pages


@dataclass
class Contender:
    """A process that takes timed steps on demand."""

    name: str
    command: Sequence[str]
    seconds: list[float] = field(default_factory=list)
    cpu_seconds: list[float] = field(default_factory=list)  # of all its threads
    peak_gib: float = 0.0
    _process: subprocess.Popen | None = None

    def start(self) -> None:
        """Start the process and wait until it has warmed up."""
        self._process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._ask_for("ready")

    def step(self) -> None:
        """Let it take one step and note its seconds, by the wall's clock and by its own."""
        assert self._process is not None and self._process.stdin is not None
        self._process.stdin.write("step\n")
        self._process.stdin.flush()
        wall, cpu = self._ask_for("seconds")
        self.seconds.append(wall)
        self.cpu_seconds.append(cpu)

    def stop(self) -> None:
        """End the process and note its peak memory."""
        assert self._process is not None and self._process.stdin is not None
        self._process.stdin.close()
        self.peak_gib = self._ask_for("peak_gib")
        self._process.wait()

    @property
    def median(self) -> float:
        """Of its steps' seconds."""
        return statistics.median(self.seconds)

    def _ask_for(self, key: str) -> Any:
        """Read until the process answers `{key: value}`; libraries print to standard output too."""
        assert self._process is not None and self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("{") and key in (answer := json.loads(line)):
                return answer[key]
        raise RuntimeError(f"{self.name} ended before it answered ({' '.join(self.command)})")


def take_turns(contenders: Sequence[Contender], rounds: int) -> None:
    """Start all, let them step in turns for `rounds` rounds, stop all."""
    for contender in contenders:
        contender.start()
        print(f"  {contender.name} is warm", file=sys.stderr)
    for _ in range(rounds):
        for contender in contenders:
            contender.step()
    for contender in contenders:
        contender.stop()


def serve(step: Callable[[], object], warm_up: Callable[[], object] | None = None) -> None:
    """Be a contender: warm up by that (the step itself) until it settles, then step whenever a line comes in."""
    settle(warm_up or step)
    _answer("ready", 1)
    for _ in sys.stdin:
        started, own = time.perf_counter(), time.process_time()
        step()
        _answer("seconds", (time.perf_counter() - started, time.process_time() - own))
    _answer("peak_gib", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)


def settle(step: Callable[[], object], most: int = 8) -> None:
    """Step until the time no longer falls: until two steps in a row are no shorter than one before."""
    shortest, since = float("inf"), 0
    for _ in range(most):
        started = time.perf_counter()
        step()
        seconds = time.perf_counter() - started
        since = 0 if seconds < 0.98 * shortest else since + 1
        shortest = min(shortest, seconds)
        if since == 2:
            return


def _answer(key: str, value: object) -> None:
    print(json.dumps({key: value}), flush=True)


def result(contender: Contender, reference: Contender) -> dict:
    """What came of a contender's turns with the reference: medians, their ratio, peak memory."""
    return {
        "contender": contender.name,
        "ratio": round(contender.median / reference.median, 3),
        "median_seconds": round(contender.median, 4),
        "reference_median_seconds": round(reference.median, 4),
        "cpu_ratio": round(statistics.median(contender.cpu_seconds) / statistics.median(reference.cpu_seconds), 3),
        "seconds": rounded(contender.seconds),
        "reference_seconds": rounded(reference.seconds),
        "cpu_seconds": rounded(contender.cpu_seconds),
        "reference_cpu_seconds": rounded(reference.cpu_seconds),
        "peak_gib": round(contender.peak_gib, 2),
        "reference_peak_gib": round(reference.peak_gib, 2),
    }


def rounded(seconds: Sequence[float]) -> list[float]:
    """To tenths of milliseconds."""
    return [round(value, 4) for value in seconds]


def best_of_torch(rows: Sequence[dict[str, Any]], key: str = "ratio") -> tuple[str, float]:
    """PyTorch's fastest form, and its ratio; the reference's own is 1."""
    ratios = {row["contender"]: row[key] for row in rows if row["contender"].startswith("torch")}
    return min({REFERENCE: 1.0, **ratios}.items(), key=lambda item: item[1])


def print_row(row: dict) -> None:
    """The result as a line on standard output."""
    print(
        f"{row['contender']:28s} {row['median_seconds']:9.3f} s {row['ratio']:7.2f} {row['peak_gib']:7.2f} GiB"
        f"   (reference {row['reference_median_seconds']:.3f} s, {row['reference_peak_gib']:.2f} GiB)",
        flush=True,
    )


REFERENCE = "torch-bfloat16"
_OURS = "tensorflow-mixed_bfloat16"


def readme_lines() -> list[str]:
    """Ours as a share of the time that PyTorch takes in its fastest form."""
    rows = []
    for kind in ("l1", "critic", "generator"):
        found = pages.read(f"train_step_{kind}.json")["results"]["contenders"]
        rows.append([f"training, {kind} step, mixed bfloat16", f"{share_of(found, _OURS):.2f}"])
    found = pages.read("infer_volume.json")["results"]["rows"]
    rows += [[f"inference, {name}", f"{share_of(found, name):.2f}"] for name in _INFERENCE]
    sentence = (
        "Time as a share of what PyTorch takes in its fastest form (bfloat16, our allocator setting, settled) "
        "on two CPU cores, `journal/b4u4k12`, training steps on 6 of 40^3 and tiles of 70^3:"
    )
    return [sentence, "", *pages.table(["", "share"], rows), ""]


_INFERENCE = ("tensorflow-bfloat16", "openvino-bfloat16", "openvino-int8")


def share_of(rows: Sequence[dict[str, Any]], name: str) -> float:
    """A contender's ratio over that of PyTorch's fastest form."""
    return next(row["ratio"] for row in rows if row["contender"] == name) / best_of_torch(rows)[1]
