"""Every command of docs/reproduction.md runs, in its order, on phantoms; training is a dry run."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import keras
import nibabel
import numpy as np
import pytest

from data_prep.phantom import make_phantom
from mdcsrn_tf.models import build_generator
from mdcsrn_tf.models.files import ModelCard, save_model
from mdcsrn_tf.papers import PRESETS

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "reproduction.md").read_text()
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]
SHORTER = {
    "mdcsrn-shards": ["--split=1,0,0,2", "--patch=16", "--epochs_of_patches=1", "--patches_per_subject=2"],
    "mdcsrn-train": ["--dry_run", "--set=patch_size=16"],
    "mdcsrn-eval": ["--metrics=psnr,ssim,nrmse", "--nofigures"],
}
TRAINED = {
    "run_fsrcnn/best_l1": "fsrcnn3d",
    "run_srresnet/best_l1": "srresnet3d",
    "run_srdensenet/best_l1": "srdensenet3d",
    "run_journal/best_l1": "journal/b8u4k12",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A small HCP of phantoms, and untrained networks where training would have left its own."""
    folder = tmp_path_factory.mktemp("reproduction")
    for number in range(3):
        path = folder / "HCP" / f"10030{number}" / "T1w" / "T1w_acpc_dc_restore.nii.gz"
        path.parent.mkdir(parents=True)
        nibabel.save(nibabel.Nifti1Image(make_phantom((36, 32, 28), seed=number), np.eye(4)), path)
    for place, preset in TRAINED.items():
        keras.utils.set_random_seed(0)
        (folder / place).parent.mkdir()
        card = ModelCard(preset, "0", "linear", ("LR", "AP"), (2, 2), tile=24)
        save_model(folder / f"{place}.keras", build_generator(PRESETS[preset].network), card)
    (folder / "run_journal" / "best_gan.keras").write_bytes((folder / "run_journal" / "best_l1.keras").read_bytes())
    return folder


@pytest.mark.parametrize("command", COMMANDS, ids=[command[:60] for command in COMMANDS])
def test_command_runs(command, folder):
    program = command.split()[0]
    path = Path(sys.executable).parent
    line = " ".join([command, *map(shlex.quote, SHORTER.get(program, []))])
    done = subprocess.run(
        line, shell=True, cwd=folder, capture_output=True, text=True, check=False, env={"PATH": f"{path}:/usr/bin:/bin"}
    )
    assert done.returncode == 0, done.stderr
    if program == "mdcsrn-eval":
        for theirs, ours in (("FSRCNN", "fsrcnn3d"), ("SRResNet", "srresnet3d"), ("SRDenseNet", "srdensenet3d")):
            assert theirs in done.stdout and ours in done.stdout


def test_the_page_trains_every_network_of_the_papers():
    named = set(re.findall(r"--preset=(\S+)|`([a-z]+/\S+?)`", PAGE))
    assert {first or second for first, second in named} == set(PRESETS)
