"""Kinds of files beyond the everyday ones: pairs, NIfTI-2, 4-D, NaN in the air, doubtful headers, scaled DICOM."""

import nibabel as nib
import numpy as np
import pytest
from dicom_helpers import write_series
from pydicom.uid import generate_uid

from data_prep.dicom_phantom import SeriesTags, write_enhanced
from data_prep.dicom_phantom import write_series as write_slices
from data_prep.phantom import make_phantom
from mdcsrn_tf.errors import UserError
from mdcsrn_tf.inference.opened import open_scan
from mdcsrn_tf.inference.outputs import Job
from mdcsrn_tf.inference.settings import ScanSettings
from mdcsrn_tf.scans.find import files_of, find_volumes
from mdcsrn_tf.scans.slice_geometry import slice_geometry
from mdcsrn_tf.scans.volumes import read_volume, read_volumes, write_volume

AFFINE = np.array([[-1.0, 0, 0, 9], [0, 1.5, 0, -8], [0, 0, 2, 3], [0, 0, 0, 1]])
DATA = np.arange(4 * 5 * 6, dtype=np.float32).reshape(4, 5, 6)


@pytest.mark.parametrize("names", [("scan.hdr", "scan.img"), ("SCAN.HDR", "SCAN.IMG")])
def test_a_nifti_in_two_files_is_one_scan_by_either_name(tmp_path, names):
    nib.save(nib.Nifti1Pair(DATA, AFFINE), tmp_path / names[1].lower())
    for name in names:
        (tmp_path / name.lower()).rename(tmp_path / name)
    assert find_volumes(tmp_path) == [tmp_path / names[0]]
    assert files_of(tmp_path / names[1]) == [tmp_path / name for name in names]
    for name in names:
        volume = read_volume(tmp_path / name)
        np.testing.assert_array_equal(volume.data, DATA)
        np.testing.assert_allclose(volume.affine, AFFINE)
    write_volume(tmp_path / "out.nii", volume.data, volume)
    written = nib.load(tmp_path / "out.nii")
    assert type(written) is nib.Nifti1Image
    np.testing.assert_array_equal(written.get_fdata(), DATA)
    np.testing.assert_allclose(written.affine, AFFINE)
    (tmp_path / names[1]).unlink()
    with pytest.raises(UserError, match=f"lacks its other half, {names[1]}"):
        read_volume(tmp_path / names[0])


def test_analyze_does_not_say_what_is_left(tmp_path):
    nib.save(nib.AnalyzeImage(DATA, np.eye(4)), tmp_path / "old.img")
    with pytest.raises(UserError, match=r"Analyze 7\.5"):
        read_volume(tmp_path / "old.hdr")


def test_four_dimensions_are_volumes(tmp_path):
    four = np.stack([DATA, DATA + 1000], axis=-1)
    nib.save(nib.Nifti1Image(four, AFFINE), tmp_path / "four.nii.gz")
    volumes = read_volumes(tmp_path / "four.nii.gz")
    assert [float(volume.data.min()) for volume in volumes] == [0.0, 1000.0]
    (second,) = read_volumes(tmp_path / "four.nii.gz", which="1")
    np.testing.assert_array_equal(second.data, DATA + 1000)
    with pytest.raises(UserError, match="no volume 2; --volume takes all or a number up to 1"):
        read_volumes(tmp_path / "four.nii.gz", which="2")
    finer = AFFINE @ np.diag([0.5, 1, 1, 1])
    write_volume(tmp_path / "out.nii.gz", np.repeat(four, 2, axis=0), second, affine=finer)
    written = nib.load(tmp_path / "out.nii.gz")
    assert written.shape == (8, 5, 6, 2)
    np.testing.assert_allclose(written.affine, finer, atol=1e-6)


def test_a_bad_volume_spoils_no_other_and_is_named(tmp_path):
    four = np.stack([DATA, np.zeros_like(DATA), DATA], axis=-1).astype(np.float32)
    nib.save(nib.Nifti1Image(four, AFFINE), tmp_path / "four.nii.gz")
    np.testing.assert_array_equal(read_volumes(tmp_path / "four.nii.gz", which="2")[0].data, DATA)
    for which in ("all", "1"):
        with pytest.raises(UserError, match=r"four\.nii\.gz: volume 1 has the value 0 in every voxel; give a scan"):
            read_volumes(tmp_path / "four.nii.gz", which=which)
    four[..., 1] = DATA
    four[2, 2, 2, 2] = np.inf
    nib.save(nib.Nifti1Image(four, AFFINE), tmp_path / "four.nii.gz")
    assert len(read_volumes(tmp_path / "four.nii.gz", which="1")) == 1
    with pytest.raises(UserError, match=r"four\.nii\.gz: volume 2 holds NaN or infinite voxels"):
        read_volumes(tmp_path / "four.nii.gz")
    nib.save(nib.Nifti1Image(four[..., 2:], AFFINE), tmp_path / "four.nii.gz")
    with pytest.raises(UserError, match=r"four\.nii\.gz holds NaN or infinite voxels"):
        read_volumes(tmp_path / "four.nii.gz")


def test_nan_in_the_air_of_one_of_several_volumes_is_told_by_its_number(tmp_path):
    head = make_phantom((32, 32, 32), 1).astype(np.float32)
    air = head.copy()
    air[:2, 0, 0] = np.nan
    nib.save(nib.Nifti1Image(np.stack([head, air], -1), np.eye(4)), tmp_path / "four.nii.gz")
    remark = "in volume 1, 2 voxels outside the head are NaN; they are taken as 0."
    first, second = read_volumes(tmp_path / "four.nii.gz", nan=0.0)
    assert (remark in first.remarks, remark in second.remarks) == (False, True)
    opened = open_scan(Job(tmp_path / "four.nii.gz", tmp_path / "sr.nii.gz"), ScanSettings(nan=0.0))
    assert opened.sight.volume.remarks == second.remarks


