"""Our Keras networks on JAX beside PyTorch's on one GPU: training steps and a whole volume; no TensorFlow.

    python benchmarks/gpu_steps.py [--minutes=3.5] [--output=RECORD.json] [--tiny]
    python benchmarks/gpu_steps.py --page

Everything is compiled at once, each PyTorch case in a process of its own; then, case by case, both take turns. The
record is written after each case, so that a run that is stopped loses nothing. `--tiny` tries it all on any processor.
The page's section is that of docs/gpu.md.
"""

from __future__ import annotations

import argparse
import json
import queue
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import pages
from benchmarks.gpu_cases import CASES, TINY, Case
from mdcsrn_tf.run_record import RunRecord

CLOCK = time.monotonic()
PAGE = pages.ROOT / "docs" / "gpu.md"
RECORD = "gpu_steps.json"
MARKERS = ("<!-- measured: made by benchmarks/gpu_steps.py --page -->", "<!-- end of measured -->")
LONGEST = 40.0  # seconds for one answer
PREPARING = 0.65  # of all minutes, before those that are ready are timed without the others
TURN = 0.4  # seconds, about


def main() -> None:
    """Measure, or write the page's section alone."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", default=",".join(CASES))
    parser.add_argument("--minutes", type=float, default=3.5, help="from start to end, compiling included")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--compile_seconds", type=int, default=60, help="torch.compile is given up after these")
    parser.add_argument("--torch_python", default=sys.executable, help="the interpreter that has PyTorch")
    parser.add_argument("--output", type=Path, default=pages.RESULTS / RECORD)
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--page", action="store_true")
    arguments = parser.parse_args()
    if arguments.page:
        PAGE.write_text(with_section(PAGE.read_text(encoding="utf-8"), section(pages.read(RECORD))), encoding="utf-8")
    else:
        measure(arguments)


class Worker:
    """A process that prints JSON, line by line, and is told what to do."""

    def __init__(self, command: Sequence[str]):
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._answers: queue.Queue[dict[str, Any]] = queue.Queue()
        self.prepared: dict[str, dict[str, Any]] = {}  # what it says of each case that it has compiled, or could not
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if not line.startswith('{"command"'):
                continue
            answer = json.loads(line)
            told = {key: value for key, value in answer.items() if key not in ("command", "case")}
            if answer["command"] == "prepare":
                self.prepared[answer["case"]] = told
            else:
                self._answers.put(told)
        self._answers.put({"error": "the process has ended"})

    def is_running(self) -> bool:
        """Whether it may still say something."""
        return self._process.poll() is None

    def ask(self, end: float, *words: object) -> dict[str, Any]:
        """Its answer to a command."""
        assert self._process.stdin is not None
        print(*words, file=self._process.stdin, flush=True)
        try:
            answer = self._answers.get(timeout=max(min(LONGEST, end - time.monotonic()), 0.1))
        except queue.Empty:
            answer = {"error": "no answer in time"}
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer

    def stop(self) -> None:
        """End it at once."""
        self._process.kill()
        self._process.wait()


def measure(arguments: argparse.Namespace) -> None:
    """Prepare all, time one after the other, write what is known."""
    cases = [(TINY if arguments.tiny else CASES)[name] for name in arguments.cases.split(",")]
    record = RunRecord.begin({"cases": cases, "rounds": arguments.rounds, "tiny": arguments.tiny})
    workers = started(cases, arguments)
    rows: list[dict[str, Any]] = []
    record.results = {"rows": rows}
    end = CLOCK + 60 * arguments.minutes
    alone = CLOCK + 60 * PREPARING * arguments.minutes
    try:
        while cases and time.monotonic() < end - 3:
            ready = [case for case in cases if is_ready(case, workers)]
            if not ready or (len(ready) < len(cases) and time.monotonic() < alone):
                time.sleep(0.2)
                continue
            cases.remove(ready[0])
            tell_of(record, workers)
            rows.append(row_of(ready[0], workers, arguments.rounds, end) | {"compiling": len(cases) + 1 - len(ready)})
            record.write(arguments.output, folders_kept=False)
            print(f"[{time.monotonic() - CLOCK:4.0f}] {rows[-1]}", flush=True)
    finally:
        for worker in workers.values():
            worker.stop()


def is_ready(case: Case, workers: dict[str, Worker]) -> bool:
    """Whether both engines have compiled the case, or never will."""
    return all(case.name in one.prepared or not one.is_running() for one in (workers["jax"], workers[case.name]))


def tell_of(record: RunRecord, workers: dict[str, Worker]) -> None:
    """The card and the engines' versions, and how long each case took to compile, into the record."""
    ours = workers["jax"].prepared
    theirs = {name: worker.prepared[name] for name, worker in workers.items() if name in worker.prepared}
    for engine, prepared in (("jax", ours), ("torch", theirs)):
        record.results[f"{engine}_prepared"] = dict(prepared)
        for one in prepared.values():
            record.versions[engine] = one["version"]
    record.device["gpus"] = sorted({one["device"] for one in [*ours.values(), *theirs.values()]})


