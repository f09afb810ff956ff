"""How power falls along a phase-encoded axis of scans that no scanner filtered: what --undo_filter compares with.

    python benchmarks/window_law.py --data=FOLDER_OF_SCANS

The training scans are cut 2x2 along LR and AP, and each axis tells its own power by frequency. `NATURAL_DB` of
mdcsrn_tf/scans/window.py is the mean and `PATTERNS_DB` the three patterns by which they differ from it most (principal
components, each as large as its standard deviation), to a tenth. Then each window of benchmarks/filters.py, and an
ellipse of k-space, is put on their middle slices: how far within k-space it is told to reach, and how steep the
ellipse's end is, decide what may be called filtered. Writes benchmarks/results/window_law.json.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from benchmarks import pages
from benchmarks.data_helpers import read_ras, scans_beginning
from benchmarks.filters import WINDOWS, weighted
from mdcsrn_tf.run_record import RunRecord
from mdcsrn_tf.scans import kspace
from mdcsrn_tf.scans.kspace_check import examine_axis
from mdcsrn_tf.scans.window import NATURAL_DB, Window, cliff_db, likely_window, power_by_part
from recipes.jax_volumes.carry_scans import TRAINING

RESULTS = pages.RESULTS / "window_law.json"
ELLIPSE = "ellipse"
SLICES = 48  # of the middle, on which windows are put


def main() -> None:
    """Measure all training scans, print the mean, keep the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    asked = parser.parse_args()
    record = RunRecord.begin({"factor": [2, 2], "axes": "LR,AP", "scans": TRAINING})
    paths = [path for name in TRAINING for path in scans_beginning(asked.data, f"sub-{name}.")]
    found = [falls(path) for path in paths]
    parts = np.concatenate([fall for fall, _ in found])
    record.results |= {
        "mean_db": rounded(parts.mean(axis=0)),
        "patterns_db": [rounded(pattern) for pattern in patterns(parts)],
        "standard_deviation_db": rounded(parts.std(axis=0)),
        "most_told_db": round(max(told for _, told in found), 2),
        **told_of_windows(paths),
    }
    print(record.results)
    record.write(RESULTS, folders_kept=False)


def falls(path: Path) -> tuple[np.ndarray, float]:
    """Of the small matrix of a scan: the power by part of its two axes, and the strongest window told of either, dB."""
    small = kspace.acquire(read_ras(path)[0].astype(np.float32), (2, 2), (0, 1))
    power = np.stack([power_by_part(small, axis) for axis in (0, 1)])
    return power, max(told(one).edge_db for one in power)


def told(power: np.ndarray) -> Window:
    """The window that the power by part shows, however faint."""
    return likely_window(np.asarray(NATURAL_DB) - power)


def told_of_windows(paths: list[Path]) -> dict[str, dict[str, list[float]]]:
    """By window the least and the most that scans show of it (dB), within k-space and at an ellipse's end."""
    found = [shown(path) for path in paths]
    least_and_most = (
        {
            name: rounded([min(one[name][which] for one in found), max(one[name][which] for one in found)])
            for name in found[0]
        }
        for which in (0, 1)
    )
    return dict(zip(("inner_db", "cliff_db"), least_and_most, strict=True))


def shown(path: Path) -> dict[str, tuple[float, float]]:
    """Of a scan filtered by each window: the mean of its axes at three quarters of k-space, and its cliff, dB."""
    truth = read_ras(path)[0].astype(np.float32)
    truth = truth[: truth.shape[0] // 4 * 4, : truth.shape[1] // 4 * 4]
    truth = truth[:, :, max(0, truth.shape[2] // 2 - SLICES // 2) :][:, :, :SLICES]
    low = {name: weighted(truth, amplitude) for name, amplitude in WINDOWS.items()} | {ELLIPSE: elliptical(truth)}
    small = {name: kspace.acquire(image, (2, 2), (0, 1)).astype(np.float32) for name, image in low.items()}
    return {
        name: (
            float(np.mean([inner_db(samples, axis) for axis in (0, 1)])),
            cliff_db(samples, {0: 1.0, 1: 1.0}),
        )
        for name, samples in small.items()
    }


def inner_db(samples: np.ndarray, axis: int) -> float:
    """What a small matrix tells to be lost at three quarters of its frequencies; it may seem to be zero-filled."""
    finding = examine_axis(samples, axis)
    factor = finding.factor if finding.method == "sinc" else 1.0
    return told(power_by_part(samples, axis, 1 / factor)).inner_db(factor)


def elliptical(truth: np.ndarray) -> np.ndarray:
    """The magnitude of [LR, AP, IS] with the ellipse within the central half of its k-space along LR and AP alone."""
    u, v = (np.fft.fftfreq(size) * 4 for size in truth.shape[:2])
    inside = np.hypot(u[:, None], v) <= 1
    spectrum = np.fft.fft2(truth.astype(np.float64), axes=(0, 1)) * inside[..., None]
    return np.abs(np.fft.ifft2(spectrum, axes=(0, 1))).astype(np.float32)


def patterns(parts: np.ndarray) -> np.ndarray:
    """The first principal components of [scans and axes, parts], dB, each such that the last part rises."""
    _, values, components = np.linalg.svd(parts - parts.mean(axis=0), full_matrices=False)
    scaled = values[:3, None] / np.sqrt(len(parts)) * components[:3]
    return scaled * np.sign(scaled[:, -1:])


def rounded(values: np.ndarray | list[float]) -> list[float]:
    """To a tenth."""
    return [round(float(value), 1) + 0.0 for value in values]


if __name__ == "__main__":
    main()
