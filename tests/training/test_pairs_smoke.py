"""`make pairs-smoke` in its shortest form: DICOM phantoms to a trained slice network, a result, the paper's table."""

import json
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np

ROOT = Path(__file__).parents[2]


def test_two_scans_of_each_person_to_a_super_resolved_series(tmp_path):
    target = ["make", "--no-print-directory", "-n", "pairs-smoke"]
    dry = subprocess.run(target, cwd=ROOT, capture_output=True, text=True, check=True)
    assert dry.stdout.strip().endswith(".ci/pairs_smoke .venv/bin runs/pairs_smoke")
    done = subprocess.run(
        [str(ROOT / ".ci" / "pairs_smoke"), str(Path(sys.executable).parent), str(tmp_path), "2"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    manifest = json.loads((tmp_path / "shards" / "manifest.json").read_text())
    assert [entry["pairs"] for entry in manifest["shards"]] == [8] * 4
    assert all(distance == 0 for entry in manifest["shards"] for *_, distance in entry["pairs_mm"])
    assert {path.name for path in (tmp_path / "run").iterdir()} >= {"best_l1.keras", "last_gan.keras", "run.json"}
    found = nibabel.load(tmp_path / "sr.nii.gz")
    assert found.shape == (40, 40, 8) and np.isfinite(found.get_fdata()).all()
    assert "SRResNet" in done.stdout
