"""How much detail an original had, told by the scan that lacks it: the law behind `--detail=auto`, fitted and tried.

    python benchmarks/detail_law.py --data=SCANS --variants=WORK/variants [--workdir=FOLDER]

The variants are recipes/robust_data.sh's: scans of training people whole and stripped, in three pairs of axes, and the
validation scans. Each is degraded 2x2 along its first two axes; what is left tells the signs (inference/detail_law),
and what was removed is known. The law is fitted to the training people, each of whom counts once; how far it is off is
told for people that it was not fitted to: each person in turn, and the validation scans.
Then the limits of the strength that follows: the fast network on the scans themselves, with every strength that the
limits give, its removed band's power beside the original's and its gain over zero-filled sinc and cubic. Writes
benchmarks/results/detail_law.json.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import nibabel as nib
import numpy as np

from benchmarks import networks, pages
from benchmarks.data_helpers import read_ras, scans_beginning
from benchmarks.network_checks import result_of, straight
from mdcsrn_tf.inference.detail import AIM_DB, STRONGEST_AUTO, strength_for
from mdcsrn_tf.inference.detail_law import FACTORS, Signs, power_beyond, signs_of
from mdcsrn_tf.run_record import RunRecord
from mdcsrn_tf.scans.axes import resolve_axes
from mdcsrn_tf.scans.head import head_mask
from mdcsrn_tf.scans.kspace import acquire, degrade, mirrored_low_pass
from mdcsrn_tf.scans.volumes import find_volumes

AXES = (0, 1)
VALIDATION = ("sub-06", "sub-10", "sub-14")
NEAR_DB = 1.5  # what is asked of the power in the removed band
AIMS_DB, LIMITS = (0.0, -0.25, -0.5, -0.75, -1.0, -1.25), (2.0, 2.1, 2.2, 2.3, 2.5, 4.0)


def main() -> None:
    """Fit, try, keep the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--variants", type=Path, required=True)
    parser.add_argument("--model", default="fast-b4u4k16")
    parser.add_argument("--precision", default="bfloat16", choices=("float32", "bfloat16"))
    parser.add_argument("--workdir", type=Path, help="keep the network's results here, and go on here after a stop")
    values = parser.parse_args()
    record = RunRecord.begin({"model": values.model, "precision": values.precision, "validation": list(VALIDATION)})
    measured = {path.name.split(".")[0]: measure(path) for path in find_volumes(values.variants)}
    record.results = {"signs": measured, **fitted(measured)}
    with tempfile.TemporaryDirectory() as folder:
        workdir = values.workdir or Path(folder)
        workdir.mkdir(parents=True, exist_ok=True)
        people = ",".join(sorted({person(name) for name in measured}))
        even = workdir / "scans"
        for path in scans_beginning(values.data, people):
            write_even(path, even / path.name)
        scans = networks.list_file(even, people, even)
        finished, _ = networks.super_resolve(scans, [values.model], workdir, values.precision, [])
        record.results["scans"] = {
            path.name.split(".")[0]: tried(path, finished[values.model])
            for path in map(Path, scans.read_text(encoding="utf-8").splitlines())
        }
    record.write(pages.RESULTS / "detail_law.json", folders_kept=False)


def write_even(path: Path, target: Path) -> None:
    """A copy of a scan without the last voxel of an odd axis that is to be degraded: its result lies on its grid."""
    image = nib.nifti1.load(path)
    axes = resolve_axes("LR,AP", image.affine)
    cut = tuple(slice(size - size % 2 if axis in axes else size) for axis, size in enumerate(image.shape))
    target.parent.mkdir(exist_ok=True)
    nib.save(image.slicer[cut], target)


def person(name: str) -> str:
    """Whose scan it is."""
    return name.split("_")[0]


def measure(path: Path) -> dict[str, float]:
    """The signs of a scan that was degraded, and by how many dB what was removed is above the edge of what is left."""
    high, spacing = read_ras(path)
    high = high[tuple(slice(size - size % 2) for size in high.shape[:2])]
    signs = signs_when_degraded(high, spacing)
    removed = power(beyond(high), head_mask(high, spacing))
    corner, fall = signs.law
    return {"corner_db": corner, "fall_db": fall, "removed_db": 10 * float(np.log10(removed / signs.edge))}


def signs_when_degraded(high: np.ndarray, spacing: Sequence[float]) -> Signs:
    """What is left of an original tells these."""
    factors = dict(zip(AXES, FACTORS, strict=True))
    small = [size * factors.get(axis, 1) for axis, size in enumerate(spacing)]
    return signs_of(acquire(high, FACTORS, AXES), small, AXES)


