"""Slice thickness, spacing and direction out of DICOM, BIDS sidecars and headers."""

import json

import nibabel as nib
import numpy as np
import pytest

from data_prep import degrade
from data_prep.dicom_phantom import SeriesTags, write_series
from data_prep.phantom import make_phantom
from mdcsrn_tf.errors import UserError
from mdcsrn_tf.scans.slice_geometry import slice_geometry, thickness_like
from mdcsrn_tf.scans.slice_profile import SliceProfile
from mdcsrn_tf.scans.volumes import read_volume

CORONAL = np.array([[0.9, 0, 0, 0], [0, 0, 4.5, 0], [0, -0.9, 0, 0], [0, 0, 0, 1.0]])


def geometry_of(path):
    volume = read_volume(path)
    return slice_geometry(path, volume.affine, volume.header)


def test_of_a_dicom_series(tmp_path):
    voxels, affine = make_phantom((12, 8, 10), 1), np.diag([1, 1, 2.5, 1])
    found = geometry_of(write_series(tmp_path / "series", voxels, affine, SeriesTags(thickness=2.0)))
    assert (found.axis, found.direction, found.thickness, found.source) == (2, "IS", 2.0, "DICOM")
    assert found.spacing == pytest.approx(2.5) and found.thickness_of_spacing == "80%"
    assert geometry_of(write_series(tmp_path / "mute", voxels, affine, SeriesTags())).thickness is None


@pytest.mark.parametrize(("written", "thickness"), [(3.6, 3.6), ("3.6", 3.6), (0, None), (None, None), ("?", None)])
def test_of_a_file_with_a_sidecar(tmp_path, written, thickness):
    nib.save(nib.Nifti1Image(make_phantom((12, 8, 10), 1), CORONAL), tmp_path / "a_T2w.nii.gz")
    (tmp_path / "a_T2w.json").write_text(json.dumps({"SliceThickness": written, "SpacingBetweenSlices": 4.5}))
    found = geometry_of(tmp_path / "a_T2w.nii.gz")
    assert (found.axis, found.direction, found.spacing, found.thickness) == (2, "AP", 4.5, thickness)
    nib.save(nib.MGHImage(make_phantom((12, 8, 10), 1), CORONAL), tmp_path / "a_T2w.mgz")
    assert geometry_of(tmp_path / "a_T2w.mgz").thickness == thickness


def test_the_slice_axis_is_the_headers_else_the_coarsest(tmp_path):
    image = nib.Nifti1Image(make_phantom((12, 8, 10), 1), np.diag([1, 3, 1, 1.0]))
    nib.save(image, tmp_path / "coarse.nii")
    image.header.set_dim_info(slice=0)
    nib.save(image, tmp_path / "named.nii")
    assert (geometry_of(tmp_path / "coarse.nii").axis, geometry_of(tmp_path / "named.nii").axis) == (1, 0)
    assert geometry_of(tmp_path / "coarse.nii").thickness is None


def test_slices_like_those_of_a_scan(tmp_path, capsys):
    nib.save(nib.Nifti1Image(make_phantom((12, 8, 10), 1), CORONAL), tmp_path / "like.nii.gz")
    nib.save(nib.Nifti1Image(make_phantom((12, 16, 10), 1), np.eye(4)), tmp_path / "thin.nii.gz")
    flags = [
        f"--input={tmp_path / 'thin.nii.gz'}",
        f"--output={tmp_path / 'o.nii'}",
        "--factor=4",
        "--grid=small",
        "--slice_profile=box",
        f"--slice_like={tmp_path / 'like.nii.gz'}",
    ]
    assert degrade.main([*flags, "--axes=AP"]) == 1
    assert "like.nii.gz does not say how thick its slices are" in capsys.readouterr().err
    (tmp_path / "like.json").write_text('{"SliceThickness": 3.6}')
    assert degrade.main([*flags, "--axes=AP"]) == 0
    thin = nib.load(tmp_path / "thin.nii.gz").get_fdata()
    expected = np.einsum("ts,asb->atb", SliceProfile("box", 3.2).weights(16, 4), thin)  # 3.6 of 4.5 mm is 80 %
    np.testing.assert_allclose(nib.load(tmp_path / "o.nii").get_fdata(), expected, rtol=1e-5)
    with pytest.raises(UserError, match="slices along AP, but --axes=IS"):
        thickness_like(tmp_path / "like.nii.gz", CORONAL, None, "IS")
