"""What --ensemble buys: the mean over 1, 2, 4 and 8 mirror images, on the middle slices of validation scans.

    python benchmarks/mirrors.py --data=FOLDER_OF_SCANS [--scans=sub-06,sub-10,sub-14] [--model=NAME] [--slices=40]

Scans are degraded 2x2 along LR and AP and brought back by sinc. PSNR over sinc inside the head, dB. All eight mirror
images are super-resolved once, and averaged as `--ensemble` averages them. Writes benchmarks/results/mirrors.json.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from benchmarks import pages
from benchmarks.data_helpers import read_ras, scans_beginning
from mdcsrn_tf.inference.ensemble import mirrors
from mdcsrn_tf.inference.volume import super_resolve_volume
from mdcsrn_tf.run_record import RunRecord
from mdcsrn_tf.scans.head import head_mask
from mdcsrn_tf.scans.kspace import degrade
from mdcsrn_tf.weights import find_model, list_models

COUNTS = (1, 2, 4, 8)
FACTORS, AXES = (2, 2), (0, 1)


def main() -> None:
    """Measure every scan and keep the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--scans", default="sub-06,sub-10,sub-14", help="beginnings of names")
    parser.add_argument("--model", default=list_models()[0])
    parser.add_argument("--slices", type=int, default=40, help="in the middle, along IS")
    parser.add_argument("--precision", default="bfloat16", choices=("float32", "bfloat16"))
    values = parser.parse_args()
    record = RunRecord.begin({"model": values.model, "slices": values.slices, "precision": values.precision})
    for path in scans_beginning(values.data, values.scans):
        record.results[path.name.split(".")[0]] = gains(path, values)
        print(path.name, record.results[path.name.split(".")[0]], flush=True)
    record.write(pages.RESULTS / "mirrors.json", folders_kept=False)


def gains(path: Path, values: argparse.Namespace) -> dict[str, float]:
    """PSNR over sinc inside the head, dB, of each ensemble."""
    high = middle(path, values.slices)
    mask = head_mask(high)
    low = degrade(high, FACTORS, AXES, "sinc")
    images = {}
    for turned in mirrors(max(COUNTS)):
        given = np.ascontiguousarray(np.flip(low, turned))
        found = super_resolve_volume(find_model(values.model), given, precision=values.precision)
        images[turned] = np.flip(found, turned)
    before = error(low, high, mask)
    means = {count: np.mean([images[turned] for turned in mirrors(count)], axis=0) for count in COUNTS}
    return {str(count): round(10 * np.log10(before / error(mean, high, mask)), 4) for count, mean in means.items()}


def middle(path: Path, slices: int) -> np.ndarray:
    """The scan's middle slices, axes R, A, S, cut to sizes that half the samples fit evenly; float32."""
    data, _ = read_ras(path)
    first = (data.shape[2] - slices) // 2
    rows, columns = (size - size % 4 for size in data.shape[:2])
    return np.ascontiguousarray(data[:rows, :columns, first : first + slices], np.float32)


def error(image: np.ndarray, truth: np.ndarray, mask: np.ndarray) -> float:
    """Mean squared error inside the mask."""
    return float(np.mean((image - truth)[mask] ** 2, dtype=np.float64))


def section(record: dict[str, Any]) -> str:
    """The table of docs/results.md."""
    config, results = record["config"], record["results"]
    rows = [[scan, *(f"{found[str(count)]:+.3f}" for count in COUNTS)] for scan, found in results.items()]
    means = [sum(found[str(count)] for found in results.values()) / len(results) for count in COUNTS]
    rows.append(["**mean**", *(f"{value:+.3f}" for value in means)])
    text = (
        f"{pages.circumstances(record)} `{config['model']}` in {config['precision']} on the {config['slices']} middle "
        "slices of validation scans, degraded 2x2 along LR and AP: PSNR over zero-filled sinc inside the head (dB) "
        "of the mean over so many mirror images. The time goes with their number."
    )
    head = ["", *(f"`--ensemble={count}`" for count in COUNTS)]
    return "\n".join(["## Mirror images", "", text, "", *pages.table(head, rows), ""])


if __name__ == "__main__":
    main()
