"""The carried scans degraded and normalised, as one flat array of pairs that patches are cut from on the GPU.

    python recipes/jax_volumes/training_data.py PARTS OUTPUT (sinc | linear | through) [PATCH]

sinc, linear: 2x2x1 along LR and AP, interpolated so; through: slices 2 to 5 times as thick along IS, of both profiles.
Degradation, variants and normalisation are the project's own, by import. OUTPUT appears when it is whole.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path.cwd()))

import numpy as np

from recipes.jax_volumes.carry_scans import TRAINING, VALIDATION, unpack, unpack_mask

CORNERS = 50_000  # places for patches a volume: with flips, more patches than a run draws of it
# How often a variant's patches are drawn, beside the scan as it is.
SHARES = {
    "original": 1.0,
    "brain": 0.7,  # stripped, then degraded
    "stripped": 0.4,  # degraded, then stripped
    "inverted": 0.15,
    "noisy": 0.3,
    "ap-is": 0.4,
    "lr-is": 0.4,
}
# Thick slices, and axes that a scanner had interpolated, are no truth along the third axis.
NOT_TURNED = {"09_T2w", "18_T1w", "20_T1w", "26_T2w", "27_FLAIR"}
NOISE_SNR = (20.0, 40.0)  # of the noisy variant: tissue over the noise's deviation
THROUGH = [(factor, profile) for factor in (2, 3, 4, 5) for profile in ("kspace", "box")]
CONTENT: dict[str, np.ndarray] = {}  # of all parts; processes that are forked have it too
SLAB = 64  # voxels along the third axis of what is validated
# All sets have one size, so that one set's compiled code serves the next: empty at the end, and on disk where sparse.
ROWS, VOLUMES = 900_000_000, 128


@dataclass(frozen=True)
class Job:
    """One volume to make: a scan, what becomes of it, how it is degraded, and its place in the flat array."""

    scan: str
    kind: str
    factor: int
    profile: str
    shape: tuple[int, int, int]
    offset: int
    seed: int


def main(parts: Path, output: Path, task: str, patch: int) -> None:
    """Make every volume, by as many processes as there are processors."""
    for part in sorted(parts.glob("part-*.npz")):
        with np.load(part) as archive:
            CONTENT.update(archive)
    making = output.with_name(f".making-{output.name}")
    making.mkdir(parents=True)
    jobs = list(planned_jobs(task, patch))
    total = sum(int(np.prod(job.shape)) for job in jobs)
    if total > ROWS or len(jobs) > VOLUMES:
        raise SystemExit(f"{len(jobs)} volumes of {total} voxels are more than a set has room for.")
    np.lib.format.open_memmap(making / "pairs.npy", "w+", np.float16, (ROWS, 2)).flush()
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        largest_first = sorted(jobs, key=lambda job: -np.prod(job.shape))
        made = pool.map(partial(make_volume, folder=making, task=task, patch=patch), largest_first)
        corners = dict(zip(largest_first, made, strict=True))
        slabs = list(pool.map(partial(make_slab, task=task), planned_slabs(task)))
    np.savez(
        making / "index.npz",
        names=np.array([f"{job.scan} {job.kind} {job.factor} {job.profile}" for job in jobs]),
        offsets=filled([job.offset for job in jobs]),
        strides=filled([[job.shape[1] * job.shape[2], job.shape[2]] for job in jobs]),
        corners=filled([corners[job] for job in jobs]),
        shares=filled([SHARES[job.kind] for job in jobs]),
        patch=patch,
    )
    np.savez(making / "validation.npz", **{f"{name}/{key}": a for name, slab in slabs for key, a in slab.items()})
    making.rename(output)
    print(f"{output}: {len(jobs)} volumes, {total / 1e6:.0f}M voxels", flush=True)


def filled(rows: list) -> np.ndarray:
    """The rows as an array of `VOLUMES` rows, zeros at the end."""
    array = np.array(rows)
    return np.concatenate([array, np.zeros((VOLUMES - len(array), *array.shape[1:]), array.dtype)])


def planned_jobs(task: str, patch: int) -> Iterator[Job]:
    """Every volume of the task, one after the other in the flat array."""
    offset, turn = 0, 0
    for scan in TRAINING:
        if f"train/{scan}/shape" not in CONTENT:
            continue  # carried later
        has_mask = f"train/{scan}/mask" in CONTENT
        for kind in SHARES:
            if (kind in ("brain", "stripped", "inverted") and not has_mask) or (
                kind in ("ap-is", "lr-is", "noisy") and scan in NOT_TURNED
            ):
                continue
            if task == "through" and (scan in NOT_TURNED or kind in ("stripped", "noisy", "inverted")):
                continue
            degradations = [(2, "kspace")]
            if task == "through":  # two of the eight, in turn
                degradations = [THROUGH[(turn + i) % len(THROUGH)] for i in (0, 3)]
                turn += 1
            shape = tuple(int(n) for n in turned_shape(CONTENT[f"train/{scan}/shape"], kind))
            if min(shape) < patch:
                continue  # too few slices
            for factor, profile in degradations:
                yield Job(scan, kind, factor, profile, shape, offset, seed=offset)
                offset += int(np.prod(shape))


def turned_shape(shape: np.ndarray, kind: str) -> np.ndarray:
    """The shape of a variant of a scan of that shape."""
    from data_prep.variants import TURNS

    return shape[list(TURNS[kind])] if kind in TURNS else shape


def make_volume(job: Job, folder: Path, task: str, patch: int) -> np.ndarray:
    """Write the pair of one volume to its place, and return the corners of its patches [CORNERS, 3]."""
    from mdcsrn_tf.scans.normalisation import TISSUE_LEVEL, Normalisation

    high, mask = variant(job)
    low = degraded(high, job.factor, job.profile, task)
    if job.kind == "stripped":
        low, high = np.where(mask, low, 0), np.where(mask, high, 0)
    scale = Normalisation.from_low_res(low, TISSUE_LEVEL)
    pairs = np.load(folder / "pairs.npy", mmap_mode="r+")
    place = pairs[job.offset : job.offset + low.size]
    place[:, 0] = scale.apply(low).ravel()
    place[:, 1] = scale.apply(high).ravel()
    return roomy_corners(np.random.default_rng(job.seed), low > low.mean(dtype=np.float64), patch)


def variant(job: Job) -> tuple[np.ndarray, np.ndarray | None]:
    """The high-resolution volume of a job, in the scanner's unit, and the brain's mask where there is one."""
    from data_prep.variants import MAKERS, TURNS
    from mdcsrn_tf.scans import kspace

    shape = CONTENT[f"train/{job.scan}/shape"]
    high = unpack(CONTENT[f"train/{job.scan}/voxels"], shape).astype(np.float32)
    packed = CONTENT.get(f"train/{job.scan}/mask")
    mask = None if packed is None else unpack_mask(packed, shape)
    if job.kind in MAKERS:
        high = MAKERS[job.kind](high, mask).astype(np.float32)
    if job.kind in TURNS:
        high = np.ascontiguousarray(high.transpose(TURNS[job.kind]))
    if job.kind == "noisy":
        rng = np.random.default_rng(job.seed)
        high = kspace.add_noise(high, rng.uniform(*NOISE_SNR), rng).astype(np.float32)
    return high, mask


def degraded(high: np.ndarray, factor: int, profile: str, task: str) -> np.ndarray:
    """The low-resolution volume on the grid of the high one."""
    from mdcsrn_tf.scans import kspace
    from mdcsrn_tf.scans.slice_profile import SliceProfile

    if task != "through":
        return kspace.degrade(high, (2, 2), (0, 1), task)
    slices = None if profile == "kspace" else SliceProfile("box", float(factor))
    return kspace.degrade(high, (factor,), (2,), "sinc", slices=slices)


def roomy_corners(rng: np.random.Generator, foreground: np.ndarray, patch: int) -> np.ndarray:
    """Corners drawn uniformly from those whose patch is foreground enough by the project's rule [CORNERS, 3]."""
    from data_prep.patches import MIN_FOREGROUND

    counts = foreground.astype(np.int32)
    for axis in range(3):
        sums = np.moveaxis(np.cumsum(counts, axis=axis, dtype=np.int32), axis, 0)
        upper = sums[patch - 1 :].copy()
        upper[1:] -= sums[: len(sums) - patch]
        counts = np.moveaxis(upper, 0, axis)
    enough = np.flatnonzero(counts >= min(MIN_FOREGROUND * patch**3, counts.max()))
    return np.stack(np.unravel_index(rng.choice(enough, CORNERS), counts.shape), axis=1).astype(np.int16)


