"""One worker making the shard of one scan of HCP's size: 18 patches of 40^3.

    python benchmarks/make_shards.py [--rounds=3] [--output=FILE]

Limits: 12 s and 2 GB a worker. The whole command is measured, start-up and checksums included. Writes
benchmarks/results/make_shards.json.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.data_helpers import HCP_SHAPE, cost, write_hcp_sized_scan
from mdcsrn_tf.run_record import RunRecord

RESULTS = Path(__file__).parent / "results" / "make_shards.json"


def main() -> None:
    """Run mdcsrn-shards with one worker on one scan, several times."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    record = RunRecord.begin({"shape": HCP_SHAPE, "patch": 40, "patches_per_subject": 18, "workers": 1})
    with tempfile.TemporaryDirectory() as folder:
        scan = Path(folder, "sub-01_T1w.nii.gz")
        write_hcp_sized_scan(scan)
        runs = [make(scan, Path(folder, f"shards{number}")) for number in range(arguments.rounds)]
    record.results = {
        "runs": runs,
        "best_s": min(run["wall_s"] for run in runs),
        "peak_gb": max(run["peak_gb"] for run in runs),
    }
    print(record.results)
    record.write(arguments.output, folders_kept=False)


def make(scan: Path, output: Path) -> dict[str, float]:
    """One run of the command."""
    return cost(
        [
            sys.executable,
            "-m",
            "data_prep.make_shards",
            f"--input={scan}",
            f"--output={output}",
            "--recipe=journal",
            "--split=1",
            "--workers=1",
            "--quiet",
        ]
    )


if __name__ == "__main__":
    main()
