"""One training step of S's system at its full size: 512 x 512 slices, batch 1, both phases.

    python benchmarks/slice_step.py [--precisions=float32,mixed_bfloat16] [--repeats=3] [--side=512]

Each phase runs in a process of its own: a first step, which compiles, then `repeats` that are timed. The SRGAN step is
all of it: discriminator, generator and VGG19 at 224 pixels (random weights: they cost what trained ones cost). Seconds
are this machine's, with whatever else it was doing; the median is given beside all of them. Writes
benchmarks/results/slice_step.json.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from benchmarks import pages
from benchmarks.data_helpers import ROOT, own_peak_gb
from mdcsrn_tf.papers import get_preset
from mdcsrn_tf.run_record import RunRecord

PRESET = get_preset("srgan2d/model1")
RESULTS = pages.RESULTS / "slice_step.json"


def main() -> None:
    """Time both phases at every precision, or be one of them (`--phase`)."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--precisions", default="float32,mixed_bfloat16", help="of the generator")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--side", type=int, default=PRESET.training.patch_size)
    parser.add_argument("--phase", help="be this phase's process: what the benchmark starts itself with")
    arguments = parser.parse_args()
    if arguments.phase:
        print(json.dumps(timed(arguments)))
        return
    settings = {"preset": PRESET.name, "side": arguments.side, "batch": 1, "repeats": arguments.repeats}
    record = RunRecord.begin(settings)
    record.results["load_before"] = round(os.getloadavg()[0], 2)
    for phase in (phase.name for phase in PRESET.training.phases):
        for precision in arguments.precisions.split(","):
            record.results[f"{phase}, {precision}"] = found = in_own_process(phase, precision, arguments)
            print(phase, precision, found, flush=True)
    record.results["load_after"] = round(os.getloadavg()[0], 2)
    record.write(RESULTS, folders_kept=False)


def in_own_process(phase: str, precision: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """What one phase's process prints."""
    flags = (f"--phase={phase}", f"--precisions={precision}", f"--repeats={arguments.repeats}")
    command = [sys.executable, __file__, *flags, f"--side={arguments.side}"]
    done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def timed(arguments: argparse.Namespace) -> dict[str, Any]:
    """Seconds and processor seconds of each step but the first, and the process's peak memory."""
    step = compiled_step(arguments.phase, arguments.precisions, arguments.side)
    step()
    wall, processor = [], []
    for _ in range(arguments.repeats):
        started = time.monotonic(), time.process_time()
        step()
        wall.append(round(time.monotonic() - started[0], 2))
        processor.append(round(time.process_time() - started[1], 2))
    medians = {"median_s": statistics.median(wall), "median_processor_s": statistics.median(processor)}
    return {**medians, "all_s": wall, "peak_gb": own_peak_gb()}


def compiled_step(phase: str, precision: str, side: int) -> Any:
    """The update that the training loop runs, on one pair of slices of noise."""
    import tensorflow as tf

    from mdcsrn_tf.training.features import features_of
    from mdcsrn_tf.training.loop import compile_updates
    from mdcsrn_tf.training.settings import TrainSettings
    from mdcsrn_tf.training.state import build_state
    from mdcsrn_tf.training.steps import objective_of

    settings = TrainSettings(PRESET, phase, precision, features="random")  # type: ignore[arg-type]
    state = build_state(PRESET, phase, precision=precision, patch_size=side)
    update = compile_updates(settings, state, tf.distribute.get_strategy(), features_of(settings))
    pair = tuple(tf.random.uniform((1, side, side, 1), -1, 1) for _ in range(2))
    (name,) = objective_of(settings.plan).updates
    return lambda: {key: float(value) for key, value in update(name, pair, 0, 1e-4, 1e-4).items()}


def section(record: dict[str, Any]) -> str:
    """Seconds and memory of a step of each phase."""
    config, found = record["config"], record["results"]
    side = config["side"]
    lines = [
        f"## One training step of {config['preset']}, {side} x {side} slices, batch {config['batch']}",
        "",
        f"{pages.circumstances(record)} Medians of {config['repeats']} steps on a machine that was doing other things, "
        f"too (load {found['load_before']:g} before, {found['load_after']:g} after): seconds of the processor say more "
        "than those of the clock.",
        "",
    ]
    rows = [
        [name, f"{step['median_s']:.1f}", f"{step['median_processor_s']:.1f}", f"{step['peak_gb']:.1f}"]
        for name, step in found.items()
        if isinstance(step, dict)
    ]
    return "\n".join([*lines, *pages.table(["phase, precision", "seconds", "of the processor", "peak GB"], rows), ""])


if __name__ == "__main__":
    main()