def started(cases: Sequence[Case], arguments: argparse.Namespace) -> dict[str, Worker]:
    """One process for JAX, and one for each of PyTorch's cases."""
    here, tiny = Path(__file__).parent, ["tiny"] if arguments.tiny else []
    names = ",".join(case.name for case in cases)
    workers = {"jax": Worker([sys.executable, str(here / "gpu_jax.py"), names, *tiny])}
    for case in cases:
        torch = [arguments.torch_python, str(here / "gpu_torch.py"), case.name, str(arguments.compile_seconds), *tiny]
        workers[case.name] = Worker(torch)
    return workers


def row_of(case: Case, workers: dict[str, Worker], rounds: int, end: float) -> dict[str, Any]:
    """Both engines at one case, in turns; an engine that fails says why, and the other goes on."""
    sides = {"torch": workers[case.name], "jax": workers["jax"]}
    row: dict[str, Any] = {"case": case.name} | {engine: {"rounds": []} for engine in sides}
    counts: dict[str, int] = {}
    for engine, worker in sides.items():
        with noting(row[engine]):
            row[engine] |= worker.ask(end, "settle", case.name)
            counts[engine] = max(1, min(100, round(TURN / row[engine].pop("seconds"))))
    for _ in range(rounds):
        for engine, count in counts.items():
            if "error" not in row[engine] and time.monotonic() < end:
                with noting(row[engine]):
                    answer = sides[engine].ask(end, "time", case.name, count)
                    row[engine]["rounds"].append(round(answer["seconds"], 6))
                    row[engine]["bytes"] = answer["bytes"]
    workers[case.name].stop()
    with noting({}):
        workers["jax"].ask(end, "drop", case.name)
    return row


@contextmanager
def noting(result: dict[str, Any]) -> Iterator[None]:
    """What an engine could not do is noted in its result, and stops nothing else."""
    try:
        yield
    except (RuntimeError, OSError) as error:
        result["error"] = str(error)


def section(record: dict[str, Any]) -> str:
    """The table of docs/gpu.md; a case that neither engine was timed at is named below it."""
    versions, rows, missing = record["versions"], [], []
    for row in record["results"]["rows"]:
        ours, theirs = seconds_of(row["jax"]), seconds_of(row["torch"])
        if not ours and not theirs:
            missing.append(described(row["case"]))
            continue
        share = f"{ours / theirs:.2f}" if ours and theirs else ""
        times = [f"{1000 * value:.1f}" if value else "" for value in (ours, theirs)]
        memory = [f"{row[engine].get('bytes', 0) / 1e9:.1f}" for engine in ("jax", "torch")]
        rows.append([described(row["case"]), *times, share, *memory, form_of(row["torch"])])
    head = ["", "ours (ms)", "PyTorch (ms)", "share", "ours (GB)", "PyTorch (GB)", "PyTorch's fastest form"]
    about = ABOUT.format(
        date=record["started"][:10], card=record["device"]["gpus"][0], rounds=record["config"]["rounds"], **versions
    )
    untimed = [f"Not timed, as the time was up: {'; '.join(missing)}.", ""] if missing else []
    return "\n".join([about, "", *pages.table(head, rows), "", *untimed])


def form_of(found: dict[str, Any]) -> str:
    """PyTorch's form, and whether it could be compiled."""
    late = any(form.startswith("compiled") for form in found.get("failed", {}))
    return found.get("form", "") + (" (not compiled in time)" if late else "")


def seconds_of(result: dict[str, Any]) -> float | None:
    """The median of an engine's turns; nothing where it had none."""
    return statistics.median(result["rounds"]) if result["rounds"] else None


def described(name: str) -> str:
    """A case in words.

    >>> described("l1-6")
    'L1 step, journal/b4u4k12, 6 of 40^3'
    """
    case = CASES[name]
    if case.kind == "volume":
        return f"volume of {' x '.join(map(str, case.shape))}, {case.preset}, tiles of {case.patch}^3"
    kind = "L1" if case.kind == "l1" else case.kind
    return f"{kind} step, {case.preset}, {case.batch} of {case.patch}^3"


def with_section(page: str, text: str) -> str:
    """The page with the text between the markers."""
    before, _, rest = page.partition(MARKERS[0])
    return f"{before}{MARKERS[0]}\n{text}\n{MARKERS[1]}{rest.partition(MARKERS[1])[2]}"


ABOUT = """{date}, one {card}, JAX {jax}, PyTorch {torch}: medians of {rounds} rounds in turns, one process computing
at a time. Ours are the Keras networks by `recipes/jax_volumes` (an update includes averaged weights and the gradient's
norm), PyTorch's those of `benchmarks/torch_networks.py` with fused Adam, cuDNN's benchmark and TensorFloat-32, in the
fastest of three forms; all its cases compile at once, and one that has not after 75 s runs eagerly (of a critic step
the generator alone is compiled: torch.compile takes no second derivative). Generators compute in bfloat16; critics in
float32 with TensorFloat-32. A volume goes from an array in the host's memory to another, by trained statistics; the
paper's took 12 s on a GTX 1080 Ti, by each tile's own. Memory is the most that PyTorch's tensors had, and what XLA
planned for ours."""


if __name__ == "__main__":
    main()
