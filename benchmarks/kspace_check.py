"""How far apart the k-space check finds full-resolution scans and interpolated ones, also rounded to 8 bits.

    python benchmarks/kspace_check.py --data=FOLDER_OF_SCANS

The check calls an axis interpolated when repeating the interpolation loses less than 4 % of the contrast.
Writes benchmarks/results/kspace_check.json.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from mdcsrn_tf.run_record import RunRecord
from mdcsrn_tf.scans.kspace import degrade
from mdcsrn_tf.scans.kspace_check import examine_axis
from mdcsrn_tf.scans.volumes import find_volumes, read_volume

RESULTS = Path(__file__).parent / "results" / "kspace_check.json"
AXES, FACTORS = (0, 1), (2, 2)


def main() -> None:
    """Examine every scan as it is, and degraded by each method, in float32 and in 8 bits."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--output", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    record = RunRecord.begin({"axes": AXES, "factors": FACTORS})
    for path in find_volumes(arguments.data):
        record.results[path.name.split(".")[0]] = examine(read_volume(path).data)
    full = [min(lost.values()) for scan in record.results.values() for lost in scan["full"]]
    eight = [lost for scan in record.results.values() for way in ("linear", "sinc") for lost in scan[f"{way}, 8 bits"]]
    record.results["summary"] = {"full": [min(full), max(full)], "interpolated, 8 bits": [min(eight), max(eight)]}
    print(record.results["summary"])
    record.write(arguments.output, folders_kept=False)


def examine(volume: np.ndarray) -> dict[str, list]:
    """The part of the contrast that is lost, an axis each."""
    found: dict[str, list] = {"full": [examine_axis(volume, axis, 2).lost for axis in range(3)]}
    for method in ("linear", "sinc"):
        low_res = degrade(volume, FACTORS, AXES, method)
        rounded = np.rint(np.clip(low_res / low_res.max(), 0, 1) * 255).astype(np.float32)
        found[method] = [examine_axis(low_res, axis, 2).lost[method] for axis in AXES]
        found[f"{method}, 8 bits"] = [examine_axis(rounded, axis, 2).lost[method] for axis in AXES]
    return found


if __name__ == "__main__":
    main()
