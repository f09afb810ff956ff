"""`kill -9` at random moments, and the same command again: the bytes of an undisturbed run, and no litter.

    python benchmarks/kills.py [--count=100] [--kinds=shards,l1,gan,infer,eval] [--seed=0] [--output=FILE]

The kills are shared equally among the kinds. Each falls at a moment drawn uniformly from the time of an undisturbed
run, on the whole group of processes. Compared is everything a run leaves but times: its record (run.json),
TensorBoard's events, the seconds in checkpoints and evaluations. Writes benchmarks/results/kills.json; ends with 1 if a
run differed.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from benchmarks.data_helpers import ROOT
from mdcsrn_tf.run_record import RunRecord
from mdcsrn_tf.training.checkpoints import load_checkpoint

RESULTS = Path(__file__).parent / "results" / "kills.json"
# In how many parts a sum is taken, and so its last bit, shall not hang on the cores that are free at the moment.
_ENVIRONMENT = {**os.environ, "TF_NUM_INTRAOP_THREADS": "1", "OMP_NUM_THREADS": "1"}
_TIMES = ("seconds", "device")  # of a checkpoint's progress and an evaluation's rows
# A real preset on patches of 12^3, a critic to match, 6 steps of either network's first turn.
_SMALL = (
    "--preset=miccai/b1u8k16",
    "--recipe=quick",
    "--batch_size=2",
    "--set=patch_size=12",
    "--set=critic.filters=4",
    "--set=critic.stages=2",
    "--set=critic.dense_units=8",
    "--set=bn_reestimation_batches=2",
    "--set=run.validate_every=3",
    "--set=run.checkpoint_every=1",
    "--set=run.log_every=1",
    "--set=run.picture_every=2",
)
_GAN = (
    "--set=gan.critic_warmup_steps=2",
    "--set=gan.critic_steps_per_generator_step=1",
    "--set=gan.extra_critic_every=2",
    "--set=gan.extra_critic_steps=1",
)


@dataclass(frozen=True)
class Kind:
    """A command that is killed: its words for an output folder, and what that folder must hold in the beginning."""

    name: str
    command: Callable[[Path], list[str]]
    begin: Callable[[Path], None] = lambda output: None


def kinds(inputs: Path) -> dict[str, Kind]:
    """The five commands on what `prepare` has put into `inputs`."""
    scans, shards = inputs / "scans", inputs / "shards"

    def train(output: Path, *more: str) -> list[str]:
        return ["train.py", f"--data={shards}", f"--workdir={output}", *_SMALL, *more]

    def with_first_phase(output: Path) -> None:
        output.mkdir()
        shutil.copy(inputs / "best_l1.keras", output)

    found = [
        Kind(
            "shards",
            lambda output: [
                "-m",
                "data_prep.make_shards",
                f"--input={scans}",
                f"--output={output}",
                "--patch=16",
                "--epochs_of_patches=20",
                "--split=0.5,0.5",
                "--workers=2",
                "--quiet",
            ],
        ),
        Kind("l1", lambda output: train(output, "--phase=l1", "--steps=6")),
        Kind("gan", lambda output: train(output, "--phase=gan", "--steps=3", *_GAN), with_first_phase),
        Kind(
            "infer",
            lambda output: [
                "infer.py",
                f"--input={scans}",
                f"--output={output}",
                "--quiet",
                "--qc",
                f"--model={inputs / 'best_l1.keras'}",
                "--tile=32",
                "--force",
            ],
        ),
        Kind(
            "eval",
            lambda output: [
                "eval.py",
                f"--hr={scans}",
                f"--output={output}",
                "--baselines=nn,linear",
                "--quiet",
                "--nofigures",
                "--workers=2",
            ],
        ),
    ]
    return {kind.name: kind for kind in found}


def prepare(inputs: Path, names: set[str]) -> None:
    """Phantoms, shards of them, and a model of the first phase: what the kinds of those names need."""
    code = (
        "import sys, nibabel, numpy; from data_prep.phantom import make_phantom\n"
        "for n in range(1, 5): nibabel.save(nibabel.Nifti1Image(make_phantom((48, 52, 44), n).astype('int16'), "
        "numpy.eye(4)), f'{sys.argv[1]}/sub-{n:02d}_T1w.nii.gz')"
    )
    (inputs / "scans").mkdir(parents=True)
    run("-c", code, str(inputs / "scans"))
    if names & {"l1", "gan", "infer"}:
        run(
            "-m",
            "data_prep.make_shards",
            f"--input={inputs / 'scans'}",
            f"--output={inputs / 'shards'}",
            "--patch=12",
            "--patches_per_subject=4",
            "--split=0.5,0.5",
            "--workers=1",
            "--quiet",
        )
    if names & {"gan", "infer"}:
        work = inputs / "first"
        run("train.py", f"--data={inputs / 'shards'}", f"--workdir={work}", *_SMALL, "--phase=l1", "--steps=6")
        shutil.move(work / "best_l1.keras", inputs / "best_l1.keras")


def run(*words: str) -> None:
    """A command of ours to its end; its words where it fails."""
    done = subprocess.run(
        [sys.executable, *words], cwd=ROOT, env=_ENVIRONMENT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(words)} ended with {done.returncode}: {done.stderr[-2000:]}")


def harvest(output: Path) -> dict[str, Any]:
    """Everything a run left, by path: bytes, or what is in them where they hold times."""
    found: dict[str, Any] = {}
    for path in sorted(output.rglob("*")):
        name = path.relative_to(output).as_posix()
        if not path.is_file() or name in ("run.json", "report.html") or name.startswith("tensorboard/"):
            continue
        if path.suffix == ".npz" and path.parent.parent.name == "checkpoints":
            checkpoint = load_checkpoint(path)
            arrays = {key: array.tobytes() for key, array in checkpoint.arrays.items()}
            found[name] = arrays | _timeless(checkpoint.meta)
        elif path.suffix == ".json":
            found[name] = _timeless(json.loads(path.read_text(encoding="utf-8")))
        else:
            found[name] = path.read_bytes()
    return _without_timed_columns(found)


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _timeless(item) for key, item in value.items() if key not in _TIMES}
    return [_timeless(item) for item in value] if isinstance(value, list) else value


def _without_timed_columns(found: dict[str, Any]) -> dict[str, Any]:
    """An evaluation's tables print the time a method took: there the tables' records stand for them."""
    timed = any(name.startswith("subjects/") for name in found)
    return {name: content for name, content in found.items() if not (timed and Path(name).suffix in (".csv", ".md"))}


def kill_and_repeat(kind: Kind, output: Path, moment: float, expected: dict[str, Any]) -> dict[str, Any]:
    """Kill a run at `moment` (seconds), repeat it, and say what differs from `expected`."""
    kind.begin(output)
    process = subprocess.Popen(
        [sys.executable, *kind.command(output)],
        cwd=ROOT,
        env=_ENVIRONMENT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        process.wait(moment)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    killed = process.returncode == -signal.SIGKILL
    half_written = [name for name in _visible_files(output) if name in expected and not _is_whole(output / name)]
    run(*kind.command(output))
    found = harvest(output)
    differing = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
    litter = sorted(path.relative_to(output).as_posix() for path in output.rglob(".*"))
    return {
        "moment_s": round(moment, 2),
        "killed": killed,
        "differing": differing,
        "litter": litter,
        "half": half_written,
    }


def _visible_files(output: Path) -> list[str]:
    paths = (path.relative_to(output) for path in output.rglob("*") if path.is_file())
    return [path.as_posix() for path in paths if not any(part.startswith(".") for part in path.parts)]


def _is_whole(path: Path) -> bool:
    """Whether a file under its final name can be read to its end."""
    if path.name == "metrics.csv":
        return True  # lines are appended to it
    try:
        if path.suffix == ".json":
            json.loads(path.read_text(encoding="utf-8"))
        elif path.suffix in (".npz", ".keras"):
            return zipfile.ZipFile(path).testzip() is None
        elif path.name.endswith(".gz"):
            gzip.decompress(path.read_bytes())
        return path.stat().st_size > 0
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):
        return False


def measure(names: list[str], count: int, seed: int) -> dict[str, Any]:
    """`count` kills of each kind; what came of them."""
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        inputs = Path(folder, "inputs")
        prepare(inputs, set(names))
        for name in names:
            kind = kinds(inputs)[name]
            whole = Path(folder, f"{name}-whole")
            kind.begin(whole)
            started = time.monotonic()
            run(*kind.command(whole))
            seconds, expected = time.monotonic() - started, harvest(whole)
            rng = np.random.default_rng([seed, len(name)])
            trials = []
            for number in range(count):
                output = Path(folder, f"{name}-{number}")
                trials.append(kill_and_repeat(kind, output, float(rng.uniform(0, seconds)), expected))
                shutil.rmtree(output)
            results[name] = summary(trials, len(expected), seconds)
            print(name, {key: value for key, value in results[name].items() if key != "failures"}, flush=True)
    return results


def summary(trials: list[dict[str, Any]], files: int, seconds: float) -> dict[str, Any]:
    """The counts, and every trial that went wrong."""
    failures = [trial for trial in trials if trial["differing"] or trial["litter"] or trial["half"]]
    return {
        "kills": sum(trial["killed"] for trial in trials),
        "ended_before": sum(not trial["killed"] for trial in trials),
        "same_bytes": sum(not trial["differing"] for trial in trials),
        "litter": sum(bool(trial["litter"]) for trial in trials),
        "half_written": sum(bool(trial["half"]) for trial in trials),
        "files_compared": files,
        "undisturbed_s": round(seconds, 1),
        "failures": failures,
    }


def main(argv: list[str] | None = None) -> int:
    """Kill, repeat, compare; write the record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100, help="kills in all")
    parser.add_argument("--kinds", default="shards,l1,gan,infer,eval")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=RESULTS)
    arguments = parser.parse_args(argv)
    names = arguments.kinds.split(",")
    record = RunRecord.begin({"count": arguments.count, "kinds": names, "seed": arguments.seed})
    record.results = measure(names, max(1, arguments.count // len(names)), arguments.seed)
    record.write(arguments.output, folders_kept=False)
    return 1 if any(found["failures"] for found in record.results.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
