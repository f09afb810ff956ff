"""mdcsrn-pairs: which slices come together out of DICOM series in every disorder, and what is refused in a sentence."""

import json
import random
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pydicom
import pytest
import tensorflow as tf

from data_prep import make_pairs, slice_pairs
from data_prep.dicom_phantom import SeriesTags, write_enhanced, write_person, write_series
from data_prep.pair_job import PairSettings, _corner, source_checksum
from data_prep.phantom import make_phantom
from data_prep.scan_pairs import Series, name_pairs, pair_series
from data_prep.slice_pairs import View
from mdcsrn_tf.errors import UserError
from mdcsrn_tf.scans.slice_profile import SliceProfile
from mdcsrn_tf.shards.dataset import read_manifest, validation_batches
from mdcsrn_tf.shards.joined import read_manifests

AFFINE = np.array([[-1.0, 0, 0, 40], [0, -1.0, 0, 40], [0, 0, 1.0, -30], [0, 0, 0, 1]])
THIN = np.arange(20 * 18 * 12, dtype=np.float32).reshape(20, 18, 12)  # [column, row, slice], every voxel another value
HIGH = SeriesTags("DOE^JANE", "7", "thin", thickness=1.0)
LOW = replace(HIGH, description="thick", thickness=3.0, slope=0.5, intercept=-20.0)
THICK_AFFINE = AFFINE @ np.diag([1, 1, 3, 1.0])


def write_pair(root, *, low=LOW, high=HIGH, thick=THIN[:, :, ::3], thick_affine=THICK_AFFINE, affine=AFFINE):
    low_folder = write_series(root / "low" / "a", thick, thick_affine, low)
    return low_folder, write_series(root / "high" / "a", THIN, affine, high)


def run(root, *flags, output="out"):
    return make_pairs.main(
        [
            f"--low={root / 'low'}",
            f"--high={root / 'high'}",
            f"--output={root / output}",
            "--split=1",
            "--workers=1",
            "--quiet",
            "--patch=16",
            "--patches_per_subject=0",
            "--normalisation=zscore_of_voxels_above_mean",
            *flags,
        ]
    )


def read(root, output="out"):
    """The manifest, and all pairs of patches in scanner units."""
    content = json.loads((root / output / "manifest.json").read_text())
    entry = content["shards"][0]
    batches = list(validation_batches(read_manifest(root / output), "train", batch_size=400))
    scales = entry["low_scale"], entry["high_scale"]
    (low, high) = (image.numpy() * s["std"] + s["mean"] for image, s in zip(batches[0], scales, strict=True))
    return content, entry, low, high


def window(entry, number):
    """Where patch `number` lies in RAS order: stored columns and rows run left and posterior, so both are turned."""
    _, pair, row, column = entry["places"][number]
    return pair, np.s_[row : row + 16, column : column + 16]


def test_each_thick_slice_comes_with_the_thin_one_at_its_place(tmp_path, capsys):
    write_pair(tmp_path)
    assert run(tmp_path) == 0
    content, entry, low, high = read(tmp_path)
    assert entry["pairs_mm"] == [[0, 0, 0.0], [1, 3, 0.0], [2, 6, 0.0], [3, 9, 0.0]]
    assert (entry["low_slices"]["thickness_mm"], entry["low_slices"]["spacing_mm"]) == (3.0, 3.0)
    assert content["format"] == 2 and content["settings"]["source"] == "pairs" and content["settings"]["axes"] == "IS"
    manifest = read_manifest(tmp_path / "out")
    assert (manifest.rank, manifest.channels, manifest.planes) == (2, (1, 1), ("axial",))
    assert manifest.notes == {"pixel_mm": [1.0, 1.0]}
    for number in range(4):
        pair, where = window(entry, number)
        expected = THIN[::-1, ::-1, 3 * pair][where]  # slope and intercept are undone: both are the thin voxels
        np.testing.assert_allclose(low[number, :, :, 0], expected, atol=4)  # float16 of the z-scores
        np.testing.assert_allclose(high[number, :, :, 0], expected, atol=4)
    assert "person-0001 (train)" in capsys.readouterr().err


