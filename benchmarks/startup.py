"""From the start of a process to its first tile: which part takes how long, in an older checkout and in this one.

By TensorFlow in both, and by OpenVINO in this one.

    python benchmarks/startup.py [--before=FOLDER_OF_AN_OLDER_CHECKOUT] [--rounds=5]

Each round in a process of its own, taking turns; this checkout's default network, a tile of 70^3. Seconds, and seconds
of all cores together: what else the machine does lengthens those less. Writes benchmarks/results/startup.json.
"""

from __future__ import annotations

import argparse
import inspect
import json
import os
import statistics
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import pages
from benchmarks.profile_tile import commit
from mdcsrn_tf.run_record import RunRecord

RECORD = "startup.json"
STAGES = ("python", "the library", "the network", "the graph", "first tile", "second tile")
CONTENDERS = (("before", "tensorflow"), ("after", "tensorflow"), ("after", "openvino"))
MODEL = pages.ROOT / "mdcsrn_tf" / "weights" / "mdcsrn-b4u4k12.keras"


def main() -> None:
    """Measure, or be one round (`--child`)."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--before", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--child", type=float, help="when this process was started")
    parser.add_argument("--code", type=Path, default=pages.ROOT, help="whose code a round runs")
    parser.add_argument("--engine", default="tensorflow", help="what a round runs the network by")
    arguments = parser.parse_args()
    if arguments.child:
        print(json.dumps(stages(arguments.child, arguments.code, arguments.engine)))
        return
    folders = {"after": pages.ROOT} | ({"before": arguments.before.resolve()} if arguments.before else {})
    record = RunRecord.begin({"rounds": arguments.rounds, "commits": {c: commit(f) for c, f in folders.items()}})
    rows: list[dict[str, Any]] = [
        {"code": code, "engine": engine, "rounds": []} for code, engine in CONTENDERS if code in folders
    ]
    record.results = {"rows": rows}
    for _ in range(arguments.rounds):
        for row in rows:
            row["rounds"].append(turn(folders[row["code"]], row["engine"]))
            print(row["code"], row["engine"], row["rounds"][-1], flush=True)
        record.write(pages.RESULTS / RECORD, folders_kept=False)


def turn(code: Path, engine: str) -> dict[str, Any]:
    """A round of one contender, in a process of its own."""
    command = [sys.executable, __file__, f"--child={time.time()}", f"--code={code}", f"--engine={engine}"]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def stages(started: float, code: Path, engine: str) -> dict[str, Any]:
    """Seconds of each stage of a run of `mdcsrn-infer`, beside those of reading and writing; and cores' seconds."""
    run_code_of(code)
    moments, used = [started, time.time()], [0.0, sum(os.times()[:2])]

    def lap() -> None:
        moments.append(time.time())
        used.append(sum(os.times()[:2]))

    load_library(engine)
    lap()
    import numpy as np

    from mdcsrn_tf.inference.engines import load_engine
    from mdcsrn_tf.inference.settings import Settings

    loaded = load_engine(MODEL, Settings(precision="bfloat16", engine=engine))
    lap()
    apply = loaded.applier(70, 1)
    lap()
    tile = np.random.default_rng(0).standard_normal((1, 70, 70, 70), np.float32)
    for _ in range(2):
        apply(tile)
        lap()
    return {"seconds": _by_stage(moments), "cpu_seconds": _by_stage(used)}


def load_library(engine: str) -> None:
    """What the command loads before a network, and OpenVINO, which its engine would; by the code that runs."""
    from mdcsrn_tf.chatter import load_tensorflow_quietly
    from mdcsrn_tf.inference.memory import keep_freed_memory

    keep_freed_memory()
    if engine == "openvino":
        from mdcsrn_tf.chatter import as_if_not_installed

        with as_if_not_installed("openvino_telemetry"):
            import openvino  # noqa: F401
        return
    without_keras = "with_keras" in inspect.signature(load_tensorflow_quietly).parameters  # older code takes it along
    load_tensorflow_quietly(own_process=True, **({"with_keras": False} if without_keras else {}))


def run_code_of(folder: Path) -> None:
    """Let what is imported of the package from now on be that folder's."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "mdcsrn_tf"]:
        del sys.modules[name]
    sys.path.insert(0, str(folder))


def _by_stage(moments: list[float]) -> dict[str, float]:
    return {name: round(after - before, 3) for name, (before, after) in zip(STAGES, pairwise(moments), strict=True)}


def section(record: dict[str, Any]) -> str:
    """The stages and their sum up to the first tile."""
    rows = []
    for row in record["results"]["rows"]:
        for key, unit in (("seconds", "seconds"), ("cpu_seconds", "seconds of all cores")):
            medians = [statistics.median(one[key][name] for one in row["rounds"]) for name in STAGES]
            total = statistics.median(sum(one[key][name] for name in STAGES[:-1]) for one in row["rounds"])
            numbers = [f"{value:.2f}" for value in [*medians[:-1], total, medians[-1]]]
            rows.append([row["code"], row["engine"], unit, *numbers])
    commits = ", ".join(f"`{code}` is commit {name}" for code, name in record["config"]["commits"].items())
    lines = [
        "## Starting up",
        "",
        f"{pages.circumstances(record)} Medians of {record['config']['rounds']} rounds in turns, the default network "
        f"in bfloat16, a tile of 70^3; {commits}. The library is TensorFlow or OpenVINO; by TensorFlow the first tile "
        "compiles what is fused. Other work lengthens the seconds, and those of all cores together less.",
        "",
    ]
    head = ["code", "engine", "in", *STAGES[:-1], "together", STAGES[-1]]
    return "\n".join([*lines, *pages.table(head, rows), ""])


if __name__ == "__main__":
    main()
