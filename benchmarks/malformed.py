"""Malformed files for every reader: one sentence, exit code 1, no traceback, at most twice the honest file's memory.

    python benchmarks/malformed.py [--count=2000] [--readers=volumes,dicom,...] [--seed=0] [--output=FILE]

Honest files are cut, overwritten, shifted, doubled; header fields become extreme; texts lose their types; what is
compressed or archived is changed inside and packed again with the right checksums. Each reader runs in a process of its
own, so that a crash or a hang is noticed and named. Writes benchmarks/results/malformed.json; ends with 1 on a failure.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import multiprocessing
import os
import sys
import tempfile
import tracemalloc
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from benchmarks import pages
from benchmarks.malformed_readers import READERS, Reader
from benchmarks.spoiling import spoil
from mdcsrn_tf.command_line import run_command
from mdcsrn_tf.run_record import RunRecord

RESULTS = Path(__file__).parent / "results" / "malformed.json"
_NAME = "mdcsrn-malformed"
_SECONDS = 300.0
_SLACK = 4 << 20  # bytes: imports and caches of the first reading


def attempt(reader: Reader, path: Path) -> dict[str, Any]:
    """Read the file as a command would: exit code, what was printed, and the peak of the memory that Python sees."""
    errors = io.StringIO()
    tracemalloc.start()
    try:
        with contextlib.redirect_stderr(errors), contextlib.redirect_stdout(io.StringIO()):
            code = run_command(_NAME, "", lambda values: None, lambda values: reader.read(path), [])
    except Exception as error:
        code, _ = -1, errors.write(f"{type(error).__name__}: {error}")
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    return {"code": code, "said": errors.getvalue(), "peak": peak}


def verdict(outcome: dict[str, Any], path: Path, limit: int) -> str:
    """`refused` and `harmless` are right; anything else says what is wrong."""
    lines = outcome["said"].splitlines()
    if outcome["peak"] > limit:
        return f"took {outcome['peak'] >> 20} MiB"
    if outcome["code"] == 0:
        return "harmless" if not lines else f"said {lines[0][:200]}"
    if outcome["code"] != 1 or len(lines) != 1 or not lines[0].startswith(f"{_NAME}: error: "):
        return f"ended with {outcome['code']}: {outcome['said'][-300:]}"
    named = any(str(place) in lines[0] for place in (path, path.parent, path.parents[1]))
    return "refused" if named else f"named no file: {lines[0][:200]}"


def trials(name: str, count: int, seed: int, folder: Path, ask: Callable[[Path], dict[str, Any]]) -> dict[str, Any]:
    """`count` malformed files of one kind; `ask` reads one."""
    files = READERS[name].make(folder)
    honest, limits = {path: path.read_bytes() for path in files}, {}
    for path in files:
        first = max(ask(path)["peak"], ask(path)["peak"])
        limits[path] = 2 * first + _SLACK
    rng, failures = np.random.default_rng([seed, sum(name.encode())]), []
    found: Counter = Counter()
    for number in range(count):
        path = files[number % len(files)]
        spoilt = spoil(honest[path], path.name, rng)
        path.write_bytes(spoilt)
        result = verdict(ask(path), path, limits[path])
        found[result if result in ("refused", "harmless") else "failures"] += 1
        if result not in ("refused", "harmless"):
            failures.append({"number": number, "file": path.name, "what": result})
        path.write_bytes(honest[path])
    return {"cases": count, **found, "what_failed": failures}


def _serve(connection: Any, name: str) -> None:
    for module in READERS[name].modules:
        importlib.import_module(module)
    while True:
        connection.send(attempt(READERS[name], Path(connection.recv())))


class Child:
    """A process that reads files of one kind, and is replaced when one of them kills it or holds it up."""

    def __init__(self, name: str):
        self.name = name
        self._start()

    def _start(self) -> None:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, self.name), daemon=True)
        self.process.start()
        theirs.close()

    def ask(self, path: Path) -> dict[str, Any]:
        """What came of reading the file."""
        try:
            self.connection.send(str(path))
            if self.connection.poll(_SECONDS):
                return self.connection.recv()
            said = f"hung for {_SECONDS} s"
        except (EOFError, OSError):
            said = "crashed"
        self.close()
        self._start()
        return {"code": -1, "said": said, "peak": 0}

    def close(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.join()
        self.connection.close()


def section(record: dict[str, Any]) -> str:
    """Of docs/results.md: what became of the malformed files, a row a reader."""
    rows = [
        [
            name,
            str(found["cases"]),
            str(found["refused"]),
            str(found.get("harmless", 0)),
            str(len(found["what_failed"])),
        ]
        for name, found in record["results"].items()
    ]
    return "\n".join(
        [
            "## Malformed files",
            "",
            "Refused: one sentence that names the file, exit code 1, at most twice the memory of the honest file.",
            "Harmless: what was changed says nothing (a byte of padding, of a voxel, of text). Failed: anything else.",
            "",
            *pages.table(["reader", "files", "refused", "harmless", "failed"], rows),
            "",
            pages.circumstances(record),
            "",
        ]
    )


def main(argv: list[str] | None = None) -> int:
    """Try all readers; write the record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=2000, help="malformed files in all")
    parser.add_argument("--readers", default=",".join(READERS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=RESULTS)
    arguments = parser.parse_args(argv)
    names = arguments.readers.split(",")
    record = RunRecord.begin({"count": arguments.count, "readers": names, "seed": arguments.seed})
    for name in names:
        child = Child(name)
        with tempfile.TemporaryDirectory() as folder:
            share = -(-arguments.count // len(names))
            record.results[name] = trials(name, share, arguments.seed, Path(folder), child.ask)
        child.close()
        print(name, record.results[name], flush=True)
    record.write(arguments.output, folders_kept=False)
    return 1 if any(found["what_failed"] for found in record.results.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
