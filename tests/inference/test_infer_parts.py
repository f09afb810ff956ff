"""What inference is made of: bundled models, outputs, frames, the k-space check, the picture, memory."""

from __future__ import annotations

import gc
import hashlib
import importlib
import json
import os
import sys
from pathlib import Path

import keras
import matplotlib.image
import nibabel as nib
import numpy as np
import pytest
from infer_helpers import hr_volume, infer

from data_prep.degrade import plan_outputs
from mdcsrn_tf.chatter import (
    _nothing_searched_for_garbage,
    as_if_not_installed,
    load_tensorflow_quietly,
    shorten_compilation,
    without_library_chatter,
)
from mdcsrn_tf.errors import UserError
from mdcsrn_tf.inference import opened
from mdcsrn_tf.inference.outputs import Job, plan, write_dataset_description
from mdcsrn_tf.inference.provenance import differences
from mdcsrn_tf.inference.qc import log_spectrum, save_picture
from mdcsrn_tf.inference.settings import ScanSettings
from mdcsrn_tf.models import build_generator
from mdcsrn_tf.models.files import ModelCard, save_model
from mdcsrn_tf.papers import PRESETS, get_preset
from mdcsrn_tf.scans.axes import to_ras
from mdcsrn_tf.scans.find import is_result
from mdcsrn_tf.scans.frames import Frame, order_for
from mdcsrn_tf.scans.kspace import degrade
from mdcsrn_tf.weights import describe, find_model, list_models


def test_a_scan_that_changes_while_it_is_read_is_refused(tmp_path, monkeypatch):
    """Its sidecar would name a file that the result is not of, and a second run take it for finished."""
    source = tmp_path / "scan.nii"
    nib.save(nib.Nifti1Image(hr_volume(), np.eye(4)), source)
    scan = Job(source, tmp_path / "sr.nii")
    assert opened.open_scan(scan, ScanSettings()).sha256 == hashlib.sha256(source.read_bytes()).hexdigest()
    read = opened.read_volumes

    def read_and_change(*arguments, **settings):
        volumes = read(*arguments, **settings)
        source.write_bytes(source.read_bytes() + b"more")
        return volumes

    monkeypatch.setattr(opened, "read_volumes", read_and_change)
    with pytest.raises(UserError, match=r"scan.nii was written to while it was read; run the same command again"):
        opened.open_scan(scan, ScanSettings())


def test_bundled_models_by_name(tmp_path):
    with pytest.raises(UserError, match="--model=FILE"):
        find_model(None, tmp_path)
    for name in ("b.keras", "a.keras", ".partial-a.keras", "notes.md"):
        (tmp_path / name).write_text("")
    assert list_models(tmp_path) == ["a", "b"]
    (tmp_path / "default.txt").write_text("b\n")
    assert list_models(tmp_path) == ["b", "a"]
    assert find_model(None, tmp_path) == tmp_path / "b.keras"
    assert find_model("a", tmp_path) == tmp_path / "a.keras"
    assert find_model(tmp_path / "notes.md", tmp_path) == tmp_path / "notes.md"
    with pytest.raises(UserError, match="no model c"):
        find_model("c", tmp_path)


def test_list_models_prints_a_line_of_each_card(capsys):
    assert infer("--list_models") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in lines] == list_models()
    assert all(line.partition(": ")[2].partition(",")[0] in PRESETS for line in lines)


def test_a_cards_line_is_spelt_out(tmp_path):
    notes = {"recipe": "quick", "phase": "l1", "step": 650, "validation": {"psnr": 35.551, "input_psnr": 35.276}}
    card = ModelCard("journal/b4u4k12", "0.1.0", "sinc", ("LR", "AP"), (2, 2), notes=notes)
    save_model(tmp_path / "net.keras", build_generator(get_preset("journal/b4u4k8").network), card)
    assert describe("net", tmp_path) == (
        "net: journal/b4u4k12, sinc inputs, 2x2 LR,AP; quick recipe, l1 phase, step 650; "
        "validation 35.55 dB, its input 35.28"
    )


def touch(*paths):
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def test_plan_table(tmp_path):
    touch(tmp_path / "in/a.nii", tmp_path / "in/deep/sub-1_ses-2_T1w.nii.gz")
    out = tmp_path / "out"
    assert [(job.source.name, job.target.relative_to(out).as_posix()) for job in plan(tmp_path / "in", out)] == [
        ("a.nii", "a_sr.nii.gz"),
        ("sub-1_ses-2_T1w.nii.gz", "deep/sub-1_ses-2_desc-sr_T1w.nii.gz"),
    ]
    (single,) = plan(tmp_path / "in/a.nii", out / "x.nii")
    assert single.target == out / "x.nii" and single.picture == out / "x_qc.png"
    (tmp_path / "in/scans.txt").write_text("a.nii\n../beside.nii\ndeep/../also.nii")
    places = [job.target.relative_to(out).as_posix() for job in plan(tmp_path / "in/scans.txt", out)]
    assert sorted(places) == ["a_sr.nii.gz", "also_sr.nii.gz", "beside_sr.nii.gz"], "all within the output"


