"""Scans interpolated by other factors than networks learned from: as they are, and on a grid where theirs is twofold.

    python benchmarks/other_factors.py --data=FOLDER_OF_SCANS --test=sub-11,... [--development=...] [--model=NAME]

The k-space of scans is cut along LR and AP to one voxel in 1.5 and so on and filled with zeros, magnitudes are taken as
a scanner does, and the network is run as mdcsrn-infer runs it, which finds out the factor; and as if the scan were
twofold. The same samples are drawn linearly and cubically by SciPy, as programs do that resample. Compared inside the
head, on 12 axial slices around the middle. Writes benchmarks/results/other_factors.json and docs/results.md anew.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import scipy.ndimage
import scipy.signal

from benchmarks import pages
from benchmarks.scan_by_scan import Slab, measure, parser_of, tables
from mdcsrn_tf.inference.engines import Engine, load_engine
from mdcsrn_tf.inference.scan import super_resolve_scan
from mdcsrn_tf.inference.settings import ScanSettings, Settings
from mdcsrn_tf.run_record import RunRecord

RESULTS = pages.RESULTS / "other_factors.json"
MODEL = "mdcsrn-b4u4k12"
FACTORS = (1.5, 1.75, 2.5, 3)
DRAWN = {"linear": 1, "cubic": 3}  # SciPy's order
SLAB, EDGE = 12, 6  # axial slices that are measured, and those on either side that the network sees
SETTINGS = Settings(precision="bfloat16")
# What speaks against it is what is measured here.
OURS = ScanSettings(axes="LR,AP", force=True)
AS_IT_IS = ScanSettings(axes="LR,AP", factor="2,2", grid="same", force=True)


def main() -> None:
    """Measure every scan at every factor, print a line for each, write the record and the page."""
    arguments = parser_of(__doc__, MODEL).parse_args()
    engine = load_engine(arguments.model, SETTINGS)
    config = {
        "model": Path(arguments.model).stem,
        "factors": FACTORS,
        "drawn": tuple(DRAWN),
        "slab": SLAB,
        "precision": SETTINGS.precision,
    }
    record = RunRecord.begin(config, data={"notes": engine.card.notes})
    measure(arguments, lambda path: examine(path, engine), record, RESULTS)


def examine(path: Path, engine: Engine) -> dict[str, dict[str, float]]:
    """PSNR inside the head (dB) by factor and way."""
    slab, found = Slab.of(path, SLAB, EDGE), {}

    def super_resolved(data: np.ndarray, wanted: ScanSettings) -> float:
        return slab.psnr(super_resolve_scan(slab.scan(data), engine, SETTINGS, wanted).data)

    for factor in FACTORS:
        filled = zero_filled(slab.truth, factor)
        case = {"sinc": slab.psnr(filled), "as it is": super_resolved(filled, AS_IT_IS)}
        case["twofold"] = super_resolved(filled, OURS)
        for method, order in DRAWN.items():
            image = drawn(slab.truth, factor, order)
            case |= {method: slab.psnr(image), f"{method}, twofold": super_resolved(image, OURS)}
        found[f"{factor:g}"] = case
    return found


def zero_filled(truth: np.ndarray, factor: float) -> np.ndarray:
    """The magnitude of [LR, AP, IS] with all but the central 1 / factor of its k-space along LR and AP set to zero."""
    image = truth.astype(np.float64)
    for axis in (0, 1):
        kept = 2 * round(truth.shape[axis] / factor / 2) + 1
        away = np.abs(np.fft.fftfreq(truth.shape[axis]) * truth.shape[axis]) > kept // 2
        spectrum = np.fft.fft(image, axis=axis)
        spectrum[(slice(None),) * axis + (away,)] = 0
        image = np.fft.ifft(spectrum, axis=axis).real
    return np.abs(image).astype(np.float32)


def drawn(truth: np.ndarray, factor: float, order: int) -> np.ndarray:
    """[LR, AP, IS] of which one sample in `factor` was kept along LR and AP, as magnitudes, drawn by a spline."""
    counts = [round(size / factor) for size in truth.shape[:2]]
    samples = truth
    for axis, count in enumerate(counts):
        samples = scipy.signal.resample(samples, count, axis=axis)
    places = [np.arange(size) * count / size for size, count in zip(truth.shape, counts, strict=False)]
    grid = np.meshgrid(*places, np.arange(truth.shape[2]), indexing="ij")
    image = scipy.ndimage.map_coordinates(np.abs(samples), grid, order=order, mode="mirror")
    return np.maximum(image, 0).astype(np.float32)


def section(record: dict[str, Any]) -> str:
    """This benchmark's part of docs/results.md."""
    config = record["config"]
    lines = [
        "## Interpolated by other factors than 2",
        "",
        f"{pages.circumstances(record)} Scans whose k-space was cut along LR and AP and filled with zeros to so many "
        f"voxels a sample; PSNR of that / of {config['model']} ({config['precision']}) on it as it is / on a grid of "
        "two voxels a sample and brought back, as `mdcsrn-infer` does, dB inside the head, on "
        f"{config['slab']} axial slices.",
        "",
    ]
    keys = [f"{factor:g}" for factor in config["factors"]]
    heads = [f"{key}x" for key in keys]
    ways = ("sinc", "as it is", "twofold")
    lines += tables(record["results"], heads, lambda found: [_cell(found[key], ways) for key in keys])
    cases = [case for scans in record["results"].values() for found in scans.values() for case in found.values()]
    gains = [case["twofold"] - case["sinc"] for case in cases]
    as_they_are = [case["as it is"] - case["sinc"] for case in cases]
    better = sum(gain > 0 for gain in gains)
    lines += [
        f"Over zero-filled sinc, in the mean: {np.mean(as_they_are):+.2f} dB as they are, {np.mean(gains):+.2f} dB on "
        f"the other grid, which is above sinc in {better} of {len(gains)} cases (least {min(gains):+.2f} dB).",
        "",
        "Samples at the same distances, their magnitudes taken before and not after, drawn linearly and cubically; as "
        "they came / as they were given back, linear ones first:",
        "",
    ]
    methods = config["drawn"]
    both = [way for method in methods for way in (method, f"{method}, twofold")]
    lines += tables(record["results"], heads, lambda found: [_cell(found[key], both) for key in keys])
    lines += [_over_itself(cases, method) for method in methods]
    return "\n".join([*lines, ""])


def _over_itself(cases: list[dict[str, float]], method: str) -> str:
    gains = [case[f"{method}, twofold"] - case[method] for case in cases]
    apart = max(abs(case[f"{method}, twofold"] - case["twofold"]) for case in cases)
    return (
        f"- Over {method} interpolation: {np.mean(gains):+.2f} dB in the mean, {min(gains):+.2f} dB at least, and at "
        f"most {apart:.2f} dB from what the zero-filled samples give."
    )


def _cell(case: dict[str, float], ways: Sequence[str]) -> str:
    return " / ".join(f"{case[name]:.2f}" for name in ways)


if __name__ == "__main__":
    main()
