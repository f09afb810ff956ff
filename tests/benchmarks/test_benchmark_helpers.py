"""What the benchmarks share."""

import nibabel as nib
import numpy as np

from benchmarks.data_helpers import read_ras


def test_a_turned_scan_is_read_with_its_sizes_turned_too(tmp_path):
    stored = np.arange(24.0, dtype=np.float32).reshape(2, 3, 4)  # axes S, L, P; 5, 1 and 2 mm
    affine = np.array([[0, -1.0, 0, 0], [0, 0, -2.0, 0], [5.0, 0, 0, 0], [0, 0, 0, 1]])
    nib.save(nib.nifti1.Nifti1Image(stored, affine), tmp_path / "scan.nii.gz")
    data, sizes = read_ras(tmp_path / "scan.nii.gz")
    np.testing.assert_array_equal(sizes, [1, 2, 5])
    np.testing.assert_array_equal(data, stored.transpose(1, 2, 0)[::-1, ::-1])
