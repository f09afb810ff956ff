"""Train the field study's networks with JAX, one after the other; run it from the project's root.

    python recipes/jax_slices/train_slices.py --patches=PATCHES.npz --output=RESULTS --minutes=8 [--plan=...]

A plan is field_study.py's: `unet7:6000x32@2e-3` are 6000 steps of 32 patches at a rate of 0.002, which falls to zero
by half a cosine (not of a GAN with --first); before a GAN stands its generator alone, which the GAN begins with.
Patches are flipped and transposed by chance. Each network may take its part of the time that is left, by the steps that
are planned, and gets fewer steps where it would take more: its card says how many. The model of the least validation
error, its statistics of batch normalisation measured anew, goes into RESULTS/weights-1.npz and so on, each under
16 MiB: kernels in half precision, in which they were validated. With --ema that is the exponential average of the
weights. Of a GAN it is the least of those steps that have clearly more energy in the high band of frequencies than the
generator alone, since the least of all is the step that is nearest to that one; with --first it is the first of them,
and the GAN ends there.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

os.environ["KERAS_BACKEND"] = "jax"
sys.path.insert(0, str(Path.cwd()))

import jax
import jax.numpy as jnp
import keras
import numpy as np
from patches import read
from slice_steps import SliceSteps

from benchmarks.field_plan import PLAN, Decay, Training, planned
from benchmarks.field_validation import compared
from mdcsrn_tf.models import build_critic, build_generator
from mdcsrn_tf.models.features import VGG_FILES, load_features
from mdcsrn_tf.papers.quick2d import quick2d

CLOCK = time.monotonic()
LARGEST_FILE = 15 * 2**20
MEASURED = 16  # batches that batch normalisation is measured anew on
Weights = tuple[list, list]


def main() -> None:
    """Train what is planned, as far as the minutes go."""
    args = parsed()
    args.output.mkdir(parents=True, exist_ok=True)
    pairs, checksum = read(args.patches)
    train, validation = (np.stack(pairs[split], axis=-1) for split in ("train", "validation"))
    on_device = jnp.asarray(train, jnp.float16)
    store = Store(args.output)
    trainings = [replace(training, decay=decay_of(training, args)) for training in planned(args.plan)]
    if any(training.before for training in trainings):
        raise SystemExit("What goes on from another training (+ in a plan) is trained by field_study.py alone.")
    print(f"{len(trainings)} networks on {jax.devices()[0].device_kind}, {len(train)} patches", flush=True)
    alone: dict[Any, Run] = {}
    for index, training in enumerate(trainings):
        left = 60 * args.minutes - (time.monotonic() - CLOCK)
        if left < 10:
            print(f"no time left for {', '.join(t.row for t in trainings[index:])}")
            break
        run = Run(training, args, on_device, validation, alone.get(training.task()) if training.is_gan else None)
        try:
            card = run.go(share_of(left, [other.steps for other in trainings[index:]], args.least_seconds))
        except FloatingPointError as error:
            print(error, flush=True)
            continue
        store.add(training.folder, run.named(), card | {"data_sha256": checksum})
        if training.alone:
            alone[training.task()] = run


def decay_of(training: Training, args: argparse.Namespace) -> Decay:
    """A rate falls to zero by half a cosine, but for a GAN that ends as soon as it has what is asked."""
    return "constant" if args.first and training.is_gan and not training.alone else "cosine"


def share_of(left: float, steps: list[int], least: float) -> float:
    """Seconds for the first of the trainings to come, of those `left`: `least` (compiling), and by its steps."""
    least = min(least, left / len(steps))
    return least + (left - least * len(steps)) * steps[0] / sum(steps)


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patches", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--plan", default=PLAN)
    parser.add_argument("--minutes", type=float, default=8.0, help="after the imports")
    parser.add_argument("--least_seconds", type=float, default=0.0, help="for each network, as far as they go")
    parser.add_argument("--steps_per_call", type=int, default=50, help="updates in one dispatch")
    parser.add_argument("--validations", type=int, default=20, help="over a training")
    parser.add_argument("--ema", type=float, default=0.0, help="what a step leaves of the average of the weights")
    parser.add_argument("--gan_ema", type=float, default=0.0, help="the same of a GAN")
    energy = "of a GAN's kept step over its generator's alone, in the high band"
    parser.add_argument("--more_energy", type=float, default=3.0, help=energy)
    first = "a GAN ends at the first step with that energy, and is validated every so many steps"
    parser.add_argument("--first", type=int, default=0, help=first)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


class Run:
    """One network's training: dispatches, validations, the best weights so far."""

    def __init__(
        self, training: Training, args: argparse.Namespace, patches: Any, validation: np.ndarray, alone: Run | None
    ):
        self.training, self.args, self.patches, self.validation = training, args, patches, validation
        self.alone = None if training.alone else alone
        keras.utils.set_random_seed(args.seed)
        preset = quick2d(training.preset)
        (phase,) = preset.training.phases
        critic = build_critic(phase.objective.critic, patches.shape[1]) if phase.objective.critic else None
        generator = build_generator(preset.network, bn_momentum=preset.training.bn_momentum)
        needed = [term.loss for term in phase.terms if term.loss in VGG_FILES]
        features = {name: load_features(name, None, random=True) for name in needed}
        phase = replace(phase, learning_rate=training.rate)
        self.decay = args.ema if training.alone or critic is None else args.gan_ema
        self.first = args.first if self.alone else 0
        self.steps = SliceSteps(phase, (generator, critic), features, training.batch, args.seed, self.decay)
        self.best: tuple[float, int, Weights] = (math.inf, 0, ([], []))
        self.order = (True, math.inf)  # of the best: whether its energy is too little, and its error
        self.curve: list[dict[str, float]] = []

    def go(self, seconds: float) -> dict[str, Any]:
        """Train within `seconds`; what the card needs."""
        began, state = time.monotonic(), self.steps.fresh(self.alone and self.alone.best[2])
        each = self.first or self.args.steps_per_call
        total = math.ceil(self.training.steps / each) * each
        state, found = self.advance(state, total, each)  # compiles
        self.validate(state, found)
        compiled, step, due = time.monotonic(), each, total / self.args.validations
        while step < total and not (self.first and self.has_energy):
            state, found = self.advance(state, total, each)
            step += each
            if step == 3 * each or step >= due:  # the speed is known, and changes with what else is running
                left = seconds - (time.monotonic() - began)
                possible = int(0.95 * left * (step - each) / (time.monotonic() - compiled) / each) * each
                total = max(step, min(total, step + possible))
            if self.first or step >= due or step >= total:
                due += total / self.args.validations
                self.validate(state, found)
        return self.told(step, time.monotonic() - began)

    def advance(self, state: dict, total: int, count: int) -> tuple[dict, dict]:
        """One dispatch, waited for; FloatingPointError where something is not finite."""
        falls_by = total if self.training.decay == "cosine" else math.inf
        state, found = self.steps.advance(state, self.patches, jnp.float32(falls_by), count=count)
        found = {name: float(value) for name, value in found.items()}
        if not all(map(math.isfinite, found.values())):
            raise FloatingPointError(f"{self.training.row}: not finite before step {int(state['step'])}: {found}")
        return state, found

    def validate(self, state: dict, found: dict[str, float]) -> None:
        """Measure the weights as they would be kept, and keep them if they are the best so far."""
        weights = [halved(w) for w in state["averaged"]]
        fixed = self.steps.statistics(weights, state["fixed"], self.patches, count=MEASURED)
        low, high = self.validation[..., :1], self.validation[..., 1:]
        measures = compared(np.asarray(self.steps.restore(weights, fixed, low))[..., 0], high[..., 0])
        step = int(state["step"])
        self.curve.append({"step": step, **measures, **found})
        order = (measures["high_energy"] < self.least_energy, measures["mse"])
        if order < self.order:
            self.order = order
            self.best = (measures["mse"], step, ([np.asarray(w) for w in weights], [np.asarray(f) for f in fixed]))

    @property
    def least_energy(self) -> float:
        """What a GAN's kept step should have in the high band, so that it is another than its generator's alone."""
        return self.args.more_energy * self.alone.kept["high_energy"] if self.alone else 0.0

    @property
    def kept_by(self) -> str:
        """How the kept step was chosen, for the card."""
        if not self.alone:
            return "the least error"
        return "the first with enough energy" if self.first else "the least error of those with enough energy"

    @property
    def has_energy(self) -> bool:
        """Whether the kept step has it."""
        return not self.order[0]

    @property
    def kept(self) -> dict[str, float]:
        """The measures of the kept step."""
        return next(measures for measures in self.curve if measures["step"] == self.best[1])

    def exact(self, weights: list, fixed: list, low: np.ndarray) -> np.ndarray:
        """The first patch's result in full float32: a GPU rounds the factors of its products to 10 bits otherwise."""
        with jax.default_matmul_precision("highest"):
            return np.asarray(self.steps.restore(weights, fixed, low))[0, ..., 0]

    def named(self) -> dict[str, np.ndarray]:
        """The best weights by the variables' paths."""
        generator = self.steps.generator
        variables = [*generator.trainable_variables, *generator.non_trainable_variables]
        return {v.path: value for v, value in zip(variables, [*self.best[2][0], *self.best[2][1]], strict=True)}

    def told(self, total: int, seconds: float) -> dict[str, Any]:
        """What the card needs, printed in short; a patch with its result is what to_keras.py compares with."""
        error, step, (weights, fixed) = self.best
        first = self.curve[0]["mse"]
        print(f"{self.training.row}: {total} steps in {seconds:.0f} s, MSE {first:.4f} -> {error:.4f} at {step}: "
              f"{self.kept}; last: {self.curve[-1]}", flush=True)  # fmt: skip
        return {
            "training": asdict(self.training),
            "steps": total,
            "kept": step,
            "mse": error,
            "seconds": round(seconds, 1),
            "curve": self.curve,
            "trained_with": {
                "jax": jax.__version__,
                "device": jax.devices()[0].device_kind,
                "seed": self.args.seed,
                "turned": True,
                "ema": self.decay,
                "kept": self.kept_by,
                "enough_energy": self.least_energy,
                "start": self.alone.training.row if self.alone else None,
            },
            "probe": self.exact(weights, fixed, self.validation[:1, ..., :1]).round(4).tolist(),
            "probe_input": self.validation[0, ..., 0].tolist(),
        }


def halved(value: Any) -> Any:
    """Kernels rounded to half precision, in which they are stored; vectors as they are."""
    return value.astype(jnp.float16).astype(jnp.float32) if value.ndim > 1 else value


class Store:
    """The trained networks in files of a size that can be carried, written anew after each."""

    def __init__(self, folder: Path):
        self.folder, self.number, self.held, self.size = folder, 1, {}, 0

    def add(self, name: str, weights: dict[str, np.ndarray], card: dict[str, Any]) -> None:
        """Put a network into the last file, or a new one where it would grow too large."""
        found = {f"{name}/{path}": w.astype(np.float16) if w.ndim > 1 else w for path, w in weights.items()}
        found[f"{name}/card"] = np.array(json.dumps(card))
        size = sum(array.nbytes for array in found.values())
        if self.held and self.size + size > LARGEST_FILE:
            self.number, self.held, self.size = self.number + 1, {}, 0
        self.held |= found
        self.size += size
        np.savez_compressed(self.folder / f"weights-{self.number}.npz", **self.held)


if __name__ == "__main__":
    main()
