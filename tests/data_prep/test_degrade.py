"""mdcsrn-degrade: grids and geometry in the files, folders, noise, mistakes."""

import hashlib
import json
import shutil
from concurrent.futures import ThreadPoolExecutor

import nibabel as nib
import nibabel.processing
import numpy as np
import pytest

from data_prep import degrade
from data_prep.phantom import make_phantom
from data_prep.written_record import WrittenRecord
from mdcsrn_tf.errors import UserError
from mdcsrn_tf.scans import kspace

# Stored posterior, superior, left: LR and AP are the array axes 2 and 0.
TURNED = nib.affines.from_matvec([[0, 0.1, -1.5], [-1.0, 0.05, 0], [0.02, 1.2, 0.1]], [40, 30, -20])


@pytest.fixture
def scan(tmp_path):
    image = nib.Nifti1Image(make_phantom((42, 36, 45), 1).astype(np.int16), TURNED)
    image.set_sform(TURNED, 4)
    image.set_qform(TURNED, 0)
    nib.save(image, tmp_path / "scan.nii.gz")
    return tmp_path / "scan.nii.gz"


def run(scan, output, *flags):
    return degrade.main([f"--input={scan}", f"--output={output}", *flags])


@pytest.mark.parametrize(
    ("flags", "method"),
    [
        ([], "sinc"),
        (["--recipe=robust"], "sinc"),
        (["--recipe=journal"], "linear"),
        (["--recipe=miccai"], "linear"),
        (["--recipe=journal", "--interpolation=cubic"], "cubic"),
    ],
)
def test_the_same_grid_holds_the_low_res_image_as_the_recipe_wants_it(scan, tmp_path, capsys, flags, method):
    assert run(scan, tmp_path / "out.nii", *flags) == 0
    assert f"{method} interpolation" in capsys.readouterr().err
    before, after = nib.load(scan), nib.load(tmp_path / "out.nii")
    assert after.get_data_dtype() == np.float32
    np.testing.assert_array_equal(after.affine, before.affine)
    assert after.get_sform(coded=True)[1] == 4 and after.get_qform(coded=True)[1] == 0
    expected = kspace.degrade(before.get_fdata(), (2, 2), (2, 0), method)
    np.testing.assert_allclose(after.get_fdata(), expected, rtol=1e-4, atol=1e-2)


def test_the_small_grid_lies_where_the_same_grid_says(scan, tmp_path):
    assert run(scan, tmp_path / "same.nii", "--axes=AP,LR", "--factor=2,3", "--interpolation=linear") == 0
    assert run(scan, tmp_path / "small.nii", "--axes=AP,LR", "--factor=2,3", "--grid=small") == 0
    small, same = nib.load(tmp_path / "small.nii"), nib.load(tmp_path / "same.nii")
    assert small.shape == (21, 36, 15) and small.get_sform(coded=True)[1] == 4
    world = nib.processing.resample_from_to(small, same, order=1, mode="nearest")
    np.testing.assert_allclose(world.get_fdata(), same.get_fdata(), atol=1e-4 * same.get_fdata().max())


def test_axes_by_index_and_interpolation(scan, tmp_path):
    assert run(scan, tmp_path / "out.nii", "--axes=1", "--factor=4", "--interpolation=sinc") == 0
    expected = kspace.degrade(nib.load(scan).get_fdata(), (4,), (1,), "sinc")
    np.testing.assert_allclose(nib.load(tmp_path / "out.nii").get_fdata(), expected, rtol=1e-4, atol=1e-2)