def test_no_file_knows_whose_scans_they_are(tmp_path):
    folder = tmp_path / "DOE_JANE"
    write_pair(folder, low=replace(LOW, description="SECRET"))
    write_series(folder / "low" / "b", THIN[:, :, ::3], THICK_AFFINE, replace(LOW, patient="ROE^RICHARD"))
    assert run(folder, output="../out") == 1  # Richard has no thin series
    for path in (tmp_path / "out").rglob("*"):
        text = path.name.encode() + (path.read_bytes() if path.is_file() else b"")
        for name in (b"DOE", b"ROE", b"JANE", b"SECRET"):
            assert name not in text, path


def test_enhanced_files_are_paired_by_what_they_say(tmp_path, capsys):
    write_pair(tmp_path / "classic")
    assert run(tmp_path / "classic") == 0
    (tmp_path / "all").mkdir()
    for name, voxels, affine, tags in (("thick", THIN[:, :, ::3], THICK_AFFINE, LOW), ("thin", THIN, AFFINE, HIGH)):
        write_enhanced(tmp_path / "all" / f"{name}.dcm", voxels, affine, tags)
        other = replace(tags, patient="ROE", frame="8")
        write_enhanced(tmp_path / "all" / f"{name} too.dcm", voxels[..., ::-1], affine, other)
    assert run(tmp_path, f"--low={tmp_path}/all/thick.dcm", f"--high={tmp_path}/all/thin too.dcm") == 1
    assert "no high-resolution scan of the same person" in capsys.readouterr().err
    assert run(tmp_path, f"--low={tmp_path}/all/thick.dcm", f"--high={tmp_path}/all/thin.dcm") == 0
    (one,), (other,) = (list(folder.rglob("*.tfrecord")) for folder in (tmp_path / "classic", tmp_path / "out"))
    assert one.read_bytes() == other.read_bytes()


def shuffle(low, high):
    for folder in (low, high):
        files = sorted(folder.iterdir())
        names = [f"{n:03d}.dcm" for n in range(len(files))]
        random.Random(3).shuffle(names)
        for file, name in zip(files, names, strict=True):
            file.rename(folder / name)


def drop(low, high):
    for folder, lost in ((low, {2}), (high, {1, 4})):
        for n, file in enumerate(sorted(folder.iterdir())):  # interleaved: thick 0 2 1 3, thin 0 2 4 ... 1 3 5 ...
            if n in lost:
                file.unlink()


@pytest.mark.parametrize(
    ("disorder", "flags", "pairs"),
    [
        (shuffle, [], [[0, 0, 0], [1, 3, 0], [2, 6, 0], [3, 9, 0]]),
        # Thick slice 1 (3 mm) and the thin ones at 2 and 8 mm are missing; counted anew, all others keep theirs.
        (drop, [], [[0, 0, 0], [1, 5, 0], [2, 7, 0]]),
        (drop, ["--match=paper"], [[0, 0, 0], [1, 5, 0], [2, 7, 0]]),
    ],
)
def test_disorder_changes_no_partner(tmp_path, disorder, flags, pairs):
    disorder(*write_pair(tmp_path))
    assert run(tmp_path, *flags) == 0
    assert read(tmp_path)[1]["pairs_mm"] == pairs


def test_three_slices_in_and_out(tmp_path):
    write_pair(tmp_path)
    assert run(tmp_path, "--stack=3", "--targets=3") == 0
    _, entry, low, high = read(tmp_path)
    assert low.shape[1:] == high.shape[1:] == (16, 16, 3)
    for number, (thick, thin) in enumerate(
        (((0, 0, 1), (0, 1, 2)), ((0, 1, 2), (2, 3, 4)), ((1, 2, 3), (5, 6, 7)), ((2, 3, 3), (8, 9, 10)))
    ):
        _, where = window(entry, number)
        for channel in range(3):  # a transposition: each channel is one slice, whole
            for found, k in ((low, 3 * thick[channel]), (high, thin[channel])):
                np.testing.assert_allclose(found[number, :, :, channel], THIN[::-1, ::-1, k][where], atol=4)


