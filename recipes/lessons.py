"""What a network learns from others: shards whose truth is a mixture of their images.

    python recipes/lessons.py DATA SHARDS [VOLUMES]

From the project's root, after `jax_volumes/training_data.py PARTS DATA sinc`, which needs no JAX. The GAN's detail is
worth more on a better image, and part of the power that an image lacks is that its own detail is too faint. So a lesson
is the fast network's image, its removed band a little stronger, and the detail that the GAN adds to the network it
began with. What is validated stays the true scan.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
sys.path.insert(0, str(Path.cwd()))

import numpy as np

from data_prep.shard_folder import ShardFolder
from mdcsrn_tf.files import sha256_of
from mdcsrn_tf.inference.engines import load_engine
from mdcsrn_tf.inference.settings import Settings
from mdcsrn_tf.metrics.spectra import band
from mdcsrn_tf.shards.records import write_shard

BASE, GAN, ITS_START = "fast-b4u4k16", "mdcsrn-gan-b4u4k12", "mdcsrn-b4u4k12"
SHARPER, TEXTURE = 0.3, 0.85  # shares of the base's own removed band, and of the GAN's detail, that are added
PATCH = 32
EDGE = (8, 8, 4)  # voxels of a box that are computed for the sake of those within
INSIDE = 96, 96, 64  # of a box, at most
FOREGROUND = 0.25  # of a patch's voxels, at least
ABOVE = -1.5  # voxels brighter than this are no air (darkness is -2.5)
SETTINGS = {
    "patch": PATCH,
    "interpolation": "sinc",
    "axes": "LR,AP",
    "factor": [2, 2],
    "normalisation": "tissue_level",
}

Image = Callable[[np.ndarray], np.ndarray]


def main(data: Path, output: Path, volumes: int) -> None:
    """Make the shards of the chosen volumes, and of the validation slabs."""
    folder = ShardFolder(output)
    folder.open(SETTINGS, overwrite=False)
    for split in ("train", "validation"):
        (output / split).mkdir(parents=True, exist_ok=True)
    entries = list(validation_shards(data, output))
    base, gan, start = (network(name) for name in (BASE, GAN, ITS_START))

    def lesson(low: np.ndarray) -> np.ndarray:
        image = base(low)
        return image + SHARPER * removed(image) + TEXTURE * (gan(low) - start(low))

    for number, (name, low) in enumerate(boxes(data, volumes)):
        truth = lesson(low)
        inner = tuple(slice(edge, -edge) for edge in EDGE)
        entries.append(shard(output, "train", name, list(patches(low[inner], truth[inner]))))
        print(f"{number + 1} of {volumes}: {name}, {entries[-1]['pairs']} pairs", flush=True)
    folder.finish(SETTINGS, entries, [])


def network(name: str) -> Image:
    """What a bundled network makes of one volume in its unit [d, h, w]."""
    engine = load_engine(name, Settings(precision="bfloat16"))
    return lambda low: engine.applier(low.shape, 1)(low[None])[0]


def removed(image: np.ndarray) -> np.ndarray:
    """The part of a box that degradation removes; mirrored at its ends, so that they do not meet as edges."""
    twice = np.pad(image, [(0, image.shape[0]), (0, image.shape[1]), (0, 0)], mode="symmetric")
    return band(twice, (0, 1), (0.5, 0.5), (1.0, 1.0))[: image.shape[0], : image.shape[1]]


def boxes(data: Path, volumes: int) -> Iterator[tuple[str, np.ndarray]]:
    """So many training volumes, chosen by chance, and of each the low resolution of the box with the least air."""
    rng = np.random.default_rng(41)
    pairs = np.load(data / "pairs.npy", mmap_mode="r")
    with np.load(data / "index.npz") as index:
        names, offsets, strides, shares = (index[key] for key in ("names", "offsets", "strides", "shares"))
    chances = shares[: len(names)] / shares.sum()
    for which in sorted(rng.choice(len(names), volumes, replace=False, p=chances)):
        plane, row = map(int, strides[which])
        following = offsets[which + 1] if which + 1 < len(names) else None
        depth = int((following - offsets[which]) // plane) if following else last_depth(pairs, offsets[which], plane)
        voxels = pairs[int(offsets[which]) : int(offsets[which]) + depth * plane, 0]
        low = np.asarray(voxels, np.float32).reshape(depth, plane // row, row)
        size = [
            min(most, (side - 2 * edge) // PATCH * PATCH)
            for most, side, edge in zip(INSIDE, low.shape, EDGE, strict=True)
        ]
        if min(size) >= PATCH:
            yield str(names[which]), roomiest(rng, low, [n + 2 * edge for n, edge in zip(size, EDGE, strict=True)])


def last_depth(pairs: np.ndarray, offset: int, plane: int) -> int:
    """Of the last volume: what follows it is empty."""
    depth = 0
    while pairs[offset + depth * plane : offset + (depth + 1) * plane].any():
        depth += 1
    return depth


def roomiest(rng: np.random.Generator, low: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Of eight boxes of that size at random the one with the least air."""
    corners = [[int(rng.integers(side - n + 1)) for side, n in zip(low.shape, size, strict=True)] for _ in range(8)]
    cut = [low[tuple(slice(c, c + n) for c, n in zip(corner, size, strict=True))] for corner in corners]
    return max(cut, key=lambda box: float((box > ABOVE).mean()))


def patches(low: np.ndarray, truth: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Side by side, those that are mostly air left out."""
    for corner in product(*(range(0, side - PATCH + 1, PATCH) for side in low.shape)):
        where = tuple(slice(c, c + PATCH) for c in corner)
        if (low[where] > ABOVE).mean() >= FOREGROUND:
            yield low[where], truth[where]


def validation_shards(data: Path, output: Path) -> Iterator[dict]:
    """The slabs of the validation scans, and the truth."""
    with np.load(data / "validation.npz") as content:
        names = sorted({key.rpartition("/")[0] for key in content.files})
        for name in names:
            yield shard(output, "validation", name, list(patches(content[f"{name}/low"], content[f"{name}/high"])))


def shard(output: Path, split: str, name: str, pairs: list[tuple[np.ndarray, np.ndarray]]) -> dict:
    """Write a shard; its entry of the manifest."""
    stem = name.replace(" ", "-")
    path = output / split / f"{stem}.tfrecord"
    count = write_shard(path, pairs)
    checksum = sha256_of(path)
    return {
        "scan": stem,
        "subject": f"sub-{name[:2]}",
        "split": split,
        "pairs": count,
        "shard": f"{split}/{path.name}",
        "shard_bytes": path.stat().st_size,
        "shard_sha256": checksum,
        "source": name,
        "source_bytes": path.stat().st_size,
        "source_sha256": checksum,
    }


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        raise SystemExit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 60)
