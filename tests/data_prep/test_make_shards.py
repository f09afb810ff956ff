"""mdcsrn-shards: what is in the shards, what the manifest says, and how runs go on, stop and refuse."""

import hashlib
import json
import os
import shutil

import nibabel as nib
import numpy as np
import pytest
from shard_helpers import contents, shards_command, start, write_scans

from data_prep import make_shards, shard_job, workers
from data_prep.phantom import make_phantom
from data_prep.shard_folder import ShardFolder
from mdcsrn_tf.files import this_host
from mdcsrn_tf.locks import only_run_in
from mdcsrn_tf.shards.dataset import read_manifest


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    return write_scans(tmp_path_factory.mktemp("scans"), 6)


@pytest.fixture(scope="module")
def shards(scans, tmp_path_factory):
    output = tmp_path_factory.mktemp("made") / "shards"
    assert make_shards.main(shards_command(scans, output)) == 0
    return output


def manifest_of(folder):
    return json.loads((folder / "manifest.json").read_text())


def low_res_by_definition(volume):
    """The whole chain of the papers with NumPy alone, along the first two axes, sizes as in the scans here."""
    spectrum = np.fft.fftshift(np.fft.fftn(volume, axes=(0, 1)), axes=(0, 1))
    for axis in (0, 1):
        size = volume.shape[axis]
        kept, half = size // 2, size // 2 // 2
        lines = np.moveaxis(spectrum, axis, 0)
        crop = lines[size // 2 - half : size // 2 - half + kept].copy()
        if kept % 2 == 0:
            crop[0] = (crop[0] + lines[size // 2 + half]) / 2
        spectrum = np.moveaxis(crop, 0, axis) * (kept / size)
    image = np.abs(np.fft.ifftn(np.fft.ifftshift(spectrum, axes=(0, 1)), axes=(0, 1)).real)
    for axis in (0, 1):
        kept, size = image.shape[axis], volume.shape[axis]
        at = np.arange(size) * kept / size
        image = np.apply_along_axis(lambda line, at=at, kept=kept: np.interp(at, np.arange(kept), line), axis, image)
    return image


def test_records_are_patches_of_the_whole_scans_normalised_by_the_low_res_image(scans, shards):
    import tensorflow as tf

    for entry in manifest_of(shards)["shards"]:
        volume = nib.as_closest_canonical(nib.load(scans / entry["source"])).get_fdata()
        low_res = low_res_by_definition(volume)
        above = low_res[low_res > low_res.mean()]
        assert entry["mean"] == pytest.approx(above.mean(), rel=1e-4)
        assert entry["std"] == pytest.approx(above.std(), rel=1e-3)
        assert entry["matrix"] == list(volume.shape)
        assert entry["pairs"] == len(entry["corners"]) == (12 if entry["split"] == "train" else 4)
        records = tf.data.TFRecordDataset(str(shards / entry["shard"]))
        for corner, record in zip(entry["corners"], records, strict=True):
            feature = tf.train.Example.FromString(record.numpy()).features.feature
            cut = tuple(slice(c, c + 16) for c in corner)
            for key, image in (("low_res", low_res), ("high_res", volume)):
                stored = np.frombuffer(feature[key].bytes_list.value[0], "<f2").reshape(16, 16, 16)
                expected = (image[cut] - entry["mean"]) / entry["std"]
                np.testing.assert_allclose(stored, expected, atol=4e-3)


def test_the_manifest_says_everything(scans, shards):
    manifest = manifest_of(shards)
    settings = manifest["settings"]
    assert {key: settings[key] for key in settings if key != "scans"} == {
        "axes": "LR,AP",
        "epochs_of_patches": 3,
        "factor": [2, 2],
        "interpolation": "linear",
        "min_foreground": 0.25,
        "normalisation": "zscore_of_voxels_above_mean",
        "patch": 16,
        "patches_per_subject": 4,
        "seed": 0,
    }
    for entry in manifest["shards"]:
        source, shard = (scans / entry["source"]).read_bytes(), (shards / entry["shard"]).read_bytes()
        assert entry["source_sha256"] == hashlib.sha256(source).hexdigest()
        assert entry["shard_sha256"] == hashlib.sha256(shard).hexdigest()
        assert (entry["source_bytes"], entry["shard_bytes"]) == (len(source), len(shard))
    assert str(scans) not in (shards / "manifest.json").read_text()
    subjects = [entry["subject"] for entry in manifest["shards"]]
    assert len(set(subjects)) == 6 and manifest["skipped"] == []
    assert {name: len(found) for name, found in read_manifest(shards).splits.items()} == {
        "train": 3,
        "validation": 1,
        "evaluation": 1,
        "test": 1,
    }


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ([], ("sinc", "tissue_level", 40, 18)),
        (["--recipe=miccai"], ("linear", "zscore_of_voxels_above_mean", 64, 18)),
        (["--recipe=journal", "--patch=16", "--interpolation=sinc"], ("sinc", "zscore_of_voxels_above_mean", 16, 18)),
    ],
)
def test_what_is_not_said_is_as_the_recipe_wants_it(tmp_path, flags, expected, monkeypatch):
    monkeypatch.setattr(shard_job, "_PHANTOM_SHAPE", (72, 80, 72))
    asked = ["--phantoms=1", "--split=1", "--workers=1", "--quiet", f"--output={tmp_path}", *flags]
    assert make_shards.main(asked) == 0
    settings = manifest_of(tmp_path)["settings"]
    assert (
        tuple(settings[key] for key in ("interpolation", "normalisation", "patch", "patches_per_subject")) == expected
    )


@pytest.mark.parametrize(("flags", "asked"), [([], 0.25), (["--min_foreground=0"], 0.0)])
def test_patches_lie_anywhere_where_no_foreground_is_asked_for(tmp_path, flags, asked):
    command = ["--phantoms=1", "--split=1", "--recipe=journal", "--patch=16", "--patches_per_subject=100"]
    assert make_shards.main([*command, "--workers=1", "--quiet", f"--output={tmp_path}", *flags]) == 0
    assert read_manifest(tmp_path).min_foreground == asked
    (entry,) = manifest_of(tmp_path)["shards"]
    low_res = low_res_by_definition(make_phantom((128, 144, 128), int(entry["source"].partition(":")[2])))
    bright = low_res > low_res.mean()
    parts = np.array([bright[i : i + 16, j : j + 16, k : k + 16].mean() for i, j, k in entry["corners"]])
    everywhere = np.array([bright[i : i + 16, j : j + 16, k : k + 16].mean() for i, j, k in corners_anywhere(bright)])
    if asked:
        assert parts.min() >= asked
    else:
        # As many of them show little as of all patches there are: a hundred give that share to 0.05.
        assert abs((parts < 0.25).mean() - (everywhere < 0.25).mean()) < 0.15 and (everywhere < 0.25).mean() > 0.3


def corners_anywhere(volume):
    """The corners of all patches of 16^3, every eighth along each axis."""
    return np.stack(np.meshgrid(*(np.arange(0, size - 15, 8) for size in volume.shape)), -1).reshape(-1, 3)


def test_a_second_run_does_nothing(scans, shards, capsys, monkeypatch):
    monkeypatch.setattr(shard_job, "_make_shard", lambda job: pytest.fail("a shard was made again"))
    times = {path: path.stat().st_mtime_ns for path in shards.rglob("*")}
    assert make_shards.main(shards_command(scans, shards, workers=2)) == 0
    assert "nothing to do" in capsys.readouterr().err
    assert {path: path.stat().st_mtime_ns for path in shards.rglob("*")} == times


def test_workers_do_not_change_a_byte(scans, shards, tmp_path):
    assert start(shards_command(scans, tmp_path / "two", workers=2)).wait() == 0
    assert contents(tmp_path / "two") == contents(shards)


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        ({"patch": 12}, "patch was 16, now 12"),
        ({"interpolation": "sinc"}, "interpolation was linear, now sinc"),
        ({"seed": 1}, "seed was 0, now 1"),
        ({"split": "1"}, "the scans or their splits have changed"),
    ],
)
def test_changed_settings_are_refused(scans, shards, capsys, flags, sentence):
    before = contents(shards)
    assert make_shards.main(shards_command(scans, shards, **flags)) == 1
    assert sentence in capsys.readouterr().err
    assert contents(shards) == before


