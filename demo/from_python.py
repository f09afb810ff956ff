"""The library in a notebook's steps: degrade a scan, super-resolve it, compare, save.

python demo/from_python.py [--scan=FILE] [--model=NAME] [--output=FOLDER]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import nibabel as nib

import mdcsrn_tf as m

HERE = Path(__file__).resolve().parent


def main(arguments: list[str] | None = None) -> dict[str, dict[str, float]]:
    """Run the steps; what was measured of each image."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scan", type=Path, default=HERE / "hr.nii.gz")
    parser.add_argument("--model", default=None)
    parser.add_argument("--output", type=Path, default=Path("demo_output"))
    asked = parser.parse_args(arguments)
    asked.output.mkdir(parents=True, exist_ok=True)

    # A nibabel image goes in, and one comes out: the scan with a quarter of its k-space, as a scanner interpolates it.
    reference = nib.load(asked.scan)
    low = m.degrade(reference, axes="LR,AP", factor=2, interpolation="sinc")

    # Orientation, grid and interpolation are found out; the network is the first bundled one made for such scans.
    result = m.super_resolve(low, model=asked.model)

    # The papers' metrics, slice by slice in the degraded plane.
    measured = {"sinc": m.evaluate(reference, low), "network": m.evaluate(reference, result)}
    for name, scores in measured.items():
        print(f"{name:8s} PSNR {scores['psnr']:6.2f} dB   SSIM {scores['ssim']:.4f}")
    nib.save(result, asked.output / "from_python.nii.gz")

    # An array needs its affine, or it is taken as RAS+ with voxels of 1 mm, with a warning.
    array = m.super_resolve(low.get_fdata(dtype="float32"), affine=low.affine, model=asked.model)
    assert (array == result.get_fdata(dtype="float32")).all()

    # Files: the result gets a sidecar that says how it was made.
    nib.save(low, asked.output / "low.nii.gz")
    written = m.super_resolve(asked.output / "low.nii.gz", asked.output / "sr.nii.gz", model=asked.model)
    print(f"written: {written}, {written.with_name('sr.json')}")
    return measured


if __name__ == "__main__":
    main()
