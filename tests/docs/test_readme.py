"""Every command of the README runs, in its order, on phantoms; training is shortened by the flags below."""

import re
import shlex
import subprocess
from pathlib import Path

import nibabel
import numpy as np
import pytest
from command_helpers import call

from data_prep.phantom import make_phantom
from mdcsrn_tf.scans.kspace import acquire, degrade, small_affine

ROOT = Path(__file__).resolve().parents[2]
BLOCKS = re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
COMMANDS = [shlex.split(line, comments=True) for block in BLOCKS for line in block.splitlines()]
# What would take minutes is made small, not left out.
SHORTER = {
    "mdcsrn-shards": ["--patches_per_subject=2", "--patch=16"],
    "mdcsrn-train": ["--steps=2", "--batch_size=1", "--set=patch_size=16", "--set=bn_reestimation_batches=1"],
    "mdcsrn-infer": ["--tile=40"],
    "mdcsrn-eval": ["--metrics=psnr,ssim,nrmse", "--workers=1"],
}
FACTORS, AXES = (2, 2), (0, 1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The folders that the README speaks of, each with a scan or more."""
    folder = tmp_path_factory.mktemp("readme")
    affine = np.diag([4.0, 4.0, 4.0, 1.0])  # heads of a natural size on a small matrix
    for seed in range(5):
        head = make_phantom((44, 40, 36), seed=seed)
        save(head, affine, folder / "hr_scans" / f"sub-{seed}_T1w.nii.gz")
    # The bundled networks refuse results of 4 mm: what they are given is a small head of 1 mm.
    fine = np.eye(4)
    save(degrade(head, FACTORS, AXES), fine, folder / "scans" / "sub-4_T1w.nii.gz")
    small = small_affine(fine, FACTORS, AXES)
    save(acquire(head, FACTORS, AXES), small, folder / "small_scans" / "sub-4_T1w.nii.gz")
    return folder


def save(data, affine, path):
    path.parent.mkdir(exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(data, affine), path)


@pytest.mark.parametrize("command", COMMANDS, ids=[" ".join(command[:4]) for command in COMMANDS])
def test_readme_command_runs(command, folder, monkeypatch, capsys):
    if command[0] == "make":
        target = subprocess.run(["make", "-n", *command[1:]], cwd=ROOT, capture_output=True, text=True, check=False)
        assert target.returncode == 0, target.stderr
        return
    shorter = [] if "architectures" in command else SHORTER.get(command[0], [])
    monkeypatch.chdir(folder)
    assert call([*command, *shorter]) == 0, capsys.readouterr().err
    for flag in command:
        if flag.startswith(("--output=", "--workdir=")):
            assert any((folder / flag.partition("=")[2]).iterdir()), f"{flag} is empty"


def test_the_readme_has_commands_for_every_step():
    assert {command[0] for command in COMMANDS} == {
        "make",
        "mdcsrn-infer",
        "mdcsrn-shards",
        "mdcsrn-train",
        "mdcsrn-export",
        "mdcsrn-variants",
        "mdcsrn-eval",
    }
