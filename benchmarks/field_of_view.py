"""Whether a network's result depends on how much of the head, and how much air, is in the picture.

    python benchmarks/field_of_view.py --data=FOLDER_OF_SCANS [--scans=sub-07_T1w,sub-10] [--cubes=1] [--model=NAME]

A scan is degraded 2x2x1 along LR and AP, brought back by sinc and super-resolved whole; then cubes of it are, and the
whole of it with air around it, as scans of another field of view would be. Each is compared with the original inside
the head, and with what the same voxels became in the whole scan; a cube's outermost voxels also by themselves.
--border=mirrored tries the other way to go on beyond the ends. Writes benchmarks/results/field_of_view.json.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from benchmarks import pages
from benchmarks.data_helpers import read_ras, scans_beginning
from mdcsrn_tf.inference import tiling
from mdcsrn_tf.inference.continuation import REACH, extended
from mdcsrn_tf.inference.engines import Engine, load_engine
from mdcsrn_tf.inference.settings import Settings
from mdcsrn_tf.inference.volume import geometry
from mdcsrn_tf.run_record import RunRecord
from mdcsrn_tf.scans.head import bounding_box, head_mask
from mdcsrn_tf.scans.kspace import degrade
from mdcsrn_tf.scans.normalisation import Normalisation
from mdcsrn_tf.scans.zero_frame import zero_frame
from mdcsrn_tf.weights import list_models

RESULTS = Path(__file__).parent / "results" / "field_of_view.json"
AXES, FACTORS = (0, 1), (2, 2)
EDGES = (64, 80, 96)
PADDINGS = (16, 64)
BORDERS = ("mirrored", "predicted")
OUTER = 5  # voxels from a cube's faces
FIGURES = {"gain_db": "{}: gain", "change_db": "change", "outer_change_db": "next to the faces"}
MIDDLE = 64  # voxels around the head's middle that stand for the whole scan when it is padded

Box = tuple[slice, ...]


def main() -> None:
    """Measure each scan, print a line a view and write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--scans", default="sub-07_T1w,sub-10", help="beginnings of their names")
    parser.add_argument("--cubes", type=int, default=1, help="of each edge, at random places around the head's middle")
    parser.add_argument("--model", default=list_models()[0])
    parser.add_argument("--border", choices=BORDERS, help="default: as the network asks")
    parser.add_argument("--output", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    asked = {"model": arguments.model, "cubes": arguments.cubes, "border": arguments.border}
    record = RunRecord.begin({**asked, "axes": AXES, "factors": FACTORS, "outer": OUTER})
    for path in scans_beginning(arguments.data, arguments.scans):
        views = examine(read_ras(path), **asked)
        record.results[path.name.split(".")[0]] = views
        for name, view in views.items():
            print(path.name, name, view, flush=True)
    every = [view for scan in record.results.values() for view in scan.values()]
    record.results["summary"] = {
        "largest_loss_db": round(-min(view["change_db"] for view in every), 3),
        "least_gain_db": min(view["gain_db"] for view in every),
    }
    print(record.results["summary"])
    record.write(arguments.output, folders_kept=False)


def examine(
    scan: tuple[np.ndarray, Sequence[float]], model: str, cubes: int, border: str | None = None
) -> dict[str, dict[str, float]]:
    """Every view's gain over sinc, and its change against the same voxels of the whole scan, in dB in the head."""
    high_res, spacing = scan
    low_res = degrade(high_res, FACTORS, AXES, "sinc")
    head = head_mask(high_res, spacing)
    engine = load_engine(model, Settings(precision="bfloat16"))
    middle, boxes = around_the_middle(head, MIDDLE), dict(random_cubes(head, cubes))
    whole = super_resolve_in(engine, low_res, [middle, *boxes.values()], border)

    def compare(result: np.ndarray, box: Box) -> dict[str, float]:
        images = low_res[box], whole[box], result
        change = gain_and_change(images, high_res[box], head[box])
        outer = gain_and_change(images, high_res[box], head[box] & rim(result.shape))
        return change | {f"outer_{name}": value for name, value in outer.items()}

    views = {"whole, its middle": compare(whole[middle], middle)}
    for name, box in boxes.items():
        views[name] = compare(super_resolve_in(engine, low_res[box], [whole_of(low_res[box])], border), box)
    for width in PADDINGS:
        # The cube with real surroundings replaced by air would be another scan; so air comes around the whole one.
        padded = np.pad(low_res, width)
        surround = zero_frame([padded])  # what the pipeline takes off; a stripped scan's own air may hide some of it
        left = surround.inside(padded)
        inner = tuple(
            slice(part.start + width - before, part.stop + width - before)
            for part, before in zip(middle, surround.before, strict=True)
        )
        # The scan itself is left: a network makes of it what it made before.
        result = whole if np.array_equal(left, low_res) else super_resolve_in(engine, left, [inner], border)
        views[f"padded by {width}"] = compare(result[inner], middle)
    return views


def gain_and_change(
    images: tuple[np.ndarray, np.ndarray, np.ndarray], truth: np.ndarray, inside: np.ndarray
) -> dict[str, float]:
    """How far the last of (sinc, the whole scan's result, this view's) lies above the others, in dB, in the mask."""
    sinc, there, here = (float(np.mean((image - truth)[inside] ** 2)) for image in images)
    return {"gain_db": round(decibels(sinc, here), 3), "change_db": round(decibels(there, here), 3)}


def rim(shape: Sequence[int]) -> np.ndarray:
    """The voxels within OUTER of a face: a mask."""
    mask = np.ones(shape, bool)
    mask[tuple(slice(OUTER, -OUTER) for _ in shape)] = False
    return mask


def super_resolve_in(
    engine: Engine, low_res: np.ndarray, boxes: Sequence[Box], border: str | None = None
) -> np.ndarray:
    """What the library makes of a volume, but for the tiles that keep no voxel of the boxes: they stay as they are."""
    normalisation = Normalisation.from_low_res(low_res, engine.card.normalisation)
    tile, margin = geometry(engine, Settings(), low_res.shape)
    volume, apply = normalisation.apply(low_res), engine.applier(tile, 1)
    result = volume.copy()
    predicted = engine.card.predicted if border is None else border == "predicted"
    source, around = (extended(volume), REACH) if predicted else (volume, 0)
    for where in tiling.tiles_of(volume.shape, tile, margin):
        if any(meets(where.kept, box) for box in boxes):
            cube = tiling.cut(source, where, tile, around).astype(np.float32, copy=False)
            result[where.kept] = apply(cube[np.newaxis])[0][where.core]
    return normalisation.undo(result)


def whole_of(volume: np.ndarray) -> Box:
    """All of it."""
    return tuple(slice(0, size) for size in volume.shape)


def meets(one: Box, other: Box) -> bool:
    """Whether two boxes share a voxel."""
    return all(a.start < b.stop and b.start < a.stop for a, b in zip(one, other, strict=True))


def random_cubes(head: np.ndarray, count: int) -> Iterator[tuple[str, Box]]:
    """Cubes of the scan whose middle is near the head's, `count` of each edge."""
    rng = np.random.default_rng(0)
    box = bounding_box(head)
    for edge in EDGES:
        for number in range(1, count + 1):
            starts = [
                rng.integers(part.start, max(part.start, part.stop - edge) + 1) if size > edge else 0
                for part, size in zip(box, head.shape, strict=True)
            ]
            yield f"cube {edge}, {number}", tuple(slice(start, start + edge) for start in starts)


def around_the_middle(head: np.ndarray, edge: int) -> Box:
    """A cube around the middle of the head, or as much of it as the scan has."""
    middles = [(part.start + part.stop) // 2 for part in bounding_box(head)]
    return tuple(
        slice(max(0, middle - edge // 2), min(size, middle + edge // 2))
        for middle, size in zip(middles, head.shape, strict=True)
    )


def decibels(before: float, after: float) -> float:
    """How far the squared error `after` lies below `before`."""
    return float(10 * np.log10(before / after))


def section(record: dict) -> str:
    """This benchmark's part of docs/results.md."""
    results = dict(record["results"])
    summary = results.pop("summary")
    views = list(dict.fromkeys(name for found in results.values() for name in found))
    columns = [(scan, figure) for scan in results for figure in FIGURES]
    rows = [[view, *(f"{results[scan][view][figure]:+.2f}" for scan, figure in columns)] for view in views]
    head = ["", *(title.format(scan) for scan in results for title in FIGURES.values())]
    lines = [
        "## The field of view",
        "",
        f"{pages.circumstances(record)} {record['config']['model']} on cubes of a scan and on the scan with air around "
        "it: gain over sinc inside the head in dB, the change against the same voxels of the whole scan's result, and "
        f"that change in the {record['config']['outer']} voxels next to the faces alone. "
        f"Largest loss {summary['largest_loss_db']:.2f} dB, least gain {summary['least_gain_db']:+.2f} dB.",
        "",
        *pages.table(head, rows),
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
