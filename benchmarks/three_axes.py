"""The network for scans that are coarse along all three axes, beside interpolation and the two networks for fewer.

    python benchmarks/three_axes.py --data=FOLDER_OF_SCANS --test=sub-11,... [--development=...] [--model=NAME]

Scans lose half of their k-space along every axis, an eighth is left, and are brought back by sinc and cubic
interpolation, by the network, and by two others one after the other: the fast one, for two axes, and of its result the
one for thick slices, for the third. Compared inside the head, on the 24 middle sagittal slices. Writes
benchmarks/results/three_axes.json and docs/results.md anew.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from benchmarks import pages
from benchmarks.data_helpers import read_ras
from benchmarks.scan_by_scan import measure, parser_of, tables
from mdcsrn_tf.inference.engines import Engine, load_engine
from mdcsrn_tf.inference.self_check import psnr_inside
from mdcsrn_tf.inference.settings import Settings
from mdcsrn_tf.inference.volume import run
from mdcsrn_tf.run_record import RunRecord
from mdcsrn_tf.scans.head import head_mask
from mdcsrn_tf.scans.kspace import degrade

RESULTS = pages.RESULTS / "three_axes.json"
MODEL = "fast-three-axes-b4u4k16"
FOR_TWO, FOR_THE_THIRD = "fast-b4u4k16", "fast-through-plane-b4u4k16"
SLAB, EDGE = 24, 24  # sagittal slices that are measured, and those beside them that the networks see
METHODS = {"cubic": "cubic", "sinc": "sinc", "two": "two networks", "network": "the network"}


def main() -> None:
    """Measure every scan, print a line for each, write the record and the page."""
    arguments = parser_of(__doc__, MODEL).parse_args()
    engines = [load_engine(name, Settings()) for name in (arguments.model, FOR_TWO, FOR_THE_THIRD)]
    config = {"model": Path(arguments.model).stem, "two": [FOR_TWO, FOR_THE_THIRD], "slab": SLAB, "edge": EDGE}
    record = RunRecord.begin(config, data={"notes": engines[0].card.notes})
    measure(arguments, lambda path: examine(path, engines), record, RESULTS)


def examine(path: Path, engines: Sequence[Engine]) -> dict[str, float]:
    """PSNR inside the head (dB) by method."""
    truth, spacing = read_ras(path)
    truth = np.ascontiguousarray(truth, np.float32)
    start = (truth.shape[0] - SLAB) // 2
    seen = slice(max(0, start - EDGE), start + SLAB + EDGE)
    measured = slice(start, start + SLAB)
    inner = slice(start - seen.start, start - seen.start + SLAB)
    head = head_mask(truth, spacing)[measured]
    return {
        name: round(psnr_inside(image[inner], truth[measured], head), 3)
        for name, image in restored(truth, seen, engines).items()
    }


def restored(truth: np.ndarray, seen: slice, engines: Sequence[Engine]) -> dict[str, np.ndarray]:
    """The slices [LR, AP, IS] `seen` of the whole scan made coarse, brought back by every method."""
    network, for_two, for_the_third = engines
    cubic, sinc = (degrade(truth, (2, 2, 2), (0, 1, 2), method)[seen] for method in ("cubic", "sinc"))
    two = run(for_the_third, run(for_two, sinc, Settings()).data, Settings()).data
    return {"cubic": cubic, "sinc": sinc, "two": two, "network": run(network, sinc, Settings()).data}


def section(record: dict[str, Any]) -> str:
    """This benchmark's part of docs/results.md."""
    lines = [
        f"## Coarse along all three axes: {record['config']['model']}",
        "",
        f"{pages.circumstances(record)} Scans of which half of the k-space was kept along every axis (2x2x2, an eighth "
        f"of the samples), brought back: PSNR inside the head, dB, on {record['config']['slab']} sagittal slices. `two "
        f"networks`: {record['config']['two'][0]} and of its result {record['config']['two'][1]}, which were made for "
        "two axes and for one.",
        "",
    ]
    lines += tables(record["results"], [*METHODS.values()], lambda found: [f"{found[name]:.2f}" for name in METHODS])
    splits = record["results"].items()
    means = ", ".join(f"{np.mean(gains):+.2f} dB on {split} scans" for split, gains in gains_over_sinc(splits).items())
    every = [_lead(found) for _, scans in splits for found in scans.values()]
    better = sum(lead > 0 for lead in every)
    lines += [
        f"The network over sinc, in the mean: {means}; above both interpolations in {better} of {len(every)} scans, "
        f"by {min(every):.2f} dB at least.",
        "",
    ]
    return "\n".join(lines)


def gains_over_sinc(splits) -> dict[str, list[float]]:
    """The network's gain of every scan (dB), by split."""
    return {split: [one["network"] - one["sinc"] for one in scans.values()] for split, scans in splits if scans}


def _lead(found: dict[str, float]) -> float:
    """The network's PSNR less that of the better interpolation (dB)."""
    return found["network"] - max(found["cubic"], found["sinc"])


if __name__ == "__main__":
    main()
