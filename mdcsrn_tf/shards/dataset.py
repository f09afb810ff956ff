"""Shards to batches, by index: which pair comes when, and how it is changed, depends on (seed, step) alone.

Sample g = step * batch_size + place belongs to epoch g // N and is number g % N of that epoch's permutation of
the N pairs of all shards. Nothing has to be replayed to begin at a later step, and every pair is seen once an
epoch. Shards have records of one length, so a pair is one read; its checksum is verified every time.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mdcsrn_tf.chatter import without_library_chatter
from mdcsrn_tf.errors import UserError
from mdcsrn_tf.shards.augmentation import NONE, Augmentation, augment
from mdcsrn_tf.shards.records import decode_pairs, read_record

if TYPE_CHECKING:
    import tensorflow as tf

_ACROSS = {"sagittal": 0, "coronal": 1, "axial": 2}  # the axis of a RAS+ volume through the slices
FORMATS = (1, 2)  # of manifest.json: cubes; arrays with channels, which may be slices (records.py)
_MARK = re.compile(r"UserError: (Shard .*?make the shards again\.)", re.DOTALL)


@dataclass(frozen=True)
class Shard:
    """One scan's records."""

    path: Path
    pairs: int
    size: int  # bytes
    subject: str
    sources: frozenset[str] = frozenset()  # checksums of the scan, or of both; none are known of shards of 0.1.0

    @property
    def record_bytes(self) -> int:
        """Length of each record."""
        return self.size // self.pairs


@dataclass(frozen=True)
class Manifest:
    """What a folder of shards holds; `sha256` identifies it in run records."""

    directory: Path
    low_shape: tuple[int, ...]  # of a patch, channels last
    high_shape: tuple[int, ...]
    interpolation: str
    axes: tuple[str, ...]
    factor: tuple[int, ...]
    normalisation: str
    splits: dict[str, tuple[Shard, ...]]
    sha256: str
    slices: dict[str, str] | None = None  # slice profile, thickness and gap; None: k-space truncation
    source: str = "kspace"  # how the low-resolution images came about: degraded, or "pairs": scanned as well
    planes: tuple[str, ...] = ()  # of slices: which they are cut in
    factors: tuple[tuple[int, ...], ...] = ()  # every factor that pairs were made with (joined.py)
    remarks: tuple[str, ...] = ()  # what a user should know of it, a sentence each
    pixels: tuple[float, ...] = ()  # of pairs of scans: the least and the largest pixel that is learned from, mm
    min_foreground: float = 0.0  # the part of each patch that had to be foreground; 0: patches lie anywhere

    @property
    def rank(self) -> int:
        """3 for volumes, 2 for slices."""
        return len(self.low_shape) - 1

    @property
    def notes(self) -> dict[str, Any]:
        """What inference may want to know of the scans, for the cards of networks that learn from them."""
        return {"pixel_mm": list(self.pixels)} if self.pixels else {}

    @property
    def channels(self) -> tuple[int, int]:
        """Of the low- and the high-resolution patches."""
        return self.low_shape[-1], self.high_shape[-1]

    @property
    def patch_size(self) -> int:
        """The edge of a patch."""
        return self.low_shape[0]

    def pairs(self, split: str) -> int:
        """How many pairs a split has."""
        return sum(shard.pairs for shard in self.shards(split))

    def shards(self, split: str) -> tuple[Shard, ...]:
        """The shards of a split; UserError if there are none."""
        if not self.splits.get(split):
            raise UserError(
                f"{self.directory} holds no {split} shards, only {', '.join(self.splits)}; "
                "make them with another --split."
            )
        return self.splits[split]


