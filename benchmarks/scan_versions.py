"""One scan in every form a lab may have it: how far apart the network's results are, and how far above sinc.

    python benchmarks/scan_versions.py --data=FOLDER_OF_SCANS [--scans=sub-07,sub-08,sub-10] [--model=NAME]

A scan is degraded 2x2 along LR and AP and given as zero-filled, linear, cubic, nearest and small-matrix image, and as
Pillow's bicubic enlarges other samples of it, half a voxel beside those; in float32 and (but for the small matrix)
rounded to 8 bits. The pipeline finds out which it is. Judged in the tile in the
middle of the head, the only one that the network is run on: PSNR inside the head, dB, against the original. Writes
benchmarks/results/scan_versions.json.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from PIL import Image

from benchmarks import pages
from benchmarks.data_helpers import scans_beginning
from benchmarks.field_of_view import Box, meets, super_resolve_in
from mdcsrn_tf.inference import tiling
from mdcsrn_tf.inference.decision import decide
from mdcsrn_tf.inference.engines import Engine, load_engine
from mdcsrn_tf.inference.prepared import prepare
from mdcsrn_tf.inference.scan import refuse_doubts
from mdcsrn_tf.inference.self_check import psnr_inside
from mdcsrn_tf.inference.settings import ScanSettings, Settings
from mdcsrn_tf.inference.sight import look
from mdcsrn_tf.run_record import RunRecord
from mdcsrn_tf.scans import kspace
from mdcsrn_tf.scans.head import bounding_box, head_mask
from mdcsrn_tf.scans.volumes import Volume, read_volume, to_ras
from mdcsrn_tf.weights import list_models

RESULTS = Path(__file__).parent / "results" / "scan_versions.json"
AXES, FACTORS = (0, 1), (2, 2)
SINC = "sinc alone"
PILLOW = "Pillow's bicubic"


def main() -> None:
    """Super-resolve every version of every scan."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--scans", default="sub-07,sub-08,sub-10", help="beginnings of their names")
    parser.add_argument("--model", default=list_models()[0])
    parser.add_argument("--output", type=Path, default=RESULTS)
    asked = parser.parse_args()
    record = RunRecord.begin({"model": asked.model, "axes": AXES, "factors": FACTORS})
    engine = load_engine(asked.model, Settings(precision="bfloat16"))
    for path in scans_beginning(asked.data, asked.scans):
        found = record.results[path.name.split(".")[0]] = psnr_of_versions(read_volume(path), engine)
        print(path.name, found, flush=True)
    record.results["summary"] = summary(record.results)
    print(record.results["summary"])
    record.write(asked.output, folders_kept=False)


def summary(found: dict[str, dict[str, float]]) -> dict[str, float]:
    """Of the same samples the version farthest from the sinc version, and the least gain over sinc alone, in dB."""
    versions = [(scan, name, value) for scan in found.values() for name, value in scan.items() if name != SINC]
    same = [abs(value - scan["sinc"]) for scan, name, value in versions if not name.startswith(PILLOW)]
    return {
        "farthest_from_sinc_version_db": round(max(same), 4),
        "least_gain_db": round(min(value - scan[SINC] for scan, _, value in versions), 4),
    }


def psnr_of_versions(scan: Volume, engine: Engine) -> dict[str, float]:
    """PSNR of every version's result, and of sinc interpolation alone."""
    truth, affine = to_ras(scan.data, scan.affine)
    mask = head_mask(truth, np.linalg.norm(affine[:3, :3], axis=0))
    box = middle_tile(mask, engine)
    sinc = kspace.degrade(truth, FACTORS, AXES, "sinc")
    found = {SINC: round(psnr_inside(sinc[box], truth[box], mask[box]), 4)}
    for name, volume in versions_of(replace(scan, data=truth, affine=affine)):
        decision = decide(look(volume), ScanSettings(), engine.card)
        refuse_doubts(volume, decision, ScanSettings())
        result = super_resolve_in(engine, prepare(volume, decision, engine.card).low_res, [box])
        found[name] = round(psnr_inside(np.maximum(result[box], 0), truth[box], mask[box]), 4)
    return found