def test_noise_depends_on_seed_and_scan(scan, tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        assert run(scan, tmp_path / f"{name}.nii", "--noise_snr=10", f"--seed={seed}", "--grid=small") == 0
    a, b, c = (nib.load(tmp_path / f"{name}.nii").get_fdata() for name in "abc")
    np.testing.assert_array_equal(a, b)
    clean = kspace.acquire(nib.load(scan).get_fdata(), (2, 2), (2, 0))
    bright = clean > 2 * clean.mean()
    expected = clean[clean >= clean.mean()].mean() / 10
    assert (a - clean)[bright].std() == pytest.approx(expected, rel=0.1)
    assert np.abs(a - c).mean() > 0.5 * expected


def test_scans_of_one_name_have_noise_of_their_own(scan, tmp_path):
    for person in "ab":  # as HCP names its scans
        (tmp_path / "in" / person).mkdir(parents=True)
        shutil.copy(scan, tmp_path / "in" / person / scan.name)
    assert run(tmp_path / "in", tmp_path / "out", "--noise_snr=10") == 0
    one, two = (nib.load(path).get_fdata() for path in sorted((tmp_path / "out").rglob("*.nii.gz")))
    assert np.abs(one - two).max() > 0.01 * one.max()


def test_a_folder_keeps_its_tree_and_a_bad_scan_does_not_stop_it(scan, tmp_path, capsys):
    source = tmp_path / "in" / "sub-1" / "ses-1"
    source.mkdir(parents=True)
    (source / "b.nii.gz").write_bytes(scan.read_bytes())
    nib.save(nib.MGHImage(np.arange(512, dtype=np.int16).reshape(8, 8, 8), np.eye(4)), tmp_path / "in" / "a.mgz")
    (tmp_path / "in" / "bad.nii").write_text("no scan")
    assert run(tmp_path / "in", tmp_path / "out") == 1
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 2 and "bad.nii" in errors[0] and "2 of 3 scans written" in errors[1]
    written = sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.*"))
    assert written == ["a.nii.gz", "degraded.json", "sub-1/ses-1/b.nii.gz"]
    record = json.loads((tmp_path / "out" / "degraded.json").read_text())
    assert sorted(record) == ["a.nii.gz", "sub-1/ses-1/b.nii.gz"] and record["a.nii.gz"]["factor"] == [2, 2]
    stamps = [path.stat().st_mtime_ns for path in sorted((tmp_path / "out").rglob("*.gz"))]
    capsys.readouterr()
    assert run(tmp_path / "in", tmp_path / "out") == 1  # the bad one again; nothing is replaced unasked
    assert "2 were there already, --overwrite replaces them" in capsys.readouterr().err
    assert [path.stat().st_mtime_ns for path in sorted((tmp_path / "out").rglob("*.gz"))] == stamps


def test_a_folder_never_mixes_two_kinds_of_degradation_without_a_word(scan, tmp_path, capsys):
    source, output = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    (source / "b.nii.gz").write_bytes(scan.read_bytes())
    (source / "c.nii.gz").write_bytes(scan.read_bytes())
    assert run(source, output, "--noise_snr=20") == 0
    before = (output / "b.nii.gz").read_bytes()
    (output / "c.nii.gz").unlink()
    for flags, told in (
        (["--factor=2,3", "--noise_snr=20"], "made with factor [2, 2], not with factor [2, 3]"),
        ([], "made with noise_snr 20.0, seed 0, not with noise_snr None, seed None"),
        (["--noise_snr=20", "--interpolation=linear"], "made with interpolation sinc, not with interpolation linear"),
    ):
        capsys.readouterr()
        assert run(source, output, *flags) == 1
        error = capsys.readouterr().err
        assert str(output / "b.nii.gz") in error and told in error and "--overwrite" in error, error
        assert (output / "b.nii.gz").read_bytes() == before and not (output / "c.nii.gz").exists()
    assert run(source, output, "--noise_snr=20", "--interpolation=sinc") == 0  # the default by its name
    assert (output / "c.nii.gz").exists() and (output / "b.nii.gz").read_bytes() == before
    assert run(source, output, "--factor=2,3", "--overwrite") == 0
    assert json.loads((output / "degraded.json").read_text())["b.nii.gz"]["factor"] == [2, 3]
    (output / "degraded.json").write_text("{")
    assert run(source, output, "--factor=2,3") == 1 and "degraded.json cannot be read" in capsys.readouterr().err


def test_runs_that_write_into_one_folder_at_a_time_lose_no_entry(tmp_path):
    def write(number):
        record = WrittenRecord(tmp_path / "degraded.json", {"seed": number})
        for place in range(12):
            record.add(tmp_path / f"{number}-{place}.nii.gz", "0")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    found = json.loads((tmp_path / "degraded.json").read_text())
    assert {name: made["seed"] for name, made in found.items()} == {
        f"{number}-{place}.nii.gz": number for number in range(4) for place in range(12)
    }
    assert [path.name for path in tmp_path.iterdir()] == ["degraded.json"]


def test_a_scan_that_was_exchanged_since_is_not_passed_over(scan, tmp_path, capsys):
    """A scan that was defaced or cut after the first run must not keep the low-resolution one of before."""
    source, output = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    (source / "b.nii").write_bytes(nib.load(scan).to_bytes())
    assert run(source, output) == 0
    record = json.loads((output / "degraded.json").read_text())
    assert record["b.nii.gz"]["source_sha256"] == hashlib.sha256((source / "b.nii").read_bytes()).hexdigest()
    assert run(source, output) == 0  # the same file: passed over
    before = (output / "b.nii.gz").read_bytes()
    image = nib.load(scan)
    nib.save(nib.Nifti1Image(image.get_fdata()[::-1], image.affine), source / "b.nii")
    capsys.readouterr()
    assert run(source, output) == 1
    assert "was made of another b.nii than there is now" in capsys.readouterr().err
    assert (output / "b.nii.gz").read_bytes() == before
    (output / "b.nii.gz").unlink()
    assert run(source, output) == 0 and (output / "b.nii.gz").read_bytes() != before
    record["b.nii.gz"].pop("source_sha256")  # as older versions wrote it
    (output / "degraded.json").write_text(json.dumps(record))
    assert run(source, output) == 0


def test_a_mistake_of_the_flags_is_told_once_and_not_of_every_scan(scan, tmp_path, capsys):
    shutil.copy(scan, tmp_path / "another.nii.gz")
    assert run(tmp_path, tmp_path / "low", "--axes=LR,XX") == 1
    told = "'XX' is no axis; name LR, AP or IS, or give an index 0, 1 or 2, as in LR,AP."
    assert capsys.readouterr().err == f"mdcsrn-degrade: error: {told}\n"
    assert run(tmp_path, tmp_path / "low.nii") == 1
    told = f"--output={tmp_path}/low.nii is a file, but --input={tmp_path} holds 2 scans; name a folder."
    assert capsys.readouterr().err == f"mdcsrn-degrade: error: {told}\n"


def test_results_of_a_network_are_no_scans_but_where_nothing_else_is(scan, tmp_path):
    (tmp_path / "scan_sr.nii.gz").write_bytes(scan.read_bytes())
    (tmp_path / "scan_sr.json").write_text('{"GeneratedBy": [{"Name": "mdcsrn_tf"}]}')
    output = tmp_path / "low"
    assert degrade.plan_outputs(tmp_path, output) == [(scan, output / "scan.nii.gz")]
    result = tmp_path / "scan_sr.nii.gz"
    assert degrade.plan_outputs(result, output) == [(result, output / "scan_sr.nii.gz")]
    scan.unlink()
    assert degrade.plan_outputs(tmp_path, output) == [(result, output / "scan_sr.nii.gz")]


def test_what_was_degraded_into_the_folder_itself_is_not_degraded_again(scan, tmp_path):
    (tmp_path / "low").symlink_to(tmp_path / "there")
    (tmp_path / "there").mkdir()
    (tmp_path / "low" / "scan.nii.gz").write_bytes(scan.read_bytes())
    for output in (tmp_path / "low", tmp_path / "there"):
        assert degrade.plan_outputs(tmp_path, output) == [(scan, output / "scan.nii.gz")]
    scan.unlink()
    with pytest.raises(UserError, match="name another output"):
        degrade.plan_outputs(tmp_path, tmp_path / "low")


def test_the_record_of_a_folder_knows_what_other_runs_write_there(scan, tmp_path):
    record = WrittenRecord(tmp_path / "degraded.json", {"factor": [2, 2]})
    other = WrittenRecord(tmp_path / "degraded.json", {"factor": [3, 3]})
    other.add(tmp_path / "b.nii.gz", "")  # while the first still degrades
    record.add(tmp_path / "a.nii.gz", "")
    assert run(scan, tmp_path / "b.nii.gz", "--factor=1,2") == 0  # one file by its name, into the same folder
    found = json.loads((tmp_path / "degraded.json").read_text())
    assert {name: one["factor"] for name, one in found.items()} == {"a.nii.gz": [2, 2], "b.nii.gz": [1, 2]}


def test_scans_that_a_list_finds_beside_its_folder_stay_as_they_are(scan, tmp_path):
    before = scan.read_bytes()
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "scans.txt").write_text("../scan.nii.gz")
    for output in (tmp_path / "low", tmp_path / "far" / "low"):  # in the first, ../ would lead to the scan itself
        assert run(tmp_path / "lists" / "scans.txt", output) == 0
        assert scan.read_bytes() == before and (output / "scan.nii.gz").is_file()
    (tmp_path / "lists" / "scans.txt").unlink()
    assert run(scan, tmp_path / "new" / ".." / scan.name) == 1, "the folder that is climbed out of is not there yet"
    assert scan.read_bytes() == before and not (tmp_path / "far" / scan.name).exists()


