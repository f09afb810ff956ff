"""mdcsrn-infer on files and folders: geometry, both grids, BIDS, going on, failing one by one."""

from __future__ import annotations

import itertools
import json
import os
import re

import nibabel as nib
import numpy as np
import pytest
from command_helpers import files_of_at_most
from infer_helpers import OBLIQUE, data_of, hr_volume, infer, spawn, write_pair, write_scan, write_tiny_model
from nibabel.orientations import apply_orientation, axcodes2ornt, inv_ornt_aff, io_orientation, ornt_transform

from mdcsrn_tf.scans.kspace import truncate


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_tiny_model(tmp_path_factory.mktemp("model") / "tiny.keras")


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    return write_pair(tmp_path_factory.mktemp("scans"))


def turned(data, affine, codes):
    """The same image in world space, stored in another orientation."""
    turn = ornt_transform(io_orientation(affine), axcodes2ornt(codes))
    return apply_orientation(data, turn), affine @ inv_ornt_aff(turn, data.shape)


def test_the_result_lies_on_its_input_with_its_header(model, scans, tmp_path):
    _, low, _ = scans
    image = nib.load(low)
    image.header.set_xyzt_units("mm", "sec")
    image.header["descrip"] = b"the scanner's own words"
    image.set_sform(OBLIQUE, code=2)
    nib.save(image, tmp_path / "in.nii.gz")
    flags = (f"--input={tmp_path}/in.nii.gz", f"--model={model}", "--quiet")
    assert infer(*flags, f"--output={tmp_path}/private.nii") == 0
    assert nib.load(tmp_path / "private.nii").header["descrip"].tobytes().rstrip(b"\0") == b""
    assert infer(*flags, f"--output={tmp_path}/out.nii", "--keep_header_text") == 0
    result = nib.load(tmp_path / "out.nii")
    np.testing.assert_allclose(result.affine, OBLIQUE, atol=1e-6)
    assert result.shape == (32, 36, 28) and result.get_data_dtype() == np.float32
    assert result.header["descrip"].tobytes().rstrip(b"\0") == b"the scanner's own words"
    assert int(result.header["sform_code"]) == 2
    slope, intercept = result.header.get_slope_inter()
    assert (slope in (None, 1.0)) and (intercept in (None, 0.0))


def test_a_model_that_is_none_leaves_no_folder_behind(scans, tmp_path, capsys):
    assert infer(f"--input={scans[1]}", f"--output={tmp_path}/out/sr.nii", "--model=fast-b4u4k17") == 1
    assert "There is no model fast-b4u4k17: neither a file or folder nor a bundled" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


EIGHT = [
    ("R", "A", "S"),
    ("L", "A", "S"),
    ("R", "P", "S"),
    ("R", "A", "I"),
    ("A", "R", "S"),
    ("S", "A", "R"),
    ("P", "S", "L"),
    ("I", "L", "P"),
]


def test_turned_and_flipped_scans_give_the_same_image_in_the_world(model, scans, tmp_path):
    low = nib.load(scans[1])
    results = []
    for number, codes in enumerate(EIGHT):
        data, affine = turned(low.get_fdata(dtype=np.float32), low.affine, codes)
        write_scan(tmp_path / "in" / f"{number}.nii.gz", data, affine)
    assert infer(f"--input={tmp_path}/in", f"--output={tmp_path}/out", f"--model={model}", "--quiet") == 0
    for number in range(8):
        result = nib.load(tmp_path / "out" / f"{number}_sr.nii.gz")
        np.testing.assert_allclose(result.affine, nib.load(tmp_path / "in" / f"{number}.nii.gz").affine, atol=1e-5)
        results.append(turned(result.get_fdata(dtype=np.float32), result.affine, ("R", "A", "S"))[0])
    for other in results[1:]:
        np.testing.assert_array_equal(other, results[0])


@pytest.mark.parametrize("signs", itertools.product((1, -1), repeat=2))
def test_the_small_matrix_ends_up_on_the_high_resolution_grid(model, tmp_path, signs):
    affine = OBLIQUE @ np.diag([signs[0], signs[1], 1.0, 1.0])
    high, low, small = write_pair(tmp_path, affine=affine)
    common = (f"--model={model}", "--quiet")
    assert infer(f"--input={low}", f"--output={tmp_path}/a.nii.gz", *common) == 0
    assert infer(f"--input={small}", f"--output={tmp_path}/b.nii.gz", "--grid=small", *common) == 0
    result = nib.load(tmp_path / "b.nii.gz")
    np.testing.assert_allclose(result.affine, nib.load(high).affine, atol=1e-5)
    np.testing.assert_allclose(result.get_fdata(), data_of(tmp_path / "a.nii.gz"), rtol=1e-4, atol=1e-3)


