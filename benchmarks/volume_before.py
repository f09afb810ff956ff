"""A volume by the bundled default network, as an older checkout runs it and as this one does, and by the fast one.

    python benchmarks/volume_before.py --before=FOLDER_OF_AN_OLDER_CHECKOUT [--shape=256,256,64] [--rounds=3]
    python benchmarks/volume_before.py --before=... --shape=256,256,256 --rounds=1 --modes=default --record=NAME.json

Default tiles and --seamless, float32, bfloat16 and (by OpenVINO, this checkout alone) int8; each run in a process of
its own, taking turns (but for `--codes`), all with the older checkout's network file, but for `--codes=...,fast`: this
one's code with its fast network. Compiling counts; importing TensorFlow and loading do not. Writes
benchmarks/results/volume_before.json, or what `--record` names, after each run.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from itertools import product
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import pages
from benchmarks.profile_tile import commit
from benchmarks.startup import run_code_of
from mdcsrn_tf.run_record import RunRecord

RECORD = "volume_before.json"
MODES = ("default", "seamless")
PRECISIONS = ("float32", "bfloat16", "int8")
NEW = "int8"  # which the older checkout has not: its bfloat16 stands beside it
CODES = ("before", "after")
FAST = "fast"


def main() -> None:
    """Measure, or be one run (`--child`)."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--before", type=Path, required=True)
    parser.add_argument("--shape", default="256,256,64")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--codes",
        default=",".join(CODES),
        help="run these; where one of the first two is not among them, the record's other runs are kept",
    )
    parser.add_argument("--modes", default=",".join(MODES), help="which of them")
    parser.add_argument("--precisions", default=",".join(PRECISIONS), help="which of them")
    parser.add_argument("--record", default=RECORD, help="the record's name")
    parser.add_argument("--child", help="MODE,PRECISION: be a run of --model by the code of the folder --after")
    parser.add_argument("--model", type=Path)
    parser.add_argument("--after", type=Path, default=pages.ROOT)
    arguments = parser.parse_args()
    shape = tuple(int(side) for side in arguments.shape.split(","))
    if arguments.child:
        mode, precision = arguments.child.split(",")
        print(json.dumps(child(arguments.after, arguments.model, shape, mode == "seamless", precision)))
    else:
        measure(arguments, shape)


def measure(arguments: argparse.Namespace, shape: tuple[int, ...]) -> None:
    """Each contender once a round; the record is written after each."""
    folders, codes = {"before": arguments.before.resolve(), "after": pages.ROOT}, arguments.codes.split(",")
    default = next(folders["before"].glob("mdcsrn_tf/weights/mdcsrn-b4u4k12*.keras"))
    models = {"before": default, "after": default, FAST: pages.ROOT / "mdcsrn_tf" / "weights" / "fast-b4u4k16.keras"}
    commits = {code: commit(folders.get(code, pages.ROOT)) for code in models}
    runs: dict[str, list[dict[str, float]]] = {}
    if not {*CODES} <= {*codes}:
        old = pages.read(arguments.record)
        assert old["config"]["shape"] == list(shape), "the record's other runs are of another shape"
        runs = {name: rounds for name, rounds in old["results"]["runs"].items() if name.split(", ")[-1] not in codes}
        commits = {**old["config"]["commits"], **{code: commits[code] for code in codes}}
    record = RunRecord.begin({"shape": list(shape), "commits": commits})
    for number, mode, precision, code in product(
        range(arguments.rounds), arguments.modes.split(","), arguments.precisions.split(","), models
    ):
        if code not in codes or (code, precision) == ("before", NEW):
            continue
        command = [sys.executable, __file__, f"--before={arguments.before}", f"--shape={arguments.shape}"]
        command += [
            f"--after={folders.get(code, pages.ROOT)}",
            f"--model={models[code]}",
            f"--child={mode},{precision}",
        ]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        found = json.loads(done.stdout.splitlines()[-1])
        runs.setdefault(f"{mode}, {precision}, {code}", []).append(found)
        print(number, mode, precision, code, found, flush=True)
        record.results = {"runs": runs}
        record.write(pages.RESULTS / arguments.record, folders_kept=False)


