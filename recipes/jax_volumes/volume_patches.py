"""Patches drawn on the GPU from the flat array of `training_data.py`, and what is validated between updates."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

TICKETS = 4096  # of the lottery by which a volume is drawn
DARKNESS = -2.5  # of the normalisation by tissue level
EXPOSURE = 0.3  # up to so much brighter or darker, as the recipe `robust` has it


class Volumes(NamedTuple):
    """All training volumes on the GPU, and where patches may be cut."""

    pairs: Any  # [N, 2] float16: low and high resolution
    offsets: Any  # [volumes] of a volume's first voxel
    strides: Any  # [volumes, 2] of its first two axes
    corners: Any  # [volumes, places, 3]
    tickets: Any  # [TICKETS] of volumes, each as often as its share


def load_volumes(folder: Path) -> tuple[Volumes, int]:
    """Put a folder of `training_data.py` on the GPU; the edge of its patches, too."""
    with np.load(folder / "index.npz") as index:
        shares = index["shares"] / index["shares"].sum()
        places = (np.arange(TICKETS) + 0.5) / TICKETS
        volumes = Volumes(
            jnp.asarray(np.load(folder / "pairs.npy", mmap_mode="r")),
            jnp.asarray(index["offsets"], jnp.int32),
            jnp.asarray(index["strides"], jnp.int32),
            jnp.asarray(index["corners"], jnp.int16),
            jnp.asarray(np.searchsorted(np.cumsum(shares), places), jnp.int32),
        )
        return volumes, int(index["patch"])


def draw_batch(volumes: Volumes, key: Any, batch: int, patch: int, exchange: bool) -> tuple[Any, Any]:
    """Random patches (batch, p, p, p, 1): mirrored, exposed otherwise, their first two axes exchanged if so told."""
    keys = jax.random.split(key, 6)
    volume = volumes.tickets[jax.random.randint(keys[0], (batch,), 0, TICKETS)]
    place = jax.random.randint(keys[1], (batch,), 0, volumes.corners.shape[1])
    corner = volumes.corners[volume, place].astype(jnp.int32)
    along = jnp.arange(patch)
    mirrored = jax.random.bernoulli(keys[2], 0.5, (batch, 3, 1))
    places = corner[..., None] + jnp.where(mirrored, patch - 1 - along, along)
    first, second = volumes.strides[volume].T[..., None, None, None]
    index = volumes.offsets[volume][:, None, None, None] + places[:, 0, :, None, None] * first
    index += places[:, 1, None, :, None] * second + places[:, 2, None, None, :]
    pair = volumes.pairs[index].astype(jnp.float32)
    if exchange:
        exchanged = jax.random.bernoulli(keys[3], 0.5, (batch, 1, 1, 1, 1))
        pair = jnp.where(exchanged, pair.transpose(0, 2, 1, 3, 4), pair)
    exposure = (1 + EXPOSURE) ** jax.random.uniform(keys[4], (batch, 1, 1, 1, 1), minval=-1.0)
    pair = DARKNESS + (pair - DARKNESS) * exposure
    return pair[..., :1], pair[..., 1:]


class Validation:
    """The slabs of the validation scans: the gain over their input inside the head, and the power that was removed."""

    def __init__(self, folder: Path):
        with np.load(folder / "validation.npz") as content:
            names = sorted({key.rpartition("/")[0] for key in content.files})
            keys = ("low", "high", "mask", "axes", "factor", "range")
            self.slabs = {name: {key: content[f"{name}/{key}"] for key in keys} for name in names}
        for slab in self.slabs.values():
            slab["removed"] = self._removed(slab, slab["high"])
            slab["input_mse"] = self._mse(slab, slab["low"])

    def measure(self, restore: Any) -> dict[str, float]:
        """`restore` maps a batch of low-resolution volumes to high ones; means over the scans, and each scan's gain."""
        from mdcsrn_tf.metrics.spectra import correlation, power_db

        names = ("gain", "psnr", "input_psnr", "mae", "band_db", "band_correlation")
        found: dict[str, list[float]] = {name: [] for name in names}
        for slab in self.slabs.values():
            image = np.asarray(restore(slab["low"][None, ..., None]))[0, ..., 0]
            mse, removed = self._mse(slab, image), self._removed(slab, image)
            found["gain"].append(10 * np.log10(slab["input_mse"] / mse))
            found["psnr"].append(10 * np.log10(slab["range"] ** 2 / mse))
            found["input_psnr"].append(10 * np.log10(slab["range"] ** 2 / slab["input_mse"]))
            found["mae"].append(np.abs(image - slab["high"])[slab["mask"]].mean(dtype=np.float64))
            found["band_db"].append(power_db(slab["removed"], removed, slab["mask"]))
            found["band_correlation"].append(correlation(slab["removed"], removed, slab["mask"]))
        means = {name: float(np.mean(values)) for name, values in found.items()}
        gains = zip(self.slabs, found["gain"], found["band_db"], strict=True)
        return means | {"each": {name: [round(float(v), 3) for v in (gain, band)] for name, gain, band in gains}}

    @staticmethod
    def _mse(slab: dict[str, Any], image: np.ndarray) -> float:
        return float(np.mean(np.square(image - slab["high"])[slab["mask"]], dtype=np.float64))

    @staticmethod
    def _removed(slab: dict[str, Any], image: np.ndarray) -> np.ndarray:
        from mdcsrn_tf.metrics.spectra import band

        axes = [int(axis) for axis in slab["axes"]]
        return band(image, axes, [1 / float(f) for f in slab["factor"]], [1.0] * len(axes))
