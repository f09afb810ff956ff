"""What benchmarks/malformed.py spoils for the whole scan pipeline: honest scans of every kind, through mdcsrn-infer."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from mdcsrn_tf.errors import UserError

# What is slow to import, and should not be watched.
MODULES = ("tensorflow", "keras", "pydicom", "mdcsrn_tf.cli.infer", "mdcsrn_tf.inference.folder")
_MODEL, _OUTPUT = "tiny.keras", "results"


def make_scans(folder: Path) -> list[Path]:
    """NIfTI in four forms, MGZ, a slice of a DICOM series and an enhanced (multi-frame) DICOM file."""
    import nibabel as nib

    from data_prep.dicom_phantom import SeriesTags, write_enhanced, write_series
    from data_prep.phantom import make_phantom
    from mdcsrn_tf.scans.kspace import degrade

    _write_model(folder / _MODEL)
    scan, affine = degrade(make_phantom((24, 22, 12), 1), (2, 2), (0, 1)).astype(np.int16), np.diag([4.0, 4, 4, 1])
    kinds = {"a.nii": nib.Nifti1Image, "b.nii.gz": nib.Nifti1Image, "c.nii": nib.Nifti2Image, "d.mgz": nib.MGHImage}
    for name, kind in {**kinds, "e.hdr": nib.Nifti1Pair}.items():
        nib.save(kind(scan, affine), folder / name)
    series = write_series(folder / "series", scan, affine, SeriesTags())
    (folder / "enhanced").mkdir()
    enhanced = write_enhanced(folder / "enhanced" / "all.dcm", scan, affine, SeriesTags())
    return [
        *(folder / name for name in kinds),
        folder / "e.hdr",
        folder / "e.img",
        sorted(series.iterdir())[4],
        enhanced,
    ]


def super_resolve_scan(path: Path) -> int:
    """What `mdcsrn-infer` does; AssertionError where it leaves half of its files, or any after a refusal."""
    from absl import flags

    from mdcsrn_tf.cli import infer

    top = path.parent.parent if path.suffix == ".dcm" else path.parent
    output = top / _OUTPUT
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir()
    values = flags.FlagValues()
    infer.define_flags(values)
    source = path.parent if path.suffix == ".dcm" else path
    asked = (f"--input={source}", f"--output={output / 'sr.nii'}", f"--model={top / _MODEL}")
    values(["mdcsrn-infer", *asked, "--axes=LR,AP", "--factor=2", "--force", "--quiet"])
    try:
        code = infer.run(values)
    except UserError:
        _expect(output, set())
        raise
    _expect(output, {"sr.nii", "sr.json"})
    return code


def _expect(output: Path, names: set[str]) -> None:
    left = {path.name for path in output.iterdir()}
    if left != names:
        raise AssertionError(f"left {sorted(left)}, and not {sorted(names)}")


def _write_model(path: Path) -> None:
    from mdcsrn_tf.models import build_generator
    from mdcsrn_tf.models.files import ModelCard, save_model
    from mdcsrn_tf.papers.config import MdcsrnConfig

    sizes = MdcsrnConfig(blocks=1, units=1, growth=2, compress_first=True, bottleneck=True, use_bias=True)
    card = ModelCard("tiny", "0", "linear", axes=("LR", "AP"), factor=(2, 2), tile=30, margin=3, bn="moving")
    save_model(path, build_generator(sizes), card)
