"""Evaluating one method on a scan of HCP's size, and the perceptual metrics of a slice.

    python benchmarks/evaluate.py [--rounds=3] [--output=FILE]

Times SSIM, PSNR and NRMSE of a 320 x 320 x 256 volume (slice by slice, and the 3D versions), the whole command
from two .nii.gz files to its tables, and PIQE and NIQE of a 320 x 320 slice. Limits on 2 cores: 12 s for the
slice-wise metrics, 0.25 s a slice. Writes benchmarks/results/evaluate.json.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import pages
from benchmarks.data_helpers import HCP_SHAPE, ROOT, write_hcp_sized_scan
from mdcsrn_tf.metrics.fidelity import slice_scores, volume_scores
from mdcsrn_tf.metrics.niqe import niqe
from mdcsrn_tf.metrics.niqe_files import load_niqe_model
from mdcsrn_tf.metrics.piqe import piqe
from mdcsrn_tf.run_record import RunRecord

RESULTS = Path(__file__).parent / "results" / "evaluate.json"


def main() -> None:
    """Time everything and write the record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    record = RunRecord.begin({"shape": HCP_SHAPE, "rounds": arguments.rounds})
    random = np.random.default_rng(0)
    reference = random.random(HCP_SHAPE, dtype=np.float32)
    image = reference + np.float32(0.05) * random.standard_normal(HCP_SHAPE, dtype=np.float32)
    picture, model = np.round(255 * reference[:, :, 128]).clip(0, 255), load_niqe_model()
    timed: dict[str, Callable[[], Any]] = {
        "slices: psnr, ssim, nrmse": lambda: slice_scores(reference, image, 2, data_range=1.0),
        "3d: psnr, ssim, nrmse": lambda: volume_scores(reference, image, data_range=1.0),
        "piqe, one slice": lambda: piqe(picture),
        "niqe, one slice": lambda: niqe(picture, model),
    }
    for name, function in timed.items():
        record.results[name] = best_of(function, arguments.rounds)
        print(f"{name}: {record.results[name]['best_s']} s", flush=True)
    record.results["command"] = measure_command()
    print(f"command: {record.results['command']['wall_s']} s")
    record.write(arguments.output, folders_kept=False)


def best_of(function: Callable[[], Any], rounds: int) -> dict[str, Any]:
    """The best and all wall times after a warm-up."""
    function()
    times = []
    for _ in range(rounds):
        started = time.monotonic()
        function()
        times.append(round(time.monotonic() - started, 4))
    return {"best_s": min(times), "times_s": times}


def measure_command() -> dict[str, Any]:
    """eval.py from files to tables, for one method and the default metrics."""
    with tempfile.TemporaryDirectory() as folder:
        reference, image = Path(folder, "hr", "sub-1.nii.gz"), Path(folder, "sr", "sub-1.nii.gz")
        for path in (reference, image):
            path.parent.mkdir()
            write_hcp_sized_scan(path)
        flags = [f"--hr={reference}", f"--sr=sr={image}", "--baselines=", f"--output={folder}/out", "--nofigures"]
        started = time.monotonic()
        subprocess.run([sys.executable, "eval.py", *flags], cwd=ROOT, check=True, capture_output=True)
        return {"wall_s": round(time.monotonic() - started, 2)}


def section(record: dict[str, Any]) -> str:
    """What evaluating costs."""
    shape = " x ".join(str(size) for size in record["config"]["shape"])
    lines = [f"## The cost of evaluating {shape} voxels", "", pages.circumstances(record), ""]
    rows = []
    for name, found in record["results"].items():
        seconds = found.get("best_s", found.get("wall_s"))
        rows.append([name if name != "command" else "eval.py, one method, from file to table", f"{seconds:.3f}"])
    return "\n".join([*lines, *pages.table(["", "seconds"], rows), ""])


if __name__ == "__main__":
    main()
