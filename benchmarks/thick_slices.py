"""The network for thick slices beside interpolation, at every factor that it was trained for and between those.

    python benchmarks/thick_slices.py --data=FOLDER_OF_SCANS --test=sub-11,... [--development=...] [--model=NAME]

Scans of thin slices become axial slices 2 to 5 times as thick: `box`, slices excited one by one and touching, and
`kspace`, slabs that were phase-encoded through the slices as well. Sinc and cubic interpolation and the network bring
them back. And touching slices 2.4 times as thick and so on, drawn linearly by SciPy on the thin grid, as resampling to
1 mm leaves them, which the network gets as mdcsrn-infer gives it. Compared inside the head, on the 24 middle sagittal
slices. Writes benchmarks/results/thick_slices.json and docs/results.md anew.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import scipy.interpolate

from benchmarks import pages
from benchmarks.data_helpers import read_ras
from benchmarks.scan_by_scan import measure, parser_of, tables
from mdcsrn_tf.inference.engines import Engine, load_engine
from mdcsrn_tf.inference.scan import super_resolve_scan
from mdcsrn_tf.inference.self_check import psnr_inside
from mdcsrn_tf.inference.settings import ScanSettings, Settings
from mdcsrn_tf.inference.volume import run
from mdcsrn_tf.run_record import RunRecord
from mdcsrn_tf.scans.head import head_mask
from mdcsrn_tf.scans.kspace import degrade, resize_axis
from mdcsrn_tf.scans.slice_profile import SliceProfile
from mdcsrn_tf.scans.volume import Volume, new_header

RESULTS = pages.RESULTS / "thick_slices.json"
MODEL = "fast-through-plane-b4u4k16"
AXIS, SLAB = 2, 24
TILE = (SLAB, 70, 70)  # nothing beside the slab is computed
PROFILES = ("box", "kspace")
METHODS, DRAWN = ("cubic", "sinc", "network"), ("linear", "sinc", "network")
BETWEEN = (2.4, 3.4, 4.4)


def main() -> None:
    """Measure every scan at every factor, print a line for each, write the record and the page."""
    parser = parser_of(__doc__, MODEL)
    parser.add_argument("--factors", default="2,3,4,5", help="how many times as thick")
    arguments = parser.parse_args()
    engine = load_engine(arguments.model, Settings())
    factors = [int(factor) for factor in arguments.factors.split(",")]
    config = {
        "model": Path(arguments.model).stem,
        "factors": factors,
        "profiles": PROFILES,
        "slab": SLAB,
        "between": BETWEEN,
    }
    record = RunRecord.begin(config, data={"notes": engine.card.notes})
    measure(arguments, lambda path: examine(path, engine, factors), record, RESULTS)


def examine(path: Path, engine: Engine, factors: list[int]) -> dict[str, dict[str, float]]:
    """PSNR inside the head (dB) by `PROFILE FACTOR` and method."""
    whole, spacing = read_ras(path)
    start = (whole.shape[0] - SLAB) // 2
    middle = np.ascontiguousarray(whole[start : start + SLAB], np.float32)
    found = {}
    for factor in factors:
        truth = middle[..., : middle.shape[AXIS] - middle.shape[AXIS] % factor]
        head = head_mask(truth, spacing)
        for profile in PROFILES:
            found[f"{profile} {factor}"] = _quality(restored(truth, factor, profile, engine), truth, head)
    head = head_mask(middle, spacing)
    for step in BETWEEN:
        linear, sinc = drawn(middle, step)
        affine = np.diag([*spacing, 1.0])
        scan = Volume(linear, affine, path, new_header(affine), np.dtype(np.float32))
        ours = super_resolve_scan(scan, engine, Settings(tile=TILE), ScanSettings(force=True)).data
        found[f"drawn {step:g}"] = _quality({"linear": linear, "sinc": sinc, "network": ours}, middle, head)
    return found


def _quality(images: dict[str, np.ndarray], truth: np.ndarray, head: np.ndarray) -> dict[str, float]:
    return {name: round(psnr_inside(image, truth, head), 3) for name, image in images.items()}


def drawn(truth: np.ndarray, step: float) -> tuple[np.ndarray, np.ndarray]:
    """Touching slices of [LR, AP, IS] about `step` times as thick, drawn linearly on its own grid, and by sinc."""
    size = truth.shape[AXIS]
    count = round(size / step)
    slices = SliceProfile("box", size / count).thick_slices(truth, count, AXIS)
    places = np.minimum(np.arange(size) * count / size, count - 1)
    linear = scipy.interpolate.make_interp_spline(np.arange(count), slices, k=1, axis=AXIS)(places)
    return linear.astype(np.float32), resize_axis(slices, size, AXIS, "sinc")


def restored(truth: np.ndarray, factor: int, profile: str, engine: Engine) -> dict[str, np.ndarray]:
    """The slab [LR, AP, IS] made thick along IS, brought back by every method."""
    slices = SliceProfile("box", float(factor)) if profile == "box" else None
    cubic, sinc = (degrade(truth, (factor,), (AXIS,), method, slices=slices) for method in ("cubic", "sinc"))
    return {"cubic": cubic, "sinc": sinc, "network": run(engine, sinc, Settings(tile=TILE)).data}


def section(record: dict[str, Any]) -> str:
    """This benchmark's part of docs/results.md."""
    lines = [
        f"## Thick slices: {record['config']['model']}",
        "",
        f"{pages.circumstances(record)} Axial slices 2 to 5 times as thick, brought back to the thin grid: PSNR of "
        f"cubic / sinc / the network inside the head, dB, on {record['config']['slab']} sagittal slices. `box`: slices "
        "that touch; `kspace`: phase-encoded slabs.",
        "",
    ]
    head = [f"{profile}, {factor}x" for profile in PROFILES for factor in record["config"]["factors"]]
    lines += tables(record["results"], head, lambda found: [_cell(found[_key(title)], METHODS) for title in head])
    splits, keys = record["results"].items(), [_key(title) for title in head]
    gains = {split: [_gain(cases[key]) for cases in scans.values() for key in keys] for split, scans in splits}
    means = ", ".join(f"{np.mean(found):+.2f} dB on {split} scans" for split, found in gains.items() if found)
    every = [gain for found in gains.values() for gain in found]
    better = sum(gain > 0 for gain in every)
    lines += [
        f"Over the better interpolation, in the mean: {means}; above it in {better} of {len(every)} cases.",
        "",
        "Touching slices of factors between those, drawn linearly on the thin grid: as they came / the same samples by "
        "sinc / the network:",
        "",
    ]
    steps = [f"{step:g}" for step in record["config"]["between"]]
    cells = [f"{step}x" for step in steps]
    lines += tables(record["results"], cells, lambda found: [_cell(found[f"drawn {step}"], DRAWN) for step in steps])
    cases = [
        found[f"drawn {step}"] for scans in record["results"].values() for found in scans.values() for step in steps
    ]
    over = [np.array([case["network"] - case[name] for case in cases]) for name in ("linear", "sinc")]
    lines += [
        f"The network over what came, in the mean: {over[0].mean():+.2f} dB ({over[0].min():+.2f} at least); over sinc "
        f"{over[1].mean():+.2f} dB ({over[1].min():+.2f} at least).",
        "",
    ]
    return "\n".join(lines)


def _gain(case: dict[str, float]) -> float:
    """The network's PSNR less that of the better interpolation (dB)."""
    return case["network"] - max(case["cubic"], case["sinc"])


def _key(title: str) -> str:
    return title.replace(",", "").removesuffix("x")


def _cell(found: dict[str, float], methods: Sequence[str]) -> str:
    return " / ".join(f"{found[name]:.2f}" for name in methods)


if __name__ == "__main__":
    main()
