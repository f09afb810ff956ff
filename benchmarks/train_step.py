"""One training step of journal/b4u4k12 against PyTorch: L1, critic and generator, both precisions.

    python benchmarks/train_step.py [--kinds=l1,critic,generator] [--batch_size=6] [--rounds=5]

Every contender is the same network on the same batch; PyTorch uses channels_last_3d and, for bfloat16,
autocast. The critic is float32 everywhere. Each contender takes turns with PyTorch in bfloat16, two at a time
(all at once would take 25 GiB). Writes benchmarks/results/train_step_KIND.json.
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
from mdcsrn_tf.papers import get_preset
from mdcsrn_tf.papers.config import MdcsrnConfig
from mdcsrn_tf.run_record import RunRecord
from mdcsrn_tf.workers import available_cores

PRESET = get_preset("journal/b4u4k12")
RECIPE = PRESET.training
GAN = RECIPE.phase("gan")
WGAN: Any = GAN.objective
STOCK = "tensorflow-stock-float32"  # what Keras's own batch normalisation would cost
ENGINES = ("tensorflow-float32", "tensorflow-mixed_bfloat16", "torch-float32", "torch-bfloat16", STOCK)
REFERENCE = "torch-bfloat16"
RESULTS = Path(__file__).parent / "results"


def main() -> None:
    """Time every kind of step, or be one contender (`--engine`)."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kinds", default="l1,critic,generator")
    parser.add_argument("--batch_size", type=int, default=RECIPE.batch_size)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--engines", default=",".join(ENGINES), help="contenders")
    parser.add_argument("--threads", type=int, default=available_cores())
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument("--engine", help="be this contender: what the benchmark starts itself with")
    arguments = parser.parse_args()
    if arguments.engine:
        build = torch_step if arguments.engine.startswith("torch") else tensorflow_step
        side_by_side.serve(build(arguments.kinds, arguments.engine, arguments.batch_size, arguments.threads))
        return
    for kind in arguments.kinds.split(","):
        config = {"kind": kind, "batch_size": arguments.batch_size, "patch": RECIPE.patch_size, "preset": PRESET.name}
        record = RunRecord.begin(config)
        record.results = {"against": REFERENCE, "contenders": compare(kind, arguments)}
        record.write(arguments.output / f"train_step_{kind}.json", folders_kept=False)


def compare(kind: str, arguments: argparse.Namespace) -> list[dict]:
    """Let every engine take turns with the reference at one kind of step."""
    fixed = [f"--kinds={kind}", f"--batch_size={arguments.batch_size}", f"--threads={arguments.threads}"]
    rows = []
    print(f"{kind} step, batch {arguments.batch_size} of {RECIPE.patch_size}^3: median | to {REFERENCE} | peak")
    for engine in arguments.engines.split(","):
        if engine == REFERENCE or (engine == STOCK and kind != "l1"):
            continue
        pair = [
            side_by_side.Contender(name, [sys.executable, __file__, f"--engine={name}", *fixed])
            for name in (engine, REFERENCE)
        ]
        side_by_side.take_turns(pair, arguments.rounds)
        rows.append(side_by_side.result(*pair))
        side_by_side.print_row(rows[-1])
    return rows


def tensorflow_step(kind: str, engine: str, batch_size: int, threads: int) -> Callable[[], object]:
    """Our step, compiled, as the training loop runs it."""
    import keras
    import tensorflow as tf

    from mdcsrn_tf.models.files import portable
    from mdcsrn_tf.training.state import build_state
    from mdcsrn_tf.training.steps import StepOptions, pixelwise, wgan_gp

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    state = build_state(PRESET, "l1" if kind == "l1" else "gan", precision=engine.split("-")[-1])
    if engine == STOCK:
        state.generator = portable(state.generator)
        state.generator_optimizer = keras.optimizers.Adam(RECIPE.phase("l1").learning_rate)
        state.generator_optimizer.build(state.generator.trainable_variables)
    options = StepOptions(WGAN)
    shape = (batch_size, *3 * (RECIPE.patch_size,), 1)
    low_res, high_res = tf.random.normal(shape), tf.random.normal(shape)
    alpha = tf.random.uniform((batch_size,))
    steps = {
        "l1": lambda: pixelwise.pixelwise_step(state, options, low_res, high_res),
        "critic": lambda: wgan_gp.critic_step(state, options, low_res, high_res, alpha),
        "generator": lambda: wgan_gp.generator_step(state, options, low_res, high_res),
    }
    compiled = tf.function(steps[kind])
    return lambda: {name: float(value) for name, value in compiled().items()}