@pytest.mark.parametrize(
    ("flags", "pairs", "left_out"),
    [
        (["--stack=3"], [[2, 8, 0]], "0, 1"),  # thick slices at 0, 6 and 9 mm: only the last one has its neighbour
        (["--targets=3"], [[0, 0, 0], [2, 8, 0]], "1"),  # thin ones lack 5 mm: that at 6 mm has no lower neighbour
    ],
)
def test_slices_on_either_side_of_a_gap_are_no_neighbours(tmp_path, capsys, flags, pairs, left_out):
    low, high = write_pair(tmp_path)
    sorted(low.iterdir())[2].unlink()  # interleaved: 0 2 1 3
    sorted(high.iterdir())[6 + 2].unlink()
    assert run(tmp_path, *flags) == 0
    assert read(tmp_path)[1]["pairs_mm"] == pairs
    assert f"a neighbour is missing of the low-resolution slices {left_out}; left out" in capsys.readouterr().err


def write_people(root, second):
    """Two people's pairs; `second` changes the thick series of the second one: (voxels, affine, tags)."""
    write_pair(root)
    write_series(root / "high" / "b", THIN, AFFINE, replace(HIGH, patient="ROE^R"))
    return write_series(root / "low" / "b", *second(THIN[:, :, ::3], THICK_AFFINE, replace(LOW, patient="ROE^R")))


def test_people_scanned_in_different_planes_are_not_taken_for_one(tmp_path, capsys):
    write_people(tmp_path, lambda thick, affine, tags: (thick, affine[:, [0, 2, 1, 3]], tags))
    assert run(tmp_path) == 1
    assert "has axial slices" in (said := capsys.readouterr().err) and "coronal ones; give each plane a run" in said


def test_an_unreadable_scan_is_skipped_whoever_it_is(tmp_path, capsys):
    for number, unplaced in enumerate(("a", "b")):
        root = tmp_path / unplaced
        write_people(root, lambda *series: series)
        for file in (root / "low" / unplaced).iterdir():
            dataset = pydicom.dcmread(file)
            del dataset.ImagePositionPatient
            dataset.save_as(file)
        assert run(root) == 1, number
        assert len(json.loads((root / "out" / "manifest.json").read_text())["shards"]) == 1
        assert "lacks ImagePositionPatient" in capsys.readouterr().err


def test_who_is_missing_is_said_before_a_split_that_needs_them(tmp_path, capsys):
    write_people(tmp_path, lambda thick, affine, tags: (thick, affine, replace(tags, frame="8")))
    assert run(tmp_path, "--split=1,1,0") == 1
    said = capsys.readouterr().err
    assert "low/b (ROE^R, thick)" in said and said.index("frames of reference") < said.index("--split=1,1,0")


def test_scans_that_nobody_asks_for_are_named(tmp_path, capsys):
    """Of everybody's series in one folder only the patient tells which is whose."""
    write_people(tmp_path, lambda *series: series)
    for patient, frame in (("POE^P", "7"), ("ROE^R", "9")):
        tags = replace(HIGH, patient=patient, frame=frame, description=f"thin {frame}")
        write_series(tmp_path / "high" / "b", THIN, AFFINE, tags)
    for name in ("low", "high"):
        for file in (tmp_path / name / "b").iterdir():
            file.rename(tmp_path / name / "a" / f"b-{file.name}")
        (tmp_path / name / "b").rmdir()
    assert run(tmp_path) == 0
    lines = capsys.readouterr().err.splitlines()
    low, high = tmp_path / "low" / "a", tmp_path / "high" / "a"
    (left_out,) = [line for line in lines if "left out" in line]
    assert left_out.endswith(f"goes with it: {high} (POE^P, thin 7), {high} (ROE^R, thin 9)")
    for patient in ("DOE^JANE", "ROE^R"):
        assert sum(f"{low} ({patient}, thick) and {high} ({patient}, thin)" in line for line in lines) == 1