def read_manifest(shard_dir: str | os.PathLike[str]) -> Manifest:
    """Read `manifest.json` and see that each shard is there in its full length; UserError otherwise."""
    directory = Path(shard_dir)
    path = directory / "manifest.json"
    if not path.is_file():
        unfinished = (directory / ".progress").is_dir()
        state = "was not finished; repeat" if unfinished else "holds no manifest.json; make shards there by"
        raise UserError(f"{directory} {state} mdcsrn-shards, or mdcsrn-pairs for networks on slices.")
    try:
        raw = path.read_bytes()
        content = json.loads(raw)
        if content["format"] not in FORMATS:
            raise ValueError(f"format {content['format']} is none of {', '.join(map(str, FORMATS))}")
        manifest = _parse(directory, content, hashlib.sha256(raw).hexdigest())
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
        raise UserError(f"{path} cannot be read ({error}); make the shards again.") from error
    for shards in manifest.splits.values():
        for shard in shards:
            _check_length(shard)
    return manifest


def training_batches(
    manifest: Manifest,
    split: str,
    *,
    batch_size: int,
    seed: int,
    start_step: int = 0,
    augment: bool | Augmentation = True,
    part: tuple[int, int] | None = None,
) -> tf.data.Dataset:
    """Endless (low_res, high_res) float32 batches [B, *shape], from `start_step` on.

    With `part=(start, size)` only those consecutive places of each batch are read: what one of several processes needs.
    """
    import tensorflow as tf

    reader = _Reader(manifest.shards(split))
    settings = augment if isinstance(augment, Augmentation) else Augmentation() if augment else NONE
    start, size = part or (0, batch_size)
    samples = tf.data.Dataset.range(start_step * size, np.iinfo(np.int64).max // max(batch_size, 1))
    samples = samples.map(_as_it_is(lambda number: number // size * batch_size + start + number % size))
    pairs = _pairs(samples, lambda sample: reader.shuffled(int(sample), seed), manifest)
    if settings != NONE:
        change = _as_it_is(_augmenter(seed, settings))
        pairs = pairs.map(change, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    pairs = pairs.map(_as_it_is(lambda _, low_res, high_res: (low_res, high_res)))
    return pairs.batch(size, drop_remainder=True).prefetch(tf.data.AUTOTUNE)


def validation_batches(manifest: Manifest, split: str, *, batch_size: int) -> tf.data.Dataset:
    """Every pair of the split once, in the manifest's order, unchanged; the last batch may be smaller."""
    import tensorflow as tf

    reader = _Reader(manifest.shards(split))
    samples = tf.data.Dataset.range(reader.pairs)
    pairs = _pairs(samples, lambda sample: reader.record(int(sample)), manifest)
    pairs = pairs.map(_as_it_is(lambda _, low_res, high_res: (low_res, high_res)))
    return pairs.batch(batch_size).prefetch(tf.data.AUTOTUNE)


@contextmanager
def shard_errors() -> Iterator[None]:
    """Turn TensorFlow's wrapping of a damaged shard's error back into its one sentence.

    An error inside tf.data reaches the loop over it as an OpError that quotes a traceback.
    """
    import tensorflow as tf

    try:
        yield
    except tf.errors.OpError as error:
        match = _MARK.search(error.message)
        if match is None:
            raise
        raise UserError(match.group(1)) from error


class _Reader:
    """Random access to the pairs of some shards, numbered through."""

    def __init__(self, shards: tuple[Shard, ...]):
        self._shards = shards
        self._ends = list(accumulate(shard.pairs for shard in shards))
        self.pairs = self._ends[-1]

    def record(self, number: int) -> bytes:
        which = bisect_right(self._ends, number)
        shard = self._shards[which]
        index = number - (self._ends[which] - shard.pairs)
        return read_record(shard.path, index, shard.record_bytes)

    def shuffled(self, sample: int, seed: int) -> bytes:
        epoch, place = divmod(sample, self.pairs)
        return self.record(int(_permutation(self.pairs, seed, epoch)[place]))


@lru_cache(maxsize=8)
def _permutation(count: int, seed: int, epoch: int) -> np.ndarray:
    """A permutation that stays the same across NumPy releases: only raw bit streams are promised to."""
    return np.argsort(np.random.PCG64([seed, epoch]).random_raw(count), kind="stable")


def _pairs(samples: tf.data.Dataset, read: Any, manifest: Manifest) -> tf.data.Dataset:
    """Sample numbers to (number, low_res, high_res)."""
    import tensorflow as tf

    with without_library_chatter():  # of many processors oneDNN says, once, that it leaves float16 to TensorFlow
        tf.zeros(1, tf.float16)

    def load(sample):
        serialized = tf.ensure_shape(tf.numpy_function(read, [sample], tf.string, stateful=False), [])
        low_res, high_res = decode_pairs(serialized[None], manifest.low_shape, manifest.high_shape)
        return sample, low_res[0], high_res[0]

    return samples.map(_as_it_is(load), num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)


def _as_it_is(function: Any) -> Any:
    """For tf.data to trace without AutoGraph, whose rewriting takes longer than the rest of the start."""
    import tensorflow as tf

    return tf.autograph.experimental.do_not_convert(function)


def _augmenter(seed: int, settings: Augmentation) -> Any:
    def change(sample, low_res, high_res):
        return sample, *augment(low_res, high_res, seed, sample, settings)

    return change


def _parse(directory: Path, content: dict[str, Any], checksum: str) -> Manifest:
    settings = content["settings"]
    splits: dict[str, list[Shard]] = {}
    for entry in content["shards"]:
        place = directory / entry["shard"]
        sources = frozenset(map(str, [*entry.get("scans_sha256", ()), *filter(None, [entry.get("source_sha256")])]))
        shard = Shard(place, int(entry["pairs"]), int(entry["shard_bytes"]), entry["subject"], sources)
        splits.setdefault(entry["split"], []).append(shard)
    low_shape, high_shape = _shapes(settings)
    return Manifest(
        directory=directory,
        low_shape=low_shape,
        high_shape=high_shape,
        interpolation=settings["interpolation"],
        axes=tuple(axis for axis in settings["axes"].split(",") if axis),
        factor=tuple(settings["factor"]),
        factors=(tuple(settings["factor"]),),
        normalisation=settings["normalisation"],
        splits={split: tuple(shards) for split, shards in splits.items()},
        sha256=checksum,
        slices=settings.get("slices"),
        source=settings.get("source", "kspace"),
        planes=tuple(settings.get("planes", ())),
        pixels=_pixels(content["shards"], settings.get("planes", ())),
        min_foreground=float(settings.get("min_foreground", 0.0)),
    )


def _pixels(entries: Sequence[dict[str, Any]], planes: Sequence[str]) -> tuple[float, ...]:
    """The least and the largest pixel, in mm, of the training slices' grid, where entries tell it."""
    found: list[float] = []
    for entry in (entry for entry in entries if entry["split"] == "train"):
        found += entry.get("high_slices", {}).get("pixel_mm", ())
        for across in {_ACROSS[plane] for plane in planes if "high_voxel_mm" in entry}:
            found += [mm for axis, mm in enumerate(entry["high_voxel_mm"]) if axis != across]
    return (float(min(found)), float(max(found))) if found else ()


def _shapes(settings: dict[str, Any]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Of a low- and a high-resolution patch; format 1 has cubes of one channel and says their edge alone."""
    if "low_shape" not in settings:
        return ((int(settings["patch"]),) * 3 + (1,),) * 2
    return tuple(map(int, settings["low_shape"])), tuple(map(int, settings["high_shape"]))


def _check_length(shard: Shard) -> None:
    try:
        size = shard.path.stat().st_size
    except OSError as error:
        raise UserError(f"Shard {shard.path} is missing; make the shards again.") from error
    if size != shard.size:
        raise UserError(f"Shard {shard.path} has {size} of {shard.size} bytes: it is truncated; make the shards again.")