def versions_of(scan: Volume) -> Iterator[tuple[str, Volume]]:
    """The degraded scan in every form."""
    small = kspace.acquire(scan.data, FACTORS, AXES)
    for method in ("sinc", "linear", "cubic", "nearest"):
        low = kspace.interpolate(small, scan.data.shape, FACTORS, AXES, method).astype(np.float32)
        yield method, replace(scan, data=low)
        yield f"{method}, 8 bits", replace(scan, data=in_eight_bits(low))
    enlarged = enlarged_by_pillow(kspace.acquire(half_a_voxel_on(scan.data), FACTORS, AXES))
    yield PILLOW, replace(scan, data=enlarged)
    yield f"{PILLOW}, 8 bits", replace(scan, data=in_eight_bits(enlarged))
    affine = kspace.small_affine(scan.affine, FACTORS, AXES, scan.data.shape)
    yield "small matrix", replace(scan, data=small.astype(np.float32), affine=affine)


def in_eight_bits(image: np.ndarray) -> np.ndarray:
    """The image rounded to 255 steps from zero to its brightest voxel."""
    step = np.float32(image.max() / 255)
    return np.rint(np.clip(image / step, 0, 255)) * step


def half_a_voxel_on(image: np.ndarray) -> np.ndarray:
    """The image [LR, AP, IS] at places half a voxel further along both axes: there lie an enlarged image's samples."""
    for axis in AXES:
        size = image.shape[axis]
        turns = np.exp(1j * np.pi * np.fft.rfftfreq(size))
        shape = [-1 if place == axis else 1 for place in range(3)]
        image = np.fft.irfft(np.fft.rfft(image, axis=axis) * turns.reshape(shape), size, axis)
    return image


def enlarged_by_pillow(small: np.ndarray) -> np.ndarray:
    """[LR, AP, IS], float32: every axial plane of the small matrix twice as large along both axes."""
    rows, columns = small.shape[:2]
    planes = [
        np.asarray(Image.fromarray(plane).resize((2 * columns, 2 * rows), Image.Resampling.BICUBIC))
        for plane in np.moveaxis(np.abs(small).astype(np.float32), 2, 0)
    ]
    return np.stack(planes, axis=2)


def middle_tile(head: np.ndarray, engine: Engine) -> Box:
    """What the tile keeps that holds the middle of the head."""
    middle = tuple(slice(place, place + 1) for part in bounding_box(head) for place in [(part.start + part.stop) // 2])
    tiles = tiling.tiles_of(head.shape, engine.card.tile, engine.card.margin)
    return next(tile.kept for tile in tiles if meets(tile.kept, middle))


def section(record: dict[str, Any]) -> str:
    """This benchmark's part of docs/results.md."""
    results = dict(record["results"])
    found = results.pop("summary")
    names = [name for name in next(iter(results.values())) if name != SINC]
    rows = [
        [scan, f"{values[SINC]:.2f}", *(f"{values[name] - values[SINC]:+.3f}" for name in names)]
        for scan, values in results.items()
    ]
    lines = [
        "## One scan in every form",
        "",
        f"{pages.circumstances(record)} {record['config']['model']} on a scan given zero-filled, otherwise "
        "interpolated, rounded to 8 bits and as the scanner's matrix, in the tile in the middle of the head: PSNR of "
        "sinc alone, and what each version's result gains, inside the head, in dB. Farthest from the sinc version "
        f"{found['farthest_from_sinc_version_db']:.3f} dB ({PILLOW}, of other samples, left out), least gain "
        f"{found['least_gain_db']:+.2f} dB.",
        "",
        *pages.table(["", SINC, *names], rows),
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
