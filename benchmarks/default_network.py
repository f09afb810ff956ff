"""Is the default network's gain a real one, and is it safe to leave alone with a folder of scans?

    python benchmarks/default_network.py --data=FOLDER [--tests=sub-07,sub-08]

For the test scans of FOLDER (of even sizes): the shift that registers the result to the original (a network that shifts
or blurs can score well), the distance of its radial spectrum from the original's beyond half of the Nyquist frequency,
the share of the removed k-space that is still wrong, and whether a second run writes the same bytes. Then infer.py goes
over all scans of FOLDER as they are. Writes benchmarks/results/default_network.json and docs/results.md anew.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from benchmarks import pages
from benchmarks.data_helpers import DEGRADATION, ROOT, read_ras, run, scans_beginning
from benchmarks.network_checks import shift
from mdcsrn_tf.files import sha256_of
from mdcsrn_tf.metrics.spectra import radial_power, ring_centres
from mdcsrn_tf.run_record import RunRecord
from mdcsrn_tf.scans.find import stem_of
from mdcsrn_tf.scans.kspace import degrade
from mdcsrn_tf.scans.volumes import find_volumes
from mdcsrn_tf.weights import list_models

FACTORS, AXES = (2, 2), (0, 1)


def main() -> None:
    """Check, keep the record, regenerate the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--tests", default="sub-07,sub-08", help="beginnings of their names")
    arguments = parser.parse_args()
    tests = scans_beginning(arguments.data, arguments.tests)
    if not tests:
        raise SystemExit(f"No scan in {arguments.data} begins with --tests={arguments.tests}.")
    record = RunRecord.begin({"model": list_models()[0], "axes": "LR,AP", "factor": FACTORS})
    record.results["scans"] = {}
    with tempfile.TemporaryDirectory() as folder:
        for path in tests:
            high, super_res, repeated = super_resolve_twice(path, Path(folder))
            record.results["scans"][stem_of(path.name)] = {**check(high, super_res), "same_bytes_twice": repeated}
        record.results["all_scans"] = leave_alone(arguments.data, Path(folder, "all"))
    record.write(pages.RESULTS / "default_network.json", folders_kept=False)
    from benchmarks import results_doc

    results_doc.main()


def super_resolve_twice(path: Path, folder: Path) -> tuple[np.ndarray, np.ndarray, bool]:
    """A scan and its result from its small matrix, axes R, A, S, and whether two runs wrote the same file."""
    name = f"{stem_of(path.name)}.nii.gz"
    small, first, second = (folder / kind / name for kind in ("small", "first", "second"))
    run("-m", "data_prep.degrade", f"--input={path}", f"--output={small}", "--grid=small", *DEGRADATION)
    for result in (first, second):
        run("infer.py", f"--input={small}", f"--output={result}", "--grid=small", *DEGRADATION, "--quiet")
    high, super_res = (read_ras(scan)[0] for scan in (path, first))
    if high.shape != super_res.shape:
        raise SystemExit(f"{path} has an odd size along a degraded axis: its result does not lie on its grid.")
    return high, super_res, sha256_of(first) == sha256_of(second)


def check(high: np.ndarray, super_res: np.ndarray) -> dict[str, Any]:
    """Shift, spectrum and what is wrong in the removed k-space, of the network's image and of sinc's."""
    images = {"sinc": degrade(high, FACTORS, AXES, "sinc"), "network": super_res}
    measures = {"shift_voxels": shift, "spectrum_distance_db": spectrum_distance, "wrong_share": wrong_share}
    return {name: {of: measure(high, image) for of, image in images.items()} for name, measure in measures.items()}


def spectrum_distance(reference: np.ndarray, image: np.ndarray) -> float:
    """Mean distance in dB between two radial power spectra of axial slices, beyond half of the Nyquist frequency."""
    slices = np.flatnonzero((reference > 0.05 * reference.max()).mean(axis=(0, 1)) > 0.1)
    lost = ring_centres() > 1 / max(FACTORS)
    one, two = (10 * np.log10(radial_power(volume, 2, slices)[lost]) for volume in (reference, image))
    return float(np.abs(one - two).mean())


def wrong_share(reference: np.ndarray, image: np.ndarray) -> float:
    """Power of the error over power of the original in the k-space that was removed.

    1 for an image that has nothing there, and above 1 for invented detail: only what is truly there brings it down.
    """
    frequencies = [np.abs(np.fft.fftfreq(reference.shape[axis])) for axis in AXES]
    removed = (frequencies[0][:, None] > 0.25) | (frequencies[1][None, :] > 0.25)
    truth, found = (np.fft.fft2(volume, axes=AXES)[removed] for volume in (reference, image))
    return float((np.abs(found - truth) ** 2).sum() / (np.abs(truth) ** 2).sum())


def leave_alone(data: Path, output: Path) -> dict[str, Any]:
    """infer.py over every scan as it is, full resolution or not: how many, how long, and whether it ended by itself."""
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "infer.py", f"--input={data}", f"--output={output}", "--force", "--quiet"],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    scans, results = len(find_volumes(data)), len(list(output.rglob("*.nii.gz")))
    if done.returncode or results != scans:
        raise SystemExit(f"infer.py ended with {done.returncode} and {results} results of {scans} scans.")
    return {"scans": scans, "results": results, "seconds": round(time.monotonic() - started, 1)}


def section(record: dict[str, Any]) -> str:
    """Whether the default network shifts or blurs, repeats itself, and gets through a folder."""
    found, everything = record["results"]["scans"], record["results"]["all_scans"]
    lines = [
        f"## Is the gain real: {record['config']['model']}",
        "",
        f"{pages.circumstances(record)} Shift: the largest along any axis, in voxels, that registers the image to the "
        "original by cross-correlation. Spectrum: mean distance in dB of radial power from the original's beyond half "
        "of the Nyquist frequency. Wrong share: power of the error over power of the original in the k-space that was "
        "removed; 1 for an image with nothing there, above 1 for invented detail. Left alone with all "
        f"{everything['scans']} scans as they are, infer.py wrote {everything['results']} results in "
        f"{everything['seconds']:.0f} s.",
        "",
    ]
    rows = []
    for scan, values in found.items():
        cells = [scan]
        for name, decimals in (("shift_voxels", 3), ("spectrum_distance_db", 1), ("wrong_share", 3)):
            for image in ("sinc", "network"):
                value = values[name][image]
                largest = max(map(abs, value)) if isinstance(value, list) else value
                cells.append(f"{largest:.{decimals}f}")
        rows.append([*cells, "yes" if values["same_bytes_twice"] else "no"])
    columns = [f"{title}{image}" for title in ("shift", "spectrum", "wrong share") for image in (": sinc", ": network")]
    head = ["", *columns, "same bytes twice"]
    return "\n".join([*lines, *pages.table(head, rows), ""])


if __name__ == "__main__":
    main()