def test_overwrite_replaces_all_of_it(scans, shards, tmp_path):
    assert make_shards.main(shards_command(scans, tmp_path / "out", patch=12, split="1")) == 0
    assert make_shards.main([*shards_command(scans, tmp_path / "out"), "--overwrite"]) == 0
    assert contents(tmp_path / "out") == contents(shards)


def test_an_axis_that_is_none_is_told_once_and_leaves_no_folder(scans, tmp_path, capsys):
    assert make_shards.main([f"--input={scans}", f"--output={tmp_path}/out", "--axes=LR,XX"]) == 1
    told = "'XX' is no axis; name LR, AP or IS, or give an index 0, 1 or 2, as in LR,AP."
    assert capsys.readouterr().err == f"mdcsrn-shards: error: {told}\n"
    assert not (tmp_path / "out").exists()


def test_other_peoples_folders_are_left_alone(scans, tmp_path, capsys):
    (tmp_path / "thesis.tex").write_text("years of work")
    assert make_shards.main([*shards_command(scans, tmp_path), "--overwrite"]) == 1
    assert "holds other files" in capsys.readouterr().err
    assert contents(tmp_path) == {"thesis.tex": b"years of work"}


def test_a_missing_or_short_shard_is_made_again(scans, shards, tmp_path):
    output = tmp_path / "out"
    assert make_shards.main(shards_command(scans, output)) == 0
    first, second = sorted(output.glob("train/*.tfrecord"))[:2]
    first.unlink()
    second.write_bytes(second.read_bytes()[:-7])
    (output / "train" / f".partial-{this_host()}-99999999-{'0' * 16}").mkdir()  # left by a killed run
    assert make_shards.main(shards_command(scans, output)) == 0
    assert contents(output) == contents(shards)


