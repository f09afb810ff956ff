"""Names as people give them: dollars, no UTF-8, 245 letters; none may cost a scan."""

import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pytest

from data_prep.splits import assign_splits
from data_prep.subjects import list_scans
from mdcsrn_tf.evaluation.formats import write_text
from mdcsrn_tf.inference.outputs import plan
from mdcsrn_tf.inference.qc import save_picture
from mdcsrn_tf.names import digest_of, fitting_name, readable
from mdcsrn_tf.run_record import write_json

NO_UTF8 = os.fsdecode(b"M\xfcller")
HOSTILE = ["$^$", "$x$ \\frac{", NO_UTF8, "\u65e5\u672c", "n" * 245, "a\nb"]


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_a_picture_a_text_and_a_record_take_any_name(tmp_path, name, recwarn):
    image = np.random.default_rng(0).random((8, 9, 7)).astype(np.float32)
    save_picture(tmp_path / "qc.png", image, image, name)
    assert (tmp_path / "qc.png").read_bytes().startswith(b"\x89PNG")
    write_text(tmp_path / "table.md", name)
    assert (tmp_path / "table.md").read_text(encoding="utf-8") == readable(name)
    write_json(tmp_path / "run.json", {"name": name})
    assert json.loads((tmp_path / "run.json").read_text(encoding="utf-8")) == {"name": name}


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".mgz"])
def test_the_longest_names_have_results_shards_and_a_split(tmp_path, suffix):
    folder = tmp_path / "scans"
    folder.mkdir()
    names = [letter * (255 - len(suffix)) + suffix for letter in "xy"] + [f"{NO_UTF8}{suffix}"]
    for name in names:
        (folder / name).touch()
    jobs = plan(folder, tmp_path / "out")
    for path in (*(job.target for job in jobs), *(job.picture for job in jobs), *(job.sidecar for job in jobs)):
        path.parent.mkdir(exist_ok=True)
        path.touch()
        path.unlink()
    assert len({job.target for job in jobs}) == 3
    scans = list_scans(folder, "1", 0)
    assert len({scan.name for scan in scans}) == 3
    assert all(len(f"scan-{scan.name}.tfrecord") <= 255 for scan in scans)


def test_names_that_are_cut_keep_apart_and_short_ones_stay():
    one, other = ("s" * 300 + end for end in "ab")
    assert fitting_name(one, ".nii.gz") != fitting_name(other, ".nii.gz")
    assert len(fitting_name(one, ".nii.gz")) == 255
    assert fitting_name("short", ".nii.gz") == "short.nii.gz"


def test_hashes_of_ordinary_names_are_what_they_were():
    assert digest_of("0:\u00fc") == hashlib.sha256("0:\u00fc".encode()).digest()
    assert set(assign_splits([NO_UTF8, "b"], "1,1", 0)) == {NO_UTF8, "b"}
    assert Path(NO_UTF8)
