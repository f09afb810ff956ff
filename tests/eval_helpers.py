"""Small scans for the evaluation's tests, cut from a real one."""

import os
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np

ROOT = Path(__file__).parent.parent
CROP = np.load(Path(__file__).parent / "golden" / "eval_scans.npz")["sub07_crop"].astype(np.float32)
AFFINE = np.diag([1.0, 1.0, 1.0, 1.0])


def write_scan(path, data, affine=AFFINE):
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(np.asarray(data, np.float32), affine), path)
    return path


def make_scans(folder, count=3):
    """Different subjects, as many as asked for: a crop of a real brain, mirrored and shifted."""
    for number in range(count):
        data = np.roll(CROP[:: -1 if number % 2 else 1], 3 * number, axis=1) * (1 + 0.1 * number)
        write_scan(folder / f"sub-{number:02d}_T1w.nii.gz", data)
    return folder


def run_eval(*arguments):
    """The command by the main function of this process: exit code, standard output, standard error."""
    import contextlib
    import io

    from mdcsrn_tf.cli.eval import main

    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main([str(argument) for argument in arguments])
    return code, out.getvalue(), err.getvalue()


def spawn_eval(*arguments, **settings):
    """The command as users run it."""
    return subprocess.run(
        [sys.executable, str(ROOT / "eval.py"), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
        **settings,
    )
