"""What the benchmarks share: a head of HCP's size, choosing scans, running our commands and what that costs."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mdcsrn_tf.scans.axes import to_ras
from mdcsrn_tf.scans.volumes import find_volumes, read_volume

ROOT = Path(__file__).resolve().parents[1]
HCP_SHAPE = (320, 320, 256)
DEGRADATION = ("--axes=LR,AP", "--factor=2,2")


def scans_beginning(data: Path, beginnings: str) -> list[Path]:
    """The scans in `data` whose names begin with one of `beginnings`, `sub-07,sub-08` for instance."""
    return [path for path in find_volumes(data) if path.name.startswith(tuple(beginnings.split(",")))]


def read_ras(path: Path) -> tuple[np.ndarray, list[float]]:
    """A scan's voxels, axes R, A, S, and their size in mm along these: a turned scan stores both in another order."""
    volume = read_volume(path)
    data, affine = to_ras(volume.data, volume.affine)
    return data, [float(size) for size in np.linalg.norm(affine[:3, :3], axis=0)]


def run(*command: str, check: bool = True) -> None:
    """One of our commands, as a user would start it; `check`: an exit code other than 0 is an error."""
    subprocess.run([sys.executable, *command], cwd=ROOT, check=check)


def write_hcp_sized_scan(path: Path) -> None:
    """A phantom of 320 x 320 x 256, int16, as an HCP scan is; made in a process of its own."""
    code = (
        "import sys, nibabel, numpy; from data_prep.phantom import make_phantom; "
        f"image = nibabel.Nifti1Image(make_phantom({HCP_SHAPE}, 1).astype('int16'), numpy.diag([.7, .7, .7, 1])); "
        "nibabel.save(image, sys.argv[1])"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], cwd=ROOT, check=True)


def cost(command: Sequence[str]) -> dict[str, float]:
    """Wall time, processor time and peak memory of a child process."""
    start = time.monotonic()
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.monotonic() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    return {
        "wall_s": round(wall, 2),
        "cpu_s": round(usage.ru_utime + usage.ru_stime, 2),
        "peak_gb": round(usage.ru_maxrss * 1024 / 1e9, 3),
    }


def own_peak_gb() -> float:
    """This process's peak memory so far, in 10^9 bytes."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9, 3)
