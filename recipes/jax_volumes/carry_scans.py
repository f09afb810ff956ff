"""Scans packed small for the way to a machine with a GPU; run it from the project's root, where the scans are.

    python recipes/jax_volumes/carry_scans.py SCANS PARTS

writes PARTS/part-0.npz and so on, none larger than `PART_BYTES`: every training and validation scan in RAS+, cut to its
head and `AROUND` voxels, lossless, and of whole heads a mask of the brain.
"""

from __future__ import annotations

import bz2
import sys
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path.cwd()))

PART_BYTES = 45_000_000
AROUND = 8  # voxels of air
TRAINING = (
    *(
        "01_T1w",
        "02_T1w",
        "03_T1w",
        "04_T1w",
        "05_T1w",
        "09_FLAIR",
        "09_T1w",
        "09_T2w",
        "12_T1w",
        "12_T2w",
        "16_ce-gd_T1w",
    ),
    *("17_T1w", "18_T1w", "20_T1w", "21_T1w", "22_T1w", "23_T1w", "24_T1w", "25_T2w", "26_T2w", "27_FLAIR"),
)
VALIDATION = ("06_T1w", "10_T1w", "14_T2w")
# Whole T1-weighted heads, from which a brain can be cut.
HEADS = {"01_T1w", "02_T1w", "03_T1w", "04_T1w", "05_T1w", "09_T1w", "12_T1w", "18_T1w", "20_T1w"}


def main(scans: Path, parts: Path) -> None:
    """Pack the scans, those for validation first, and begin a new part where one is full."""
    parts.mkdir(parents=True, exist_ok=True)
    part: dict[str, np.ndarray] = {}
    number, size = 0, 0
    for name in [*VALIDATION, *TRAINING]:
        entry = packed_scan(scans / f"sub-{name}.nii.gz", with_mask=name in HEADS)
        entry_size = sum(array.nbytes for array in entry.values())
        if part and size + entry_size > PART_BYTES:
            write(parts / f"part-{number}.npz", part)
            part, number, size = {}, number + 1, 0
        split = "validation" if name in VALIDATION else "train"
        part |= {f"{split}/{name}/{key}": array for key, array in entry.items()}
        size += entry_size
    write(parts / f"part-{number}.npz", part)


def packed_scan(path: Path, with_mask: bool) -> dict[str, np.ndarray]:
    """The scan's shape, voxel sizes in mm and packed voxels, and its packed brain mask if it is to have one."""
    from data_prep.brain import brain_mask
    from mdcsrn_tf.scans.head import head_mask
    from mdcsrn_tf.scans.volumes import read_volume, to_ras

    volume = read_volume(path)
    data, affine = to_ras(volume.data, volume.affine)
    if not np.array_equal(data, data.clip(0, 65535).astype(np.uint16)):
        raise SystemExit(f"{path} holds values that are no whole numbers from 0 to 65535.")
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    data = data[box_around(head_mask(data, spacing))].astype(np.uint16)
    entry = {"shape": np.array(data.shape), "spacing": spacing, "voxels": pack(data)}
    if with_mask:
        bits = np.packbits(brain_mask(data.astype(np.float32), spacing))
        entry["mask"] = as_bytes(bz2.compress(bits.tobytes()))
    return entry


def box_around(mask: np.ndarray) -> tuple[slice, ...]:
    """The smallest box of even sides around the mask, wider by `AROUND` voxels where there is room."""
    box = []
    for axis, size in enumerate(mask.shape):
        others = tuple(i for i in range(mask.ndim) if i != axis)
        inside = np.flatnonzero(mask.any(axis=others))
        start, stop = max(0, inside[0] - AROUND), min(size, inside[-1] + 1 + AROUND)
        box.append(slice(start, stop - (stop - start) % 2))
    return tuple(box)


def pack(volume: np.ndarray) -> np.ndarray:
    """uint16 voxels as the differences along the last axis, low bytes before high bytes, compressed."""
    steps = np.diff(volume, axis=-1, prepend=np.uint16(0)).view(np.int16)  # modulo 2^16
    folded = ((steps << 1) ^ (steps >> 15)).view(np.uint8).reshape(-1, 2)  # small numbers of either sign
    return as_bytes(bz2.compress(np.ascontiguousarray(folded.T).tobytes()))


def unpack(packed: np.ndarray, shape: Any) -> np.ndarray:
    """The inverse of `pack`."""
    planes = np.frombuffer(bz2.decompress(packed.tobytes()), np.uint8).reshape(2, -1)
    folded = np.ascontiguousarray(planes.T).view(np.uint16).reshape(shape)
    steps = (folded >> 1) ^ -(folded & 1)
    return np.cumsum(steps, axis=-1, dtype=np.uint16)


def unpack_mask(packed: np.ndarray, shape: Any) -> np.ndarray:
    """The mask that `packed_scan` has packed."""
    bits = np.frombuffer(bz2.decompress(packed.tobytes()), np.uint8)
    return np.unpackbits(bits, count=int(np.prod(shape))).astype(bool).reshape(shape)


def as_bytes(content: bytes) -> np.ndarray:
    """Bytes as an array, which is what an npz file holds."""
    return np.frombuffer(content, np.uint8)


def write(path: Path, part: dict[str, np.ndarray]) -> None:
    """Write a part and say what it holds."""
    np.savez(path, **part)
    print(
        f"{path}: {sum(key.endswith('/voxels') for key in part)} scans, {path.stat().st_size / 1e6:.1f} MB", flush=True
    )


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
