"""Degrading one scan of HCP's size (320 x 320 x 256 float32, 2 x 2 x 1, grid `same`).

    python benchmarks/degrade.py [--rounds=3] [--output=FILE]

Times `mdcsrn_tf.scans.kspace.degrade` in a process of its own for each method, and the whole command from .nii.gz
to .nii.gz. Limits: 5 s and 1.2 GB on 2 cores for the linear one. Writes benchmarks/results/degrade.json.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.data_helpers import HCP_SHAPE, ROOT, cost, own_peak_gb, write_hcp_sized_scan
from mdcsrn_tf.run_record import RunRecord

METHODS = ("linear", "sinc", "nearest", "cubic")
RESULTS = Path(__file__).parent / "results" / "degrade.json"


def main() -> None:
    """Measure each method in a child process, or be that child (`--method`)."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument("--method", help="be the child that measures this method")
    arguments = parser.parse_args()
    if arguments.method:
        print(json.dumps(measure(arguments.method, arguments.rounds)))
        return
    record = RunRecord.begin({"shape": HCP_SHAPE, "factor": [2, 2], "axes": [0, 1], "rounds": arguments.rounds})
    for method in METHODS:
        child = [sys.executable, __file__, f"--method={method}", f"--rounds={arguments.rounds}"]
        record.results[method] = json.loads(subprocess.check_output(child, cwd=ROOT))
        print(method, record.results[method], flush=True)
    record.results["command"] = measure_command()
    print("command", record.results["command"])
    record.write(arguments.output, folders_kept=False)


def measure(method: str, rounds: int) -> dict:
    """Best and all wall times of one method, and the peak memory with the scan itself."""
    import numpy as np

    from mdcsrn_tf.scans import kspace
    from mdcsrn_tf.workers import available_cores

    volume = np.random.default_rng(0).random(HCP_SHAPE, dtype=np.float32)
    start_gb = own_peak_gb()
    times = []
    for _ in range(rounds + 1):  # the first warms up
        start = time.monotonic()
        kspace.degrade(volume, (2, 2), (0, 1), method, workers=available_cores())
        times.append(round(time.monotonic() - start, 3))
    return {
        "best_s": min(times[1:]),
        "times_s": times[1:],
        "peak_gb": own_peak_gb(),
        "before_gb": start_gb,
        "cores": available_cores(),
    }


def measure_command() -> dict:
    """mdcsrn-degrade from file to file: mostly compressing the float32 result."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "scan.nii.gz"), Path(folder, "low.nii.gz")
        write_hcp_sized_scan(source)
        command = [sys.executable, "-m", "data_prep.degrade", f"--input={source}", f"--output={target}", "--overwrite"]
        command += ["--recipe=journal"]  # linearly, as the function is timed
        return cost(command)


if __name__ == "__main__":
    main()