def child(folder: Path, model: Path, shape: tuple[int, ...], seamless: bool, precision: str) -> dict[str, float]:
    """Seconds, a core's seconds and peak memory of a run by that folder's code."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    run_code_of(folder)
    import numpy as np

    from mdcsrn_tf.inference.engines import load_engine
    from mdcsrn_tf.inference.memory import keep_freed_memory
    from mdcsrn_tf.inference.settings import Settings
    from mdcsrn_tf.inference.volume import run

    keep_freed_memory()
    settings = Settings(seamless=seamless, precision=precision, engine="openvino" if precision == NEW else "tensorflow")
    volume = np.random.default_rng(0).gamma(2.0, 100.0, shape).astype(np.float32)
    engine = load_engine(model, settings)
    began, before = time.monotonic(), cpu_seconds()
    result = run(engine, volume, settings)
    seconds, cpu = time.monotonic() - began, cpu_seconds() - before
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    return {
        "seconds": round(seconds, 2),
        "cpu_seconds": round(cpu, 2),
        "peak_gb": round(peak, 2),
        "tiles": result.tiles,
    }


def cpu_seconds() -> float:
    """Of this process so far, all its threads."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def readme_lines(record: dict[str, Any]) -> list[str]:
    """How long a volume takes, and how much memory, by each network in each precision."""
    runs, device = record["results"]["runs"], record["device"]
    names = {"after": "mdcsrn-b4u4k12", FAST: "fast-b4u4k16"}
    rows = [
        [names[code] + _flags(precision), *_costs(runs[f"default, {precision}, {code}"])]
        for code, precision in product(names, PRECISIONS)
    ]
    shape = " x ".join(map(str, record["config"]["shape"]))
    sentence = (
        f"Time and memory for a volume of {shape} voxels in the default tiles, on {device['cores']} cores of an "
        f"{device['processor']} while other work ran beside; reading and writing files are not counted:"
    )
    return [sentence, "", *pages.table(["", "seconds", "seconds of all cores", "peak memory (GB)"], rows), ""]


def _flags(precision: str) -> str:
    engine = "--engine=openvino " if precision == NEW else ""
    return "" if precision == "float32" else f" `{engine}--precision={precision}`"


def _costs(runs: list[dict[str, float]]) -> list[str]:
    """Medians: seconds, seconds of all cores, peak memory (GB)."""
    formats = {"seconds": ".0f", "cpu_seconds": ".0f", "peak_gb": ".1f"}
    return [format(statistics.median(run[key] for run in runs), how) for key, how in formats.items()]


def section(record: dict[str, Any]) -> str:
    """Both codes side by side."""
    config, runs = record["config"], record["results"]["runs"]
    rows = []
    for mode, precision, code in product(MODES, PRECISIONS, ("after", FAST)):
        before = runs.get(f"{mode}, {'bfloat16' if precision == NEW else precision}, before")
        after = runs.get(f"{mode}, {precision}, {code}")
        if before and after:
            name = f"{mode}, {precision}{' beside bfloat16' if precision == NEW else ''}"
            name += ", fast-b4u4k16" if code == FAST else ""
            rows.append(_row(name, before, after))
    rounds = min(map(len, runs.values()))
    lines = [
        f"## A volume of {' x '.join(map(str, config['shape']))} voxels, before and after",
        "",
        f"{pages.circumstances(record)} {f'Medians of {rounds} rounds' if rounds > 1 else 'One round'}, `before` "
        f"commit {config['commits']['before']}, `after` {config['commits']['after']}: noise, the bundled default "
        "network, compiling included, in seconds of all cores together, as other work ran beside. What tiles compute "
        "for a voxel depends little on the volume's size; columns compute less for a voxel the larger it is "
        "(decisions.md).",
        "",
    ]
    head = ["mode, precision", "before (CPU s)", "after (CPU s)", "share", "peak before (GB)", "after (GB)"]
    return "\n".join([*lines, *pages.table(head, rows), ""])


def _row(name: str, before: list[dict[str, float]], after: list[dict[str, float]]) -> list[str]:
    cpu, peak = (
        [statistics.median(one[key] for one in runs) for runs in (before, after)] for key in ("cpu_seconds", "peak_gb")
    )
    return [name, *(f"{one:.1f}" for one in cpu), f"{cpu[1] / cpu[0]:.2f}", *(f"{one:.2f}" for one in peak)]


if __name__ == "__main__":
    main()