def beyond(image: np.ndarray) -> np.ndarray:
    """What degradation removes of an image."""
    kept = [image.shape[axis] // factor for axis, factor in zip(AXES, FACTORS, strict=True)]
    return image - mirrored_low_pass(image, kept, AXES)


def fitted(measured: dict[str, dict[str, float]]) -> dict[str, Any]:
    """The law of the training people, its errors (dB) on people left out, and those of one level for all."""
    names = list(measured)
    training = np.array([person(name) not in VALIDATION for name in names])
    everyone = np.array([person(name) for name in names])
    signs = np.array([[1.0, found["corner_db"], found["fall_db"]] for found in measured.values()])
    truth = np.array([found["removed_db"] for found in measured.values()])
    weights = np.array([1 / np.sum(everyone == one) for one in everyone])

    def errors(columns: np.ndarray) -> np.ndarray:
        found = columns @ fit(columns, truth, weights, training) - truth
        for one in set(everyone[training]):
            others, own = training & (everyone != one), everyone == one
            found[own] = columns[own] @ fit(columns, truth, weights, others) - truth[own]
        return found

    law = fit(signs, truth, weights, training)
    off, constant = errors(signs), errors(signs[:, :1])
    return {
        "law": [float(value) for value in law],
        "errors_db": dict(zip(names, map(float, off), strict=True)),
        "error_db": spread(off[training], weights[training]),
        "error_of_one_level_db": spread(constant[training], weights[training]),
    }


def fit(columns: np.ndarray, truth: np.ndarray, weights: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Weighted least squares over the chosen rows."""
    root = np.sqrt(weights[chosen])
    return np.asarray(np.linalg.lstsq(columns[chosen] * root[:, None], truth[chosen] * root, rcond=None)[0])


def spread(errors: np.ndarray, weights: np.ndarray) -> float:
    """The root of the mean square."""
    return float(np.sqrt(np.average(errors**2, weights=weights)))


def tried(path: Path, results: Path) -> dict[str, Any]:
    """The network's result with the strength that each aim and limit gives: its band's power (dB) and gains (dB)."""
    image = straight(result_of(results, path))
    high, spacing = read_ras(path)
    inside = head_mask(high, spacing)
    wanted = power_beyond(signs_when_degraded(high, spacing))
    detail = beyond(image)
    there, of_it_inside = power(detail, head_mask(image, spacing)), power(detail, inside)
    removed = power(beyond(high), inside)
    others = {name: power(degrade(high, FACTORS, AXES, name) - high, inside) for name in ("sinc", "cubic")}
    found: dict[str, Any] = {"as it is": gains(image - high, others, inside), "limits": {}}
    kept: dict[float, list[float]] = {}  # a strength that several limits give is tried once
    for aim, limit in product(AIMS_DB, LIMITS):
        strength = strength_for(wanted, there, aim, limit)
        band = 10 * float(np.log10(strength**2 * of_it_inside / removed))
        if strength not in kept:
            kept[strength] = gains(image + (strength - 1) * detail - high, others, inside)
        found["limits"][f"{aim:g} {limit:g}"] = [strength, band, *kept[strength]]
    return found


def gains(difference: np.ndarray, others: dict[str, float], inside: np.ndarray) -> list[float]:
    """PSNR over that of sinc and of cubic."""
    own = power(difference, inside)
    return [float(10 * np.log10(other / own)) for other in others.values()]


def power(part: np.ndarray, inside: np.ndarray) -> float:
    """Mean square inside the mask."""
    return float(np.mean(np.square(part[inside], dtype=np.float64)))


def section(record: dict[str, Any]) -> str:
    """The part of docs/results.md."""
    results = record["results"]
    level, corner, fall = results["law"]
    off = results["errors_db"]
    validation = [f"{off[name]:+.2f}" for name in off if person(name) in VALIDATION]
    training = [abs(value) for name, value in off.items() if person(name) not in VALIDATION]
    text = (
        f"{pages.circumstances(record)} `--detail=auto`: how much power an original has in the k-space that a 2x2 "
        f"coarser scan lacks, told by that scan (inference/detail_law.py): over the edge of the measured k-space "
        f"{level:+.2f} {corner:+.3f} corner {fall:+.3f} fall (dB). Off by {results['error_db']:.2f} dB (root mean "
        f"square) on training people that were left out of the fit one by one, at most {max(training):.2f} over "
        f"{len(training)} scans and variants of scans; one level for all is off by "
        f"{results['error_of_one_level_db']:.2f}. On the validation scans: {', '.join(validation)} dB."
    )
    limits = (
        f"What the limits of the strength do, with `{record['config']['model']}` on the {len(results['scans'])} "
        f"training and validation scans themselves, inside the head. The aim is where the power is to be, beside the "
        f"original's. Taken: the highest gain of those that bring every scan's power within {NEAR_DB} dB."
    )
    head = [
        "aim (dB)",
        "at most",
        f"power within {NEAR_DB} dB",
        "its range (dB)",
        "gain over sinc (dB)",
        "least over cubic",
    ]
    return "\n".join(
        ["## How much detail an original has", "", text, "", limits, "", *pages.table(head, rows(results["scans"])), ""]
    )


def rows(scans: dict[str, Any]) -> Sequence[Sequence[str]]:
    """A row for every pair of limits."""
    found = []
    for aim, limit in product(AIMS_DB, LIMITS):
        values = np.array([scan["limits"][f"{aim:g} {limit:g}"] for scan in scans.values()])
        band = values[:, 1]
        mark = "**" if (aim, limit) == (AIM_DB, STRONGEST_AUTO) else ""
        found.append(
            [
                f"{mark}{aim:g}{mark}",
                f"{mark}{limit:g}{mark}",
                f"{int(np.sum(np.abs(band) < NEAR_DB))} of {len(band)}",
                f"{band.min():+.2f} to {band.max():+.2f}",
                f"{values[:, 2].mean():+.2f}",
                f"{values[:, 3].min():+.2f}",
            ]
        )
    return found


if __name__ == "__main__":
    main()
