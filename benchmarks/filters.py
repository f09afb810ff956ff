"""Scans whose scanner weighted k-space by a window: super-resolved as they are, and with --undo_filter.

    python benchmarks/filters.py --data=FOLDER_OF_SCANS --test=sub-11,... [--development=...] [--model=NAME]

The k-space of scans is cut 2x2 along LR and AP, weighted along both, and filled with zeros; magnitudes are taken, and
the network is run as mdcsrn-infer runs it, without and with the flag. Compared with the scan itself inside the head, on
axial slices around the middle. Writes benchmarks/results/filters.json and docs/results.md anew.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from benchmarks import pages
from benchmarks.scan_by_scan import Slab, measure, parser_of, tables
from mdcsrn_tf.inference.engines import Engine, load_engine
from mdcsrn_tf.inference.scan import super_resolve_scan
from mdcsrn_tf.inference.settings import ScanSettings, Settings
from mdcsrn_tf.run_record import RunRecord

RESULTS = pages.RESULTS / "filters.json"
MODEL = "mdcsrn-b4u4k12"
# The amplitude at u, the share of the highest measured frequency.
WINDOWS = {
    "none": np.ones_like,
    "Fermi": lambda u: 1 / (1 + np.exp((u - 0.9) / 0.05)),
    "Tukey": lambda u: 0.5 + 0.5 * np.cos(np.pi * np.clip(2 * u - 1, 0, 1)),
    "Gauss": lambda u: np.exp(-(u**2)),
    "Hamming": lambda u: 0.54 + 0.46 * np.cos(np.pi * u),
    "Hann": lambda u: 0.5 + 0.5 * np.cos(np.pi * u),
}
SLAB, EDGE = 12, 6  # axial slices that are measured, and those on either side that the network sees
SETTINGS = Settings(precision="bfloat16")
WAYS = ("sinc", "as it is", "undone")


def main() -> None:
    """Measure every scan with every window, print a line for each, write the record and the page."""
    arguments = parser_of(__doc__, MODEL).parse_args()
    engine = load_engine(arguments.model, SETTINGS)
    config = {"model": Path(arguments.model).stem, "slab": SLAB, "precision": SETTINGS.precision}
    record = RunRecord.begin(config, data={"notes": engine.card.notes})
    measure(arguments, lambda path: examine(path, engine), record, RESULTS)


def examine(path: Path, engine: Engine) -> dict[str, dict[str, float]]:
    """PSNR inside the head (dB) by window and way."""
    slab, found = Slab.of(path, SLAB, EDGE), {}
    for name, amplitude in WINDOWS.items():
        low = weighted(slab.truth, amplitude)
        ways = (ScanSettings(force=True), ScanSettings(force=True, undo_filter=True))
        images = low, *(super_resolve_scan(slab.scan(low), engine, SETTINGS, wanted).data for wanted in ways)
        found[name] = {way: slab.psnr(image) for way, image in zip(WAYS, images, strict=True)}
    return found


def weighted(truth: np.ndarray, amplitude: Any) -> np.ndarray:
    """The magnitude of [LR, AP, IS] with the central half of its k-space along LR and AP alone, so weighted."""
    image = truth.astype(np.float64)
    for axis in (0, 1):
        size = image.shape[axis]
        share = np.abs(np.fft.fftfreq(size)) * 4
        window = np.where(share <= 1, amplitude(np.minimum(share, 1)), 0)
        spectrum = np.fft.fft(image, axis=axis) * window.reshape([-1 if place == axis else 1 for place in range(3)])
        image = np.fft.ifft(spectrum, axis=axis).real
    return np.abs(image).astype(np.float32)


def section(record: dict[str, Any]) -> str:
    """This benchmark's part of docs/results.md."""
    config, names = record["config"], list(WINDOWS)
    lines = [
        "## Filtered by the scanner",
        "",
        f"{pages.circumstances(record)} The measured k-space weighted by a window, which keeps ringing down; PSNR of "
        f"zero-filled sinc / of {config['model']} ({config['precision']}) on it / with `--undo_filter`, dB inside the "
        f"head, on {config['slab']} axial slices. The window is told from the scan alone.",
        "",
        *tables(record["results"], names, lambda found: [_cell(found[name]) for name in names]),
    ]
    scans = [found for split in record["results"].values() for found in split.values()]
    for name in names:
        as_it_is, undone = ([found[name][way] - found[name]["sinc"] for found in scans] for way in WAYS[1:])
        lines.append(
            f"- {name}: {np.mean(as_it_is):+.2f} dB over sinc in the mean as it is ({min(as_it_is):+.2f} at least), "
            f"{np.mean(undone):+.2f} dB undone ({min(undone):+.2f})."
        )
    return "\n".join([*lines, ""])


def _cell(case: dict[str, float]) -> str:
    return " / ".join(f"{case[way]:.2f}" for way in WAYS)


if __name__ == "__main__":
    main()
