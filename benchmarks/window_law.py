"""How power falls along a phase-encoded axis of scans that no scanner filtered: what --undo_filter compares with.

    python benchmarks/window_law.py --data=FOLDER_OF_SCANS

The training scans are cut 2x2 along LR and AP, and each axis tells its own power by frequency. `NATURAL_DB` and
`SPREAD_DB` of mdcsrn_tf/scans/window.py are the mean and the standard deviation, to a tenth. Writes
benchmarks/results/window_law.json.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from benchmarks import pages
from benchmarks.data_helpers import read_ras, scans_beginning
from mdcsrn_tf.run_record import RunRecord
from mdcsrn_tf.scans import kspace
from mdcsrn_tf.scans.window import power_by_part
from recipes.jax_volumes.carry_scans import TRAINING

RESULTS = pages.RESULTS / "window_law.json"


def main() -> None:
    """Measure all training scans, print the mean, keep the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    asked = parser.parse_args()
    record = RunRecord.begin({"factor": [2, 2], "axes": "LR,AP", "scans": TRAINING})
    found = [falls(path) for name in TRAINING for path in scans_beginning(asked.data, f"sub-{name}.")]
    parts = np.concatenate(found)
    last = parts[:, -1] - parts[:, -1].mean()
    record.results |= {
        "mean_db": [round(float(value), 1) for value in parts.mean(axis=0)],
        "standard_deviation_db": [round(float(value), 1) for value in parts.std(axis=0)],
        "last_part_most_db": round(float(np.abs(last).max()), 2),
    }
    print(record.results)
    record.write(RESULTS, folders_kept=False)


def falls(path: Path) -> np.ndarray:
    """Of the small matrix of a scan: the power by part of its two axes, dB."""
    small = kspace.acquire(read_ras(path)[0].astype(np.float32), (2, 2), (0, 1))
    return np.stack([power_by_part(small, axis) for axis in (0, 1)])


if __name__ == "__main__":
    main()
