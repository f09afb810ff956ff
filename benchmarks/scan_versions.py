"""One scan in every form a lab may have it: how far apart the network's results are, and how far above sinc.

    python benchmarks/scan_versions.py --data=FOLDER_OF_SCANS [--crop=64] [--model=NAME]

The middle of every scan is degraded 2x2 along LR and AP and given as zero-filled, linear, cubic, nearest and
small-matrix image, in float32 and (but for the small matrix) rounded to 8 bits; the library finds out which it is. PSNR
inside the head, dB, against the original. Writes benchmarks/results/scan_versions.json.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import nibabel as nib
import numpy as np

import mdcsrn_tf as m
from mdcsrn_tf.inference.self_check import psnr_inside
from mdcsrn_tf.run_record import RunRecord
from mdcsrn_tf.scans import kspace
from mdcsrn_tf.scans.find import find_volumes
from mdcsrn_tf.scans.head import head_mask

RESULTS = Path(__file__).parent / "results" / "scan_versions.json"
AXES, FACTORS = (0, 1), (2, 2)


def main() -> None:
    """Super-resolve every version of every scan."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--crop", type=int, default=64)
    parser.add_argument("--model", default=None)
    parser.add_argument("--output", type=Path, default=RESULTS)
    asked = parser.parse_args()
    record = RunRecord.begin({"axes": AXES, "factors": FACTORS, "crop": asked.crop, "model": asked.model})
    record.results["network"] = asked.model or m.list_models()[0]
    record.results["scans"] = {}
    for path in find_volumes(asked.data):
        found = versions_of(middle(nib.as_closest_canonical(nib.load(path)), asked.crop), asked.model)
        record.results["scans"][path.name.split(".")[0]] = found
        print(path.name, found, flush=True)
    spreads = [
        max(abs(value - found["sinc"]) for name, value in found.items() if name != "interpolation alone")
        for found in record.results["scans"].values()
    ]
    record.results["farthest from the sinc version, dB"] = round(max(spreads), 4)
    record.write(asked.output, folders_kept=False)


def middle(image: nib.Nifti1Image, size: int) -> nib.Nifti1Image:
    """The middle `size` voxels of every axis."""
    corner = [max(0, (length - size) // 2) for length in image.shape[:3]]
    return image.slicer[tuple(slice(first, first + size) for first in corner)]


def versions_of(image: nib.Nifti1Image, model: str | None) -> dict[str, float]:
    """PSNR of every version's result, and of sinc interpolation alone."""
    truth = image.get_fdata(dtype=np.float32)
    mask = head_mask(truth, [float(size) for size in image.header.get_zooms()[:3]])
    small = kspace.acquire(truth, FACTORS, AXES)
    sinc = kspace.interpolate(small, truth.shape, FACTORS, AXES, "sinc")
    found = {"interpolation alone": psnr(sinc, truth, mask)}
    for method in ("sinc", "linear", "cubic", "nearest"):
        low = kspace.interpolate(small, truth.shape, FACTORS, AXES, method)
        rounded = np.rint(np.clip(low / low.max(), 0, 1) * 255) * (low.max() / 255)
        for name, data in ((method, low), (f"{method}, 8 bits", rounded)):
            result = m.super_resolve(nib.Nifti1Image(data.astype(np.float32), image.affine), model=model)
            found[name] = psnr(result.get_fdata(dtype=np.float32), truth, mask)
    given = nib.Nifti1Image(small, kspace.small_affine(image.affine, FACTORS, AXES))
    found["small matrix"] = psnr(m.super_resolve(given, model=model).get_fdata(dtype=np.float32), truth, mask)
    return found


def psnr(image: np.ndarray, truth: np.ndarray, mask: np.ndarray) -> float:
    """Inside the head, its largest value as range; in dB, for the record."""
    return round(psnr_inside(image, truth, mask), 4)


if __name__ == "__main__":
    main()
