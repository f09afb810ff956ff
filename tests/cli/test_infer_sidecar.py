"""What a result's sidecar says, and what a second run makes of it."""

from __future__ import annotations

import hashlib
import json

import nibabel as nib
import numpy as np
import pytest
from infer_helpers import data_of, infer, write_pair, write_scan, write_tiny_model
from PIL import Image

from mdcsrn_tf.cli.console import Console
from mdcsrn_tf.scans.kspace import truncate


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_tiny_model(tmp_path_factory.mktemp("model") / "tiny.keras", interpolation="sinc")


@pytest.fixture
def scan(tmp_path):
    return write_pair(tmp_path / "in", method="cubic")[1]


def sha(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_sidecar_tells_the_whole_story(model, scan, tmp_path, capsys):
    assert infer(f"--input={scan}", f"--output={tmp_path}/sr.nii.gz", f"--model={model}", "--self_check") == 0
    told = capsys.readouterr().err
    story = json.loads((tmp_path / "sr.json").read_text())
    assert story["Model"]["sha256"] == sha(model) and story["Model"]["name"] == "tiny"
    assert story["Description"] == f"Super-resolved by tiny ({story['Model']['preset']})"
    assert story["SourceSHA256"] == sha(scan) and story["ResultSHA256"] == sha(tmp_path / "sr.nii.gz")
    assert (story["Grid"], story["Axes"], story["Factor"]) == ("same", ["LR", "AP"], [2, 2])
    assert [axis["method"] for axis in story["Interpolation"]] == ["cubic", "cubic"]
    assert "taken back to the measured samples" in story["Seen"] and story["Seen"] in told
    check = story["SelfCheck"]
    assert check["gain_db"] == pytest.approx(check["network_db"] - check["sinc_db"])
    assert check["gain_db"] < 0  # an untrained network
    assert any("below sinc on this scan" in warning for warning in story["Warnings"])
    assert "self-check" in told and story["Versions"]["mdcsrn_tf"]


def test_a_second_run_compares_itself_with_the_first(model, scan, tmp_path, capsys):
    flags = (f"--input={scan}", f"--output={tmp_path}/sr.nii.gz", f"--model={model}")
    assert infer(*flags) == 0
    first = (tmp_path / "sr.nii.gz").read_bytes()
    capsys.readouterr()
    assert infer(*flags) == 0
    assert "1 of 1 scans are finished already" in capsys.readouterr().err
    assert infer(*flags, "--tile=30") == 1
    assert "is there already, but --tile was not given and is 30; --overwrite replaces it" in capsys.readouterr().err
    assert infer(*flags[:2]) == 1  # the default network is asked for, and was not the one
    assert f"but --model was {sha(model)[:12]} and is not given" in capsys.readouterr().err
    assert infer(*flags, "--detail=1.5") == 1
    assert "but --detail was 1.0 and is 1.5" in capsys.readouterr().err
    story = json.loads((tmp_path / "sr.json").read_text())
    del story["Request"]["detail"]  # as a version wrote it that had no such setting
    (tmp_path / "sr.json").write_text(json.dumps(story))
    assert infer(*flags) == 0
    assert "1 of 1 scans are finished already" in capsys.readouterr().err
    write_scan(scan, data_of(scan) + 1)
    assert infer(*flags) == 1
    assert "the scan has changed since" in capsys.readouterr().err
    assert (tmp_path / "sr.nii.gz").read_bytes() == first
    assert infer(*flags, "--overwrite", "--quiet") == 0
    assert (tmp_path / "sr.nii.gz").read_bytes() != first


def test_a_network_that_the_scan_chose_is_chosen_again_or_may_be_named(model, scan, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("mdcsrn_tf.inference.choice.choose_model", lambda sight, wanted, name: model)
    flags = (f"--input={scan}", f"--output={tmp_path}/sr.nii.gz")
    assert infer(*flags, "--quiet") == 0
    for named in ((), (f"--model={model}",)):
        assert infer(*flags, *named) == 0
        assert "1 of 1 scans are finished already" in capsys.readouterr().err
    other = write_tiny_model(tmp_path / "other.keras", seed=3)
    assert infer(*flags, f"--model={other}") == 1
    assert f"but --model was {sha(model)[:12]} and is {sha(other)[:12]}" in capsys.readouterr().err


def test_a_picture_that_is_asked_for_later_is_drawn_without_a_network(model, scan, tmp_path, monkeypatch):
    flags = (f"--input={scan}", f"--output={tmp_path}/sr.nii.gz", f"--model={model}", "--quiet")
    assert infer(*flags) == 0
    stamp = (tmp_path / "sr.nii.gz").stat().st_mtime_ns

    def refuse(*_):
        raise AssertionError("the network was loaded")

    monkeypatch.setattr("mdcsrn_tf.inference.folder.load_engine", refuse)
    assert infer(*flags, "--qc") == 0
    assert (tmp_path / "sr_qc.png").stat().st_size > 1000
    assert (tmp_path / "sr.nii.gz").stat().st_mtime_ns == stamp


def test_no_picture_of_an_earlier_result_lies_beside_a_new_one(model, scan, tmp_path, capsys):
    flags = (f"--input={scan}", f"--output={tmp_path}/sr.nii.gz", f"--model={model}")
    picture = tmp_path / "sr_qc.png"
    assert infer(*flags, "--qc") == 0
    first = picture.read_bytes()
    assert infer(*flags, "--overwrite") == 0 and picture.read_bytes() == first, "of the same result"
    assert infer(*flags, "--overwrite", "--detail=2") == 0 and not picture.exists()
    assert infer(*flags, "--detail=2", "--qc") == 0 and picture.read_bytes() != first
    assert Image.open(picture).text == {"Software": "mdcsrn_tf"}
    Image.new("L", (5, 5)).save(picture)  # somebody else's, under the same name
    assert infer(*flags, "--overwrite") == 0 and Image.open(picture).size == (5, 5)


def test_a_picture_of_somebody_elses_is_not_replaced(model, scan, tmp_path, capsys):
    picture = tmp_path / "sr_qc.png"
    picture.write_text("mine")
    flags = (f"--input={scan}", f"--output={tmp_path}/sr.nii.gz", f"--model={model}", "--qc", "--overwrite")
    assert infer(*flags) == 1
    assert "sr_qc.png, where the picture of the result would be drawn, is somebody else's" in capsys.readouterr().err
    assert picture.read_text() == "mine" and not (tmp_path / "sr.nii.gz").exists()
    (tmp_path / "sr.json").write_text('{"GeneratedBy": [{"Name": "mdcsrn_tf"}]}')  # as a killed run leaves it
    assert infer(*flags) == 0
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_results_beside_their_scans_are_not_scans(model, scan, capsys):
    folder = scan.parent
    (folder / "hr.nii.gz").unlink()
    (folder / "small.nii.gz").unlink()
    flags = (f"--input={folder}", f"--output={folder}", f"--model={model}")
    assert infer(*flags) == 0
    assert infer(*flags) == 0
    assert "1 of 1 scans are finished already" in capsys.readouterr().err
    assert sorted(path.name for path in folder.iterdir()) == ["lr.nii.gz", "lr_sr.json", "lr_sr.nii.gz"]
    scan.unlink()
    assert infer(*flags) == 1
    assert "holds results of mdcsrn_tf alone" in capsys.readouterr().err


def test_values_stay_in_their_range(model, scan, tmp_path):
    """16-bit scans up to 60,000: nothing below zero, nothing wrapped round."""
    low = data_of(scan)
    write_scan(scan, np.rint(np.clip(low / low.max(), 0, 1) * 60_000), dtype=np.uint16)
    for dtype in ("float32", "same"):
        flags = (f"--input={scan}", f"--output={tmp_path}/{dtype}.nii.gz", f"--model={model}", f"--dtype={dtype}")
        assert infer(*flags, "--quiet") == 0
    exact, stored = (data_of(tmp_path / f"{dtype}.nii.gz").astype(float) for dtype in ("float32", "same"))
    assert exact.min() >= 0 and nib.load(tmp_path / "same.nii.gz").get_data_dtype() == np.uint16
    np.testing.assert_allclose(stored, np.rint(exact).clip(0, 65_535), atol=1)


def test_a_network_that_gives_nan_writes_nothing(scan, tmp_path, capsys):
    import keras
    from infer_helpers import tiny_model

    from mdcsrn_tf.models.files import ModelCard, save_model

    model = tiny_model()
    model.weights[0].assign(np.full(model.weights[0].shape, np.nan, np.float32))
    card = ModelCard("tiny", "0", "sinc", axes=("LR", "AP"), factor=(2, 2), tile=24, margin=3, bn="moving")
    save_model(tmp_path / "nan.keras", model, card)
    keras.backend.clear_session()
    (tmp_path / "out").mkdir()
    flags = (f"--input={scan}", f"--output={tmp_path}/out/sr.nii.gz", f"--model={tmp_path}/nan.keras", "--quiet")
    assert infer(*flags) == 1
    assert "the network gave NaN" in capsys.readouterr().err
    assert not list((tmp_path / "out").iterdir())


def test_every_container_takes_the_small_grid(model, tmp_path):
    """MGZ and four dimensions with one volume used to fail after all the work."""
    _, _, small = write_pair(tmp_path)
    image = nib.load(small)
    (tmp_path / "in").mkdir()
    nib.save(nib.MGHImage(data_of(small).astype(np.float32), image.affine), tmp_path / "in" / "a.mgz")
    nib.save(nib.Nifti1Image(data_of(small)[..., None], image.affine), tmp_path / "in" / "b.nii.gz")
    nib.save(image, tmp_path / "in" / "c.nii.gz")
    flags = (f"--input={tmp_path}/in", f"--output={tmp_path}/out", f"--model={model}", "--consistency")
    assert infer(*flags, "--grid=small", "--axes=LR,AP", "--factor=2,2", "--quiet") == 0
    results = [data_of(tmp_path / "out" / f"{name}_sr.nii.gz") for name in "abc"]
    np.testing.assert_array_equal(results[0], results[2])
    np.testing.assert_array_equal(results[1], results[2])
    measured = data_of(small)
    kept = truncate(results[2].astype(np.float64), (2, 2), (0, 1))
    assert np.abs(kept - measured).max() < 1e-5 * measured.std()


def test_four_dimensions_are_done_one_after_the_other(model, scan, tmp_path, capsys):
    low = data_of(scan)
    write_scan(tmp_path / "four.nii.gz", np.stack([low, 2 * low], axis=-1))
    common = (f"--model={model}", "--quiet")
    assert infer(f"--input={scan}", f"--output={tmp_path}/one.nii.gz", *common) == 0
    assert infer(f"--input={tmp_path}/four.nii.gz", f"--output={tmp_path}/all.nii.gz", common[0]) == 0
    assert "four.nii.gz: 2 volumes, one after the other; --volume=N takes one" in capsys.readouterr().err
    assert infer(f"--input={tmp_path}/four.nii.gz", f"--output={tmp_path}/0.nii.gz", "--volume=0", *common) == 0
    four, one = data_of(tmp_path / "all.nii.gz"), data_of(tmp_path / "one.nii.gz")
    assert four.shape == (*one.shape, 2)
    np.testing.assert_array_equal(four[..., 0], one)
    np.testing.assert_array_equal(data_of(tmp_path / "0.nii.gz"), one)
    np.testing.assert_allclose(four[..., 1], 2 * one, rtol=1e-3, atol=1e-2)
    told = (f"--input={tmp_path}/four.nii.gz", f"--output={tmp_path}/told.nii.gz", "--detail=auto", common[0])
    assert infer(*told) == 0
    strength = json.loads((tmp_path / "told.json").read_text())["Detail"]
    assert f"the network's detail times {strength:.2f}" in capsys.readouterr().err
    # The first volume decides for all, whatever the second would have asked for.
    write_scan(tmp_path / "other.nii.gz", np.stack([low, np.sqrt(np.abs(low))], axis=-1))
    told = (f"--input={tmp_path}/other.nii.gz", f"--output={tmp_path}/both.nii.gz", "--detail=auto", *common)
    named = (told[0], f"--output={tmp_path}/named.nii.gz", f"--detail={strength!r}", *common)
    assert infer(*told) == 0 and infer(*named) == 0
    np.testing.assert_array_equal(data_of(tmp_path / "both.nii.gz"), data_of(tmp_path / "named.nii.gz"))


def test_an_ensemble_of_two_is_the_mean_with_the_mirror_image(model, scan, tmp_path):
    """Mirrored by hand: the file read backwards, its affine left as it is, so that nobody turns it back."""
    mirrored = write_scan(tmp_path / "mirrored.nii.gz", data_of(scan)[::-1])
    results = {}
    for name, path, flag in (("one", scan, "1"), ("other", mirrored, "1"), ("both", scan, "2")):
        flags = (f"--input={path}", f"--output={tmp_path}/{name}_sr.nii.gz", f"--model={model}", f"--ensemble={flag}")
        assert infer(*flags, "--quiet") == 0
        results[name] = data_of(tmp_path / f"{name}_sr.nii.gz").astype(float)
    expected = (results["one"] + results["other"][::-1]) / 2
    # The zeros that a magnitude image is cut off at are cut off before and after the mean.
    inside = (results["one"] > 0) & (results["other"][::-1] > 0)
    np.testing.assert_allclose(results["both"][inside], expected[inside], rtol=1e-3, atol=0.05)
    assert np.abs(results["both"] - results["one"]).max() > 0.1


@pytest.mark.parametrize("name", ["x.mgz", "x.nii.zip", "x.gz", "x.img", "x.nifti", "x.ni"])
def test_other_formats_are_refused_and_not_made_folders(scan, tmp_path, capsys, name):
    assert infer(f"--input={scan}", f"--output={tmp_path}/out/{name}") == 1
    assert "results are written as .nii or .nii.gz" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_log_without_a_terminal_gets_a_line_a_minute(capsys):
    times = iter([0, 30, 61, 70, 200])
    console = Console("infer", clock=lambda: next(times))
    with console.scan("a.nii.gz", 0, 3) as update:
        for done in range(1, 5):
            update(done, 5)
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["infer: a.nii.gz (1 of 3): 2 of 5 parts", "infer: a.nii.gz (1 of 3): 4 of 5 parts"]


def test_a_bids_app_takes_places_and_labels(model, scan, tmp_path, capsys):
    from mdcsrn_tf.cli import bids

    low = data_of(scan)
    for subject in ("01", "02", "03"):
        write_scan(tmp_path / f"raw/sub-{subject}/anat/sub-{subject}_T1w.nii.gz", low)
    (tmp_path / "raw" / "dataset_description.json").write_text("{}")
    places = [str(tmp_path / "raw"), str(tmp_path / "out"), "participant"]
    flags = [f"--model={model}", "--quiet"]
    assert bids.main([*places, "--participant-label", "01", "03", flags[0]]) == 0
    said = capsys.readouterr().err
    assert "mdcsrn-bids: sub-01_T1w.nii.gz" in said and "mdcsrn-infer" not in said, "logged by its own name"
    names = sorted(path.name for path in (tmp_path / "out").rglob("*.nii.gz"))
    assert names == ["sub-01_desc-sr_T1w.nii.gz", "sub-03_desc-sr_T1w.nii.gz"]
    for label in ("07", ""):  # an empty one, as of a variable that is not set, is not everybody
        assert bids.main([*places, f"--participant_label={label}", *flags]) == 1
        assert f"names sub-{label}, which the dataset has not" in capsys.readouterr().err
    assert bids.main([*places, *flags, "--participant-label"]) == 1
    assert bids.main([*places, *flags, "--output=elsewhere"]) == 1
    assert "takes its folders by their places; leave out --output" in capsys.readouterr().err
    spaced = ["--model", str(model), "--tile", "40", *places, "--quiet", "--participant_label", "02"]
    assert bids.main(spaced) == 0, "values behind a space, as BIDS Apps have them"
    assert json.loads((tmp_path / "out/sub-02/anat/sub-02_desc-sr_T1w.json").read_text())["Request"]["tile"] == 40
    assert bids.main([*places, "--model"]) == 1
    assert "Missing value for flag --model" in capsys.readouterr().err
    assert bids.main([*places[:2], "group", *flags]) == 1
    assert "BIDS_FOLDER OUTPUT_FOLDER participant" in capsys.readouterr().err


def test_the_help_of_the_bids_app_tells_of_its_places_and_of_no_flag_that_it_refuses(capsys):
    from mdcsrn_tf.cli import bids

    assert bids.main(["--help"]) == 0
    said = capsys.readouterr().out
    assert "\nusage: mdcsrn-bids BIDS_FOLDER OUTPUT_FOLDER participant [flags] " in said
    assert "Not here: BIDS_FOLDER" in said and "--participant-label 01 02" in said and "The file to write" not in said


def test_a_subject_is_the_nearest_folder_that_is_called_so(tmp_path, capsys):
    path = tmp_path / "sub-09" / "raw" / "sub-01" / "anat" / "sub-01_T1w.nii.gz"
    path.parent.mkdir(parents=True)
    path.touch()
    folders = f"--input={tmp_path / 'sub-09' / 'raw'}", f"--output={tmp_path / 'out'}"
    assert infer(*folders, "--participant_label=09") == 1
    assert "names sub-09, which the dataset has not" in capsys.readouterr().err
    for number in ("nan", "inf", "none"):
        assert infer(*folders, "--participant_label=01", f"--nan={number}") == 1
        assert f"--nan={number} is neither a number nor refuse" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_version_and_short_names(capsys):
    from mdcsrn_tf import __version__

    assert infer("--version") == 0
    assert capsys.readouterr().out == f"mdcsrn-infer {__version__}\n"
    assert infer("--help") == 0
    assert "-i, --input" in capsys.readouterr().out
