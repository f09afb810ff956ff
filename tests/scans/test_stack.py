"""Stacks of slices: where each pixel lies, against SimpleITK; gaps; other orders; other pixels."""

import nibabel as nib
import numpy as np
import pytest
import SimpleITK

from data_prep.dicom_phantom import SeriesTags, write_series
from mdcsrn_tf.errors import UserError
from mdcsrn_tf.scans.stack import in_plane_of, read_stack, stack_of

VOXELS = np.random.default_rng(0).integers(0, 900, (6, 5, 7)).astype(np.float32)  # [column, row, slice]
AXIAL = np.array([[-0.9, 0, 0, 40], [0, -1.2, 0, 30], [0, 0, 2.5, -20], [0, 0, 0, 1.0]])
SAGITTAL = np.array([[0, 0, -2.5, 40], [0.9, 0, 0, 30], [0, -1.2, 0, -20], [0, 0, 0, 1.0]])


def place(stack, index):
    """RAS+ millimetres of pixel (slice, a, b) of a stack with perpendicular directions."""
    k, a, b = index
    along = [stack.positions[k], *(stack.origin + stack.pixel_mm * [a, b])]
    return np.array(along) @ stack.directions


@pytest.mark.parametrize(("affine", "plane"), [(AXIAL, "axial"), (SAGITTAL, "sagittal")])
def test_every_pixel_lies_where_simpleitk_puts_it(tmp_path, affine, plane):
    folder = write_series(tmp_path / "series", VOXELS, affine, SeriesTags(slope=1.0, thickness=2.0))
    stack = read_stack(folder)
    assert (stack.plane, stack.thickness) == (plane, 2.0) and stack.spacing == pytest.approx(2.5)
    assert (np.diff(stack.positions) > 0).all()
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    image = reader.Execute()
    for index in ((0, 0, 0), (6, 1, 2), (3, 4, 4)):
        lps = (place(stack, index) * [-1, -1, 1]).tolist()
        found = image.GetPixel(*(round(x) for x in image.TransformPhysicalPointToContinuousIndex(lps)))
        assert stack.data[index] == found
    again = stack_of(VOXELS, affine, stack.axes[0])
    np.testing.assert_array_equal(again.data, stack.data)
    np.testing.assert_allclose(again.positions, stack.positions, atol=1e-5)


@pytest.mark.parametrize("affine", [AXIAL, AXIAL @ np.diag([1, 1, -1, 1.0]), SAGITTAL])
def test_missing_slices_leave_the_others_in_place(tmp_path, affine):
    whole = read_stack(write_series(tmp_path / "whole", VOXELS, affine, SeriesTags()))
    folder = write_series(tmp_path / "gaps", VOXELS, affine, SeriesTags())
    lost = sorted(folder.iterdir())[1:4]  # interleaved: the slices 2, 4 and 6
    for file in lost:
        file.unlink()
    gaps = read_stack(folder)
    kept = [k for k, position in enumerate(whole.positions) if np.abs(gaps.positions - position).min() < 1e-4]
    assert len(kept) == 4 == len(gaps.positions)
    np.testing.assert_array_equal(gaps.data, whole.data[kept])


def test_a_file_is_cut_in_any_plane(tmp_path):
    nib.save(nib.Nifti1Image(VOXELS, AXIAL), tmp_path / "a.nii")
    assert read_stack(tmp_path / "a.nii").plane == "axial"
    coronal = read_stack(tmp_path / "a.nii", plane="coronal")
    assert coronal.data.shape == (5, 6, 7) and coronal.spacing == pytest.approx(1.2)
    for index in ((0, 0, 0), (4, 2, 5)):
        i, j, k = np.rint(np.linalg.solve(AXIAL, [*place(coronal, index), 1]))[:3].astype(int)
        assert coronal.data[index] == VOXELS[i, j, k]


def test_other_pixels_are_resampled_where_they_lie():
    a, b = np.meshgrid(np.arange(20) * 0.5 - 3, np.arange(16) * 1.0 + 2, indexing="ij")
    ramp = (3 * a + 2 * b)[:, :, None] * np.ones(3)  # linear in millimetres, so linear resampling is exact
    low = stack_of(ramp, np.array([[0.5, 0, 0, -3], [0, 1, 0, 2], [0, 0, 4, 0], [0, 0, 0, 1]]), 2)
    fine = np.array([[0.8, 0, 0, -2], [0, 0.4, 0, 4], [0, 0, 1, 0], [0, 0, 0, 1]])
    high = stack_of(np.zeros((8, 9, 12)), fine, 2)
    moved, resampled = in_plane_of(low, high)
    assert resampled and moved.data.shape == (3, 8, 9)
    a, b = np.meshgrid(np.arange(8) * 0.8 - 2, np.arange(9) * 0.4 + 4, indexing="ij")
    np.testing.assert_allclose(moved.data[1], 3 * a + 2 * b, rtol=1e-5, atol=1e-4)
    np.testing.assert_array_equal(moved.positions, low.positions)
    same, resampled = in_plane_of(low, low)
    assert same is low and not resampled


def test_turned_and_doubled_stacks_are_refused(tmp_path):
    angle = np.radians(5)
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    with pytest.raises(UserError, match=r"different orientations \(5\.0 degrees apart\)"):
        in_plane_of(stack_of(VOXELS, turn @ AXIAL, 2), stack_of(VOXELS, AXIAL, 2))
    folder = write_series(tmp_path / "series", VOXELS, AXIAL, SeriesTags())
    write_series(tmp_path / "other", VOXELS, AXIAL, SeriesTags())
    for number, file in enumerate((tmp_path / "other").iterdir()):
        file.rename(folder / f"again-{number}.dcm")
    with pytest.raises(UserError, match=r"holds one image twice, as \S+ and \S+; remove one of them"):
        read_stack(folder)
