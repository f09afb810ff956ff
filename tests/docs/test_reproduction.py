"""Every command of docs/reproduction.md runs, in its order, on phantoms; training is a dry run."""

import re
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import keras
import nibabel
import numpy as np
import pytest
from command_helpers import call

from data_prep.phantom import make_phantom
from mdcsrn_tf.inference import kernels
from mdcsrn_tf.models import build_generator
from mdcsrn_tf.models.files import ModelCard, save_model
from mdcsrn_tf.papers.mdcsrn import PRESETS
from mdcsrn_tf.training import dry_run

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "reproduction.md").read_text()
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]
SHORTER = {
    "mdcsrn-shards": ["--split=1,0,0,1", "--patch=16", "--epochs_of_patches=1", "--patches_per_subject=2"],
    "mdcsrn-train": ["--dry_run", "--set=patch_size=16"],
    "mdcsrn-eval": ["--metrics=psnr,ssim,nrmse", "--nofigures", "--workers=1"],
}
TRAINED = {
    "run_fsrcnn/best_l1": "fsrcnn3d",
    "run_srresnet/best_l1": "srresnet3d",
    "run_srdensenet/best_l1": "srdensenet3d",
    "run_journal/best_l1": "journal/b8u4k12",
}


def of_one_block(network):
    return replace(network, blocks=1) if hasattr(network, "blocks") else network


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A small HCP of phantoms, and untrained networks where training would have left its own, of one block each."""
    folder = tmp_path_factory.mktemp("reproduction")
    for number in range(2):
        path = folder / "HCP" / f"10030{number}" / "T1w" / "T1w_acpc_dc_restore.nii.gz"
        path.parent.mkdir(parents=True)
        nibabel.save(nibabel.Nifti1Image(make_phantom((18, 18, 18), seed=number), np.eye(4)), path)
    for place, preset in TRAINED.items():
        keras.utils.set_random_seed(0)
        (folder / place).parent.mkdir()
        card = ModelCard(preset, "0", "linear", ("LR", "AP"), (2, 2), tile=24)
        save_model(folder / f"{place}.keras", build_generator(of_one_block(PRESETS[preset].network)), card)
    (folder / "run_journal" / "best_gan.keras").write_bytes((folder / "run_journal" / "best_l1.keras").read_bytes())
    return folder


@pytest.mark.parametrize("command", COMMANDS, ids=[command[:60] for command in COMMANDS])
def test_command_runs(command, folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    # To time a step of each network takes minutes together; tests/training times one.
    monkeypatch.setattr(dry_run, "_measure", lambda *_: {"generator": 1.0, "critic": 1.0})
    # To compile six networks takes longer than to run them; tests/inference compiles, and compares.
    monkeypatch.setattr(kernels, "xla_works", lambda: False)
    program, *flags = shlex.split(command)
    if program not in SHORTER:  # the shell's own, and Python's
        monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:/usr/bin:/bin")
        subprocess.run(command, shell=True, check=True)
        return
    code = call([program, *flags, *SHORTER[program]])
    printed = capsys.readouterr()
    assert code == 0, printed.err
    if program == "mdcsrn-eval":
        for theirs, ours in (("FSRCNN", "fsrcnn3d"), ("SRResNet", "srresnet3d"), ("SRDenseNet", "srdensenet3d")):
            assert theirs in printed.out and ours in printed.out


def test_the_page_trains_every_network_of_the_papers():
    named = set(re.findall(r"--preset=(\S+)|`([a-z]+/\S+?)`", PAGE))
    assert {first or second for first, second in named} == set(PRESETS)