def test_an_exchanged_source_is_refused(tmp_path, capsys):
    scans = write_scans(tmp_path / "scans", 2)
    assert make_shards.main(shards_command(scans, tmp_path / "out", split="1,1")) == 0
    (scans / "sub-02_T1w.nii.gz").write_bytes((scans / "sub-01_T1w.nii.gz").read_bytes())
    assert make_shards.main(shards_command(scans, tmp_path / "out", split="1,1")) == 1
    assert "sub-02_T1w.nii.gz is not the file its shard was made of" in capsys.readouterr().err


def test_a_doubtful_header_is_told_at_every_run_and_in_the_manifest(tmp_path, capsys):
    scans = write_scans(tmp_path / "scans", 2)
    path = sorted(scans.iterdir())[0]
    image = nib.load(path)
    bare = nib.Nifti1Image(image.get_fdata(dtype=np.float32), None)
    nib.save(bare, path)
    for _ in range(2):
        assert make_shards.main(shards_command(scans, tmp_path / "out", split="1,1")) == 0
        assert f"mdcsrn-shards: warning: {path.name}: its header does not say where it lies" in capsys.readouterr().err
    entries = json.loads((tmp_path / "out" / "manifest.json").read_text())["shards"]
    assert ["remarks" in entry for entry in entries] == [entry["source"] == path.name for entry in entries]


def test_nan_in_the_air_is_taken_as_zero_and_told(tmp_path, capsys):
    scans = write_scans(tmp_path / "scans", 2)
    path = sorted(scans.iterdir())[0]
    data = nib.load(path).get_fdata(dtype=np.float32)
    data[:1] = np.nan
    for folder, voxels in (("of_nan", data), ("of_zero", np.nan_to_num(data))):
        nib.save(nib.Nifti1Image(voxels, np.eye(4)), path)
        assert make_shards.main(shards_command(scans, tmp_path / folder, split="1,1")) == 0
    told = f"{path.name}: {data[0].size} voxels outside the head are NaN; they are taken as 0"
    assert told in capsys.readouterr().err
    of_nan, of_zero = (
        [shard.read_bytes() for shard in sorted((tmp_path / folder).rglob("*.tfrecord"))]
        for folder in ("of_nan", "of_zero")
    )
    assert of_nan == of_zero and len(of_nan) == 2


def test_copies_of_a_scan_in_two_splits_are_pointed_out(tmp_path, capsys):
    scans = write_scans(tmp_path / "scans", 1)
    shutil.copy(scans / "sub-01_T1w.nii.gz", scans / "sub-02_T1w.nii.gz")
    for note in ("shards with", "nothing to do"):  # made, and looked at again
        assert make_shards.main(shards_command(scans, tmp_path / "out", split="1,1")) == 0
        said = capsys.readouterr().err
        assert note in said and "sub-01_T1w" in said and "sub-02_T1w" in said and "one scan under two names" in said


