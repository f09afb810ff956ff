"""kill -9 at random moments, and again during the resumed run: the end result is that of an undisturbed run."""

import os
import signal
import time

import numpy as np
import pytest
from shard_helpers import contents, shards_command, start, write_scans

from data_prep import make_shards, shard_folder
from data_prep.shard_folder import ShardFolder
from mdcsrn_tf.errors import UserError

MOMENTS = 10


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    return write_scans(tmp_path_factory.mktemp("scans"), 10, size=56)


@pytest.fixture(scope="module")
def undisturbed(scans, tmp_path_factory):
    output = tmp_path_factory.mktemp("undisturbed") / "shards"
    assert make_shards.main(command(scans, output, 1)) == 0
    return contents(output)


def command(scans, output, workers):
    return shards_command(scans, output, workers=workers, patch=24, epochs_of_patches=20)


@pytest.mark.parametrize("moment", range(MOMENTS))
def test_a_killed_run_continues_to_the_same_bytes(moment, scans, undisturbed, tmp_path):
    output = tmp_path / "shards"
    # Each start is killed a random time after its first trace; the last (in this process) runs to its end.
    delay = np.random.default_rng(moment).uniform(0, 0.9)
    process = start(command(scans, output, workers=2 if moment < 2 else 1))
    deadline = time.monotonic() + 60
    while not (output / ".progress" / "settings.json").exists() and time.monotonic() < deadline:
        time.sleep(0.002)
    time.sleep(delay)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    for path in output.glob("*/[!.]*.tfrecord"):  # a shard is whole or not there
        assert path.read_bytes() == undisturbed[path.relative_to(output).as_posix()]
    assert make_shards.main(command(scans, output, 1)) == 0
    assert contents(output) == undisturbed


@pytest.mark.parametrize("left", [".progress/", ".progress/.partial-host-1-00/", ".partial-host-1-00/", "train/"])
def test_a_run_killed_before_it_noted_its_settings_is_begun_anew(left, tmp_path):
    (tmp_path / "out" / left).mkdir(parents=True)
    ShardFolder(tmp_path / "out").open({"patch": 8}, overwrite=False)
    assert ShardFolder(tmp_path / "out").finished() == {}


@pytest.mark.parametrize("left", [".progress/notes", "train/a.tfrecord", "b.nii"])
def test_what_is_not_a_runs_is_left_alone(left, tmp_path):
    (tmp_path / "out" / left).parent.mkdir(parents=True)
    (tmp_path / "out" / left).write_text("mine")
    with pytest.raises(UserError, match="holds other files"):
        ShardFolder(tmp_path / "out").open({"patch": 8}, overwrite=False)


@pytest.mark.parametrize("removals", range(4))
def test_killed_while_it_replaces_shards_of_other_settings_it_can_be_repeated(removals, tmp_path, monkeypatch):
    folder, remove, done = ShardFolder(tmp_path), shard_folder.remove, []

    def remove_until_killed(path):
        if len(done) == removals:
            raise KeyboardInterrupt
        done.append(path)
        remove(path)

    folder.open({"patch": 8}, overwrite=False)
    for name in ("a", "b"):
        (tmp_path / "train").mkdir(exist_ok=True)
        (tmp_path / "train" / f"{name}.tfrecord").write_text("")
    folder.finish({"patch": 8}, [], [])
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(shard_folder, "remove", remove_until_killed)
        folder.open({"patch": 9}, overwrite=True)
    ShardFolder(tmp_path).open({"patch": 9}, overwrite=True)
    assert ShardFolder(tmp_path).finished() == {} and not list(tmp_path.glob("*/*.tfrecord"))


def test_workers_end_with_their_parent(scans, tmp_path):
    process = start(command(scans, tmp_path / "shards", workers=2))
    children = f"/proc/{process.pid}/task/{process.pid}/children"
    deadline = time.monotonic() + 60
    pids: list[str] = []
    while len(pids) < 3 and process.poll() is None and time.monotonic() < deadline:
        with open(children) as stream:  # noqa: PTH123 (procfs)
            pids = stream.read().split()  # the workers, and multiprocessing's resource tracker
        time.sleep(0.01)
    assert len(pids) >= 2
    time.sleep(0.5)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    deadline = time.monotonic() + 20
    while any(alive(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(alive(pid) for pid in pids)


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as stream:  # noqa: PTH123 (procfs)
            return stream.read().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
