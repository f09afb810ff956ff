"""Checkpoints: exact, whole or absent, the last few kept."""

import subprocess
import sys

import numpy as np
import pytest

from mdcsrn_tf.errors import UserError
from mdcsrn_tf.training.checkpoints import CheckpointFolder, load_checkpoint

ARRAYS = {
    "generator/0000/stem/kernel": np.random.default_rng(0).standard_normal((3, 3, 3, 1, 2)).astype(np.float32),
    "optimizer/0000/iteration": np.array(7, np.int64),
}
META = {"progress": {"step": 7, "best": 0.25}, "settings": {"seed": 1}}

# Writes one checkpoint whole, and dies by kill -9 in the middle of the next.
DIE_WHILE_WRITING = """
import os, signal, sys
import numpy as np
from mdcsrn_tf.training.checkpoints import CheckpointFolder
folder = CheckpointFolder(sys.argv[1], keep=2)
arrays = {"part": np.arange(100_000)}
folder.save(1, arrays, {"step": 1})
def dying(stream, **arrays):
    stream.write(b"PK" + bytes(1000))
    stream.flush()
    os.kill(os.getpid(), signal.SIGKILL)
np.savez = dying
folder.save(2, arrays, {"step": 2})
"""


def test_a_checkpoint_comes_back_bit_for_bit(tmp_path):
    folder = CheckpointFolder(tmp_path / "l1", keep=3)
    assert folder.latest() is None
    path = folder.save(7, ARRAYS, META)
    found = folder.latest()
    assert found.path == path
    assert found.meta == META
    assert list(found.arrays) == list(ARRAYS)
    for name, array in ARRAYS.items():
        assert found.arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(found.arrays[name], array)


def test_the_last_few_are_kept_and_the_newest_is_by_step(tmp_path):
    folder = CheckpointFolder(tmp_path, keep=2)
    for step in (5, 900, 1000, 10_000):
        folder.save(step, ARRAYS, META)
    assert [path.name for path in folder.paths()] == ["step-000001000.npz", "step-000010000.npz"]
    assert folder.latest().path.name == "step-000010000.npz"


def test_a_kill_in_the_middle_of_a_write_leaves_the_one_before_whole(tmp_path):
    done = subprocess.run([sys.executable, "-c", DIE_WHILE_WRITING, str(tmp_path)], check=False, timeout=60)
    assert done.returncode == -9
    assert any(path.name.startswith(".partial-") for path in tmp_path.iterdir())
    folder = CheckpointFolder(tmp_path, keep=2)
    assert folder.latest().meta == {"step": 1}
    folder.clear_partial()
    assert [path.name for path in tmp_path.iterdir()] == ["step-000000001.npz"]


def test_a_full_disk_leaves_the_one_before_and_no_litter(tmp_path, monkeypatch):
    folder = CheckpointFolder(tmp_path, keep=1)
    folder.save(1, ARRAYS, META)

    def full(stream, **_arrays):
        stream.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(OSError, match="No space"):
        folder.save(2, ARRAYS, META)
    assert [path.name for path in tmp_path.iterdir()] == ["step-000000001.npz"]


@pytest.mark.parametrize("damage", ["truncated", "text", "empty"])
def test_a_damaged_checkpoint_is_named_with_its_remedy(tmp_path, damage):
    path = CheckpointFolder(tmp_path, keep=1).save(1, ARRAYS, META)
    raw = path.read_bytes()
    path.write_bytes({"truncated": raw[: len(raw) // 2], "text": b"not an archive", "empty": b""}[damage])
    with pytest.raises(UserError, match=r"step-000000001\.npz is damaged"):
        load_checkpoint(path)
