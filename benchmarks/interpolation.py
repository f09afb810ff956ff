"""PSNR, SSIM and NRMSE of nearest, linear, cubic and sinc interpolation on a folder of scans.

    python benchmarks/interpolation.py --data=FOLDER [--write]

Volumes are cropped to multiples of 4 and degraded 2 x 2 x 1 along LR and AP; scores are means over the axial
slices in which over 10 % of the voxels exceed 5 % of the maximum, with the maximum as range. Where the folder
holds the eight scans of the catalogue, the PSNRs are compared with its reference figures (limit 0.15 dB).
`--write` puts the table into docs/data.md. Writes benchmarks/results/interpolation.json.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from skimage.registration import phase_cross_correlation

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mdcsrn_tf.files import replace_when_done, sha256_of
from mdcsrn_tf.metrics.fidelity import slice_scores
from mdcsrn_tf.metrics.slices import foreground_share
from mdcsrn_tf.run_record import RunRecord
from mdcsrn_tf.scans import kspace
from mdcsrn_tf.scans.find import stem_of
from mdcsrn_tf.scans.volumes import find_volumes, read_volume, resolve_axes, to_ras
from mdcsrn_tf.workers import available_cores

RESULTS = Path(__file__).parent / "results" / "interpolation.json"
DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "data.md"
BEGIN, END = "<!-- table of interpolation.py -->\n", "<!-- end of the table -->\n"
FACTORS = (2, 2)

# Reference PSNRs that came with the eight scans, made by another pipeline.
REFERENCE = {
    "nearest": (36.46, 28.02, 28.48, 31.17, 25.83, 33.70, 26.88, 26.09),
    "linear": (40.02, 32.02, 31.93, 34.58, 30.92, 37.05, 30.79, 29.29),
    "cubic": (41.25, 33.50, 33.01, 35.67, 32.72, 37.99, 31.95, 30.42),
    "sinc": (41.78, 34.07, 33.45, 36.13, 33.32, 38.23, 32.27, 30.79),
}
CATALOGUE = (*(f"sub-{number:02d}_T1w" for number in range(1, 8)), "sub-08_T2w")


def main() -> None:
    """Score all scans, compare with the references, and write record and table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--write", action="store_true", help="put the table into docs/data.md")
    parser.add_argument("--output", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    paths = find_volumes(arguments.data)
    checksums = {stem_of(path.name): sha256_of(path) for path in paths}
    record = RunRecord.begin({"factor": FACTORS, "axes": "LR,AP", "crop": 4}, {"sha256": checksums})
    for path in paths:
        record.results[stem_of(path.name)] = score(path)
        print(stem_of(path.name), record.results[stem_of(path.name)], flush=True)
    worst = furthest_from_reference(record.results)
    table = as_table(record.results)
    if worst is not None:
        record.results["furthest_from_reference_db"] = round(worst, 3)
        print(f"furthest from the catalogue's figures: {worst:.3f} dB (limit 0.15)")
    record.write(arguments.output, folders_kept=False)
    print(table)
    if arguments.write:
        put_table(table)


def score(path: Path) -> dict[str, dict[str, float]]:
    """The scores of each method on one scan, and the shift of its image against the scan in voxels."""
    volume = read_volume(path)
    data, affine = to_ras(volume.data, volume.affine)
    data = np.ascontiguousarray(data[tuple(slice(size // 4 * 4) for size in data.shape)])
    axes = resolve_axes("LR,AP", affine)
    small = kspace.acquire(data, FACTORS, axes, workers=available_cores())
    kept = foreground_share(data, 2, 0.05) > 0.1
    scores = {}
    for method in kspace.METHODS:
        image = kspace.interpolate(small, data.shape, FACTORS, axes, method, workers=available_cores())
        found = slice_scores(data, image, 2, data_range=float(data.max()))
        scores[method] = {key: round(float(values[kept].mean()), 4) for key, values in found.items()}
        scores[method]["shift_voxels"] = shift_between(data, image)
    return scores


def shift_between(reference: np.ndarray, image: np.ndarray) -> float:
    """The largest component of the sub-voxel shift, by the peak of the Fourier cross-correlation."""
    shift, *_ = phase_cross_correlation(reference, image, upsample_factor=200, normalization=None)
    return round(float(np.abs(shift).max()), 4)


def furthest_from_reference(results: dict) -> float | None:
    """The largest difference of a PSNR from the catalogue's, in dB; None for other scans."""
    if set(results) != set(CATALOGUE):
        return None
    return max(
        abs(results[scan][method]["psnr"] - REFERENCE[method][number])
        for number, scan in enumerate(CATALOGUE)
        for method in kspace.METHODS
    )


def as_table(results: dict) -> str:
    """A Markdown table: a row a scan, PSNR / SSIM / NRMSE a cell."""
    lines = ["| scan | " + " | ".join(kspace.METHODS) + " |", "|---" * (len(kspace.METHODS) + 1) + "|"]
    for scan, scores in results.items():
        if not isinstance(scores, dict):
            continue
        cells = [
            f"{scores[method]['psnr']:.2f} / {scores[method]['ssim']:.4f} / {scores[method]['nrmse']:.4f}"
            for method in kspace.METHODS
        ]
        lines.append(f"| {scan} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def put_table(table: str) -> None:
    """Replace what stands between the marks in docs/data.md."""
    before, _, rest = DOCUMENT.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    with replace_when_done(DOCUMENT) as partial:
        partial.write_text(before + BEGIN + table + END + after, encoding="utf-8")


if __name__ == "__main__":
    main()
