"""Small scans for the tests of mdcsrn-shards, and what two output folders have in common."""

import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from data_prep import shard_job
from data_prep.make_shards import main as make_shards
from data_prep.phantom import make_phantom

REPOSITORY = Path(__file__).parents[1]


def write_scans(folder, count, size=40):
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(1, count + 1):
        affine = np.diag([-1.0, 1.1, 0.9, 1.0]) if number % 2 else np.eye(4)
        data = make_phantom((size, size + 3, size - 2), seed=number).astype(np.int16)
        nib.save(nib.Nifti1Image(data, affine), folder / f"sub-{number:02d}_T1w.nii.gz")
    return folder


def phantom_shards(output, *flags):
    """Patches of 12^3, 4 of each phantom, which is a twentieth as large as the command's own."""
    patches = ("--patch=12", "--patches_per_subject=4", "--workers=1", "--quiet")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shard_job, "_PHANTOM_SHAPE", (48, 54, 48))
        assert make_shards([*flags, *patches, f"--output={output}"]) == 0
    return output


def shards_command(scans, output, **flags):
    settings = {
        "patch": 16,
        "patches_per_subject": 4,
        "epochs_of_patches": 3,
        "split": "0.7,0.1,0.1,0.1",
        "workers": 1,
        "recipe": "journal",
        **flags,
    }
    return [f"--input={scans}", f"--output={output}", *(f"--{key}={value}" for key, value in settings.items())]


def start(arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "data_prep.make_shards", *arguments],
        cwd=REPOSITORY,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def contents(folder):
    """Every file below the folder but the record of the run, which tells of times."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "run.json"
    }
