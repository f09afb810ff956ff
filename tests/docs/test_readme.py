"""Every command of the README runs, in its order and without a warning, on phantoms; the flags below shorten it."""

import re
import shlex
import subprocess
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest
from command_helpers import call

from data_prep.phantom import make_phantom
from mdcsrn_tf.evaluation import architectures
from mdcsrn_tf.papers import PRESETS
from mdcsrn_tf.scans.kspace import acquire, degrade, small_affine
from mdcsrn_tf.training import dry_run

ROOT = Path(__file__).resolve().parents[2]
BLOCKS = re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
COMMANDS = [shlex.split(line, comments=True) for block in BLOCKS for line in block.splitlines()]
# What would take minutes is made small, not left out.
SHORTER = {
    "mdcsrn-shards": ["--patches_per_subject=2", "--patch=16"],
    "mdcsrn-train": ["--steps=2", "--batch_size=1", "--set=patch_size=16", "--set=bn_reestimation_batches=1"],
    "mdcsrn-infer": ["--tile=50"],  # each scan in one tile
    "mdcsrn-eval": ["--metrics=psnr,ssim,nrmse", "--workers=1"],
}
# A brain can only be cut out of a head of a natural size, and the default network takes no voxels of 4 mm.
OTHER_SCANS = {"mdcsrn-variants": ("hr_scans", "large_heads")}
FACTORS, AXES = (2, 2), (0, 1)
TRAINED = PRESETS["journal/b4u4k12"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The folders that the README speaks of, each with a scan or more."""
    folder = tmp_path_factory.mktemp("readme")
    affine = np.diag([1.2, 1.2, 1.2, 1.0])
    for seed in range(5):
        head = make_phantom((44, 40, 36), seed=seed)
        save(head, affine, folder / "hr_scans" / f"sub-{seed}_T1w.nii.gz")
    save(head, np.diag([4.0, 4.0, 4.0, 1.0]), folder / "large_heads" / "sub-4_T1w.nii.gz")
    save(degrade(head, FACTORS, AXES), affine, folder / "scans" / "sub-4_T1w.nii.gz")
    small = small_affine(affine, FACTORS, AXES)
    save(acquire(head, FACTORS, AXES), small, folder / "small_scans" / "sub-4_T1w.nii.gz")
    return folder


def save(data, affine, path):
    path.parent.mkdir(exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(data, affine), path)


@pytest.mark.parametrize("command", COMMANDS, ids=[" ".join(command[:4]) for command in COMMANDS])
def test_readme_command_runs_without_a_warning(command, folder, monkeypatch, capfd, recwarn):
    if command[0] == "make":
        target = subprocess.run(["make", "-n", *command[1:]], cwd=ROOT, capture_output=True, text=True, check=False)
        assert target.returncode == 0, target.stderr
        return
    shorter = [] if "architectures" in command else SHORTER.get(command[0], [])
    monkeypatch.chdir(folder)
    # To time a step of each network, and to build them all, takes as long as all else here; tests/training times one,
    # tests/evaluation counts them.
    monkeypatch.setattr(dry_run, "_measure", lambda *_: {"generator": 1.0, "critic": 1.0})
    monkeypatch.setattr(architectures, "PRESETS", {TRAINED.name: TRAINED})
    monkeypatch.setattr(architectures, "DISCRIMINATORS", {})
    # One block of four: to compile them is all that this training does.
    monkeypatch.setitem(PRESETS, TRAINED.name, replace(TRAINED, network=replace(TRAINED.network, blocks=1)))
    named, meant = OTHER_SCANS.get(command[0], ("", ""))
    code = call([*(word.replace(named, meant) for word in command), *shorter])
    said = "\n".join(capfd.readouterr())
    assert code == 0, said
    assert not [line for line in said.splitlines() if "warning" in line.lower() or "oneDNN" in line]
    assert not [str(warning.message) for warning in recwarn]
    for flag in command:
        if flag.startswith(("--output=", "--workdir=")):
            assert any((folder / flag.partition("=")[2]).iterdir()), f"{flag} is empty"


def test_the_readme_has_commands_for_every_step():
    assert {command[0] for command in COMMANDS} == {
        "make",
        "mdcsrn-degrade",
        "mdcsrn-infer",
        "mdcsrn-shards",
        "mdcsrn-train",
        "mdcsrn-export",
        "mdcsrn-variants",
        "mdcsrn-eval",
    }