def planned_slabs(task: str) -> list[tuple[str, int, str]]:
    """What is validated: scan, factor, profile."""
    if task != "through":
        return [(scan, 2, "kspace") for scan in VALIDATION]
    return [(scan, factor, profile) for scan in VALIDATION for factor, profile in ((3, "box"), (4, "kspace"))]


def make_slab(chosen: tuple[str, int, str], task: str) -> tuple[str, dict[str, np.ndarray]]:
    """The middle of a validation scan: its low and high resolution in the network's unit, and the mask of its head."""
    from mdcsrn_tf.scans.head import head_mask
    from mdcsrn_tf.scans.normalisation import TISSUE_LEVEL, Normalisation

    scan, factor, profile = chosen
    shape = CONTENT[f"validation/{scan}/shape"]
    high = unpack(CONTENT[f"validation/{scan}/voxels"], shape).astype(np.float32)
    # Whole slabs of the removed k-space are compared: sizes that the factor divides, even after it.
    axes = (2,) if task == "through" else (0, 1)
    for axis in axes:
        high = np.take(high, range(high.shape[axis] // (2 * factor) * (2 * factor)), axis=axis)
    low = degraded(high, factor, profile, task)
    scale = Normalisation.from_low_res(low, TISSUE_LEVEL)
    axis = 0 if task == "through" else 2
    start = (high.shape[axis] - SLAB) // 2
    low, high = (np.take(image, range(start, start + SLAB), axis=axis) for image in (low, high))
    mask = head_mask(high)
    kept = {"low": scale.apply(low), "high": scale.apply(high), "mask": mask, "factor": np.array([factor] * len(axes))}
    return f"{scan} {factor} {profile}", kept | {"axes": np.array(axes), "range": scale.apply(high).max() + 2.5}


if __name__ == "__main__":
    if len(sys.argv) not in (4, 5):
        raise SystemExit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]) if len(sys.argv) > 4 else 40)
