"""A folder of scans through `mdcsrn-infer`: how long it takes, and how much memory after each scan.

    python benchmarks/folder_of_scans.py --before=OLDER_CHECKOUT [--rounds=5]
    python benchmarks/folder_of_scans.py --scans=30 --shape=64,64,48 --rounds=1 --output=thirty_scans.json

The scans are phantoms. One process runs over all of them; its resident memory is noted when each result appears. With
an older checkout both codes take turns. Writes the record into benchmarks/results.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import nibabel as nib
import numpy as np

from benchmarks import pages
from mdcsrn_tf.run_record import RunRecord

RECORD, MEMORY_RECORD = "folder_of_scans.json", "thirty_scans.json"
_CALL = "import sys; sys.path.insert(0, sys.argv.pop(1)); from mdcsrn_tf.cli.infer import main; main()"


def main() -> None:
    """Make the scans, run over them, write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scans", type=int, default=6)
    parser.add_argument("--shape", default="128,128,100")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--before", type=Path)
    parser.add_argument("--precision", default="bfloat16")
    parser.add_argument("--output", default=RECORD, choices=(RECORD, MEMORY_RECORD))
    arguments = parser.parse_args()
    shape = tuple(int(size) for size in arguments.shape.split(","))
    folders = {"after": pages.ROOT} | ({"before": arguments.before.resolve()} if arguments.before else {})
    fields = ("scans", "rounds", "precision")
    record = RunRecord.begin({"shape": shape, **{name: getattr(arguments, name) for name in fields}})
    runs: dict[str, list[dict[str, Any]]] = {code: [] for code in folders}
    record.results = {"runs": runs}
    with tempfile.TemporaryDirectory() as folder:
        make_scans(Path(folder) / "scans", arguments.scans, shape)
        for number in range(arguments.rounds):
            for code, checkout in folders.items():
                runs[code].append(run(checkout, Path(folder), f"{code}{number}", arguments))
                print(code, runs[code][-1], flush=True)
                record.write(pages.RESULTS / arguments.output, folders_kept=False)


def make_scans(folder: Path, count: int, shape: tuple[int, ...]) -> None:
    """Phantoms whose first two axes were zero-filled by two: what the default network takes."""
    from data_prep.phantom import make_phantom
    from mdcsrn_tf.scans.kspace import degrade

    folder.mkdir()
    for number in range(count):
        low_res = degrade(make_phantom(shape, number).astype(np.float32), (2, 2), (0, 1), "sinc")
        voxels = np.clip(np.round(low_res), 0, 32767).astype(np.int16)
        nib.save(nib.Nifti1Image(voxels, np.diag([1.0, 1.0, 1.0, 1.0])), folder / f"sub-{number:02d}_T1w.nii.gz")


def run(checkout: Path, folder: Path, name: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """One run over all scans: seconds, and resident memory when each result appeared."""
    target, log = folder / name, folder / f"{name}.log"
    flags = [f"--input={folder / 'scans'}", f"--output={target}", f"--precision={arguments.precision}", "--force"]
    started = time.monotonic()
    with log.open("w") as stream:
        process = subprocess.Popen([sys.executable, "-c", _CALL, str(checkout), *flags], stderr=stream, cwd=folder)
        seen: dict[str, float] = {}
        while process.poll() is None:
            memory = resident(process.pid)
            for path in target.glob("*.nii.gz"):
                if memory and not path.name.startswith("."):
                    seen.setdefault(path.name, memory)
            time.sleep(0.02)
    if process.returncode or len(list(target.glob("*.nii.gz"))) != arguments.scans:
        raise SystemExit(f"{name} ended with {process.returncode}: {log.read_text()[-2000:]}")
    return {"seconds": round(time.monotonic() - started, 2), "resident_mb": [round(mb, 1) for mb in seen.values()]}


def resident(pid: int) -> float:
    """MB (10^6 bytes) that the process holds now; 0 when it has ended."""
    try:
        pages_held = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    except (OSError, IndexError):
        return 0.0
    return pages_held * os.sysconf("SC_PAGE_SIZE") / 1e6


def section(record: dict[str, Any]) -> str:
    """The time over a few scans, by the code before and after, and the memory over many."""
    config, runs = record["config"], record["results"]["runs"]
    rows = []
    for code in sorted(runs, reverse=True):
        each = [one["seconds"] for one in runs[code]]
        rows.append([code, f"{statistics.median(each):.1f}", ", ".join(f"{value:.1f}" for value in each)])
    many = pages.read(MEMORY_RECORD)
    held = many["results"]["runs"]["after"][0]["resident_mb"]
    lines = [
        "## A folder of scans",
        "",
        f"{pages.circumstances(record)} {config['scans']} phantoms of {size(config)} voxels through the default "
        "network, "
        f"{config['precision']}, one process, starting up included. `before`: one scan after the other; `after`: the "
        "next one is read and the last one written while one is computed. Two cores are kept busy by the network, so "
        "that there is next to nothing to gain; it is for machines whose network is done sooner.",
        "",
        *pages.table(["", "seconds (median)", "each round"], rows),
        "",
        f"Resident memory while {many['config']['scans']} phantoms of {size(many['config'])} went through one process: "
        f"{mean(held[5:10]):.0f} MB over the sixth to tenth result, {mean(held[-5:]):.0f} MB over the last five, "
        f"{max(held):.0f} MB at most.",
        "",
    ]
    return "\n".join(lines)


def size(config: dict[str, Any]) -> str:
    """`128 x 128 x 100`."""
    return " x ".join(map(str, config["shape"]))


def mean(values: Iterable[float]) -> float:
    """The mean, or NaN of nothing."""
    found = list(values)
    return statistics.fmean(found) if found else float("nan")


if __name__ == "__main__":
    main()
