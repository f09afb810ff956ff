"""The commands that benchmarks/kills.py kills, and what they work on."""

from __future__ import annotations

import multiprocessing
import os
import runpy
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from benchmarks.data_helpers import ROOT
from data_prep.phantom import make_phantom

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["tensorflow", "keras", "scipy.ndimage", "scipy.stats", "matplotlib.pyplot", "nibabel"])

# In how many parts a sum is taken, and so its last bit, shall not hang on the cores that are free at the moment.
_ENVIRONMENT = {"TF_NUM_INTRAOP_THREADS": "1", "OMP_NUM_THREADS": "1"}
# A real preset on patches of 12^3, a critic to match, a few steps of either network's first turn.
_SMALL = (
    "--preset=miccai/b1u8k16",
    "--recipe=quick",
    "--batch_size=2",
    "--set=patch_size=12",
    "--set=critic.filters=4",
    "--set=critic.stages=2",
    "--set=critic.dense_units=8",
    "--set=bn_reestimation_batches=2",
    "--set=run.validate_every=2",
    "--set=run.checkpoint_every=1",
    "--set=run.log_every=1",
    "--set=run.picture_every=2",
)
_GAN = (
    "--set=gan.critic_warmup_steps=1",
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
        Kind("l1", lambda output: train(output, "--phase=l1", "--steps=4")),
        Kind("gan", lambda output: train(output, "--phase=gan", "--steps=2", *_GAN), with_first_phase),
        Kind(
            "infer",
            lambda output: [
                "infer.py",
                f"--input={inputs / 'small'}",
                f"--output={output}",
                "--quiet",
                "--qc",
                f"--model={inputs / 'best_l1.keras'}",
                "--tile=20",
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
    _write_scans(inputs / "scans", 4, (48, 52, 44))
    _write_scans(inputs / "small", 3, (28, 30, 26))
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
        run("train.py", f"--data={inputs / 'shards'}", f"--workdir={work}", *_SMALL, "--phase=l1", "--steps=4")
        shutil.move(work / "best_l1.keras", inputs / "best_l1.keras")


def _write_scans(folder: Path, count: int, shape: tuple[int, int, int]) -> None:
    folder.mkdir(parents=True)
    for number in range(1, count + 1):
        data = make_phantom(shape, number).astype(np.int16)
        nib.save(nib.Nifti1Image(data, np.eye(4)), folder / f"sub-{number:02d}_T1w.nii.gz")


def run(*words: str) -> None:
    """A command of ours to its end; its words where it fails."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "log")
        process = start(words, log)
        process.join()
        if process.exitcode:
            said = log.read_text(encoding="utf-8", errors="replace")[-2000:]
            raise SystemExit(f"{' '.join(words)} ended with {process.exitcode}: {said}")


def start(words: Sequence[str], log: Path) -> Any:
    """A command of ours as a process, in a session of its own, that prints into the file `log`.

    It is forked from a process that has loaded the libraries (and has one thread): a moment of its run is one of its
    own work, and not of the seconds in which TensorFlow is loaded.
    """
    os.environ.update(_ENVIRONMENT)
    process = _FORKS.Process(target=_be, args=(list(words), str(log)))
    process.start()
    return process


def _be(words: list[str], log: str) -> None:
    """Let this process be the command."""
    os.setsid()
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for number in (1, 2):
        os.dup2(descriptor, number)
    os.chdir(ROOT)
    sys.path.insert(0, str(ROOT))
    module = words[0] == "-m"
    sys.argv = list(words[1:] if module else words)
    if module:
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    else:
        runpy.run_path(str(ROOT / words[0]), run_name="__main__")