def test_mistakes_get_one_sentence_and_touch_nothing(scan, tmp_path, capsys):
    before = scan.read_bytes()
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / "x.nii").touch()
    (tmp_path / "two" / "x.nii.gz").touch()
    for output, flags, sentence in (
        (scan, [], "would replace the scan"),
        (tmp_path, [], "would replace the scan"),
        (tmp_path / "out.mgz", [], "written as .nii or .nii.gz"),
        (tmp_path / "out.nii", ["--axes=LR,LR"], "different axes"),
        (tmp_path / "out.nii", ["--axes=LR,XY"], "'XY' is no axis"),
        (tmp_path / "out.nii", ["--factor=0,2"], "--factor=0,2"),
        (tmp_path / "out.nii", ["--noise_snr=-1"], "must be positive"),
        (tmp_path / "out.nii", ["--grid=small", "--interpolation=sinc"], "--grid=small does not: leave out one"),
        (tmp_path / "out.nii", ["--grid=tiny"], "grid"),
        (tmp_path / "out.nii", [f"--input={tmp_path / 'nowhere.nii'}"], "nowhere.nii does not exist"),
        (tmp_path / "out.nii", [f"--input={tmp_path / 'two'}"], "name a folder"),
        (tmp_path / "out", [f"--input={tmp_path / 'two'}"], "two scans of"),
    ):
        assert run(scan, output, *flags) == 1
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 1 and sentence in lines[0], lines
    assert scan.read_bytes() == before and sorted(p.name for p in tmp_path.iterdir()) == ["scan.nii.gz", "two"]


