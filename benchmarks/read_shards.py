"""Reading training batches of 40^3 pairs, augmented, as training does.

    python benchmarks/read_shards.py [--data=SHARDS] [--batch_size=6] [--seconds=8] [--output=FILE]

Without --data, shards of phantoms are made first. Limit: 150 pairs a second on 2 cores. Writes
benchmarks/results/read_shards.json.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from benchmarks.data_helpers import ROOT
from mdcsrn_tf.run_record import RunRecord
from mdcsrn_tf.workers import available_cores

RESULTS = Path(__file__).parent / "results" / "read_shards.json"


def main() -> None:
    """Measure with and without augmentation."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--batch_size", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--output", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data = arguments.data or make_phantom_shards(Path(folder, "shards"))
        measure(data, arguments)


def measure(data: Path, arguments: argparse.Namespace) -> None:
    """Pairs a second of `training_batches`, after a warm-up."""
    from mdcsrn_tf.shards.dataset import read_manifest, training_batches

    manifest = read_manifest(data)
    record = RunRecord.begin(
        {"batch_size": arguments.batch_size, "patch": manifest.patch_size, "cores": available_cores()},
        {"pairs": manifest.pairs("train"), "shards": len(manifest.shards("train")), "sha256": manifest.sha256},
    )
    for augment in (True, False):
        batches = iter(training_batches(manifest, "train", batch_size=arguments.batch_size, seed=0, augment=augment))
        for _ in range(20):
            next(batches)
        start, count = time.monotonic(), 0
        while time.monotonic() - start < arguments.seconds:
            next(batches)
            count += 1
        rate = count * arguments.batch_size / (time.monotonic() - start)
        record.results["augmented" if augment else "plain"] = {"pairs_per_s": round(rate, 1)}
    print(record.results)
    record.write(arguments.output, folders_kept=False)


def make_phantom_shards(output: Path) -> Path:
    """Shards of two synthetic heads, by the command."""
    command = [
        sys.executable,
        "-m",
        "data_prep.make_shards",
        "--phantoms=2",
        f"--output={output}",
        "--recipe=journal",
        "--epochs_of_patches=20",
        "--split=1",
        "--quiet",
    ]
    subprocess.run(command, cwd=ROOT, check=True)
    return output


if __name__ == "__main__":
    main()
