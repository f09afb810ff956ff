"""What an evaluation measures of a network is, to the bit, what mdcsrn-infer writes: real crops, turned, other axes."""

import dataclasses
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from infer_helpers import infer, write_tiny_model
from nibabel.orientations import apply_orientation, axcodes2ornt, inv_ornt_aff, io_orientation, ornt_transform

from mdcsrn_tf.evaluation.methods import KspaceMaker
from mdcsrn_tf.evaluation.plan import Method, Plan
from mdcsrn_tf.scans.volumes import read_volume

CROP = nib.load(Path(__file__).parents[1] / "golden" / "real_crop.nii.gz")


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("networks")
    ways = ("linear", "sinc")
    return {way: write_tiny_model(folder / f"{way}.keras", tile=40, interpolation=way) for way in ways}


@pytest.mark.parametrize("codes", ["RAS", "LAS", "SLA"])
@pytest.mark.parametrize("axes", ["LR,AP", "AP,IS"])
@pytest.mark.parametrize("interpolation", ["linear", "sinc"])
def test_eval_measures_what_infer_writes(networks, tmp_path, codes, axes, interpolation):
    turn = ornt_transform(io_orientation(CROP.affine), axcodes2ornt(codes))
    data = apply_orientation(CROP.get_fdata(dtype=np.float32), turn)
    nib.save(nib.Nifti1Image(data, CROP.affine @ inv_ornt_aff(turn, CROP.shape)), tmp_path / "hr.nii.gz")
    reference, plan = read_volume(tmp_path / "hr.nii.gz"), Plan((), (), axes=axes, factor=(2, 2))
    method = Method("tiny", "model", str(networks[interpolation]))
    measured, _ = KspaceMaker().super_resolve(method, None, reference, plan)

    low = KspaceMaker().low_res(reference, plan, interpolation)
    nib.save(nib.Nifti1Image(low, reference.affine), tmp_path / "lr.nii.gz")
    flags = (f"--input={tmp_path}/lr.nii.gz", f"--output={tmp_path}/sr.nii.gz", f"--model={networks[interpolation]}")
    assert infer(*flags, f"--axes={axes}", "--factor=2,2", "--force", "--quiet") == 0
    written = read_volume(tmp_path / "sr.nii.gz")
    np.testing.assert_array_equal(measured, written.data)
    # The same from the low-resolution file, as --lr gives it.
    given = dataclasses.replace(reference, data=low)
    np.testing.assert_array_equal(KspaceMaker().super_resolve(method, given, reference, plan)[0], written.data)
    assert np.abs(written.data - low).max() > 1
