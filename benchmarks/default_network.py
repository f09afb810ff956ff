"""Is the default network's gain a real one, and is it safe to leave alone with a folder of scans?

    python benchmarks/default_network.py --data=FOLDER [--tests=sub-07,sub-08] [--picture=sub-07]

For the test scans of FOLDER: the shift that registers the result to the original (a network that shifts or blurs can
score well), the radial spectrum's distance from the original's in the band that the degradation removed, beside
sinc's, and whether a second run writes the same bytes. Then infer.py goes over all scans of FOLDER as they are. Writes
benchmarks/results/default_network.json, docs/images/results.png, and docs/results.md anew.
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
from skimage.registration import phase_cross_correlation

from benchmarks import results_doc
from data_prep.kspace import degrade
from mdcsrn_tf.evaluation.spectra import radial_power, ring_centres
from mdcsrn_tf.files import replace_when_done, sha256_of
from mdcsrn_tf.run_record import RunRecord
from mdcsrn_tf.volumes import find_volumes, read_volume
from mdcsrn_tf.weights import list_models

ROOT = Path(__file__).resolve().parents[1]
FACTORS, AXES = (2, 2), (0, 1)
DEGRADATION = ("--axes=LR,AP", "--factor=2,2")
PICTURE = ROOT / "docs" / "images" / "results.png"


def main() -> None:
    """Check, keep the record, draw the picture, regenerate the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--tests", default="sub-07,sub-08")
    parser.add_argument("--picture", default="sub-07")
    arguments = parser.parse_args()
    tests = [path for path in find_volumes(arguments.data) if path.name.startswith(tuple(arguments.tests.split(",")))]
    record = RunRecord.begin({"model": list_models()[0], "axes": "LR,AP", "factor": FACTORS})
    with tempfile.TemporaryDirectory() as folder:
        results = super_resolve_twice(tests, Path(folder))
        record.results["scans"] = {path.name.split(".")[0]: check(path, *results[path]) for path in tests}
        for path in tests:
            if path.name.startswith(arguments.picture):
                draw(path, results[path][0])
        record.results["all_scans"] = leave_alone(arguments.data, Path(folder, "all"))
    record.write(results_doc.RESULTS / "default_network.json", folders_kept=False)
    results_doc.main()


def super_resolve_twice(tests: list[Path], folder: Path) -> dict[Path, tuple[Path, Path]]:
    """Each test scan's two results, from its small matrix, by two runs of the command."""
    for path in tests:
        small = folder / "small" / path.name
        run("-m", "data_prep.degrade", f"--input={path}", f"--output={small}", "--grid=small", *DEGRADATION)
    for number in ("1", "2"):
        places = (f"--input={folder / 'small'}", f"--output={folder / number}", "--grid=small")
        run("infer.py", *places, *DEGRADATION, "--quiet")
    found = [sorted((folder / number).rglob("*.nii.gz")) for number in ("1", "2")]
    return dict(zip(tests, zip(*found, strict=True), strict=True))


def check(original: Path, result: Path, again: Path) -> dict[str, Any]:
    """One scan's shift, spectrum and repeatability."""
    high = read_volume(original).data
    sinc, super_res = degrade(high, FACTORS, AXES, "sinc"), read_volume(result).data
    return {
        "shift_voxels": {"sinc": shift(high, sinc), "network": shift(high, super_res)},
        "spectrum_distance_db": {"sinc": spectrum_distance(high, sinc), "network": spectrum_distance(high, super_res)},
        "same_bytes_twice": sha256_of(result) == sha256_of(again),
    }


def shift(reference: np.ndarray, image: np.ndarray) -> list[float]:
    """By how many voxels along each axis `image` lies beside `reference`, by the peak of their cross-correlation.

    Not normalised: a low-resolution image has no phase worth the name in the outer k-space.
    """
    found, _, _ = phase_cross_correlation(reference, image, upsample_factor=200, normalization=None)
    return [float(value) for value in found]


def spectrum_distance(reference: np.ndarray, image: np.ndarray) -> float:
    """Mean distance in dB between two radial power spectra of axial slices, over the band that was removed."""
    slices = np.flatnonzero((reference > 0.05 * reference.max()).mean(axis=(0, 1)) > 0.1)
    lost = ring_centres() > 1 / max(FACTORS)
    one, two = (10 * np.log10(radial_power(volume, 2, slices)[lost]) for volume in (reference, image))
    return float(np.abs(one - two).mean())


def leave_alone(data: Path, output: Path) -> dict[str, Any]:
    """infer.py over every scan as it is: how many, how long, and whether it came to an end by itself."""
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "infer.py", f"--input={data}", f"--output={output}", "--quiet"],
        cwd=ROOT, stdin=subprocess.DEVNULL, check=False,
    )  # fmt: skip
    return {
        "exit_code": done.returncode,
        "scans": len(find_volumes(data)),
        "results": len(list(output.rglob("*.nii.gz"))),
        "seconds": round(time.monotonic() - started, 1),
    }


def draw(original: Path, result: Path) -> None:
    """The low-resolution scan, the result and the original in an axial slice, and a detail of each."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    high = read_volume(original).data
    images = {
        "low resolution (2 x 2 fewer samples)": degrade(high, FACTORS, AXES, "sinc"),
        "mdcsrn_tf": read_volume(result).data,
        "original": high,
    }
    place = int(np.argmax((high > 0.05 * high.max()).sum(axis=(0, 1))))
    inside = np.argwhere(high[:, :, place] > 0.05 * high.max())
    low, top = inside.min(axis=0), inside.max(axis=0) + 1
    size = int(min(top - low) * 0.36)
    corner = low + ((top - low) * (0.08, 0.52)).astype(int)
    figure = Figure(figsize=(12, 8.4), facecolor="black", layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(2, 3, gridspec_kw={"height_ratios": [1.25, 1]})
    scale = {"vmin": 0, "vmax": float(np.percentile(high[high > 0.05 * high.max()], 99.7))}
    for column, (title, image) in enumerate(images.items()):
        whole = image[low[0] : top[0], low[1] : top[1], place]
        detail = image[corner[0] : corner[0] + size, corner[1] : corner[1] + size, place]
        axes[0, column].set_title(title, color="white", fontsize=15)
        for row, picture in enumerate((whole, detail)):
            axes[row, column].imshow(picture.T, cmap="gray", origin="lower", interpolation="nearest", **scale)
            axes[row, column].set_axis_off()
    with replace_when_done(PICTURE) as partial:
        figure.savefig(partial, dpi=75, facecolor="black", format="png")


def run(*command: str) -> None:
    """One of our commands, as a user would start it."""
    subprocess.run([sys.executable, *command], cwd=ROOT, check=True)


if __name__ == "__main__":
    main()