def test_a_doubtful_header_is_told(tmp_path, capsys):
    image = nib.Nifti1Image(make_phantom((20, 18, 16), 1), np.eye(4))
    image.set_sform(np.diag([-1.0, 1, 1, 1]), 1)
    image.set_qform(np.eye(4), 1)
    nib.save(image, tmp_path / "flipped.nii")
    assert run(tmp_path / "flipped.nii", tmp_path / "out.nii", "--quiet") == 0
    assert "flipped.nii: its sform and qform disagree on what is left and right" in capsys.readouterr().err


def test_nan_in_the_air_is_taken_as_zero_and_told(tmp_path, capsys):
    head = make_phantom((20, 18, 16), 1).astype(np.float32)
    head[:2] = np.nan
    for name, data in (("nan", head), ("zero", np.nan_to_num(head))):
        nib.save(nib.Nifti1Image(data, np.eye(4)), tmp_path / f"{name}.nii")
        assert run(tmp_path / f"{name}.nii", tmp_path / f"{name}_low.nii", "--quiet") == 0
    assert "nan.nii: 576 voxels outside the head are NaN; they are taken as 0." in capsys.readouterr().err
    of_nan, of_zero = (nib.load(tmp_path / f"{name}_low.nii").get_fdata() for name in ("nan", "zero"))
    np.testing.assert_array_equal(of_nan, of_zero)


def test_help_names_every_flag(capsys):
    assert degrade.main(["--help"]) == 0
    text = capsys.readouterr().out
    for flag in ("input", "output", "axes", "factor", "grid", "recipe", "interpolation", "noise_snr", "seed", "series"):
        assert f"--{flag}" in text
