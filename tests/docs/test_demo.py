"""`make demo`: the bundled network on the bundled scan beats every interpolation, and leaves what it promises."""

import json
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np

ROOT = Path(__file__).resolve().parents[2]


def test_the_demo_beats_interpolation_on_the_bundled_scan(tmp_path):
    target = ["make", "--no-print-directory", "-n", "demo"]
    dry = subprocess.run(target, cwd=ROOT, capture_output=True, text=True, check=True)
    assert dry.stdout.strip().endswith("demo/run.py --output=demo_output")
    command = [sys.executable, ROOT / "demo" / "run.py", f"--output={tmp_path}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    scores = json.loads((tmp_path / "scores.json").read_text())
    *interpolations, network = scores.values()
    assert list(scores)[:3] == ["nearest neighbour", "cubic", "sinc"]
    for interpolation in interpolations:
        assert network["psnr"] > interpolation["psnr"]
        assert network["ssim"] > interpolation["ssim"]
    high, result = (nibabel.load(path) for path in (ROOT / "demo" / "hr.nii.gz", tmp_path / "sr.nii.gz"))
    assert result.shape == high.shape
    np.testing.assert_allclose(result.affine, high.affine, atol=1e-4)
    assert (tmp_path / "sr_qc.png").stat().st_size > 50_000