def test_people_whose_names_are_no_utf_8_are_numbered_like_all():
    people = [Series(Path(name), None, name, "", "") for name in ("M\udcfcller", "Maier")]
    assert {pair.name for pair in name_pairs([(one, one) for one in people], "1,1", 0)} == {
        "person-0001",
        "person-0002",
    }


def test_many_scans_that_nobody_asks_for_are_counted():
    highs = [Series(Path(f"{number}.nii"), None, str(number), "", "") for number in range(12)]
    partners = pair_series([Series(Path("low.nii"), None, "3", "", "")], highs)
    assert partners.pairs[0][1] is highs[3] and not partners.problems
    assert partners.sentences[0].endswith(": 0.nii, 1.nii, 2.nii, 4.nii, 5.nii, 6.nii, 7.nii, 8.nii and 3 more")


def as_files(root, **scans):
    """root/low and root/high, a NIfTI each, of (voxels, affine)."""
    for name, (voxels, affine) in scans.items():
        (root / name).mkdir(parents=True)
        nib.save(nib.Nifti1Image(voxels, affine), root / name / "sub-01_T1w.nii")


@pytest.mark.parametrize("match", ["volume", "nearest"])
def test_padding_does_not_count_as_picture(tmp_path, match):
    scan = THIN[:, :, :5].repeat(2, axis=2)[:, :, :9] + 1
    moved = np.eye(4)
    moved[:3, 3] = -6, -5, 0
    as_files(tmp_path / "plain", low=(scan, np.eye(4)), high=(scan, np.eye(4)))
    padded = np.pad(scan, ((6, 6), (5, 5), (0, 0)))
    as_files(tmp_path / "padded", low=(padded, moved), high=(padded, moved))
    clipped = np.clip(scan, *np.percentile(scan, (0.1, 99.9)))
    for name in ("plain", "padded"):
        flags = [f"--match={match}", "--plane=axial", "--normalisation=zscore_each_image"]
        assert run(tmp_path / name, *flags) == 0
        entry = json.loads((tmp_path / name / "out" / "manifest.json").read_text())["shards"][0]
        for scale in (entry["low_scale"], entry["high_scale"]):
            assert (scale["mean"], scale["std"]) == pytest.approx((clipped.mean(), clipped.std()), rel=1e-5)


def test_slices_beside_each_other_in_their_plane_are_refused(tmp_path, capsys):
    aside = np.eye(4)
    aside[0, 3] = 90
    as_files(tmp_path, low=(THIN, np.eye(4)), high=(THIN, aside))
    assert run(tmp_path, "--plane=axial") == 1
    assert "have no place in common" in capsys.readouterr().err
    as_files(tmp_path / "one", low=(THIN[..., :1], np.eye(4)), high=(THIN, np.eye(4)))
    assert run(tmp_path / "one", "--plane=axial") == 1
    assert "sub-01_T1w.nii holds a single axial slice; name a whole scan" in capsys.readouterr().err


def test_exchanged_folders_and_doubtful_headers_are_pointed_out(tmp_path, capsys):
    for name, step in (("low", 1), ("high", 2)):
        image = nib.Nifti1Image(THIN[::step, ::step, ::step], np.diag([step, step, step, 1.0]))
        image.set_sform(None, 0)
        image.set_qform(None, 0)
        (tmp_path / name).mkdir()
        nib.save(image, tmp_path / name / "sub-01_T1w.nii")
    assert run(tmp_path, "--match=volume", "--patch=6") == 0
    said = capsys.readouterr().err
    assert "are --low and --high exchanged?" in said and said.count("does not say where it lies") == 2
    assert run(tmp_path, "--match=volume", "--patch=64", output="large") == 1
    assert f"{tmp_path / 'low' / 'sub-01_T1w.nii'} and " in capsys.readouterr().err