def torch_step(kind: str, engine: str, batch_size: int, threads: int) -> Callable[[], object]:
    """The same step in PyTorch."""
    import torch

    from benchmarks.torch_networks import Critic, Mdcsrn

    torch.set_num_threads(threads)
    assert isinstance(PRESET.network, MdcsrnConfig)
    layout = torch.channels_last_3d
    generator = Mdcsrn(PRESET.network).to(memory_format=layout).train()
    critic = Critic(WGAN.critic, RECIPE.patch_size).to(memory_format=layout)
    critic_optimizer = torch.optim.Adam(critic.parameters(), GAN.learning_rate)
    generator_optimizer = torch.optim.Adam(generator.parameters(), RECIPE.phase("l1").learning_rate)
    shape = (batch_size, 1, *3 * (RECIPE.patch_size,))
    low_res, high_res = (torch.randn(shape).to(memory_format=layout) for _ in range(2))

    def super_resolve():
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=engine.endswith("bfloat16")):
            return generator(low_res).float()

    def update(optimizer, loss):
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    def l1():
        return update(generator_optimizer, (super_resolve() - high_res).abs().mean())

    def generator_step():
        super_res = super_resolve()
        adversarial = -critic(super_res).mean()
        loss = (super_res - high_res).abs().mean() + WGAN.adversarial_weight * adversarial
        return update(generator_optimizer, loss)

    def critic_step():
        with torch.no_grad():
            super_res = super_resolve()
        penalty = WGAN.gradient_penalty_weight * torch_penalty(critic, high_res, super_res)
        return update(critic_optimizer, penalty - critic(high_res).mean() + critic(super_res).mean())

    return {"l1": l1, "critic": critic_step, "generator": generator_step}[kind]


def torch_penalty(critic, real, fake):
    """WGAN-GP's gradient penalty in PyTorch."""
    import torch

    alpha = torch.rand(len(real), 1, 1, 1, 1)
    between = (alpha * real + (1 - alpha) * fake).requires_grad_()
    (gradients,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    return ((gradients.flatten(1).norm(dim=1) - 1) ** 2).mean()


_COLUMNS = ("median_seconds", "reference_median_seconds", "peak_gib", "reference_peak_gib")


def section(first: dict[str, Any]) -> str:
    """Each kind of step beside PyTorch's, each pair of contenders timed in turns."""
    config = first["config"]
    lines = [
        f"## One training step of {config['preset']}, batch {config['batch_size']} of {config['patch']}^3",
        "",
        f"{pages.circumstances(first)} Medians; the ratio is to PyTorch in bfloat16 (autocast, channels_last_3d), "
        "measured in turns with each contender: compare ratios, not seconds of different rows. The critic is float32 "
        "everywhere.",
        "",
    ]
    rows = []
    for kind in ("l1", "critic", "generator"):
        for row in pages.read(f"train_step_{kind}.json")["results"]["contenders"]:
            numbers = [f"{row['ratio']:.2f}", *(f"{row[key]:.2f}" for key in _COLUMNS)]
            rows.append([f"{kind}: {row['contender']}", *numbers])
    head = ["step", "ratio", "seconds", "PyTorch's", "peak GiB", "PyTorch's"]
    return "\n".join([*lines, *pages.table(head, rows), ""])


if __name__ == "__main__":
    main()
