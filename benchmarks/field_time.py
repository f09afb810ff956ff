"""How long the field study takes by its own plan on this machine: a step of each network, and its pairs.

    python benchmarks/field_time.py --workdir=WORK [--models=...] [--repeats=2]

WORK holds the shards of a run of field_study.py; how long they took, N4 included, stands in their own record. Each
network makes a first step, which compiles, then `repeats` that are timed, on patches of noise. Seconds of the processor
are counted, which do not change with what else the machine is doing; two cores need half of them at best. Writes
benchmarks/results/field_time.json.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from benchmarks import pages
from benchmarks.field_plan import PLAN, Training, planned
from mdcsrn_tf.run_record import RunRecord

RESULTS = pages.RESULTS / "field_time.json"


def main() -> None:
    """Time every part, print a line for each, keep the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workdir", type=Path, required=True)
    parser.add_argument("--models", default=PLAN, help="as of field_study.py")
    parser.add_argument("--precision", default="mixed_bfloat16", help="of the generators")
    parser.add_argument("--repeats", type=int, default=2)
    arguments = parser.parse_args()
    record = RunRecord.begin({"models": arguments.models, "precision": arguments.precision})
    pairs = json.loads((arguments.workdir / "shards" / "run.json").read_text(encoding="utf-8"))
    record.results = {"pairs_s": pairs["wall_seconds"], "pairs": pairs["results"]["shards"], "rows": {}}
    for training in planned(arguments.models):
        found = step_seconds(training, arguments.precision, arguments.repeats)
        record.results["rows"][training.row] = {"steps": training.steps, "batch": training.batch, **found}
        print(training.row, found, flush=True)
    record.results["minutes"] = minutes(record.results)
    print(record.results["minutes"])
    record.write(RESULTS, folders_kept=False)


def processor_seconds(work: Callable[[], Any]) -> float:
    """What `work` takes, of all threads together."""
    started = time.process_time()
    work()
    return round(time.process_time() - started, 2)


def step_seconds(training: Training, precision: str, repeats: int) -> dict[str, float]:
    """The least of `repeats` steps, and what building the network and its first step take."""
    started = time.process_time()
    step = compiled_step(training, precision)
    step()
    first = round(time.process_time() - started, 2)
    return {"first_s": first, "step_s": min(processor_seconds(step) for _ in range(repeats))}


def compiled_step(training: Training, precision: str) -> Callable[[], dict[str, float]]:
    """The update that the training loop runs, on patches of noise."""
    import tensorflow as tf

    from mdcsrn_tf.papers.quick2d import PATCH, quick2d
    from mdcsrn_tf.training.features import features_of
    from mdcsrn_tf.training.loop import compile_updates
    from mdcsrn_tf.training.settings import TrainSettings
    from mdcsrn_tf.training.state import build_state
    from mdcsrn_tf.training.steps import objective_of

    preset = quick2d(training.preset)
    (phase,) = preset.training.phases
    settings = TrainSettings(preset, phase.name, precision, features="random")  # type: ignore[arg-type]
    state = build_state(preset, phase.name, precision=precision, patch_size=PATCH)
    update = compile_updates(settings, state, tf.distribute.get_strategy(), features_of(settings))
    pair = tuple(tf.random.normal((training.batch, PATCH, PATCH, 1)) for _ in range(2))
    (name,) = objective_of(settings.plan).updates
    return lambda: {key: float(value) for key, value in update(name, pair, 0, 1e-4, 1e-4).items()}


def minutes(results: dict[str, Any]) -> dict[str, float]:
    """The processor's minutes of all trainings; the clock's of the pairs, and of all on two cores at best."""
    training = sum(row["first_s"] + row["steps"] * row["step_s"] for row in results["rows"].values()) / 60
    pairs = results["pairs_s"] / 60
    return {"training": round(training, 1), "pairs": round(pairs, 1), "two_cores": round(training / 2 + pairs, 1)}


def at_one_go() -> str:
    """What the whole study took by its own plan, where that was run."""
    record = pages.read("field_study_hour.json")
    minutes = f"{record['wall_seconds'] / 60:.0f} minutes by the clock ({record['started'][:10]})"
    return f"The whole study, pairs and measuring too, took {minutes} at one go, other work beside it at low priority."


def section(record: dict[str, Any]) -> str:
    """Seconds of each network's step, and what all of the plan comes to."""
    found = record["results"]
    total = found["minutes"]
    pairs = f"the {found['pairs']} pairs took {total['pairs']:g} minutes by the clock, N4 included"
    lines = [
        "## How long the 7T paper's models take by the field study's plan",
        "",
        f"{pages.circumstances(record)} Seconds of the processor, {record['config']['precision']}. All trainings need "
        f"{total['training']:g} minutes of it; {pairs}. That is {total['two_cores']:g} minutes where both cores share "
        f"the trainings' work evenly. {at_one_go()}",
        "",
    ]
    rows = [
        [name, f"{row['steps']} x {row['batch']}", f"{row['step_s']:.2f}", f"{row['steps'] * row['step_s'] / 60:.1f}"]
        for name, row in found["rows"].items()
    ]
    return "\n".join([*lines, *pages.table(["", "steps x patches", "a step (s)", "all steps (min)"], rows), ""])


if __name__ == "__main__":
    main()