@pytest.mark.parametrize("described", [True, False])
@pytest.mark.parametrize("named", ["", "sub-1", "sub-1/ses-2", "sub-1/ses-2/anat"])
def test_a_part_of_a_bids_dataset_gives_the_same_derivatives_as_the_whole(tmp_path, monkeypatch, named, described):
    touch(tmp_path / "raw/sub-1/ses-2/anat/sub-1_ses-2_T1w.nii.gz")
    if described:
        touch(tmp_path / "raw/dataset_description.json")
    monkeypatch.chdir(tmp_path / "raw")
    for source in (Path(named or "."), tmp_path / "raw" / named):
        (job,) = plan(source, Path("../out"))
        assert job.target == Path("../out/sub-1/ses-2/anat/sub-1_ses-2_desc-sr_T1w.nii.gz")
        assert job.bids_root == tmp_path / "raw"
    (job,) = plan(Path("sub-1/ses-2/anat/sub-1_ses-2_T1w.nii.gz"), Path("../out"))
    assert job.target == Path("../out/sub-1_ses-2_desc-sr_T1w.nii.gz"), "a file alone goes into the folder as it is"
    assert job.bids_root == tmp_path / "raw"


def test_folders_that_are_only_called_as_in_bids_stay_what_they_are(tmp_path):
    touch(tmp_path / "in/sub-1/T1.nii", tmp_path / "in/sub-1/sub-1_T1w.nii")
    one, other = plan(tmp_path / "in/sub-1", tmp_path / "out")
    assert (one.target, one.bids_root) == (tmp_path / "out/T1_sr.nii.gz", None)
    assert (other.target, other.bids_root) == (tmp_path / "out/sub-1_desc-sr_T1w.nii.gz", None)
    touch(tmp_path / "sub-2/scans/sub-2_T1w.nii")  # not in anat, as BIDS has it
    (job,) = plan(tmp_path / "sub-2", tmp_path / "out")
    assert (job.target, job.bids_root) == (tmp_path / "out/scans/sub-2_desc-sr_T1w.nii.gz", None)


def test_the_derivatives_link_to_their_one_dataset(tmp_path):
    """Where the reader of a sidecar's bids:raw:... starts, from the folder of the derivatives, as BIDS 1.9 has it."""
    raw, out = tmp_path / "raw", tmp_path / "my raw" / "derivatives" / "sr"
    raw.mkdir()
    out.mkdir(parents=True)
    write_dataset_description(out, [raw, raw])
    assert json.loads((out / "dataset_description.json").read_text())["DatasetLinks"] == {"raw": "../../../raw"}
    (tmp_path / "link").symlink_to(out)  # `..` of a link is the folder that it leads to
    (out / "dataset_description.json").unlink()
    write_dataset_description(tmp_path / "link", [tmp_path / "my raw"])
    assert json.loads((out / "dataset_description.json").read_text())["DatasetLinks"] == {"raw": "../.."}
    write_dataset_description(raw, [tmp_path / "my raw"])
    assert json.loads((raw / "dataset_description.json").read_text())["DatasetLinks"] == {"raw": "../my%20raw"}
    write_dataset_description(tmp_path, [raw, out])
    assert "DatasetLinks" not in json.loads((tmp_path / "dataset_description.json").read_text())


def test_plan_refuses_collisions_and_overwriting(tmp_path):
    touch(tmp_path / "in/a.nii", tmp_path / "in/a.nii.gz")
    with pytest.raises(UserError, match="would both become"):
        plan(tmp_path / "in", tmp_path / "out")
    with pytest.raises(UserError, match="would replace the scan"):
        plan(tmp_path / "in/a.nii", tmp_path / "in/a.nii")
    (tmp_path / "out/a_sr.nii.gz").mkdir(parents=True)
    with pytest.raises(UserError, match=r"a_sr\.nii\.gz, where the result would be written, is a folder"):
        plan(tmp_path / "in/a.nii", tmp_path / "out")


