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

from benchmarks import pages


@dataclass
class Contender:
    """A process that takes timed steps on demand."""

    name: str
    command: Sequence[str]
    seconds: list[float] = field(default_factory=list)
    peak_gib: float = 0.0
    _process: subprocess.Popen | None = None

    def start(self) -> None:
        """Start the process and wait until it has warmed up."""
        self._process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._ask_for("ready")

    def step(self) -> None:
        """Let it take one step and note the seconds."""
        assert self._process is not None and self._process.stdin is not None
        self._process.stdin.write("step\n")
        self._process.stdin.flush()
        self.seconds.append(self._ask_for("seconds"))

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

    def _ask_for(self, key: str) -> float:
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


def serve(step: Callable[[], object], warm_up: int = 2) -> None:
    """Be a contender: warm up, then step whenever a line comes in on standard input."""
    for _ in range(warm_up):
        step()
    _answer("ready", 1)
    for _ in sys.stdin:
        started = time.perf_counter()
        step()
        _answer("seconds", time.perf_counter() - started)
    _answer("peak_gib", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)


def _answer(key: str, value: float) -> None:
    print(json.dumps({key: value}), flush=True)


def result(contender: Contender, reference: Contender) -> dict:
    """What came of a contender's turns with the reference: medians, their ratio, peak memory."""
    return {
        "contender": contender.name,
        "ratio": round(contender.median / reference.median, 3),
        "median_seconds": round(contender.median, 4),
        "reference_median_seconds": round(reference.median, 4),
        "seconds": [round(value, 4) for value in contender.seconds],
        "reference_seconds": [round(value, 4) for value in reference.seconds],
        "peak_gib": round(contender.peak_gib, 2),
        "reference_peak_gib": round(reference.peak_gib, 2),
    }


def print_row(row: dict) -> None:
    """The result as a line on standard output."""
    print(
        f"{row['contender']:28s} {row['median_seconds']:9.3f} s {row['ratio']:7.2f} {row['peak_gib']:7.2f} GiB"
        f"   (reference {row['reference_median_seconds']:.3f} s, {row['reference_peak_gib']:.2f} GiB)",
        flush=True,
    )


_OURS = "tensorflow-mixed_bfloat16"


def readme_lines() -> list[str]:
    """Ours as a share of PyTorch's time."""
    inference = {row["contender"]: row["ratio"] for row in pages.read("infer_volume.json")["results"]["rows"]}
    steps = {}
    for kind in ("l1", "critic", "generator"):
        contenders = pages.read(f"train_step_{kind}.json")["results"]["contenders"]
        steps[kind] = next(row for row in contenders if row["contender"] == _OURS)
    rows = [[f"training, {kind} step, mixed bfloat16", f"{row['ratio']:.2f}"] for kind, row in steps.items()]
    rows += [[f"inference, {name}", f"{inference[name]:.2f}"] for name in ("tensorflow-bfloat16", "openvino-bfloat16")]
    kept = inference["torch-bfloat16-kept"]
    sentence = (
        "Time as a share of PyTorch's (bfloat16, channels_last_3d) on two CPU cores, `journal/b4u4k12`, batch 6 of 40^3"
        f" and 320 x 320 x 256 voxels; with our allocator setting PyTorch's own inference takes {kept:.2f}:"
    )
    return [sentence, "", *pages.table(["", "share"], rows), ""]
