"""How reliably a scan tells how it was interpolated: full scans, and every method and factor in float32 and 8 bits.

    python benchmarks/kspace_check.py --data=FOLDER_OF_SCANS [--leave_out=sub-11,sub-13]

For every scan the axes LR and AP are examined as they are, and interpolated by each method, 2 and 3 times, and linearly
and cubically by steps that are not whole; as stored in float32, rounded to 8 bits, and rounded and cropped by an odd
number of voxels. Counts right and wrong answers, keeps the evidence of those that decide the thresholds, and the
processor's time for an axis of a full scan. Writes benchmarks/results/kspace_check.json.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from mdcsrn_tf.run_record import RunRecord
from mdcsrn_tf.scans import kspace
from mdcsrn_tf.scans.find import find_volumes
from mdcsrn_tf.scans.kspace_check import AxisFinding, examine_axis
from mdcsrn_tf.scans.resampling import Sampling, interpolated, measured_samples
from mdcsrn_tf.scans.volumes import read_volume

RESULTS = Path(__file__).parent / "results" / "kspace_check.json"
AXES, FACTORS = (0, 1), (2, 3)
STEPS = (1.5, 1.75, 2.4, 3.4)  # of linear and cubic samples, in voxels
AS_NEAR = 0.01  # as a part, a step has to be found


def main() -> None:
    """Examine every scan of a folder and count."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--leave_out", default="")
    parser.add_argument("--output", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    record = RunRecord.begin({"axes": AXES, "factors": FACTORS, "steps": STEPS})
    left_out = tuple(filter(None, arguments.leave_out.split(",")))
    rows = []
    for path in find_volumes(arguments.data):
        if not path.name.startswith(left_out or ("\0",)):
            rows += examine(path.name.split(".")[0], read_volume(path).data)
    record.results = summary(rows)
    print(record.results["cases"], "cases,", len(record.results["wrong"]), "wrong")
    record.write(arguments.output, folders_kept=False)


def examine(name: str, volume: np.ndarray) -> list[dict]:
    """A row for every case: what it was, and what was found."""
    rows = []
    for axis in AXES:
        before = time.process_time()
        as_it_is = examine_axis(volume, axis)
        taken = time.process_time() - before
        rows.append(_row(name, axis, "full", None, 1, as_it_is) | {"processor seconds": taken})
        for factor in FACTORS:
            small = kspace.acquire(volume, (factor,), (axis,))
            for method in kspace.METHODS:
                low_res = kspace.interpolate(small, volume.shape, (factor,), (axis,), method)
                rows += _forms(name, axis, low_res, method, factor)
        for step in STEPS:
            size = volume.shape[axis]
            sampling = Sampling(size, size / round(size / step))
            small = np.maximum(measured_samples(volume, axis, sampling, "sinc"), 0)
            for method in ("linear", "cubic"):
                low_res = interpolated(small, axis, sampling, method)
                rows += _forms(name, axis, low_res, method, sampling.step)
    return rows


def _forms(name: str, axis: int, low_res: np.ndarray, method: str, factor: float) -> list[dict]:
    """A row for each way to store an interpolated scan."""
    rounded = np.rint(np.clip(low_res / low_res.max(), 0, 1) * 255).astype(np.float32)
    cropped = np.take(rounded, np.arange(21, low_res.shape[axis] - 18), axis=axis)
    forms = (("float32", low_res), ("8 bits", rounded), ("cropped", cropped))
    return [_row(name, axis, form, method, factor, examine_axis(data, axis)) for form, data in forms]


def summary(rows: list[dict]) -> dict:
    """Counts by form and method, the wrong answers, and how near right ones came to a threshold."""
    groups = sorted({(row["form"], str(row["method"])) for row in rows})
    counts = {}
    for form, method in groups:
        of_group = [row for row in rows if (row["form"], str(row["method"])) == (form, method)]
        counts[f"{form}, {method}"] = [sum(row["right"] for row in of_group), len(of_group)]
    cliffs = [row["evidence"]["cliff_db"] for row in rows if row["right"] and "cliff_db" in row["evidence"]]
    fits = [row["evidence"] for row in rows if row["right"] and "control" in row["evidence"] and row["method"]]
    return {
        "cases": len(rows),
        "right of": counts,
        "wrong": [row for row in rows if not row["right"]],
        "least cliff of a zero-filled axis, dB": min(cliffs, default=None),
        "most lost by the right interpolation": max((fit["lost"] for fit in fits), default=None),
        "least lost by its control": min((fit["control"] for fit in fits), default=None),
        "processor seconds for an axis of a full scan, median": statistics.median(
            row["processor seconds"] for row in rows if row["form"] == "full"
        ),
    }


def _row(name: str, axis: int, form: str, method: str | None, factor: float, found: AxisFinding) -> dict:
    as_far = found.whole_factor == factor if float(factor).is_integer() else abs(found.factor / factor - 1) < AS_NEAR
    return {
        "scan": name,
        "axis": axis,
        "form": form,
        "method": method,
        "factor": round(factor, 3),
        "right": found.method == method and as_far,
        "found": [found.method, round(found.factor, 3)],
        "evidence": dict(found.evidence),
    }


if __name__ == "__main__":
    main()