def test_scans_called_alike_that_a_list_names_keep_their_folders_below_its_own(tmp_path):
    touch(tmp_path / "hcp/100307/T1w/T1w.nii", tmp_path / "hcp/100408/T1w/T1w.nii", tmp_path / "lists/some.txt")
    (tmp_path / "lists/some.txt").write_text("../hcp/100307/T1w/T1w.nii\n../hcp/100408/T1w/T1w.nii")
    with pytest.raises(UserError, match=r"out/T1w_sr\.nii\.gz; put the list into a folder above both"):
        plan(tmp_path / "lists/some.txt", tmp_path / "out")
    with pytest.raises(UserError, match=r"out/T1w\.nii\.gz; put the list into a folder above both"):
        plan_outputs(tmp_path / "lists/some.txt", tmp_path / "out")
    (tmp_path / "some.txt").write_text("hcp/100307/T1w/T1w.nii\nhcp/100408/T1w/T1w.nii")
    places = [
        job.target.relative_to(tmp_path / "out").as_posix() for job in plan(tmp_path / "some.txt", tmp_path / "out")
    ]
    assert places == ["hcp/100307/T1w/T1w_sr.nii.gz", "hcp/100408/T1w/T1w_sr.nii.gz"]


@pytest.mark.parametrize(
    "content",
    [
        b'{"EchoTime": 0.003}',
        b'{"GeneratedBy": NaN}',
        b'{"GeneratedBy": [3]}',
        b'"\xff"',
        b"[" * 100_000,
        b"",
        None,
    ],
    ids=["dcm2niix", "NaN", "numbers", "latin-1", "deep", "empty", "pipe"],
)
def test_a_sidecar_of_somebody_elses_is_not_replaced_and_makes_no_result_of_ours(tmp_path, content):
    touch(tmp_path / "in/a.nii")
    sidecar = tmp_path / "out" / "a.json"
    sidecar.parent.mkdir()
    os.mkfifo(sidecar) if content is None else sidecar.write_bytes(content)
    with pytest.raises(UserError, match=r"a\.json.*somebody else's file; name another --output"):
        plan(tmp_path / "in/a.nii", tmp_path / "out/a.nii.gz")
    touch(tmp_path / "out/a.nii")
    assert not is_result(tmp_path / "out/a.nii")


@pytest.mark.parametrize(
    ("degraded", "trained", "order"),
    [
        ((0, 1), (0, 1), (0, 1, 2)),
        ((1, 0), (0, 1), (0, 1, 2)),
        ((1, 2), (0, 1), (1, 2, 0)),
        ((0, 2), (0, 1), (0, 2, 1)),
        ((2,), (0,), (2, 0, 1)),
        ((0,), (0, 1), (0, 1, 2)),
    ],
)
def test_order_table(degraded, trained, order):
    assert order_for(degraded, trained) == order


@pytest.mark.parametrize("anatomical", [True, False])
def test_frames_come_back_and_carry_borders_along(anatomical):
    data = np.arange(60.0).reshape(3, 4, 5)
    affine = np.array([[0, -1, 0, 3], [0, 0, 2, 4], [1, 0, 0, 5], [0, 0, 0, 1.0]])
    frame = Frame(affine, anatomical, (1, 2, 0), (0, 2))
    straight = frame.straighten(data)
    inside = frame.enter(straight)
    assert inside.shape == tuple(straight.shape[axis] for axis in (1, 2, 0))
    np.testing.assert_array_equal(frame.leave(inside), straight)
    np.testing.assert_array_equal(frame.unstraighten(straight), data)
    marked = np.zeros(inside.shape, bool)
    marked[2:] = True  # a border before voxel 2 of the network's first axis
    upright = to_ras(frame.unstraighten(frame.leave(marked)), affine)[0].astype(int)
    expected = [
        sorted({int(place) + 1 for place in np.argwhere(np.diff(upright, axis=axis))[:, axis]}) for axis in range(3)
    ]
    assert frame.leave_positions([[2], [], []], inside.shape) == expected


def test_the_picture_shows_three_planes_and_is_the_same_every_time(tmp_path):
    high = hr_volume((40, 36, 32))
    low = degrade(high, (2, 2), (0, 1))
    save_picture(tmp_path / "a.png", low, high, "title", (1, 1, 2), ([20], [18], []))
    save_picture(tmp_path / "b.png", low, high, "title", (1, 1, 2), ([20], [18], []))
    picture = matplotlib.image.imread(tmp_path / "a.png")
    assert picture[..., :3].std() > 0.1 and picture[:5, :5, :3].max() == 0  # dark all round
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    yellow = (picture[..., 0] > 0.6) & (picture[..., 1] > 0.6) & (picture[..., 2] < 0.35)
    save_picture(tmp_path / "c.png", low, high, "title", (1, 1, 2))
    plain = matplotlib.image.imread(tmp_path / "c.png")
    unmarked = (plain[..., 0] > 0.6) & (plain[..., 1] > 0.6) & (plain[..., 2] < 0.35)
    assert yellow.sum() > unmarked.sum() + 100