@pytest.mark.parametrize("changed", ["scan.nii", "scan.img"])
def test_a_source_that_was_corrected_in_place_is_refused(tmp_path, capsys, changed):
    """Its size and its date are what they were; of a scan in two files the voxels lie in the other one."""
    path = tmp_path / "scans" / changed
    path.parent.mkdir()
    kind = nib.Nifti1Image if changed == "scan.nii" else nib.Nifti1Pair
    nib.save(kind(make_phantom((40, 40, 40), 1).astype(np.int16), np.eye(4)), path)
    command = shards_command(path.parent, tmp_path / "out", split="1,0")
    assert make_shards.main(command) == 0
    assert make_shards.main(command) == 0
    before, content = path.stat(), bytearray(path.read_bytes())
    content[-30_000] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert make_shards.main(command) == 1
    assert "is not the file its shard was made of" in capsys.readouterr().err


def spoilt_manifests(text):
    """JSON that is no manifest, and one with each member, of it or of its first entry, gone or of another type."""
    yield from ("3", "[]", "{}", "[" * 100_000)
    for place in ((), ("shards", 0)):
        whole = json.loads(text)
        for key in whole["shards"][0] if place else whole:
            for value in ("gone", None, 3, "x"):
                content = json.loads(text)
                member = content["shards"][0] if place else content
                member[key] = value
                if value == "gone":
                    del member[key]
                yield json.dumps(content)


def test_a_spoilt_manifest_is_a_sentence(tmp_path, capsys):
    scans = write_scans(tmp_path / "scans", 1)
    command = shards_command(scans, tmp_path / "out", split="1,0")
    assert make_shards.main(command) == 0
    manifest, refused = tmp_path / "out" / "manifest.json", 0
    text = manifest.read_text()
    for spoilt in spoilt_manifests(text):
        manifest.write_text(spoilt)
        refused += make_shards.main(command)  # no exception
        manifest.write_text(text)
    assert refused > 30
    assert "manifest.json cannot be read (it is none of ours); remove the folder" in capsys.readouterr().err


def test_a_bad_scan_is_skipped_named_and_made_up_for(tmp_path, capsys):
    scans = write_scans(tmp_path / "scans", 4)
    assert make_shards.main(shards_command(scans, tmp_path / "good", split="3,1")) == 0
    bad = scans / "sub-03_T1w.nii.gz"
    good = bad.read_bytes()
    bad.write_bytes(good[:1000])
    capsys.readouterr()
    for _ in range(2):
        assert make_shards.main(shards_command(scans, tmp_path / "out", split="3,1")) == 1
        errors = capsys.readouterr().err
        assert f"error: skipped sub-03_T1w: {bad} cannot be read" in errors.splitlines()[-1]
        (skipped,) = manifest_of(tmp_path / "out")["skipped"]
        assert skipped["scan"] == "sub-03_T1w" and str(tmp_path) not in skipped["error"]
    bad.write_bytes(good)
    assert make_shards.main(shards_command(scans, tmp_path / "out", split="3,1")) == 0
    assert contents(tmp_path / "out") == contents(tmp_path / "good")


def test_nothing_but_bad_scans(tmp_path, capsys):
    (tmp_path / "scans").mkdir()
    (tmp_path / "scans" / "sub-1.nii").write_bytes(b"no scan")
    assert make_shards.main(shards_command(tmp_path / "scans", tmp_path / "out", split="1")) == 1
    assert "none of the 1 scans could be read" in capsys.readouterr().err
    assert not (tmp_path / "out" / "manifest.json").exists()
    write_scans(tmp_path / "scans", 1)  # of settings that came to no shard none are in the way
    (tmp_path / "scans" / "sub-1.nii").unlink()
    assert make_shards.main(shards_command(tmp_path / "scans", tmp_path / "out", split="1", seed=2)) == 0


def test_more_epochs_begin_with_the_same_patches(scans, shards, tmp_path):
    assert make_shards.main(shards_command(scans, tmp_path, epochs_of_patches=4)) == 0
    for longer, entry in zip(manifest_of(tmp_path)["shards"], manifest_of(shards)["shards"], strict=True):
        assert longer["corners"][: len(entry["corners"])] == entry["corners"]
        assert len({tuple(corner) for corner in longer["corners"]}) > 0.9 * len(longer["corners"])


