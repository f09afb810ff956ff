"""Where a training step's time goes, before and after: a section of docs/performance.md and its record.

    python benchmarks/profile_step.py --before=FOLDER_OF_AN_OLDER_CHECKOUT [--rounds=5]

The L1 step of journal/b4u4k12 on 6 of 40^3, each contender in a process of its own, taking turns, on one thread and one
operation at a time. Writes benchmarks/results/profile_step.json; `profile_tile.py --page` writes the page.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from itertools import product
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import pages
from mdcsrn_tf.run_record import RunRecord

RECORD = "profile_step.json"
PRECISIONS = ("float32", "mixed_bfloat16")
CONVOLUTIONS, NORMALISATION, COPIES = "convolutions", "normalisation", "copies"
# What the names of TensorFlow's operations hold; XLA's are the passes that normalise, activate and project.
KINDS = {
    CONVOLUTIONS: ("Conv3D",),
    NORMALISATION: ("FusedBatchNorm", "Elu", "Cast", "ProcessAsync::Start"),
    COPIES: ("Concat", "Split", "Slice", "AddN"),
}
COLUMNS = (*KINDS, "rest")


def main() -> None:
    """Measure, or be one contender's turn (`--child`)."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--before", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--child", help="FOLDER,PRECISION")
    arguments = parser.parse_args()
    if arguments.child:
        print(json.dumps(child(*arguments.child.split(","))))
    else:
        measure(arguments.before.resolve(), arguments.rounds)


def measure(before: Path, rounds: int) -> None:
    """Each contender once a round; the record is written after each round."""
    from benchmarks.profile_tile import commit

    folders = {"before": before, "after": pages.ROOT}
    runs: dict[str, list[dict[str, float]]] = defaultdict(list)
    record = RunRecord.begin({"rounds": rounds, "commits": {code: commit(path) for code, path in folders.items()}})
    for number, precision, code in product(range(rounds), PRECISIONS, folders):
        command = [sys.executable, __file__, f"--before={before}", f"--child={folders[code]},{precision}"]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        runs[f"{code}, {precision}"].append(json.loads(done.stdout.splitlines()[-1]))
        print(number, code, precision, runs[f"{code}, {precision}"][-1], flush=True)
        record.results = {"runs": dict(runs)}
        record.write(pages.RESULTS / RECORD, folders_kept=False)


def child(folder: str, precision: str) -> dict[str, float]:
    """A step's seconds of a core by that folder's code, and what each kind of work takes of them."""
    for name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS"):
        os.environ[name] = "1"
    from benchmarks.startup import run_code_of

    run_code_of(Path(folder))
    step = _step(precision)
    for _ in range(2):
        step()
    started = time.process_time()
    step()
    whole = time.process_time() - started
    found = _profile(step)
    total = sum(found.values())
    return {"whole": round(whole, 3), **{kind: round(whole * found[kind] / total, 3) for kind in COLUMNS}}


def _step(precision: str) -> Any:
    import tensorflow as tf

    from mdcsrn_tf.inference.memory import keep_freed_memory
    from mdcsrn_tf.papers import get_preset
    from mdcsrn_tf.training.state import build_state
    from mdcsrn_tf.training.steps import StepOptions, pixelwise

    keep_freed_memory()
    state = build_state(get_preset("journal/b4u4k12"), "l1", precision=precision)
    low_res, high_res = (tf.random.stateless_normal([6, 40, 40, 40, 1], [0, seed]) for seed in (1, 2))
    compiled = tf.function(lambda: pixelwise.pixelwise_step(state, StepOptions(), low_res, high_res), autograph=False)
    return lambda: float(compiled()["loss"])


def _profile(step: Any) -> dict[str, float]:
    """Seconds of one step by the clock, for each kind of work."""
    import tensorflow as tf
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    with tempfile.TemporaryDirectory() as folder:
        tf.profiler.experimental.start(folder)
        step()
        tf.profiler.experimental.stop()
        (path,) = Path(folder).rglob("*.xplane.pb")
        space = xplane_pb2.XSpace.FromString(path.read_bytes())
    found: dict[str, float] = defaultdict(float)
    for plane in space.planes:
        for line in plane.lines:
            for event in line.events:
                name = plane.event_metadata[event.metadata_id].name
                found[_kind(name)] += event.duration_ps / 1e12
    del found["outer"]
    return found


def _kind(name: str) -> str:
    """What an event of the profile is; what holds others, or is within one, counts for nothing by itself."""
    for kind, parts in KINDS.items():
        if any(part in name.rpartition(":")[2] or part in name[-20:] for part in parts):
            return kind
    operation = ":" in name and "::" not in name and " " not in name
    return "rest" if operation else "outer"


def section(record: dict[str, Any]) -> str:
    """Both codes side by side."""
    config, rows = record["config"], []
    for precision, code in product(PRECISIONS, ("before", "after")):
        runs = record["results"]["runs"]
        whole, *parts = (
            statistics.median(run[key] for run in runs[f"{code}, {precision}"]) for key in ("whole", *COLUMNS)
        )
        first = statistics.median(run["whole"] for run in runs[f"before, {precision}"])
        cells = [f"{code}, {precision}", f"{whole:.2f}", f"{whole / first:.2f}", *(f"{part:.2f}" for part in parts)]
        rows.append(cells)
    head = ["code, precision", "a step (s of a core)", "share of before", *COLUMNS]
    about = ABOUT.format(rounds=len(runs[f"after, {PRECISIONS[0]}"]), **config["commits"])
    return "\n".join([TITLE, "", pages.circumstances(record), about, "", *pages.table(head, rows), ""])


TITLE = "## A training step, before and after"
ABOUT = """An L1 step of `journal/b4u4k12` on 6 of 40^3, one thread, one operation at a time, medians over rounds
({rounds}), by TensorFlow's profiler. `before` is commit {before}, `after` {after}. *Normalisation* is batch
normalisation, ELU and the casts around them, and XLA's passes in their place, the output layer's with them; *copies*
are concatenations, what cuts their gradients, and sums of gradients."""


if __name__ == "__main__":
    main()
