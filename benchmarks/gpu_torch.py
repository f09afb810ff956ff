"""The PyTorch side of gpu_steps.py: one case, in the fastest form that PyTorch has of it.

    python benchmarks/gpu_torch.py CASE COMPILE_SECONDS [tiny]

`torch.compile` is tried first, for at most so many seconds, while others compile too; then, alone on the card and with
cuDNN's benchmark, each form is timed and the fastest is kept.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "2")

import numpy as np
import torch

from benchmarks.gpu_cases import CASES, TINY, Case, in_short, obey, say, seconds_each
from benchmarks.torch_steps import Form, TiledVolume, TrainingSteps
from mdcsrn_tf.papers import get_preset

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
FORMS = (Form(compiled=True), Form(), Form("contiguous_format"))
SETTLING = 20.0  # seconds after which no further form is tried


def main() -> None:
    """Compile, then do as told."""
    name, limit, *tiny = sys.argv[1:]
    torch.backends.cuda.matmul.allow_tf32 = True  # of the critic; convolutions have it anyway
    worker = Worker((TINY if tiny else CASES)[name])
    say(command="prepare", case=name, **worker.compile(int(limit)))
    obey({"settle": worker.settle, "time": worker.time})


class Worker:
    """One case."""

    def __init__(self, case: Case):
        self.case = case
        self.runs: dict[Form, Callable[[], Any]] = {}
        self.failed: dict[str, str] = {}
        self.best = FORMS[-1]

    def compile(self, limit: int) -> dict[str, Any]:
        """Compile by running twice; without, where it takes too long or cannot be done."""
        signal.signal(signal.SIGALRM, _too_long)
        signal.alarm(limit)
        started = time.monotonic()
        form = FORMS[0]
        try:
            run = self.build(form)
            seconds_each(run, _wait, 2)
            self.runs[form] = run
        except Exception as error:
            self.failed[str(form)] = in_short(error)
        finally:
            signal.alarm(0)
        _free()
        device = torch.cuda.get_device_name() if DEVICE == "cuda" else DEVICE
        seconds = round(time.monotonic() - started, 1)
        return {"compile_seconds": seconds, "version": torch.__version__, "device": device}

    def build(self, form: Form) -> Callable[[], Any]:
        """The case in that form, on random data."""
        case, preset = self.case, get_preset(self.case.preset)
        if case.kind != "volume":
            return TrainingSteps(preset, case.kind, case.batch, case.patch, form, DEVICE).step
        volume = np.random.default_rng(0).standard_normal(case.shape, np.float32)
        network: Any = preset.network
        tiled = TiledVolume(network, case.patch, case.margin, case.batch, form, DEVICE)
        return lambda: tiled(volume)

    def settle(self, case: str) -> dict[str, Any]:
        """Time each form, keep the fastest."""
        torch.backends.cudnn.benchmark = True
        torch.backends.cudnn.benchmark_limit = 4
        started = time.monotonic()
        found: dict[Form, float] = {}
        for form in FORMS:
            if str(form) in self.failed or (found and time.monotonic() - started > SETTLING):
                continue
            try:
                run = self.runs.setdefault(form, self.build(form))
                seconds_each(run, _wait, 3)
                found[form] = seconds_each(run, _wait, 3)
            except Exception as error:
                self.failed[str(form)] = in_short(error)
            _free()
        self.best = min(found, key=lambda form: found[form])
        self.runs = {self.best: self.runs[self.best]}
        _free()
        tried = {str(form): round(value, 6) for form, value in found.items()}
        return {"form": str(self.best), "forms": tried, "failed": self.failed, "seconds": found[self.best]}

    def time(self, case: str, count: int) -> dict[str, Any]:
        """Seconds of a run, and the most memory its tensors have had."""
        if DEVICE == "cuda":
            torch.cuda.reset_peak_memory_stats()
        seconds = seconds_each(self.runs[self.best], _wait, count)
        peak = torch.cuda.max_memory_allocated() if DEVICE == "cuda" else 0
        return {"seconds": seconds, "bytes": peak}


def _too_long(*_: Any) -> None:
    raise TimeoutError("compiling took too long")


def _wait(_: Any) -> None:
    if DEVICE == "cuda":
        torch.cuda.synchronize()


def _free() -> None:
    if DEVICE == "cuda":
        torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