def test_nan_is_air_or_a_hole_in_the_head(tmp_path):
    head = make_phantom((32, 32, 32), 1).astype(np.float32)
    air, hole = head.copy(), head.copy()
    air[:2] = np.nan
    hole[16, 16, 16] = np.nan
    for name, data in (("air", air), ("hole", hole)):
        nib.save(nib.Nifti1Image(data, np.eye(4)), tmp_path / f"{name}.nii.gz")
    volume = read_volume(tmp_path / "air.nii.gz", nan=0.0)
    np.testing.assert_array_equal(volume.data, np.nan_to_num(air))
    assert volume.remarks == (f"{2 * 32 * 32} voxels outside the head are NaN; they are taken as 0.",)
    with pytest.raises(UserError, match="NaN in 1 voxels of the head"):
        read_volume(tmp_path / "hole.nii.gz", nan=0.0)
    with pytest.raises(UserError, match="holds NaN"):
        read_volume(tmp_path / "air.nii.gz")


def test_doubtful_headers_get_a_remark(tmp_path):
    for name, sform, qform, words in (
        ("none", None, None, "does not say where it lies"),
        ("mirrored", AFFINE, AFFINE @ np.diag([-1, 1, 1, 1]), "disagree on what is left and right"),
        ("turned", AFFINE[:, [1, 0, 2, 3]] @ np.diag([1, -1, 1, 1]), AFFINE, "disagree on which axis is which"),
        ("larger", AFFINE @ np.diag([2, 2, 2, 1]), AFFINE, "its pixdim says"),
        ("qform alone", None, AFFINE, None),
        ("fine", AFFINE, AFFINE, None),
    ):
        image = nib.Nifti1Image(DATA, AFFINE)
        image.set_sform(sform, code=0 if sform is None else 1)
        image.set_qform(qform, code=0 if qform is None else 1)
        nib.save(image, tmp_path / f"{name}.nii")
        remarks = read_volume(tmp_path / f"{name}.nii").remarks
        assert (words is None and not remarks) or words in remarks[0], name
    image.set_sform(np.diag([1e-3, 1e-3, 1e-3, 1]), code=1)
    image.header.set_xyzt_units("meter")
    nib.save(image, tmp_path / "metres.nii")
    with pytest.raises(UserError, match=r"metres\.nii has voxels of 0\.001 x .* in meters: let it count in mm"):
        read_volume(tmp_path / "metres.nii")
    nib.save(nib.Nifti1Image(DATA[..., :1], AFFINE), tmp_path / "slice.nii")
    assert read_volume(tmp_path / "slice.nii").remarks == ("it is a single slice.",)


def test_scaled_dicom_keeps_its_scale(tmp_path):
    """2,880 distinct values at a slope of 0.001 used to become 2."""
    voxels = np.arange(12 * 12 * 20, dtype=np.int16).reshape(12, 12, 20)
    series = write_series(tmp_path / "series", generate_uid(), voxels=voxels, slope=(0.001, -1))
    volume = read_volume(series)
    write_volume(tmp_path / "out.nii.gz", volume.data, volume, dtype="same")
    written = nib.load(tmp_path / "out.nii.gz")
    assert written.get_data_dtype() == np.int16
    assert len(np.unique(np.asarray(written.dataobj))) == voxels.size
    np.testing.assert_allclose(written.get_fdata(), voxels * 0.001 - 1, atol=6e-4)


def test_an_enhanced_file_is_the_series_it_holds(tmp_path):
    tags = SeriesTags(thickness=1.6, slope=0.5, intercept=-20.0)
    slices = write_slices(tmp_path / "classic", DATA, AFFINE, tags)
    (tmp_path / "enhanced").mkdir()
    file = write_enhanced(tmp_path / "enhanced" / "all.dcm", DATA, AFFINE, tags)
    expected = read_volume(slices)
    for source in (file, file.parent):
        volume = read_volume(source)
        np.testing.assert_array_equal(volume.data, DATA[..., ::-1])  # along the slices' normal
        np.testing.assert_array_equal(volume.data, expected.data)
        np.testing.assert_allclose(volume.affine, expected.affine, atol=1e-6)
        assert (volume.stored_dtype, volume.slope, volume.intercept) == (np.int16, 0.5, -20.0)
    assert slice_geometry(file.parent, volume.affine).thickness == 1.6
    file.write_bytes(file.read_bytes()[:-50])
    with pytest.raises(UserError, match=r"all\.dcm cannot be decoded"):
        read_volume(file)


def test_a_slice_stands_for_its_series(tmp_path):
    uids = generate_uid(), generate_uid()

    def name_it(dataset, _):
        dataset.SeriesDescription = "a series of its own"

    for number, uid in enumerate(uids):
        voxels = np.arange(6 * 7 * 5, dtype=np.int16).reshape(6, 7, 5) + 1000 * number
        write_series(tmp_path / "both", uid, voxels=voxels, prefix=f"s{number}", modify=name_it)
    with pytest.raises(UserError, match=r"holds 2 series.*5 slices, a series of its own"):
        read_volume(tmp_path / "both")
    first = sorted((tmp_path / "both").glob("s1*"))[0]
    assert read_volume(first).data.min() == 1000
    assert read_volume(first, uids[0]).data.min() == 0
