"""How power falls along a phase-encoded axis of scans that no scanner filtered: what --undo_filter compares with.

    python benchmarks/window_law.py --data=FOLDER_OF_SCANS

The training scans are cut 2x2 along LR and AP, and each axis tells its own power by frequency. `NATURAL_DB` of
mdcsrn_tf/scans/window.py is the mean and `PATTERNS_DB` the three patterns by which they differ from it most (principal
components, each as large as its standard deviation), to a tenth. Writes benchmarks/results/window_law.json.
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
from mdcsrn_tf.scans.window import NATURAL_DB, likely_window, power_by_part
from recipes.jax_volumes.carry_scans import TRAINING

RESULTS = pages.RESULTS / "window_law.json"


def main() -> None:
    """Measure all training scans, print the mean, keep the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    asked = parser.parse_args()
    record = RunRecord.begin({"factor": [2, 2], "axes": "LR,AP", "scans": TRAINING})
    found = [falls(path) for name in TRAINING for path in scans_beginning(asked.data, f"sub-{name}.")]
    parts = np.concatenate([fall for fall, _ in found])
    record.results |= {
        "mean_db": rounded(parts.mean(axis=0)),
        "patterns_db": [rounded(pattern) for pattern in patterns(parts)],
        "standard_deviation_db": rounded(parts.std(axis=0)),
        "most_told_db": round(max(told for _, told in found), 2),
    }
    print(record.results)
    record.write(RESULTS, folders_kept=False)


def falls(path: Path) -> tuple[np.ndarray, float]:
    """Of the small matrix of a scan: the power by part of its two axes, and the strongest window told of either, dB."""
    small = kspace.acquire(read_ras(path)[0].astype(np.float32), (2, 2), (0, 1))
    power = np.stack([power_by_part(small, axis) for axis in (0, 1)])
    return power, max(likely_window(np.asarray(NATURAL_DB) - one).edge_db for one in power)


def patterns(parts: np.ndarray) -> np.ndarray:
    """The first principal components of [scans and axes, parts], dB, each such that the last part rises."""
    _, values, components = np.linalg.svd(parts - parts.mean(axis=0), full_matrices=False)
    scaled = values[:3, None] / np.sqrt(len(parts)) * components[:3]
    return scaled * np.sign(scaled[:, -1:])


def rounded(values: np.ndarray) -> list[float]:
    """To a tenth."""
    return [round(float(value), 1) + 0.0 for value in values]


if __name__ == "__main__":
    main()
