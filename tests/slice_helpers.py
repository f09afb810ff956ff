"""Shards of slices without scans: smooth noise, its blurred copy, in the format that mdcsrn-pairs writes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter

from mdcsrn_tf.shards.records import encode_channels, write_shard


def slice_pair(rng, side: int, channels: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """(low_res, high_res) of one place: [side, side, channels] each, neighbouring slices as channels."""
    high = gaussian_filter(rng.standard_normal((side, side, 3)), (1, 1, 1)).astype(np.float32)
    high /= high.std()
    low = gaussian_filter(high, (1, 1, 0))
    return tuple(image if count == 3 else image[..., 1:2] for image, count in zip((low, high), channels, strict=True))


def make_slice_shards(
    folder: Path, side: int, channels: tuple[int, int], pairs: int, normalisation: str = "zscore_each_image"
) -> Path:
    """A folder of one training and one validation shard."""
    folder.mkdir(parents=True, exist_ok=True)
    shards = []
    for number, split in enumerate(("train", "validation")):
        rng = np.random.default_rng(number)
        path = folder / f"{split}.tfrecord"
        write_shard(path, [slice_pair(rng, side, channels) for _ in range(pairs)], encode_channels)
        shards.append(
            {
                "scan": number,
                "shard": path.name,
                "pairs": pairs,
                "shard_bytes": path.stat().st_size,
                "subject": f"person{number}",
                "split": split,
            }
        )
    settings = {
        "axes": "IS",
        "factor": [],
        "planes": ["axial"],
        "source": "pairs",
        "interpolation": "linear",
        "normalisation": normalisation,
        "patch": side,
        "low_shape": [side, side, channels[0]],
        "high_shape": [side, side, channels[1]],
    }
    content = {"format": 2, "settings": settings, "shards": shards, "skipped": []}
    (folder / "manifest.json").write_text(json.dumps(content))
    return folder
