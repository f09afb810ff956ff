"""One training step of journal/b4u4k12 against PyTorch: L1, critic and generator, both precisions.

    python benchmarks/train_step.py [--kinds=l1,critic,generator] [--batch_size=6] [--rounds=5]

Every contender is the same network on the same batch, with our allocator setting (`-system`: without), and has
settled before its first turn. PyTorch runs in channels_last_3d, `-contiguous` or `-compiled` (torch.compile); in
bfloat16 by autocast. The critic is float32 everywhere. Each contender takes turns with PyTorch in bfloat16, two at a
time. Writes benchmarks/results/train_step_KIND.json.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from benchmarks import pages, side_by_side
from mdcsrn_tf.inference.memory import keep_freed_memory
from mdcsrn_tf.papers import get_preset
from mdcsrn_tf.run_record import RunRecord
from mdcsrn_tf.workers import available_cores

PRESET = get_preset("journal/b4u4k12")
RECIPE = PRESET.training
GAN = RECIPE.phase("gan")
WGAN: Any = GAN.objective
STOCK = "tensorflow-stock-float32"  # what Keras's own batch normalisation would cost
REFERENCE = side_by_side.REFERENCE
ENGINES = (
    *("tensorflow-mixed_bfloat16", f"{REFERENCE}-contiguous", f"{REFERENCE}-compiled", f"{REFERENCE}-system"),
    *("tensorflow-mixed_bfloat16-system", "tensorflow-float32", "torch-float32", STOCK),
)
RESULTS = Path(__file__).parent / "results"
Shape = tuple[int, ...]  # [batch, D, H, W, 1]


def main() -> None:
    """Time every kind of step, or be one contender (`--engine`)."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kinds", default="l1,critic,generator")
    parser.add_argument("--batch_size", type=int, default=RECIPE.batch_size)
    parser.add_argument("--patch", type=int, default=RECIPE.patch_size, help="their edge")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--engines", default=",".join(ENGINES), help="contenders")
    parser.add_argument("--keep", action="store_true", help="keep what the record has of other contenders")
    parser.add_argument("--threads", type=int, default=available_cores())
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument("--engine", help="be this contender: what the benchmark starts itself with")
    arguments = parser.parse_args()
    if arguments.engine:
        if not arguments.engine.endswith("-system"):
            keep_freed_memory()
        build = torch_step if arguments.engine.startswith("torch") else tensorflow_step
        shape = (arguments.batch_size, *3 * (arguments.patch,), 1)
        side_by_side.serve(build(arguments.kinds, arguments.engine, shape, arguments.threads))
        return
    for kind in arguments.kinds.split(","):
        compare(kind, arguments)


def compare(kind: str, arguments: argparse.Namespace) -> None:
    """Let every engine take turns with the reference at one kind of step; the record is written after each."""
    fixed = [f"--{name}={getattr(arguments, name)}" for name in ("batch_size", "patch", "threads")]
    config = {"kind": kind, "batch_size": arguments.batch_size, "patch": arguments.patch, "preset": PRESET.name}
    record, output = RunRecord.begin(config | {"rounds": arguments.rounds}), f"train_step_{kind}.json"
    engines = arguments.engines.split(",")
    kept = pages.read(output)["results"]["contenders"] if arguments.keep else []
    rows = [row for row in kept if row["contender"] not in engines]
    record.results = {"against": REFERENCE, "contenders": rows}
    print(f"{kind} step, batch {arguments.batch_size} of {arguments.patch}^3: median | to {REFERENCE} | peak")
    for engine in engines:
        if (engine == STOCK and kind != "l1") or (engine.endswith("-compiled") and kind == "critic"):
            continue  # torch.compile takes no second derivative
        pair = [
            side_by_side.Contender(name, [sys.executable, __file__, f"--engine={name}", f"--kinds={kind}", *fixed])
            for name in (engine, REFERENCE)
        ]
        side_by_side.take_turns(pair, arguments.rounds)
        rows.append(side_by_side.result(*pair))
        side_by_side.print_row(rows[-1])
        record.write(arguments.output / output, folders_kept=False)


def tensorflow_step(kind: str, engine: str, shape: Shape, threads: int) -> Callable[[], object]:
    """Our step, compiled, as the training loop runs it."""
    import keras
    import tensorflow as tf

    from mdcsrn_tf.models.files import portable
    from mdcsrn_tf.training.state import build_state
    from mdcsrn_tf.training.steps import StepOptions, pixelwise, wgan_gp

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    state = build_state(
        PRESET, "l1" if kind == "l1" else "gan", precision="float32" if engine == STOCK else engine.split("-")[1]
    )
    if engine == STOCK:
        state.generator = portable(state.generator)
        state.generator_optimizer = keras.optimizers.Adam(RECIPE.phase("l1").learning_rate)
        state.generator_optimizer.build(state.generator.trainable_variables)
    options = StepOptions(WGAN)
    low_res, high_res = tf.random.normal(shape), tf.random.normal(shape)
    alpha = tf.random.uniform(shape[:1])
    steps = {
        "l1": lambda: pixelwise.pixelwise_step(state, options, low_res, high_res),
        "critic": lambda: wgan_gp.critic_step(state, options, low_res, high_res, alpha),
        "generator": lambda: wgan_gp.generator_step(state, options, low_res, high_res),
    }
    compiled = tf.function(steps[kind])
    return lambda: {name: float(value) for name, value in compiled().items()}


def torch_step(kind: str, engine: str, shape: Shape, threads: int) -> Callable[[], object]:
    """The same step in PyTorch."""
    import torch

    from benchmarks.torch_steps import Form, TrainingSteps

    torch.set_num_threads(threads)
    layout = "contiguous_format" if engine.endswith("-contiguous") else "channels_last_3d"
    form = Form(layout, engine.endswith("-compiled"), "bfloat16" in engine)
    step = TrainingSteps(PRESET, kind, shape[0], shape[1], form).step
    return lambda: step().item()


_COLUMNS = ("cpu_ratio", "median_seconds", "reference_median_seconds")


def section(first: dict[str, Any]) -> str:
    """Each kind of step beside PyTorch's, each pair of contenders timed in turns."""
    config = first["config"]
    lines = [
        f"## One training step of {config['preset']}, batch {config['batch_size']} of {config['patch']}^3",
        "",
        f"{pages.circumstances(first)} Medians of {config['rounds']} rounds. The first ratio is to PyTorch in bfloat16 "
        "(autocast, channels_last_3d, fused Adam, our allocator setting), settled, in turns with each contender; the "
        "second to the fastest form of PyTorch in this table; the third is of CPU seconds, as other work ran on the "
        "machine beside some of these. Compare ratios, not seconds of different rows. The critic is float32.",
        "",
    ]
    rows = []
    for kind in ("l1", "critic", "generator"):
        found = pages.read(f"train_step_{kind}.json")["results"]["contenders"]
        best = side_by_side.best_of_torch(found)[1]
        for row in found:
            numbers = [f"{row['ratio']:.2f}", f"{row['ratio'] / best:.2f}", *(f"{row[key]:.2f}" for key in _COLUMNS)]
            peaks = [f"{row[key] * 2**30 / 1e9:.2f}" for key in ("peak_gib", "reference_peak_gib")]
            rows.append([f"{kind}: {row['contender']}", *numbers, *peaks])
    head = ["step", "ratio", "to the best", "CPU ratio", "seconds", "PyTorch's", "peak GB", "PyTorch's"]
    return "\n".join([*lines, *pages.table(head, rows), ""])


if __name__ == "__main__":
    main()