def test_several_series_are_told_apart_by_their_descriptions(tmp_path, capsys):
    _, high = write_pair(tmp_path)
    both = tmp_path / "low" / "a"
    for file in high.iterdir():
        file.rename(both / file.name)
    assert make_pairs.main([f"--low={both}", f"--high={both}", f"--output={tmp_path / 'x'}", "--split=1"]) == 1
    assert "choose by --low_series and --high_series" in capsys.readouterr().err
    asked = [
        f"--low={both}",
        f"--high={both}",
        "--low_series=thick",
        "--high_series=thin",
        "--split=1",
        f"--output={tmp_path / 'out'}",
        "--patch=16",
        "--patches_per_subject=0",
        "--quiet",
        "--workers=1",
    ]
    assert make_pairs.main(asked) == 0
    assert [k for _, k, _ in read(tmp_path)[1]["pairs_mm"]] == [0, 3, 6, 9]


def test_another_matrix_is_brought_to_the_thin_pixels(tmp_path, capsys):
    half = AFFINE @ np.diag([2, 2, 3, 1.0])
    write_pair(tmp_path, thick=THIN[::2, ::2, ::3], thick_affine=half)
    assert run(tmp_path) == 0
    _, entry, low, high = read(tmp_path)
    assert entry["resampled_in_plane"] and entry["low_slices"]["matrix"] == [10, 9]
    assert "brought to the other's pixels" in capsys.readouterr().err
    np.testing.assert_allclose(low, high, atol=8)  # the voxels are a ramp, which linear interpolation keeps


ELSEWHERE = np.array([[-1.0, 0, 0, 40], [0, -1.0, 0, 40], [0, 0, 1.0, 60], [0, 0, 0, 1]])
TURNED = AFFINE.copy()
TURNED[:3, :3] = AFFINE[:3, :3] @ np.array([[0.8, -0.6, 0], [0.6, 0.8, 0], [0, 0, 1]])


@pytest.mark.parametrize(
    ("options", "flags", "sentence"),
    [
        ({"high": replace(HIGH, frame="8")}, [], "have different frames of reference"),
        ({"high": replace(HIGH, patient="ROE^R")}, [], "has no high-resolution scan of the same person"),
        ({"affine": TURNED}, [], "lie at different orientations"),
        ({"affine": ELSEWHERE}, [], "check that both show the same place"),
        ({}, ["--patch=64"], "hold no patch of 64"),
        ({}, ["--register=rigid"], "say --match=volume"),
        ({}, ["--plane=oblique"], "names no planes"),
        ({}, ["--low_series=FLAIR"], "holds no series 'FLAIR'"),
    ],
)
def test_what_does_not_fit_is_refused_in_a_sentence(tmp_path, capsys, options, flags, sentence):
    write_pair(tmp_path, **options)
    assert run(tmp_path, *flags) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert sentence in last and last.startswith("mdcsrn-pairs: error: ")
    assert not (tmp_path / "out" / "manifest.json").exists()


@pytest.mark.parametrize("flag", ["--match=volume", "--n4"])
def test_without_simpleitk_what_needs_it_is_named_before_anything_is_read(tmp_path, capsys, monkeypatch, flag):
    monkeypatch.setitem(sys.modules, "SimpleITK", None)
    assert run(tmp_path, flag) == 1
    assert capsys.readouterr().err.startswith("mdcsrn-pairs: error: --match=volume and --n4 need SimpleITK; install")


def test_other_frames_can_be_assumed_one(tmp_path):
    write_pair(tmp_path, high=replace(HIGH, frame="8"))
    assert run(tmp_path, "--assume_same_frame") == 0