def test_consistency_keeps_what_was_measured(model, scans, tmp_path):
    _, low, small = scans
    common = (f"--input={low}", f"--model={model}", "--quiet")
    assert infer(f"--output={tmp_path}/plain.nii.gz", *common) == 0
    assert infer(f"--output={tmp_path}/kept.nii.gz", "--consistency", *common) == 0
    measured = data_of(small)
    kept = truncate(data_of(tmp_path / "kept.nii.gz"), (2, 2), (0, 1))
    plain = truncate(data_of(tmp_path / "plain.nii.gz"), (2, 2), (0, 1))
    np.testing.assert_allclose(kept, measured, atol=1e-4 * measured.max())
    assert np.abs(plain - measured).max() > 0.01 * measured.max()


def test_detail_is_what_lies_beyond_the_measured_frequencies(model, scans, tmp_path):
    results = {}
    for strength in ("0", "1", "1.5"):
        target = tmp_path / f"{strength}.nii.gz"
        assert infer(f"--input={scans[1]}", f"--output={target}", f"--model={model}", f"--detail={strength}") == 0
        results[strength] = data_of(target).astype(np.float64)
    seen = np.min(list(results.values()), axis=0) > 0  # no voxel of a magnitude image goes below it
    detail = results["1"] - results["0"]
    np.testing.assert_allclose((results["1.5"] - results["0"])[seen], 1.5 * detail[seen], atol=1e-3 * detail.max())
    assert np.abs(detail).max() > 0.01 * results["1"].max()


def test_the_scan_itself_may_tell_how_strong_its_detail_is_to_be(model, scans, tmp_path, capsys):
    target, common = tmp_path / "auto.nii.gz", (f"--input={scans[1]}", f"--model={model}", "--force")
    assert infer(*common, f"--output={target}", "--detail=auto", "--self_check") == 0
    told = capsys.readouterr().err
    assert "self-check: degraded once more, the network with its detail so strong is" in told
    said = re.search(r"the network's detail times (\d\.\d\d)", told)
    strength = json.loads((tmp_path / "auto.json").read_text())["Detail"]
    assert said is not None and said[1] == f"{strength:.2f}" and 0.8 <= strength <= 2.2
    assert infer(*common, f"--output={tmp_path}/named.nii.gz", f"--detail={strength!r}", "--quiet") == 0
    np.testing.assert_array_equal(data_of(target), data_of(tmp_path / "named.nii.gz"))
    assert infer(*common, f"--output={tmp_path}/loud.nii.gz", "--detail=loud") == 1
    assert "--detail=loud is neither a number nor auto." in capsys.readouterr().err
    assert infer(*common, f"--output={tmp_path}/loud.nii.gz", "--detail=4.5") == 1
    assert "--detail=4.5 must be from 0 (what was measured alone) to 4, or auto." in capsys.readouterr().err
    assert not (tmp_path / "loud.nii.gz").exists()


def test_consistency_needs_to_know_what_was_measured(model, scans, tmp_path, capsys):
    high = scans[0]
    flags = (f"--input={high}", f"--output={tmp_path}/x.nii.gz", f"--model={model}", "--consistency")
    assert infer(*flags) == 1
    assert "--grid=small" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_it_refuses_what_would_not_come_out_better(model, scans, tmp_path, capsys):
    high, low, _ = scans
    for name, path, flag in (("full", high, ""), ("axes", low, "--axes=LR,IS"), ("factor", low, "--factor=3")):
        flags = [f"--input={path}", f"--output={tmp_path}/{name}.nii.gz", f"--model={model}", *([flag] if flag else [])]
        assert infer(*flags) == 1
        told = capsys.readouterr().err
        assert len(told.splitlines()) == 1 and "--force" in told
        expected = {
            "full": "the outer k-space along LR and AP is not empty",
            "axes": "k-space looks empty along AP, which --axes does not name",
            "factor": "along LR k-space shows 2x, and not 3x",
        }[name]
        assert expected in told
        assert not list(tmp_path.iterdir())
        assert infer(*flags, "--force") == 0
        assert expected in capsys.readouterr().err
        (tmp_path / f"{name}.nii.gz").unlink()
        (tmp_path / f"{name}.json").unlink()


