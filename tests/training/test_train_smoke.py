"""`make train-smoke`: the whole chain with no data at all, in under three minutes."""

import subprocess
import sys
import time
from pathlib import Path

import nibabel
import numpy as np

ROOT = Path(__file__).parents[2]


def test_phantoms_to_a_super_resolved_phantom_in_under_three_minutes(tmp_path):
    commands = Path(sys.executable).parent
    # The target would build a virtual environment of its own: run what it runs with this one's commands.
    target = ["make", "--no-print-directory", "-n", "train-smoke"]
    dry = subprocess.run(target, cwd=ROOT, capture_output=True, text=True, check=True)
    assert dry.stdout.strip().endswith(".ci/train_smoke .venv/bin runs/smoke")
    begun = time.monotonic()
    done = subprocess.run(
        [str(ROOT / ".ci" / "train_smoke"), str(commands), str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=400,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert time.monotonic() - begun < 180
    low, high, found = (
        np.asanyarray(nibabel.load(tmp_path / f"head{suffix}.nii.gz").dataobj) for suffix in ("_low", "", "_sr")
    )
    assert found.shape == high.shape
    assert np.sqrt(np.mean((found - high) ** 2)) < np.sqrt(np.mean((low - high) ** 2))
    assert (tmp_path / "saved_model" / "saved_model.pb").is_file()
    assert {path.name for path in (tmp_path / "run").iterdir()} >= {
        "best_l1.keras",
        "best_gan.keras",
        "metrics.csv",
        "run.json",
        "curves.png",
    }
