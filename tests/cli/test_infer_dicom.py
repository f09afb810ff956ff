"""A DICOM series through mdcsrn-infer gives what the same scan as NIfTI gives, in the same place."""

import nibabel as nib
import numpy as np
from dicom_helpers import write_series
from infer_helpers import data_of, hr_volume, infer, write_tiny_model
from pydicom.uid import generate_uid

from mdcsrn_tf.scans.kspace import acquire, degrade
from mdcsrn_tf.scans.volumes import read_volume, write_volume


def test_a_series_is_super_resolved_like_its_nifti(tmp_path):
    model = write_tiny_model(tmp_path / "tiny.keras")
    voxels = np.rint(degrade(hr_volume((24, 22, 20)), (2, 2), (0, 1))).astype(np.int16)
    series = write_series(tmp_path / "series", generate_uid(), voxels=voxels)
    volume = read_volume(series)
    np.testing.assert_array_equal(volume.data, voxels)
    write_volume(tmp_path / "scan.nii.gz", volume.data, volume)
    for source in (series, tmp_path / "scan.nii.gz"):
        output = tmp_path / f"sr_{source.name[:4]}.nii.gz"
        assert infer(f"--input={source}", f"--output={output}", f"--model={model}", "--axes=LR,AP") == 0
    from_series, from_nifti = tmp_path / "sr_seri.nii.gz", tmp_path / "sr_scan.nii.gz"
    np.testing.assert_array_equal(data_of(from_series), data_of(from_nifti))
    np.testing.assert_allclose(nib.load(from_series).affine, volume.affine, atol=1e-5)
    assert np.abs(data_of(from_series) - voxels).max() > 1


def test_a_series_may_be_the_scanners_small_matrix(tmp_path):
    """Its header was made when it was read, and used to fail when the grid grew."""
    model = write_tiny_model(tmp_path / "tiny.keras")
    voxels = np.rint(acquire(hr_volume((24, 24, 20)), (2, 2), (0, 1))).astype(np.int16)
    series = write_series(tmp_path / "series", generate_uid(), voxels=voxels)
    flags = (f"--input={series}", f"--output={tmp_path}/sr.nii.gz", f"--model={model}", "--dtype=same", "--quiet")
    assert infer(*flags, "--grid=small", "--axes=0,1", "--factor=2,2") == 0
    result, volume = nib.load(tmp_path / "sr.nii.gz"), read_volume(series)
    assert result.shape == (24, 24, 20) and result.get_data_dtype() == np.int16
    np.testing.assert_allclose(result.affine, volume.affine @ np.diag([0.5, 0.5, 1, 1]), atol=1e-4)
