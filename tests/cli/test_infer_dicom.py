"""A DICOM series through mdcsrn-infer gives what the same scan as NIfTI gives, in the same place; several, one each."""

import re

import nibabel as nib
import numpy as np
import pytest
from dicom_helpers import write_series
from infer_helpers import data_of, hr_volume, infer, write_tiny_model
from pydicom.uid import generate_uid

from mdcsrn_tf.errors import UserError
from mdcsrn_tf.inference.outputs import plan
from mdcsrn_tf.scans.find import files_of
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


def described(number, words, patient="ONE"):
    """What tells one series of an exported study from another."""

    def modify(ds, k):
        ds.SeriesNumber, ds.SeriesDescription, ds.PatientID = number, words, patient

    return modify


def localiser(ds, k):
    described(1, "localizer")(ds, k)
    if k % 2:
        ds.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]


@pytest.fixture
def study(tmp_path):
    """One folder with two scans and a localiser, and the scans' voxels by what they are called."""
    scans = {}
    for number, words in ((3, "t1 mprage, sag"), (5, "t2 space")):
        voxels = np.rint(degrade(hr_volume((24, 22, 8 + number)), (2, 2), (0, 1))).astype(np.int16)
        scans[f"00{number}_{words.replace(', ', '_').replace(' ', '_')}"] = voxels
        write_series(
            tmp_path / "study", generate_uid(), voxels=voxels, prefix=f"IM{number}", modify=described(number, words)
        )
    write_series(tmp_path / "study", generate_uid(), prefix="IM1", modify=localiser)
    return tmp_path / "study", scans


def test_every_series_of_a_folder_is_super_resolved_by_itself(tmp_path, capsys, study):
    """An exported study is one folder: it used to be refused until each series was named by its UID."""
    folder, scans = study
    model = write_tiny_model(tmp_path / "tiny.keras")
    flags = (f"--model={model}", "--axes=LR,AP", "--quiet", "--force")
    assert infer(f"--input={folder}", f"--output={tmp_path}/out", *flags) == 1  # for the localiser's sake
    told = capsys.readouterr().err
    assert "1 of 3 scans failed" in told and "001_localizer" in told and "mixes slice orientations" in told
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == sorted(
        f"{name}_sr{suffix}" for name in scans for suffix in (".json", ".nii.gz")
    )
    for name, voxels in scans.items():
        alone = write_series(tmp_path / name, generate_uid(), voxels=voxels)
        assert infer(f"--input={alone}", f"--output={tmp_path}/{name}.nii.gz", *flags) == 0
        result = tmp_path / f"out/{name}_sr.nii.gz"
        np.testing.assert_array_equal(data_of(result), data_of(tmp_path / f"{name}.nii.gz"))
        np.testing.assert_array_equal(nib.load(result).affine, nib.load(tmp_path / f"{name}.nii.gz").affine)


def test_series_are_chosen_by_their_description(tmp_path, capsys, study):
    folder, scans = study
    (first, second) = scans
    assert [job.title for job in plan(folder, tmp_path / "out")] == ["001_localizer", first, second]
    (job,) = plan(folder, tmp_path / "sr.nii.gz", "T2")
    assert (job.title, job.target) == (second, tmp_path / "sr.nii.gz")
    np.testing.assert_array_equal(read_volume(job.source).data, scans[second])
    assert {file.name[:3] for file in files_of(job.source)} == {"IM5"}
    assert [job.target.name for job in plan(folder, tmp_path / "out", "mprage")] == [f"{first}_sr.nii.gz"]
    for flags, sentence in (
        (["--output=out", "--series=flair"], "holds no series 'flair'; there are 001_localizer, 003_t1_mprage_sag"),
        (["--output=out.nii", "--series=t"], "holds several scans; name a folder, or choose one of its series by"),
    ):
        assert infer(f"--input={folder}", *flags) == 1
        assert sentence in capsys.readouterr().err


def test_two_peoples_series_of_one_name_lie_apart(tmp_path):
    folder = tmp_path / "archive" / "DICOM"
    for person in "AB":
        write_series(folder, generate_uid(), prefix=person, modify=described(2, "T1", person))
    names = [job.target.name for job in plan(tmp_path / "archive", tmp_path / "out")]
    assert len(set(names)) == 2
    assert all(re.fullmatch(r"002_T1-[0-9a-f]{8}_sr\.nii\.gz", name) for name in names)
    assert {job.target.parent for job in plan(tmp_path / "archive", tmp_path / "out")} == {tmp_path / "out" / "DICOM"}


def test_what_is_wrong_with_another_series_does_not_matter(tmp_path, study):
    folder, scans = study
    first = next(iter(scans))
    whole = (folder / "IM5000.dcm").read_bytes()
    (folder / "IM5000.dcm").write_bytes(whole[: whole.index(b"\x28\x00\x10\x00") - 1])  # before its number of rows
    np.testing.assert_array_equal(read_volume(folder, "mprage").data, scans[first])
    with pytest.raises(UserError, match=r"IM5000\.dcm (should be a DICOM image|cannot be read as DICOM)"):
        read_volume(folder, "space")


def segmentation(ds, k):
    described(9, "tumour mask")(ds, k)
    ds.Modality = "SEG"


def test_what_was_made_of_a_scan_is_no_series_beside_it(tmp_path):
    folder = write_series(tmp_path / "scan", generate_uid(), modify=described(3, "T1"))
    write_series(folder, generate_uid(), prefix="mask", modify=segmentation)
    (job,) = plan(folder, tmp_path / "out")
    assert (job.source, job.target.name) == (folder, "scan_sr.nii.gz")
    assert read_volume(folder).data.shape == (6, 5, 7)


def test_series_in_files_called_img_and_series_without_a_uid_are_read(tmp_path):
    for uid, prefix in (("1.2.3", "a"), ("", "b")):
        write_series(tmp_path / "both", uid, prefix=prefix, modify=described(1, f"{prefix} scan"))
    for file in (tmp_path / "both").iterdir():
        file.rename(file.with_suffix(".img"))
    jobs = plan(tmp_path / "both", tmp_path / "out")
    assert [job.title for job in jobs] == ["001_a_scan", "001_b_scan"]
    for job in jobs:
        assert read_volume(job.source).data.shape == (6, 5, 7)
        assert {file.name[0] for file in files_of(job.source)} == {job.title[4]}