def test_log_spectrum_of_a_wave_peaks_at_its_frequency():
    wave = np.cos(2 * np.pi * 5 * np.arange(32) / 32)[:, None] * np.ones((1, 16))
    spectrum = log_spectrum(wave)
    peaks = np.argwhere(spectrum > spectrum.max() - 1e-6)
    assert sorted(map(tuple, peaks)) == [(11, 8), (21, 8)]


def test_a_process_that_has_keras_on_another_backend_is_told_so(monkeypatch):
    load_tensorflow_quietly()
    monkeypatch.setattr(keras.config, "backend", lambda: "jax")
    with pytest.raises(UserError, match=r"runs on jax here.*KERAS_BACKEND=tensorflow"):
        load_tensorflow_quietly()
    monkeypatch.setitem(sys.modules, "keras", None)  # as where it is on a backend that is not installed
    with pytest.raises(UserError, match=r"Keras cannot be imported \(.*KERAS_BACKEND=tensorflow"):
        load_tensorflow_quietly()


def test_chatter_is_shown_only_if_loading_fails_or_if_it_is_wanted(capfd):
    with without_library_chatter():
        os.write(2, b"half a screen")
    assert capfd.readouterr().err == ""
    with without_library_chatter() as chatter:
        os.write(2, b"why the GPU is not used")
        chatter.wanted = True
    assert "why the GPU is not used" in capfd.readouterr().err
    with pytest.raises(ValueError, match="no such library"), without_library_chatter():
        os.write(2, b"the reason")
        raise ValueError("no such library")
    assert "the reason" in capfd.readouterr().err


@pytest.mark.parametrize("searched", [True, False])
def test_loading_is_not_searched_for_garbage_and_leaves_the_search_as_it_was(searched):
    gc.collect()  # what is frozen below stays so, as conftest.py has it: there shall be no garbage among it
    found, kept = [], gc.get_freeze_count()
    gc.enable() if searched else gc.disable()
    try:
        with _nothing_searched_for_garbage():
            found.append(gc.isenabled())
        assert (found, gc.isenabled(), gc.get_freeze_count() > kept) == ([False], searched, True)
        with pytest.raises(ValueError, match="no such library"), _nothing_searched_for_garbage():
            raise ValueError("no such library")
        assert gc.isenabled() is searched
    finally:
        gc.enable()


def test_a_package_is_hidden_while_others_load_and_is_there_again_afterwards():
    hidden = "wsgiref"  # of the standard library; nothing here has loaded it
    assert hidden not in sys.modules
    with pytest.raises(ValueError, match="no such library"), as_if_not_installed(hidden, "numpy"):
        with pytest.raises(ImportError):
            importlib.import_module(hidden)
        assert importlib.import_module("numpy") is np, "what is loaded stays"
        raise ValueError("no such library")
    assert importlib.import_module(hidden).__name__ == hidden


@pytest.mark.parametrize(
    ("version", "before", "after"),
    [
        ("2.21.0", None, "--xla_cpu_use_fusion_emitters=false"),
        ("2.21.1", "--a=1", "--a=1 --xla_cpu_use_fusion_emitters=false"),
        ("2.21.0", "--xla_cpu_use_fusion_emitters=true", "--xla_cpu_use_fusion_emitters=true"),
        ("2.21.0", "/etc/xla flags", "/etc/xla flags"),  # a file that holds them
        ("2.19.1", None, None),
    ],
)
def test_xla_gets_its_flag_where_it_is_known_and_the_user_said_nothing(monkeypatch, version, before, after):
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    if before:
        monkeypatch.setenv("XLA_FLAGS", before)
    shorten_compilation(version)
    found = os.environ.pop("XLA_FLAGS", None)
    assert found == after


def test_the_root_script_is_the_command():
    text = (Path(__file__).resolve().parents[2] / "infer.py").read_text()
    assert "mdcsrn_tf.cli.infer import main" in text


def test_what_a_result_was_made_by_is_said_in_whole_words(tmp_path):
    job = Job(tmp_path / "gone.nii", tmp_path / "sr.nii")
    shown = dict.fromkeys(("Seen", "Warnings", "Tile", "Margin", "Tiles", "BatchNormalization", "SeamFigure"))
    made = {"precision": "tensorfloat32", "model": "0123456789abcdef", "tile": None}
    job.sidecar.write_text(json.dumps({**shown, "Model": {"sha256": ""}, "Request": made}))
    assert differences(job, {"precision": "float32", "model": "fedcba9876543210", "tile": 64}) == [
        "--precision was tensorfloat32 and is float32",
        "--model was 0123456789ab and is fedcba987654",
        "--tile was not given and is 64",
    ]