def test_two_sessions_of_one_person_stay_in_one_split(tmp_path):
    for number in range(1, 4):
        write_person(tmp_path, number, (20, 20, 9), 3, thickness=3.0, seed=number)
    for kind, step in (("low", 3), ("high", 1)):
        tags = SeriesTags("PHANTOM^1", "again", kind)
        write_series(tmp_path / kind / "again", THIN[:, :, ::step], AFFINE @ np.diag([1, 1, step, 1.0]), tags)
    assert run(tmp_path, "--split=1,1,1") == 0
    entries = json.loads((tmp_path / "out" / "manifest.json").read_text())["shards"]
    assert len(entries) == 4 and len({entry["subject"] for entry in entries}) == 3
    doubled = [entry for entry in entries if entry["scan"].count("-") == 2]
    assert len(doubled) == 1 and {e["split"] for e in entries if e["subject"] == doubled[0]["subject"]} == {
        doubled[0]["split"]
    }
    before = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*.tfrecord")}
    assert run(tmp_path, "--split=1,1,1") == 0  # nothing to do
    assert run(tmp_path, "--split=1,1,1", output="again") == 0
    assert [path.read_bytes() for path in sorted((tmp_path / "again").rglob("*.tfrecord"))] == [
        before[path] for path in sorted(before)
    ]


def test_people_of_several_folders_are_told_apart_by_their_scans(tmp_path, capsys):
    for number in (1, 2):  # as some archives export them: everybody's files in one folder
        for folder in write_person(tmp_path, number, (20, 20, 9), 3, thickness=3.0, seed=number):
            for file in folder.iterdir():
                (tmp_path / "all").mkdir(exist_ok=True)
                file.rename(tmp_path / "all" / f"{number}{file.name}")
        write_person(tmp_path / "elsewhere", 2 + number, (20, 20, 9), 3, thickness=3.0, seed=2 + number)
    (tmp_path / "low").rename(tmp_path / "empty")
    (tmp_path / "high").rename(tmp_path / "empty too")
    for name in ("low", "high"):
        (tmp_path / name).symlink_to("all")
    series = ("--low_series=thick", "--high_series=thin")
    for output, split in (("one", "PHANTOM^1\ttrain\nPHANTOM^2\tvalidation"), ("other", "PHANTOM^2\ttrain")):
        (tmp_path / f"{output}.tsv").write_text(f"subject\tsplit\n{split}\n")
        assert run(tmp_path, *series, f"--split={tmp_path}/{output}.tsv", output=output) == 0
    assert "two names" not in capsys.readouterr().err, "two people's scans in one folder are not one scan"
    with pytest.raises(UserError, match=r"have a scan in common: make them with one --split table"):
        read_manifests(f"{tmp_path}/one,{tmp_path}/other")
    assert run(tmp_path / "elsewhere", "--split=1,1", output="../others") == 0
    joined = read_manifests(f"{tmp_path}/one,{tmp_path}/others")  # two person-0001: other people
    assert len(joined.shards("train")) == 2 and "numbered in each folder of shards anew" in joined.remarks[0]


def test_volumes_on_one_grid_give_slices_of_every_plane(tmp_path):
    head = make_phantom((24, 26, 22), 4, noise=0)
    thick = SliceProfile("box", 2.0).thick_slices(head, 11, 2)
    for name, data, step in (("low", thick, 2), ("high", head, 1)):
        (tmp_path / name).mkdir()
        nib.save(nib.Nifti1Image(data, np.diag([-1, 1, step, 1.0])), tmp_path / name / "sub-01_T1w.nii.gz")
    assert run(tmp_path, "--match=volume", "--plane=all", "--patches_per_subject=40") == 0
    _, entry, low, high = read(tmp_path)
    assert entry["common_field"] == pytest.approx(21 / 22, abs=0.05) and entry["ncc_after"] > 0.9
    assert {place[0] for place in entry["places"]} == {0, 1, 2}
    turned = head[::-1]
    lows = np.repeat(thick[::-1], 2, axis=2).astype(np.float64)
    lows[:, :, 1:-1:2] = (lows[:, :, 0:-2:2] + lows[:, :, 2::2]) / 2  # linear between the thick slices
    for number, (v, k, row, column) in enumerate(entry["places"]):
        axis = (2, 1, 0)[v]
        where = np.s_[row : row + 16, column : column + 16]
        np.testing.assert_allclose(high[number, :, :, 0], np.moveaxis(turned, axis, 0)[k][where], atol=2)
        if k < 21 and not (axis != 2 and column + 16 > 21):
            np.testing.assert_allclose(low[number, :, :, 0], np.moveaxis(lows, axis, 0)[k][where], atol=2)


