"""Shards of slice patches as one compact file, to be carried to a machine without TensorFlow.

    python recipes/jax_slices/patches.py SHARDS PATCHES.npz [COUNT]

COUNT of the patches to learn from are taken, evenly spread over the scans; without it, all.
Z-scores are kept in steps of 1/32, below the noise of either image; the differences along a row take less room.
"""

from __future__ import annotations

import lzma
import sys
from pathlib import Path

import numpy as np

STEPS = 32  # a z-score of 1
LARGEST = 32767 / STEPS


def main() -> None:
    """Write the training and validation patches of a folder of shards."""
    sys.path.insert(0, str(Path.cwd()))
    from mdcsrn_tf.shards.dataset import read_manifest, validation_batches

    shards, target = map(Path, sys.argv[1:3])
    most = int(sys.argv[3]) if len(sys.argv) > 3 else None
    manifest = read_manifest(shards)
    content: dict[str, np.ndarray] = {"data_sha256": np.array(manifest.sha256)}
    for split in ("train", "validation"):
        batches = list(validation_batches(manifest, split, batch_size=64))
        for index, kind in enumerate(("low", "high")):
            patches = np.concatenate([batch[index].numpy()[..., 0] for batch in batches])
            if split == "train" and most:
                patches = patches[np.linspace(0, len(patches) - 1, min(most, len(patches))).astype(int)]
            content[f"{split}/{kind}/shape"] = np.array(patches.shape)
            content[f"{split}/{kind}"] = pack(patches)
    np.savez(target, **content)
    print(f"{target}: {target.stat().st_size / 2**20:.1f} MiB")


def pack(patches: np.ndarray) -> np.ndarray:
    """Patches of z-scores as compressed bytes: whole steps, their differences along the last axis, low bytes first."""
    if np.abs(patches).max() > LARGEST:
        raise SystemExit(f"A z-score of {np.abs(patches).max():.0f} does not fit: these shards are not normalised.")
    steps = np.diff(np.round(patches * STEPS).astype(np.int16), axis=-1, prepend=np.int16(0))
    folded = ((steps << 1) ^ (steps >> 15)).view(np.uint8).reshape(-1, 2)  # small numbers of either sign
    return np.frombuffer(lzma.compress(folded.T.tobytes(), preset=9), np.uint8)


def unpack(packed: np.ndarray, shape: np.ndarray) -> np.ndarray:
    """The inverse of `pack`: float32 of that shape, to the nearest step."""
    planes = np.frombuffer(lzma.decompress(packed.tobytes()), np.uint8).reshape(2, -1)
    folded = np.ascontiguousarray(planes.T).view(np.uint16).reshape(shape)
    steps = (folded >> 1).astype(np.int16) ^ -(folded & 1).astype(np.int16)
    return np.cumsum(steps, axis=-1, dtype=np.int16).astype(np.float32) / STEPS


def read(path: Path) -> tuple[dict[str, tuple[np.ndarray, np.ndarray]], str]:
    """The pairs of each split, (patches, side, side) float32 low and high, and the checksum of the shards."""
    with np.load(path) as found:
        pairs = {
            split: tuple(unpack(found[f"{split}/{kind}"], found[f"{split}/{kind}/shape"]) for kind in ("low", "high"))
            for split in ("train", "validation")
        }
        return pairs, str(found["data_sha256"])  # type: ignore[return-value]


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        raise SystemExit(__doc__)
    main()
