"""Real disks that are full, read-only or somebody else's: one sentence, nothing half written, and a repeat completes.

A file system of a few hundred kilobytes in memory is mounted for it, which root alone may do.
"""

from __future__ import annotations

import gc
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from eval_helpers import make_scans
from infer_helpers import write_pair, write_tiny_model
from shard_helpers import contents, phantom_shards, shards_command, write_scans

NOBODY = 65534
TRAIN = (
    "--preset=fsrcnn3d",  # the smallest
    "--recipe=quick",
    "--batch_size=2",
    "--phase=l1",
    "--steps=2",
    "--set=patch_size=12",
    "--set=bn_reestimation_batches=2",
    "--set=run.picture_every=0",
    "--set=run.checkpoint_every=1",
)


def shards(inputs, output):
    from data_prep.make_shards import main

    return main([*shards_command(inputs / "shard_scans", output), "--quiet"])


def train(inputs, output):
    from mdcsrn_tf.cli.train import main

    return main([f"--data={inputs / 'shards'}", f"--workdir={output}", *TRAIN])


def evaluate(inputs, output):
    from mdcsrn_tf.cli.eval import main

    return main([f"--hr={inputs / 'eval_scans'}", f"--output={output}", "--baselines=nn", "--nofigures", "--quiet"])


def infer(inputs, output):
    from mdcsrn_tf.cli.infer import main

    return main([f"--input={inputs / 'scans'}", f"--output={output}", f"--model={inputs / 'tiny.keras'}", "--quiet"])


def export(inputs, output):
    from mdcsrn_tf.cli.export import main

    return main([f"--model={inputs / 'tiny.keras'}", f"--output={output / 'exported'}"])


def degrade(inputs, output):
    from data_prep.degrade import main

    return main([f"--input={inputs / 'shard_scans'}", f"--output={output}", "--factor=2,2"])


# With how many KB of room each of them gets somewhere, but not to its end.
COMMANDS = {shards: 300, train: 800, evaluate: 100, infer: 200, export: 60, degrade: 200}


@pytest.fixture(scope="module")
def inputs():
    """What the commands read, where everybody may read it."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    write_scans(folder / "shard_scans", 3)
    make_scans(folder / "eval_scans", 2)
    write_tiny_model(folder / "tiny.keras")
    for number in (1, 2, 3):
        _, low_res, _ = write_pair(folder / "pairs", seed=number)
        (folder / "scans").mkdir(exist_ok=True)
        low_res.rename(folder / "scans" / f"{number}.nii.gz")
    phantom_shards(folder / "shards", "--phantoms=4", "--split=2,1,1,0")
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def disk():
    """Where a file system lies, and the function that changes its options."""
    place = Path(tempfile.mkdtemp())
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", place], capture_output=True, check=False
    )
    if mounted.returncode:
        place.rmdir()
        pytest.skip("no file system can be mounted here")
    yield place, lambda options: subprocess.run(["mount", "-o", f"remount,{options}", place], check=True)
    gc.collect()  # what went wrong there may hold a file open, until it is searched for
    subprocess.run(["umount", place], check=True)
    place.rmdir()


def refused(command, inputs, output, capfd):
    """Run a command that has to fail; what it said."""
    assert command(inputs, output) == 1
    said = capfd.readouterr().err
    assert "Traceback" not in said
    assert "error: " in said
    return said


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.__name__)
def test_a_disk_that_fills_up_costs_one_sentence_and_a_repeat_completes(command, inputs, disk, tmp_path, capfd):
    place, remount = disk
    output = place / "output"
    output.mkdir()
    remount(f"size={COMMANDS[command]}k")
    said = refused(command, inputs, output, capfd)
    assert "space" in said.lower()
    assert not list(output.rglob(".partial-*"))
    remount("size=64m")
    assert command(inputs, output) == 0
    if command in (shards, infer, degrade):
        assert command(inputs, tmp_path) == 0
        assert contents(output) == contents(tmp_path)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.__name__)
def test_a_disk_that_is_read_only_is_named_at_once(command, inputs, disk, capfd):
    place, remount = disk
    remount("ro")
    said = refused(command, inputs, place / "output", capfd)
    assert str(place) in said
    assert "ead-only" in said


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become nobody")
@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.__name__)
def test_a_folder_of_somebody_elses_is_named_at_once(command, inputs, capfd):
    place = Path(tempfile.mkdtemp())
    place.chmod(0o755)
    os.seteuid(NOBODY)
    try:
        said = refused(command, inputs, place / "output", capfd)
    finally:
        os.seteuid(0)
        shutil.rmtree(place)
    assert str(place) in said
    assert "ermission" in said or "rights" in said
