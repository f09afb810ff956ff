"""Files appear whole, beside whatever else is written there, and killed runs leave nothing for ever."""

import errno
import os
import pickle
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mdcsrn_tf import files
from mdcsrn_tf.errors import UserError
from mdcsrn_tf.files import remove_abandoned, replace_when_done
from mdcsrn_tf.locks import LOCK_NAME, only_run_in

HOLD = """
import sys, time
from pathlib import Path
from mdcsrn_tf.files import replace_when_done
from mdcsrn_tf.locks import only_run_in
folder = Path(sys.argv[1])
with only_run_in(folder), replace_when_done(folder / "result.txt") as partial:
    partial.write_text("half")
    print("holding", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the folder and writes in it."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1])},
    )
    assert process.stdout.readline() == "holding\n"
    yield process
    process.kill()
    process.wait()


def test_two_containers_with_one_process_number_do_not_collide(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "getpid", lambda: 1)
    with replace_when_done(tmp_path / "a.txt") as mine, replace_when_done(tmp_path / "a.txt") as theirs:
        assert mine != theirs
        mine.write_text("mine")
        theirs.write_text("theirs")
    assert (tmp_path / "a.txt").read_text() == "mine"  # the outer block ends last
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_a_planted_link_is_not_followed(tmp_path, monkeypatch):
    monkeypatch.setattr(files.secrets, "token_hex", lambda _: "0" * 16)
    outside = tmp_path / "outside"
    outside.mkdir()
    work = tmp_path / "work"
    work.mkdir()
    (work / f".partial-{files.this_host()}-{os.getpid()}-{'0' * 16}").symlink_to(outside)
    with pytest.raises(FileExistsError), replace_when_done(work / "a.txt") as partial:
        partial.write_text("x")
    assert not list(outside.iterdir())


def test_many_writers_at_once(tmp_path):
    def write(number):
        with replace_when_done(tmp_path / f"{number % 7}.txt") as partial:
            partial.write_text("whole")
        remove_abandoned(tmp_path)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(200)))
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{number}.txt" for number in range(7)]


@pytest.mark.parametrize("name", [".partial-results", ".partial-99999999-patients"])
def test_what_others_call_partial_is_theirs_however_old(tmp_path, name):
    theirs = tmp_path / name
    theirs.mkdir()
    (theirs / "data").write_text("years of work")
    os.utime(theirs, (0, 0))
    remove_abandoned(tmp_path)
    assert (theirs / "data").exists()


def test_what_a_killed_run_left_is_removed_and_a_living_one_keeps_its_own(tmp_path, holder):
    remove_abandoned(tmp_path)
    (kept,) = tmp_path.glob(".partial-*")
    assert (kept / "result.txt").read_text() == "half"
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    remove_abandoned(tmp_path)
    assert not list(tmp_path.glob(".partial-*"))


def test_the_first_file_that_is_written_somewhere_sweeps_there(tmp_path):
    (tmp_path / f".partial-{files.this_host()}-99999999-{'0' * 16}").mkdir()
    with replace_when_done(tmp_path / "new.nii") as partial:
        partial.write_text("whole")
    assert [path.name for path in tmp_path.iterdir()] == ["new.nii"]


def test_another_machines_is_removed_after_a_day(tmp_path):
    for name, age in (("young", 3600), ("old", 2 * 24 * 3600)):
        folder = tmp_path / f".partial-{name}.cluster-77-{'a' * 16}"
        folder.mkdir()
        os.utime(folder, (folder.stat().st_mtime - age,) * 2)
    remove_abandoned(tmp_path)
    assert [path.name.split("-")[1] for path in tmp_path.iterdir()] == ["young.cluster"]


@pytest.mark.parametrize("exchange_in_one_step", [True, False])
def test_a_folder_is_there_until_the_new_one_is(tmp_path, monkeypatch, exchange_in_one_step):
    if not exchange_in_one_step:
        monkeypatch.setattr(files.sys, "platform", "elsewhere")
    target = tmp_path / "model"
    target.mkdir()
    (target / "old").write_text("old")
    with replace_when_done(target) as partial:
        partial.mkdir()
        (partial / "new").write_text("new")
        assert (target / "old").read_text() == "old"
    assert [path.name for path in target.iterdir()] == ["new"]
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_file_never_takes_a_folders_place(tmp_path):
    target = tmp_path / "scan_sr.nii.gz"
    target.mkdir()
    (target / "notes").write_text("somebody's")
    with pytest.raises(IsADirectoryError, match="scan_sr"), replace_when_done(target) as partial:
        partial.write_text("new")
    assert (target / "notes").read_text() == "somebody's"
    assert [path.name for path in tmp_path.iterdir()] == ["scan_sr.nii.gz"]


def test_a_long_name_leaves_room_for_its_partial(tmp_path):
    path = tmp_path / ("n" * 248 + ".nii.gz")
    with replace_when_done(path) as partial:
        partial.write_text("whole")
    assert path.read_text() == "whole"


def test_two_runs_do_not_share_a_folder_but_a_killed_one_stands_in_nobodys_way(tmp_path, holder):
    sentence = rf"Another run .*process {holder.pid} on .*name another folder"
    with pytest.raises(UserError, match=sentence), only_run_in(tmp_path):
        pass
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert (tmp_path / LOCK_NAME).exists()
    with only_run_in(tmp_path):
        assert str(os.getpid()) in (tmp_path / LOCK_NAME).read_text()
    assert not (tmp_path / LOCK_NAME).exists()


def test_a_full_disk_names_the_file_that_found_no_room(tmp_path):
    """A write raises ENOSPC without any name; the sentence on the terminal, and one from a worker, needs it."""
    with pytest.raises(OSError, match="No space left") as caught, replace_when_done(tmp_path / "a.tfrecord"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert pickle.loads(pickle.dumps(caught.value)).filename == str(tmp_path / "a.tfrecord")
