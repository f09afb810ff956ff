"""Where in a head a network gains over sinc and where it loses, and what of the lost k-space is signal at all.

    python benchmarks/whole_heads.py --data=FOLDER_OF_SCANS --scans=sub-06,sub-10,sub-14 --models=NAME,FILE.keras

Three questions about scans degraded 2x2x1 along LR and AP:

- Is there anything to restore? The noise of the outermost corners of k-space, where no signal is left, bounds from
  below the error that any method makes: sinc's error over it is the gain of a perfect one.
- Where does a network gain? Within 8 mm of the head's surface (skin, fat, and the edge to the air) and deeper than 15.
- Does the brightness of its input matter? The same, with the normalised input brighter or darker about darkness.

On the 20 axial slices around 58 % of the height. Writes benchmarks/results/whole_heads.json.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from scipy import ndimage

from benchmarks import pages
from benchmarks.data_helpers import read_ras, scans_beginning
from mdcsrn_tf.inference.engines import load_engine
from mdcsrn_tf.inference.settings import Settings
from mdcsrn_tf.inference.volume import super_resolve
from mdcsrn_tf.run_record import RunRecord
from mdcsrn_tf.scans.head import head_mask
from mdcsrn_tf.scans.kspace import degrade
from mdcsrn_tf.scans.normalisation import Normalisation

RESULTS = Path(__file__).parent / "results" / "whole_heads.json"
AXES, FACTORS = (0, 1), (2, 2)
SURFACE_MM, DEEP_MM = 8.0, 15.0
EXPOSURES = (0.7, 1.0, 1.4)
CORNER = 0.42  # cycles a voxel along each of the three axes: beyond lies noise
MIDDLE, HALF, CONTEXT = 0.58, 10, 20  # of the height; slices judged and given, on either side
RAYLEIGH = 2 - np.pi / 2  # variance of a magnitude where there is no signal, over the noise's

Gains = dict[str, float]


def main() -> None:
    """Measure every scan under every network, print a line for each and write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--scans", default="sub-06,sub-10,sub-14", help="beginnings of their names")
    parser.add_argument("--models", default="", help="names of bundled networks or .keras files, with commas")
    parser.add_argument("--output", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    models = [name for name in arguments.models.split(",") if name]
    record = RunRecord.begin({"axes": AXES, "factors": FACTORS, "exposures": EXPOSURES, "models": models})
    for path in scans_beginning(arguments.data, arguments.scans):
        found = examine(*read_ras(path), models)
        record.results[path.name.split(".")[0]] = found
        print(path.name, found, flush=True)
    record.write(arguments.output, folders_kept=False)


def examine(high_res: np.ndarray, spacing: Sequence[float], models: list[str]) -> dict[str, object]:
    """The bound of one scan [LR, AP, IS] and every network's gains in dB, by region and exposure."""
    low_res = degrade(high_res, FACTORS, AXES, "sinc")
    head = head_mask(high_res, spacing)
    depth = ndimage.distance_transform_edt(head, sampling=spacing)
    error = float(np.mean((low_res - high_res)[head] ** 2))
    bound = 10 * np.log10(error / (0.75 * noise_variance(high_res, head)))  # 3 of 4 samples are lost
    middle = int(MIDDLE * high_res.shape[2])
    given = slice(max(0, middle - CONTEXT), middle + CONTEXT)
    judged = slice(middle - HALF - given.start, middle + HALF - given.start)
    regions = {"head": head, "surface": head & (depth < SURFACE_MM), "deep": depth >= DEEP_MM}
    regions = {name: mask[..., given][..., judged] for name, mask in regions.items()}
    found: dict[str, object] = {"gain_of_a_perfect_method": round(float(bound), 2)}
    for model in models:
        resolve = at_exposures(model, low_res, low_res[..., given])
        found[Path(model).stem] = {
            str(exposure): gains(resolve(exposure), low_res, high_res, given, judged, regions) for exposure in EXPOSURES
        }
    return found


def noise_variance(volume: np.ndarray, head: np.ndarray) -> float:
    """Variance of the noise inside the head, from the corners of k-space; air counts as a magnitude's noise does."""
    spectrum = np.fft.fftn(volume)
    corners = np.ix_(*(np.abs(np.fft.fftfreq(size)) > CORNER for size in volume.shape))
    mean = float(np.mean(np.abs(spectrum[corners]) ** 2)) / volume.size
    noisy_air = float(np.mean((volume > 0) & ~head))
    return mean / (float(np.mean(head)) + RAYLEIGH * noisy_air)


def at_exposures(model: str, low_res: np.ndarray, slab: np.ndarray) -> Callable[[float], np.ndarray]:
    """A function of the exposure: the slab super-resolved at it, in the scan's units."""
    engine = load_engine(model, Settings())
    normalisation = Normalisation.from_low_res(low_res, engine.card.normalisation)
    dark, tile = -normalisation.mean / normalisation.std, engine.card.tile
    apply = engine.applier(tile, 1)

    def resolve(exposure: float) -> np.ndarray:
        exposed = (normalisation.apply(slab) - dark) * np.float32(exposure) + np.float32(dark)
        result = super_resolve(apply, exposed, tile, engine.card.margin)
        return normalisation.undo((result - dark) / exposure + dark)

    return resolve


def gains(
    result: np.ndarray,
    low_res: np.ndarray,
    high_res: np.ndarray,
    given: slice,
    judged: slice,
    regions: dict[str, np.ndarray],
) -> Gains:
    """By how many dB the squared error of sinc exceeds the result's, in each region."""
    truth, before = high_res[..., given][..., judged], low_res[..., given][..., judged]
    errors = (before - truth) ** 2, (result[..., judged] - truth) ** 2
    return {
        name: round(float(10 * np.log10(errors[0][mask].mean() / errors[1][mask].mean())), 3)
        for name, mask in regions.items()
        if mask.any()
    }


def section(record: dict) -> str:
    """This benchmark's part of docs/results.md."""
    head = ["scan", "a perfect method", "network", *(f"exposure {exposure}" for exposure in EXPOSURES)]
    rows = []
    for scan, found in record["results"].items():
        bound = found.pop("gain_of_a_perfect_method")
        for model, by_exposure in found.items():
            cells = [" / ".join(f"{gain:+.2f}" for gain in by_exposure[str(e)].values()) for e in EXPOSURES]
            rows.append([scan, f"{bound:+.1f}", model, *cells])
    lines = [
        "## Where in a head a network gains",
        "",
        f"{pages.circumstances(record)} Gain over sinc in dB on 20 axial slices: whole head / within 8 mm of its "
        "surface / deeper than 15 mm, the normalised input as it is and brighter or darker about darkness. What a "
        "perfect method would gain follows from the noise in the corners of k-space.",
        "",
        *pages.table(head, rows),
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