def test_a_doubtful_header_is_told_of_a_refused_scan_too(model, scans, tmp_path, capsys):
    image = nib.load(scans[0])
    image.set_sform(np.diag([-1.0, 1, 1, 1]), 1)
    image.set_qform(np.eye(4), 1)
    nib.save(image, tmp_path / "flipped.nii")
    assert infer(f"--input={tmp_path}/flipped.nii", f"--output={tmp_path}/x.nii.gz", f"--model={model}") == 1
    told = capsys.readouterr().err.splitlines()
    assert "its sform and qform disagree on what is left and right" in told[0] and "--force" in told[1]
    assert len(told) == 2


def test_one_line_says_what_is_seen_and_done(model, scans, tmp_path, capsys):
    assert infer(f"--input={scans[1]}", f"--output={tmp_path}/a.nii.gz", f"--model={model}") == 0
    first = capsys.readouterr().err.splitlines()[0]
    assert re.fullmatch(
        r"mdcsrn-infer: lr\.nii\.gz: 32x36x28 at [\d.]+x[\d.]+x[\d.]+ mm, linearly interpolated 2x along LR and AP: "
        "super-resolving those by tiny",
        first,
    )


def test_bids_in_bids_derivatives_out(model, scans, tmp_path):
    low = nib.load(scans[1]).get_fdata(dtype=np.float32)
    raw, out = tmp_path / "raw", tmp_path / "derivatives"
    write_scan(raw / "sub-01/ses-a/anat/sub-01_ses-a_acq-fast_T1w.nii.gz", low)
    write_scan(raw / "sub-02/anat/sub-02_T1w.nii.gz", low + 1)
    write_scan(raw / "sub-02/anat/sub-02_desc-brain_mask.nii.gz", low > 0, dtype=np.uint8)
    (raw / "dataset_description.json").write_text("{}")
    assert infer(f"--input={raw}", f"--output={out}", f"--model={model}", "--qc", "--quiet") == 0
    files = sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file())
    assert files == [
        "dataset_description.json",
        "sub-01/ses-a/anat/sub-01_ses-a_acq-fast_desc-sr_T1w.json",
        "sub-01/ses-a/anat/sub-01_ses-a_acq-fast_desc-sr_T1w.nii.gz",
        "sub-01/ses-a/anat/sub-01_ses-a_acq-fast_desc-sr_T1w_qc.png",
        "sub-02/anat/sub-02_desc-sr_T1w.json",
        "sub-02/anat/sub-02_desc-sr_T1w.nii.gz",
        "sub-02/anat/sub-02_desc-sr_T1w_qc.png",
    ]
    sidecar = json.loads((out / "sub-02/anat/sub-02_desc-sr_T1w.json").read_text())
    assert sidecar["Sources"] == ["bids:raw:sub-02/anat/sub-02_T1w.nii.gz"]
    assert sidecar["Model"]["preset"] == "tiny" and sidecar["BatchNormalization"] == "batch"
    assert sidecar["Versions"]["tensorflow"]