def test_a_moved_scan_is_registered_and_patches_keep_to_the_common_field(tmp_path):
    head = make_phantom((30, 32, 28), 4, noise=0)
    for name, data in (("low", np.roll(head, 3, axis=0)), ("high", head)):
        (tmp_path / name).mkdir()
        nib.save(nib.Nifti1Image(data, np.diag([1.5, 1.5, 1.5, 1.0])), tmp_path / name / "sub-01_T1w.nii.gz")
    assert run(tmp_path, "--match=volume", "--register=rigid", "--plane=axial", "--patches_per_subject=8") == 0
    _, entry, low, high = read(tmp_path)
    assert entry["ncc_before"] < 0.8 < 0.97 < entry["ncc_after"]
    assert entry["common_field"] == pytest.approx(27 / 30, abs=0.05)
    assert np.corrcoef(low.ravel(), high.ravel())[0, 1] > 0.95
    rows = [place[2] + 15 for place in entry["places"]]
    assert max(rows) <= 27  # beyond it the low-resolution scan saw nothing


def test_slices_too_small_for_a_patch_are_found_before_a_registration(tmp_path, capsys, monkeypatch):
    as_files(tmp_path, low=(THIN, np.eye(4)), high=(THIN, np.eye(4)))
    monkeypatch.setattr(slice_pairs, "register", None)
    monkeypatch.setattr(slice_pairs, "without_shading", None)
    asked = ("--match=volume", "--plane=all", "--n4", "--register=bspline")
    assert run(tmp_path, *asked) == 1
    assert "slices of 20 x 12 pixels hold no patch of 16; choose a smaller --patch" in capsys.readouterr().err


def test_shards_of_slices_train_as_tensors_of_their_shapes(tmp_path):
    write_pair(tmp_path)
    assert run(tmp_path, "--stack=3") == 0
    batch = next(iter(validation_batches(read_manifest(tmp_path / "out"), "train", batch_size=2)))
    assert [tensor.shape.as_list() for tensor in batch] == [[2, 16, 16, 3], [2, 16, 16, 1]]
    assert batch[0].dtype == tf.float32


def test_two_fields_without_room_for_a_patch_are_refused():
    volume = np.ones((2, 32, 32), np.float32)
    narrow, above = np.zeros((2, 2, 32, 32), bool)
    narrow[:, :8] = True  # what both scans show is narrower than a patch
    above[1] = True  # or begins at the second slice: the first is no neighbour of it
    for inside, lows in ((narrow, [[1, 1, 1]]), (above, [[0, 1, 1]])):
        view = View("axial", volume, volume, np.array(lows), np.array([[1]]), inside)
        with pytest.raises(UserError, match="no patch of 16 pixels was found inside the field"):
            _corner(np.random.default_rng(0), view, volume > 0, None, PairSettings(patch=16))
    assert _corner(
        np.random.default_rng(0), replace(view, lows=np.array([[1, 1, 1]])), volume > 0, 0, PairSettings(patch=16)
    )


def test_an_exchanged_half_of_a_scan_is_noticed(tmp_path):
    (low, low_voxels), (high, high_voxels) = (
        (tmp_path / f"{name}.hdr", tmp_path / f"{name}.img") for name in ("low", "high")
    )
    for file in (low, low_voxels, high, high_voxels):
        file.write_bytes(file.name.encode())
    pair = SimpleNamespace(low=SimpleNamespace(path=low, uid=None), high=SimpleNamespace(path=high, uid=None))
    before = source_checksum(pair)
    low_voxels.write_bytes(b"wol.img")  # as many bytes
    assert source_checksum(pair) != before
