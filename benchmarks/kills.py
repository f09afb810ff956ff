"""`kill -9` at random moments, and the same command again: the bytes of an undisturbed run, and no litter.

    python benchmarks/kills.py [--count=100] [--kinds=shards,l1,gan,infer,eval] [--seed=0] [--output=FILE]

The kills are shared equally among the kinds, and go round them. Each falls at a moment drawn uniformly from the time of
an undisturbed run (once the libraries are loaded), on the whole group of processes. Compared is everything a run leaves
but times: its record (run.json), TensorBoard's events, the seconds in checkpoints and evaluations. Writes
benchmarks/results/kills.json; ends with 1 if a run differed. What is known so far lies in FILE.unfinished: the same
command goes on from there.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import json
import os
import shutil
import signal
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from benchmarks import pages
from benchmarks.kill_kinds import Kind, kinds, prepare, run, start
from mdcsrn_tf.run_record import RunRecord, write_json
from mdcsrn_tf.training.checkpoints import load_checkpoint

RESULTS = Path(__file__).parent / "results" / "kills.json"
_ATTEMPTS = 12  # on a machine whose speed changes, many moments come after the end
_TIMES = ("seconds", "device")  # of a checkpoint's progress and an evaluation's rows


def harvest(output: Path) -> dict[str, Any]:
    """Everything a run left, by path: bytes, or what is in them where they hold times."""
    found: dict[str, Any] = {}
    for path in sorted(output.rglob("*")):
        name = path.relative_to(output).as_posix()
        if not path.is_file() or name in ("run.json", "report.html") or name.startswith("tensorboard/"):
            continue
        if path.suffix == ".npz" and path.parent.parent.name == "checkpoints":
            checkpoint = load_checkpoint(path)
            arrays = {key: array.tobytes() for key, array in checkpoint.arrays.items()}
            found[name] = arrays | _timeless(checkpoint.meta)
        elif path.suffix == ".json":
            found[name] = _timeless(json.loads(path.read_text(encoding="utf-8")))
        else:
            found[name] = path.read_bytes()
    return _without_timed_columns(found)


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _timeless(item) for key, item in value.items() if key not in _TIMES}
    return [_timeless(item) for item in value] if isinstance(value, list) else value


def _without_timed_columns(found: dict[str, Any]) -> dict[str, Any]:
    """An evaluation's tables print the time a method took: there the tables' records stand for them."""
    timed = any(name.startswith("subjects/") for name in found)
    return {name: content for name, content in found.items() if not (timed and Path(name).suffix in (".csv", ".md"))}


def kill_and_repeat(kind: Kind, output: Path, wait: Callable[[Any], None], expected: dict[str, Any]) -> dict[str, Any]:
    """Kill a run's process when `wait` for it returns, repeat it, and say what differs from `expected`."""
    kind.begin(output)
    process = start(kind.command(output), Path(os.devnull))
    wait(process)
    if process.exitcode is None:
        with contextlib.suppress(ProcessLookupError):  # it has no session of its own yet
            os.killpg(process.pid, signal.SIGKILL)
        process.kill()
        process.join()
    killed = process.exitcode == -signal.SIGKILL
    half_written = [name for name in _visible_files(output) if name in expected and not _is_whole(output / name)]
    run(*kind.command(output))
    found = harvest(output)
    differing = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
    litter = sorted(path.relative_to(output).as_posix() for path in output.rglob(".*"))
    return {
        "killed": killed,
        "differing": differing,
        "litter": litter,
        "half": half_written,
    }


def _visible_files(output: Path) -> list[str]:
    paths = (path.relative_to(output) for path in output.rglob("*") if path.is_file())
    return [path.as_posix() for path in paths if not any(part.startswith(".") for part in path.parts)]


def _is_whole(path: Path) -> bool:
    """Whether a file under its final name can be read to its end."""
    if path.name == "metrics.csv":
        return True  # lines are appended to it
    try:
        if path.suffix == ".json":
            json.loads(path.read_text(encoding="utf-8"))
        elif path.suffix in (".npz", ".keras"):
            return zipfile.ZipFile(path).testzip() is None
        elif path.name.endswith(".gz"):
            gzip.decompress(path.read_bytes())
        return path.stat().st_size > 0
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):
        return False


