"""Train a network of the project on one GPU with JAX; run it from the project's root (README.md beside it).

    l1    the intensity phase of any preset
    gan   the WGAN-GP phase, from the weights of an intensity phase; every state that is validated is kept

The rates follow the clock: `--minutes` decides where the cosine ends, however fast the machine is. A run may be made in
parts: `--window=0,0.4` goes through the first two fifths of the cosine and `--window=0.4,1 --resume=FOLDER/state.npz`
through the rest.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import os
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path.cwd()))
os.environ["KERAS_BACKEND"] = "jax"

import jax
import jax.numpy as jnp
import keras
import numpy as np

from recipes.jax_volumes.convolutions import for_gpu
from recipes.jax_volumes.starts import load_weights
from recipes.jax_volumes.states import fresh, keep, resumed
from recipes.jax_volumes.updates import Updates
from recipes.jax_volumes.volume_patches import Validation, load_volumes

CLOCK = time.monotonic()
COLUMNS = (
    *("step", "kind", "rate", "lambda", "loss", "adversarial_loss", "earth_mover", "penalty", "gradient_norm"),
    *("gain", "psnr", "input_psnr", "mae", "band_db", "band_correlation", "each", "seconds"),
)


def main() -> None:
    """Build, load, train."""
    args = parse_arguments()
    args.output.mkdir(parents=True, exist_ok=True)
    if args.compiled:
        jax.config.update("jax_compilation_cache_dir", str(args.compiled.absolute()))
    volumes, patch = load_volumes(args.data)
    say(f"{len(volumes.offsets)} volumes on {jax.devices()[0].device_kind}, {len(volumes.pairs) / 1e6:.0f}M voxels")
    updates = Updates(args, patch, *build_networks(args, patch))
    Run(args, updates, volumes, Validation(args.data)).go()


def build_networks(args: argparse.Namespace, patch: int) -> tuple[Any, Any, Any]:
    """The generator in the run's precision and in float32, started or loaded, and the GAN phase's critic."""
    from mdcsrn_tf.models import build_critic, build_generator, start_as_identity
    from mdcsrn_tf.models.files import with_precision
    from mdcsrn_tf.papers import get_preset
    from mdcsrn_tf.papers.config import CriticConfig

    preset = get_preset(args.preset)
    keras.utils.set_random_seed(args.seed)
    exact = build_generator(preset.network, bn_momentum=args.bn_momentum)
    if args.init_from:
        load_weights(exact, args.init_from)
    elif args.init == "identity":
        start_as_identity(exact, preset.network)
    critic = None
    if args.phase == "gan":
        config = CriticConfig(filters=args.critic_filters)
        critic = for_gpu(build_critic(config, patch), args.critic_precision)
    return for_gpu(with_precision(exact, args.precision)), for_gpu(exact), critic


class Run:
    """The loop around the updates: prints, validates, seeks lambda, saves, ends by the clock."""

    def __init__(self, args: argparse.Namespace, updates: Updates, volumes: Any, validation: Validation):
        self.args, self.updates, self.volumes, self.validation = args, updates, volumes, validation
        self.rows = rows_before(args.resume)
        self.best, self.lam = -math.inf, getattr(args, "weight", 0.0)
        self.state = fresh(updates.exact, updates.critic)
        if args.resume:
            self.state = resumed(self.state, args.resume)
        self.began: float | None = None  # when the first dispatch had been compiled

    def go(self) -> None:
        """From the first update to the last second."""
        args = self.args
        self._validate()
        if self.updates.critic and not args.resume:
            self._warm_up()
        self.state, _ = self._advance()  # compiles
        self.began = time.monotonic()
        validated = printed = self.began
        counted = int(self.state["step"])
        say("compiled")
        while self._part() < 1.0 and int(self.state["step"]) < args.steps:
            self.state, found = self._advance()
            found = {name: float(value) for name, value in found.items()}
            if not all(math.isfinite(value) for value in found.values()):
                raise SystemExit(f"not finite: {found}")
            now = time.monotonic()
            if now - printed > args.print_seconds:
                printed = now
                self._report(found, (int(self.state["step"]) - counted) / (now - self.began))
            if now - validated > args.validate_seconds:
                self._validate()
                validated = time.monotonic()
        self._validate()
        if args.keep_state:
            keep(self.state, args.output / "state.npz")
        say(f"ended after {int(self.state['step'])} updates of {args.batch} patches of {self.updates.patch}^3")

    def _advance(self) -> tuple[dict, dict]:
        return self.updates.advance(self.state, self.volumes, jnp.float32(self._rate()), jnp.float32(self.lam))

    def _part(self) -> float:
        """How much of the run's time is over."""
        if self.began is None:
            return 0.0
        end = CLOCK + 60 * self.args.minutes
        return min(1.0, (time.monotonic() - self.began) / max(end - self.began, 1e-9))

    def _rate(self) -> float:
        """A short rise, then half a cosine to zero (l1), or constant and a fall in the last third (gan)."""
        args = self.args
        first, last = args.window
        part = first + (last - first) * self._part()
        rise = min(1.0, (int(self.state["step"]) + 1) / args.rate_warmup)
        if self.updates.critic:
            part = max(0.0, 3 * part - 2)
        return args.rate * rise * 0.5 * (1 + math.cos(math.pi * part))

    def _warm_up(self) -> None:
        """The critic alone."""
        args = self.args
        while int(self.state["critic_step"]) < args.critic_warmup:
            self.state, found = self.updates.critic_only(self.state, self.volumes)
            if int(self.state["critic_step"]) % (20 * args.critic_steps) == 0:
                say(
                    f"critic alone {int(self.state['critic_step'])}: EM {float(found['earth_mover']):.4f}, "
                    f"penalty {float(found['penalty']):.4f}"
                )

    def _report(self, found: dict[str, float], speed: float) -> None:
        self._row("train", found)
        memory = (jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use", 0) / 2**30
        gan = f" EM {found['earth_mover']:.3f} GP {found['penalty']:.3f}" if "earth_mover" in found else ""
        say(
            f"{int(self.state['step'])} loss {found['loss']:.5f}{gan} {speed:.2f}/s {speed * self.args.batch:.0f} p/s "
            f"part {self._part():.2f} {memory:.0f} GiB"
        )

    def _row(self, kind: str, values: dict[str, Any]) -> None:
        row = {"step": int(self.state["step"]), "kind": kind, "rate": self._rate(), "lambda": self.lam, **values}
        self.rows.append({name: rounded(value) for name, value in row.items()} | {"seconds": elapsed()})

    def _validate(self) -> None:
        """Measure the averaged weights with statistics measured anew; keep them as last, and as best by the gain."""
        weights = self.state["ema"]
        moving = self.updates.statistics(weights, self.state["moving"], self.volumes)
        found = self.validation.measure(partial(self.updates.restore, weights, moving))
        self._row("validation", found)
        say(
            f"gain {found['gain']:+.3f} band {found['band_db']:+.2f} r {found['band_correlation']:.3f} "
            f"lambda {self.lam:.5f} {found['each']}"
        )
        self._save("last", weights, moving, found)
        if not self.updates.critic and found["gain"] > self.best and int(self.state["step"]):
            self.best = found["gain"]
            self._save("best", weights, moving, found)
        if self.updates.critic:
            self._save(f"update-{int(self.state['step']):05d}", weights, moving, found)
            self._seek_power(found["band_db"])

    def _seek_power(self, band_db: float) -> None:
        """Too little power in the removed k-space: the critic is to count for more."""
        args = self.args
        if args.band_target is not None and int(self.state["step"]) > args.rate_warmup and self._part() < 2 / 3:
            self.lam *= math.exp(float(np.clip(0.05 * (args.band_target - band_db), -0.15, 0.15)))

    def _save(self, name: str, weights: list, moving: list, found: dict[str, Any]) -> None:
        """Weights by path, what the card needs, an input with its output for `to_keras.py` to check, the curve."""
        exact = self.updates.exact
        probe = next(iter(self.validation.slabs.values()))["low"]
        middle = tuple(slice(size // 2 - 12, size // 2 + 12) for size in probe.shape)
        probe = probe[middle][None, ..., None]
        with jax.default_matmul_precision("float32"):
            output = exact.stateless_call(weights, moving, jnp.asarray(probe), training=False)[0]
        variables = [*exact.trainable_variables, *exact.non_trainable_variables]
        content = {v.path: np.asarray(w) for v, w in zip(variables, [*weights, *moving], strict=True)}
        card = {"settings": settings_of(self.args, self.updates.patch), "step": int(self.state["step"])}
        card |= {"validation": found, "lambda": self.lam, "device": jax.devices()[0].device_kind}
        card |= {"jax": jax.__version__, "minutes": round(elapsed() / 60, 2)}
        content |= {"card": np.array(json.dumps(card)), "probe_input": probe, "probe_output": np.asarray(output)}
        partial_path = self.args.output / f".partial-{name}.npz"
        np.savez(partial_path, **content)
        partial_path.replace(self.args.output / f"{name}.npz")
        with (self.args.output / "curve.csv").open("w", newline="") as stream:
            table = csv.DictWriter(stream, COLUMNS)
            table.writeheader()
            table.writerows(self.rows)


def rows_before(state: Path | None) -> list[dict[str, Any]]:
    """The curve that lies beside a state, which goes on; none where there is no state, or no curve beside it."""
    curve = state.with_name("curve.csv") if state else None
    if curve is None or not curve.is_file():
        return []
    with curve.open(newline="") as stream:
        return list(csv.DictReader(stream))


def window(text: str) -> tuple[float, float]:
    """`0,0.4` as two numbers."""
    first, last = map(float, text.split(","))
    return first, last


def settings_of(args: argparse.Namespace, patch: int) -> dict[str, Any]:
    """The flags that decide the weights, as JSON."""
    left_out = ("output", "compiled", "print_seconds", "validate_seconds", "keep_state")
    settings = {name: str(v) if isinstance(v, Path) else v for name, v in vars(args).items() if name not in left_out}
    return settings | {"patch": patch, "data": args.data.name}


def rounded(value: Any) -> Any:
    """Six digits of a number."""
    return float(f"{value:.6g}") if isinstance(value, float) else value


def elapsed() -> float:
    """Seconds since the start."""
    return round(time.monotonic() - CLOCK, 1)


def say(text: str) -> None:
    """Print with the seconds since the start."""
    print(f"[{elapsed():5.0f}] {text}", flush=True)


def parse_arguments() -> argparse.Namespace:
    """The command line: the phase and its flags."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="phase", required=True)
    for phase in ("l1", "gan"):
        command = commands.add_parser(phase, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
        add_flags(command.add_argument, gan=phase == "gan")
    return parser.parse_args()


def add_flags(add: Any, gan: bool) -> None:
    """What both phases share, with each one's defaults, and what the GAN phase adds."""
    add("--data", type=Path, required=True, help="a folder of training_data.py")
    add("--output", type=Path, required=True, help="folder for last.npz, best.npz, curve.csv")
    add("--compiled", type=Path, help="folder where compiled code is kept")
    add("--preset", required=True, help="journal/b4u4k12, fsrcnn3d ...")
    add("--minutes", type=float, required=True, help="from the start of the process to the end of training")
    add("--steps", type=int, default=10**9, help="at most so many updates")
    add("--init_from", type=Path, required=gan, help="weights to start from: .npz of a run, or .keras")
    add("--resume", type=Path, help="go on from a run's state.npz")
    add("--keep_state", action="store_true", help="write state.npz at the end")
    add("--window", type=window, default=(0.0, 1.0), help="part of the rate's cosine to go through, as 0,0.4")
    add("--init", choices=("identity", "glorot"), default="identity", help="the start without --init_from")
    add("--precision", choices=("mixed_bfloat16", "float32"), default="mixed_bfloat16", help="of the generator")
    add("--batch", type=int, default=8 if gan else 32)
    add("--steps_per_call", type=int, default=5 if gan else 20, help="updates in one dispatch")
    add("--rate", type=float, default=1e-4 if gan else 2e-3, help="Adam's, of the generator")
    add("--rate_warmup", type=int, default=20 if gan else 200, help="updates in which the rate rises")
    add("--ema", type=float, default=0.99 if gan else 0.998, help="decay of the averaged weights, which are kept")
    add("--exchange", type=int, default=1, help="1: the first two axes were degraded alike and are exchanged")
    add("--bn_momentum", type=float, default=0.9)
    add("--statistics", choices=("batch", "given"), default="batch", help="given: those that it starts from stay")
    add("--bn_batches", type=int, default=48 if gan else 16, help="over which batch normalisation is measured anew")
    add("--validate_seconds", type=float, default=15.0 if gan else 45.0)
    add("--print_seconds", type=float, default=15.0)
    add("--seed", type=int, default=0)
    if gan:
        add("--weight", type=float, default=0.003, help="lambda of the adversarial term to begin with")
        add(
            "--band_target",
            type=float,
            help="change lambda to seek so many dB of the removed k-space over the original's",
        )
        add("--critic_steps", type=int, default=5, help="critic updates a generator update")
        add("--critic_rate", type=float, default=1e-4, help="Adam's, of the critic")
        add("--critic_warmup", type=int, default=500, help="critic updates before the first generator update")
        add("--critic_filters", type=int, default=64, help="the papers' critic has 64")
        add("--critic_precision", choices=("mixed_bfloat16", "float32"), default="float32", help="of its convolutions")
        add("--penalty", type=float, default=10.0, help="weight of the gradient penalty")


if __name__ == "__main__":
    main()