def test_axes_by_index_take_the_array_as_it_is_stored(tmp_path):
    scans = write_scans(tmp_path / "scans", 1)  # stored with its first axis to the left
    for axes in ("LR,AP", "0,1"):
        flags = shards_command(scans, tmp_path / axes, split="1", axes=axes)
        assert make_shards.main(flags) == 0
    (named,), (indexed,) = (manifest_of(tmp_path / axes)["shards"] for axes in ("LR,AP", "0,1"))
    assert named["array_axes"] == indexed["array_axes"] == [0, 1]
    assert named["shard_sha256"] != indexed["shard_sha256"]


def test_phantoms_need_no_data(tmp_path, monkeypatch):
    monkeypatch.setattr(shard_job, "_PHANTOM_SHAPE", (40, 40, 40))
    arguments = ["--phantoms=3", f"--output={tmp_path}", "--patch=16", "--split=1,1,1", "--workers=1"]
    assert make_shards.main(arguments) == 0
    assert sorted(entry["split"] for entry in manifest_of(tmp_path)["shards"]) == ["test", "train", "validation"]


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--input=x"], "--output is missing"),
        (["--output=x"], "either --input=SCANS or --phantoms=N"),
        (["--input=nowhere", "--output=x"], "nowhere does not exist"),
        (["--phantoms=2", "--output=x", "--factor=2,2,2"], "--factor=2,2,2 must give each"),
        (["--phantoms=2", "--output=x", "--factor=two"], "--factor=two must give each"),
        (["--phantoms=2", "--output=x", "--split=1,1", "--cluster=tcp://127.0.0.1:1"], "No Dask scheduler answers"),
        (["--phantoms=2", "--output=x", "--patch=0"], "patch"),
    ],
)
def test_mistakes_get_one_sentence(flags, sentence, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(workers, "SECONDS_TO_ANSWER", 1)
    assert make_shards.main(flags) == 1
    assert sentence in capsys.readouterr().err.splitlines()[-1]


def test_a_scan_of_nearly_two_values_is_refused(tmp_path, capsys):
    scans = write_scans(tmp_path / "scans", 1)
    mask = np.zeros((40, 40, 40), np.float32)
    mask[10:30] = 1000 + 0.005 * np.random.default_rng(0).standard_normal((20, 40, 40))  # along IS: nothing is lost
    nib.save(nib.Nifti1Image(mask, np.diag([-1.0, -1.0, 1.0, 1.0])[:, [2, 0, 1, 3]]), scans / "sub-99_T1w.nii.gz")
    assert make_shards.main(shards_command(scans, tmp_path / "out", split="1")) == 1
    said = capsys.readouterr().err
    assert "sub-99_T1w.nii.gz: its z-scores reach" in said
    assert "Traceback" not in said
    assert [shard.subject for shard in read_manifest(tmp_path / "out").shards("train")] == ["sub-01"]


def test_shards_that_vanish_while_others_are_made_are_noticed(tmp_path, capsys, monkeypatch):
    scans = write_scans(tmp_path / "scans", 2)
    output, add = tmp_path / "out", ShardFolder.add

    def remove_then_add(folder, entry):
        add(folder, entry)
        for shard in output.rglob("sub-01*.tfrecord"):
            shard.unlink()

    with monkeypatch.context() as patch:
        patch.setattr(ShardFolder, "add", remove_then_add)
        assert make_shards.main(shards_command(scans, output, split="1,1")) == 1
    assert "vanished while others were made" in capsys.readouterr().err
    assert not (output / "manifest.json").exists()
    assert make_shards.main(shards_command(scans, output, split="1,1")) == 0
    with monkeypatch.context() as patch:  # all of it
        patch.setattr(shard_job, "draw_corners", lambda *_: shutil.rmtree(tmp_path / "all") or np.zeros((1, 3), int))
        assert make_shards.main(shards_command(scans, tmp_path / "all", split="1,1")) == 1
    assert "Traceback" not in capsys.readouterr().err


def test_a_second_run_in_one_folder_is_refused(scans, tmp_path, capsys):
    with only_run_in(tmp_path / "out"):
        assert make_shards.main(shards_command(scans, tmp_path / "out")) == 1
    assert "Another run is working in" in capsys.readouterr().err