def test_a_folder_run_goes_on_where_it_stopped_and_names_what_failed(model, scans, tmp_path, capsys):
    low = nib.load(scans[1]).get_fdata(dtype=np.float32)
    folder, out = tmp_path / "in", tmp_path / "out"
    for name in ("a", "c"):
        write_scan(folder / f"{name}.nii.gz", low)
    (folder / "b.nii.gz").write_bytes(b"not a scan")
    flags = (f"--input={folder}", f"--output={out}", f"--model={model}")
    assert infer(*flags) == 1
    told = capsys.readouterr().err
    assert "1 of 3 scans failed" in told and "b.nii.gz" in told
    assert sorted(path.name for path in out.iterdir()) == ["a_sr.json", "a_sr.nii.gz", "c_sr.json", "c_sr.nii.gz"]
    first = (out / "a_sr.nii.gz").read_bytes()
    assert first == (out / "c_sr.nii.gz").read_bytes(), "the same input, other bytes"
    stamp = (out / "a_sr.nii.gz").stat().st_mtime_ns
    write_scan(folder / "b.nii.gz", low)
    assert infer(*flags) == 0
    assert "2 of 3 scans are finished already" in capsys.readouterr().err
    assert (out / "a_sr.nii.gz").stat().st_mtime_ns == stamp
    assert infer(*flags, "--overwrite", "--quiet") == 0
    assert (out / "a_sr.nii.gz").stat().st_mtime_ns != stamp
    assert (out / "a_sr.nii.gz").read_bytes() == first
    write_scan(folder / "a.nii.gz", low[::-1])
    write_scan(folder / "d.nii.gz", low)
    assert infer(*flags, "--quiet") == 1, "a result of another scan than is there now is none"
    told = capsys.readouterr().err
    assert "1 of 4 scans failed" in told and "a_sr.nii.gz is there already, but the scan has changed since; " in told
    assert (out / "a_sr.nii.gz").read_bytes() == first and (out / "d_sr.nii.gz").read_bytes() == first
    (out / "a_sr.nii.gz").unlink()
    assert infer(*flags, "--quiet") == 0 and (out / "a_sr.nii.gz").read_bytes() != first


def test_same_stores_as_the_input_does(model, tmp_path):
    low = write_pair(tmp_path)[1]
    stored = np.clip(data_of(low) / data_of(low).max() * 200, 0, 255)
    write_scan(tmp_path / "byte.nii.gz", stored, dtype=np.uint8)
    flags = (f"--input={tmp_path}/byte.nii.gz", f"--output={tmp_path}/sr.nii.gz", f"--model={model}", "--quiet")
    assert infer(*flags, "--dtype=same") == 0
    assert nib.load(tmp_path / "sr.nii.gz").get_data_dtype() == np.uint8


def test_the_script_as_a_user_runs_it(model, scans, tmp_path, monkeypatch):
    asked = (f"--input={scans[1]}", f"--output={tmp_path}/sr.nii.gz", f"--model={model}", "--seamless", "--tile=24")
    with monkeypatch.context() as other_programs:
        other_programs.setenv("KERAS_BACKEND", "jax")
        (tmp_path / "keras.json").write_text('{"floatx": "float64", "image_data_format": "channels_first"}')
        other_programs.setenv("KERAS_HOME", str(tmp_path))
        # tests/conftest.py has XLA compile the shorter way; the script is asked for the longer one, and must agree.
        longer = os.environ.get("XLA_FLAGS", "").replace("emitters=false", "emitters=true")
        other_programs.setenv("XLA_FLAGS", longer)
        run = spawn("infer.py", *asked)
    assert run.returncode == 0, run.stderr
    lines = run.stderr.strip().splitlines()
    assert len(lines) == 2, f"TensorFlow talks: {run.stderr}"
    assert "linearly interpolated 2x along LR and AP" in lines[0]
    parts = r"lr\.nii\.gz -> sr\.nii\.gz: \d+ tiles of 24\^3 .* s, written .* s; seam figure"
    assert re.search(parts, lines[1])
    # The script also hides packages from Keras; this process does not.
    assert infer(*asked[:1], f"--output={tmp_path}/here.nii.gz", *asked[2:]) == 0
    np.testing.assert_array_equal(data_of(tmp_path / "sr.nii.gz"), data_of(tmp_path / "here.nii.gz"))


def test_a_full_disk_leaves_nothing_behind(model, tmp_path, capfd):
    scan = write_scan(tmp_path / "in" / "scan.nii.gz", np.random.default_rng(0).random((64, 64, 48)))
    flags = [f"--input={scan}", f"--output={tmp_path}/out/sr.nii.gz", f"--model={model}", "--tile=64", "--force"]
    with files_of_at_most(300_000):
        assert infer(*flags) == 1
    said = capfd.readouterr().err
    assert "sr.nii.gz cannot be written" in said and "Traceback" not in said
    assert not list((tmp_path / "out").iterdir())


def test_volumes_smaller_than_a_tile_and_of_odd_sizes(model, tmp_path):
    write_scan(tmp_path / "in.nii.gz", hr_volume((17, 5, 9)))
    flags = (f"--model={model}", "--quiet", "--force")
    assert infer(f"--input={tmp_path}/in.nii.gz", f"--output={tmp_path}/out.nii.gz", *flags) == 0
    assert data_of(tmp_path / "out.nii.gz").shape == (17, 5, 9)
