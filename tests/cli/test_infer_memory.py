"""A run over many scans needs no more memory than a run over a few."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from infer_helpers import ROOT, write_tiny_model

CODE = """
import sys
import numpy as np
from mdcsrn_tf.inference.memory import keep_freed_memory
keep_freed_memory()
from mdcsrn_tf.inference.engines import load_engine
from mdcsrn_tf.inference.settings import Settings
from mdcsrn_tf.inference.volume import run

def resident():
    fields = open("/proc/self/status").read().split("VmRSS:")[1].split()
    return int(fields[0]) / 1024

settings = Settings(tile=24)
engine = load_engine(sys.argv[1], settings)
rng = np.random.default_rng(0)
for number in range(20):
    shape = (20 + number, 42 - number, 23 + number % 7)
    run(engine, rng.standard_normal(shape).astype(np.float32), settings)
    if number == 3:
        early = resident()
print(resident() - early)
"""


def test_twenty_scans_of_differing_shapes_need_no_more_than_four(tmp_path):
    if not Path("/proc/self/status").exists():
        return  # only Linux tells
    model = write_tiny_model(tmp_path / "tiny.keras")
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(model)], check=True, capture_output=True, text=True, cwd=ROOT, timeout=240
    )
    assert float(done.stdout) < 25.0, f"{done.stdout} MB more after 20 scans than after 4"
