"""One scan to one shard: the unit of work of mdcsrn-shards, on a process or a cluster worker alike."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from data_prep.patches import MIN_FOREGROUND, cut_patches, draw_corners
from data_prep.phantom import make_phantom
from data_prep.subjects import Scan
from mdcsrn_tf.errors import UserError
from mdcsrn_tf.files import replace_when_done, sha256_of
from mdcsrn_tf.names import digest_of
from mdcsrn_tf.scans import kspace
from mdcsrn_tf.scans.find import files_of, sha256_of_scan
from mdcsrn_tf.scans.normalisation import ABOVE_MEAN
from mdcsrn_tf.scans.slice_profile import SliceProfile, SliceSettings, profile_for
from mdcsrn_tf.scans.volumes import Normalisation, axes_are_anatomical, read_volume, resolve_axes, to_ras
from mdcsrn_tf.shards.records import VOXEL_DTYPE, write_shard

_PHANTOM_SHAPE = (128, 144, 128)


@dataclass(frozen=True)
class ShardSettings:
    """Everything that decides what the shards hold, beside the scans themselves."""

    patch: int
    patches_per_subject: int
    epochs_of_patches: int
    seed: int
    axes: str
    factor: tuple[int, ...]
    interpolation: str
    min_foreground: float = MIN_FOREGROUND
    normalisation: str = ABOVE_MEAN
    slices: SliceSettings | None = None  # None: k-space truncation

    def for_manifest(self) -> dict[str, Any]:
        """The settings as JSON values; without a slice profile none is named, as in the shards of old."""
        settings = {**asdict(self), "factor": list(self.factor)}
        if self.slices is None:
            del settings["slices"]
        return settings


@dataclass(frozen=True)
class ShardJob:
    """A scan, where it is, and where its shard goes."""

    scan: Scan
    root: str
    settings: ShardSettings
    output: str


def run_job(job: ShardJob) -> dict[str, Any]:
    """Write the scan's shard and return its entry of the manifest; a bad scan's entry holds `error` instead."""
    try:
        return _make_shard(job)
    except UserError as error:
        return {"scan": job.scan.name, "source": job.scan.source, "error": str(error)}


def read_source(scan: Scan, root: str) -> tuple[np.ndarray, np.ndarray, Path | None, tuple[str, ...]]:
    """The scan's voxels, its affine, its path (None for a phantom), and what is doubtful about its header."""
    if scan.source.startswith("phantom:"):
        return make_phantom(_PHANTOM_SHAPE, int(scan.source.partition(":")[2])), np.eye(4), None, ()
    path = Path(root, scan.source)
    volume = read_volume(path, nan=0.0)
    return volume.data, volume.affine, path, volume.remarks


def is_source_of(entry: dict[str, Any], scan: Scan, root: str) -> bool:
    """Whether the scan's source is what that entry of a manifest was made of, by size and contents."""
    if scan.source.startswith("phantom:"):
        return True
    path = Path(root, scan.source)
    if not path.exists() or entry["source_bytes"] != _size_of(path):
        return False
    return entry["source_sha256"] == sha256_of_scan(path)


def _make_shard(job: ShardJob) -> dict[str, Any]:
    scan, settings = job.scan, job.settings
    data, affine, path, remarks = read_source(scan, job.root)
    if axes_are_anatomical(settings.axes):
        data, affine = to_ras(data, affine)
    axes = resolve_axes(settings.axes, affine)
    try:
        slices = _profile(data, affine, axes, settings)
        low_res = kspace.degrade(data, settings.factor, axes, settings.interpolation, slices=slices)
        normalisation = Normalisation.from_low_res(low_res, settings.normalisation)
        check_range(normalisation, low_res, data)
        corners = _corners(low_res, scan, settings)
    except UserError as error:
        raise UserError(f"{path or scan.name}: {error}") from error
    voxel_mm = np.linalg.norm(affine[:3, :3], axis=0)
    return {
        "scan": scan.name,
        "subject": scan.subject,
        "split": scan.split,
        "source": scan.source,
        "source_bytes": _size_of(path) if path else 0,
        "source_sha256": sha256_of_scan(path) if path else hashlib.sha256(data.tobytes()).hexdigest(),
        "matrix": list(data.shape),
        "voxel_mm": [round(float(mm), 5) for mm in voxel_mm],
        "array_axes": list(axes),
        **({"remarks": list(remarks)} if remarks else {}),
        **_slices_entry(slices, data.shape[axes[0]], settings.factor[0], float(voxel_mm[axes[0]])),
        "mean": normalisation.mean,
        "std": normalisation.std,
        **_write(job, normalisation, low_res, data, corners),
    }


def _write(
    job: ShardJob, normalisation: Normalisation, low_res: np.ndarray, data: np.ndarray, corners: np.ndarray
) -> dict[str, Any]:
    """Write the shard of these patches, and return what the manifest says of it."""
    scan, edge = job.scan, job.settings.patch
    shard = Path(job.output, scan.split, f"{scan.name}.tfrecord")
    shard.parent.mkdir(parents=True, exist_ok=True)
    pairs = zip(cut_patches(low_res, corners, edge), cut_patches(data, corners, edge), strict=True)
    with replace_when_done(shard) as partial:
        write_shard(partial, ((normalisation.apply(low), normalisation.apply(high)) for low, high in pairs))
        size, checksum = partial.stat().st_size, sha256_of(partial)
    return {
        "shard": f"{scan.split}/{shard.name}",
        "pairs": len(corners),
        "shard_bytes": size,
        "shard_sha256": checksum,
        "corners": corners.tolist(),
    }


def _profile(
    data: np.ndarray, affine: np.ndarray, axes: tuple[int, ...], settings: ShardSettings
) -> SliceProfile | None:
    count = kspace.small_size(data.shape[axes[0]], settings.factor[0])
    return profile_for(settings.slices, data.shape, count, axes[0], affine)


def _slices_entry(slices: SliceProfile | None, size: int, factor: int, voxel_mm: float) -> dict[str, float]:
    """What the thick slices of this scan were, in millimetres."""
    if slices is None:
        return {}
    spacing = size / kspace.small_size(size, factor) * voxel_mm
    return {"slice_thickness_mm": round(slices.thickness * voxel_mm, 5), "slice_spacing_mm": round(spacing, 5)}


def check_range(normalisation: Normalisation, *images: np.ndarray) -> None:
    """Refuse z-scores that the shards' float16 cannot hold: a scan of nearly two values has such."""
    largest = max(float(np.abs(normalisation.apply(np.array([image.min(), image.max()]))).max()) for image in images)
    if not largest <= float(np.finfo(VOXEL_DTYPE).max):
        raise UserError(
            f"its z-scores reach {largest:.2g}, beyond the float16 of the shards: nearly all of its bright voxels have "
            "one value, as those of a mask do; leave it out."
        )


def _corners(low_res: np.ndarray, scan: Scan, settings: ShardSettings) -> np.ndarray:
    """The corners of all epochs; only training gets more than one, the other splits have to stay comparable."""
    foreground = low_res > low_res.mean(dtype=np.float64)
    identity = int.from_bytes(digest_of(scan.name)[:8], "big")
    epochs = settings.epochs_of_patches if scan.split == "train" else 1
    rngs = (np.random.default_rng([settings.seed, identity, epoch]) for epoch in range(epochs))
    wanted = (settings.patch, settings.patches_per_subject, settings.min_foreground)
    return np.concatenate([draw_corners(rng, foreground, *wanted) for rng in rngs])


def _size_of(path: Path) -> int:
    return sum(file.stat().st_size for file in files_of(path))
