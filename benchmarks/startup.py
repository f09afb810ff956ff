"""From the start of a process to its first tile: which part takes how long.

    python benchmarks/startup.py [--rounds=5]

Each round in a process of its own, the default network, a tile of 70^3. Writes benchmarks/results/startup.json.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import pages
from mdcsrn_tf.run_record import RunRecord

RECORD = "startup.json"
STAGES = ("python", "tensorflow", "the network", "the graph", "first tile", "second tile")


def main() -> None:
    """Measure, or be one round (`--child`)."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--child", type=float, help="when this process was started")
    arguments = parser.parse_args()
    if arguments.child:
        print(json.dumps(stages(arguments.child)))
        return
    record = RunRecord.begin({"rounds": arguments.rounds})
    rounds: list[dict[str, float]] = []
    record.results = {"rounds": rounds}
    for _ in range(arguments.rounds):
        command = [sys.executable, __file__, f"--child={time.time()}"]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        rounds.append(json.loads(done.stdout.splitlines()[-1]))
        print(rounds[-1], flush=True)
        record.write(pages.RESULTS / RECORD, folders_kept=False)


def stages(started: float) -> dict[str, float]:
    """Seconds of each stage of a run of `mdcsrn-infer`, beside those of reading and writing."""
    moments = [started, time.time()]
    from mdcsrn_tf.chatter import load_tensorflow_quietly
    from mdcsrn_tf.inference.memory import keep_freed_memory

    keep_freed_memory()
    load_tensorflow_quietly(own_process=True)
    moments.append(time.time())
    import numpy as np

    from mdcsrn_tf.inference.engines import load_engine
    from mdcsrn_tf.inference.settings import Settings

    engine = load_engine(None, Settings(precision="bfloat16"))
    moments.append(time.time())
    apply = engine.applier(70, 1)
    moments.append(time.time())
    tile = np.random.default_rng(0).standard_normal((1, 70, 70, 70), np.float32)
    for _ in range(2):
        apply(tile)
        moments.append(time.time())
    return {name: round(after - before, 3) for name, (before, after) in zip(STAGES, pairwise(moments), strict=True)}


def section(record: dict[str, Any]) -> str:
    """The stages and their sum up to the first tile."""
    rounds = record["results"]["rounds"]
    medians = [statistics.median(one[name] for one in rounds) for name in STAGES]
    sums = [sum(one[name] for name in STAGES[:-1]) for one in rounds]
    lines = [
        "## Starting up",
        "",
        f"{pages.circumstances(record)} Seconds, medians of {len(rounds)} rounds, the default network in bfloat16. The "
        f"first tile, of 70^3, is there after {statistics.median(sums):.2f} s; it compiles what is fused.",
        "",
    ]
    return "\n".join([*lines, *pages.table(STAGES, [[f"{value:.2f}" for value in medians]]), ""])


if __name__ == "__main__":
    main()