class Undisturbed:
    """A run of a kind that nothing disturbs: how long it takes, and what it leaves."""

    def __init__(self, kind: Kind, output: Path):
        kind.begin(output)
        started = time.monotonic()
        run(*kind.command(output))
        self.kind, self.seconds, self.left = kind, time.monotonic() - started, harvest(output)


def _known(notes: Path) -> int:
    """How many kills an earlier call had made before it was stopped; the record's time is without theirs."""
    if not notes.is_file():
        return 0
    return sum(len(trials) for trials in json.loads(notes.read_text(encoding="utf-8")).values())


def measure(names: list[str], count: int, seed: int, notes: Path | None = None) -> dict[str, Any]:
    """`count` kills of each kind; what came of them. With `notes`, those that the file tells of are not repeated."""
    trials: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    if notes and notes.is_file():
        trials |= json.loads(notes.read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as folder:
        inputs = Path(folder, "inputs")
        prepare(inputs, set(names))
        models = {name: Undisturbed(kinds(inputs)[name], Path(folder, f"{name}-whole")) for name in names}
        for number in range(count):
            for name in (name for name in names if len(trials[name]) <= number):
                trials[name].append(_trial(models[name], Path(folder, f"{name}-{number}"), [seed, len(name), number]))
                print(number, name, trials[name][-1], flush=True)
                if notes:
                    write_json(notes, trials)
    return {name: summary(trials[name], len(models[name].left), models[name].seconds) for name in names}


def _trial(undisturbed: Undisturbed, output: Path, seeds: list[int]) -> dict[str, Any]:
    """A kill that met the run: where that had ended already, another moment is drawn."""
    rng, missed = np.random.default_rng(seeds), 0
    while True:
        moment = float(rng.uniform(0, undisturbed.seconds))
        found = kill_and_repeat(undisturbed.kind, output, partial(_join, moment), undisturbed.left)
        shutil.rmtree(output)
        if found["killed"] or found["differing"] or missed == _ATTEMPTS:
            return {"moment_s": round(moment, 2), **found, "missed": missed}
        missed += 1


def _join(seconds: float, process: Any) -> None:
    process.join(seconds)


def summary(trials: list[dict[str, Any]], files: int, seconds: float) -> dict[str, Any]:
    """The counts, and every trial that went wrong."""
    failures = [trial for trial in trials if trial["differing"] or trial["litter"] or trial["half"]]
    return {
        "kills": sum(trial["killed"] for trial in trials),
        "ended_before": sum(trial["missed"] for trial in trials),
        "same_bytes": sum(not trial["differing"] for trial in trials),
        "litter": sum(bool(trial["litter"]) for trial in trials),
        "half_written": sum(bool(trial["half"]) for trial in trials),
        "files_compared": files,
        "undisturbed_s": round(seconds, 1),
        "failures": failures,
    }


def section(record: dict[str, Any]) -> str:
    """Of docs/results.md: how many of the killed runs ended as undisturbed ones."""
    rows = [
        [
            name,
            str(found["kills"]),
            str(found["same_bytes"]),
            str(found["litter"]),
            str(found["half_written"]),
            str(found["files_compared"]),
        ]
        for name, found in record["results"].items()
    ]
    before = record["config"].get("known_before", 0)
    resumed = (
        [f"{before} of these kills were made by earlier calls, with the programs of that day.", ""] if before else []
    )
    head = ["command", "kills", "same bytes", "litter", "half-written", "files compared"]
    return "\n".join(
        [
            "## `kill -9` at random moments, and the same command again",
            "",
            "How often all files of the repeated run were an undisturbed run's to the byte (but for times), how often",
            "anything was left over, and how often a file was half there under its final name after the kill.",
            "",
            *pages.table(head, rows),
            "",
            *resumed,
            pages.circumstances(record),
            "",
        ]
    )


def main(argv: list[str] | None = None) -> int:
    """Kill, repeat, compare; write the record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100, help="kills in all")
    parser.add_argument("--kinds", default="shards,l1,gan,infer,eval")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=RESULTS)
    arguments = parser.parse_args(argv)
    names = arguments.kinds.split(",")
    notes = arguments.output.with_name(f"{arguments.output.name}.unfinished")
    record = RunRecord.begin(
        {"count": arguments.count, "kinds": names, "seed": arguments.seed, "known_before": _known(notes)}
    )
    record.results = measure(names, max(1, arguments.count // len(names)), arguments.seed, notes)
    record.write(arguments.output, folders_kept=False)
    notes.unlink()
    return 1 if any(found["failures"] for found in record.results.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
