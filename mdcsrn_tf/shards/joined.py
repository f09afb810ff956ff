"""Several folders of shards as one: pairs made in different ways (factors, slice profiles) for one network."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mdcsrn_tf.errors import UserError
from mdcsrn_tf.shards.dataset import Manifest, Shard, read_manifest

# What a network cannot mix: it has one kind of input. Factors and slice profiles may differ.
_ALIKE = {
    "low_shape": "low-resolution patches (shape and channels)",
    "high_shape": "high-resolution patches (shape and channels)",
    "interpolation": "interpolations",
    "axes": "axes",
    "normalisation": "normalisations",
    "source": "kinds of pairs",
    "planes": "planes",
}

_NUMBERED = (
    "people are numbered in each folder of shards anew, and who is in several was looked for by their scans' checksums "
    "alone: see that all were made with one --split table."
)


def read_manifests(folders: str) -> Manifest:
    """The manifest of one folder of shards, or of several that are separated by commas."""
    # A name may hold a comma itself.
    named = [folders] if Path(folders).exists() else [name.strip() for name in folders.split(",")]
    manifests = [read_manifest(folder) for folder in named]
    return manifests[0] if len(manifests) == 1 else join(manifests)


def _shown(value: Any) -> str:
    """A setting as its flag is written: LR,AP."""
    return ",".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def join(manifests: Sequence[Manifest]) -> Manifest:
    """All pairs of all folders; factor and slice profile are the first one's, `factors` tells all.

    UserError where they cannot be mixed, or where a subject is learned from in one and judged by in another.
    """
    first = manifests[0]
    for other in manifests[1:]:
        for name, words in _ALIKE.items():
            if getattr(other, name) != getattr(first, name):
                raise UserError(
                    f"{first.directory} and {other.directory} cannot be learned from together: their {words} are "
                    f"{_shown(getattr(first, name))} and {_shown(getattr(other, name))}; make the shards anew with the "
                    "same."
                )
    splits: dict[str, tuple[Shard, ...]] = {}
    for manifest in manifests:
        for split, shards in manifest.splits.items():
            splits[split] = splits.get(split, ()) + shards
    numbered = first.source == "pairs"  # people are person-0001 and so on, in each folder anew
    _check_people(splits, by_name=not numbered)
    together = hashlib.sha256("\n".join(manifest.sha256 for manifest in manifests).encode()).hexdigest()
    factors = tuple(dict.fromkeys(factor for manifest in manifests for factor in manifest.factors))
    pixels = [size for manifest in manifests for size in manifest.pixels]
    extremes = (min(pixels), max(pixels)) if pixels else ()
    remarks = (_NUMBERED,) if numbered and len(splits) > 1 else ()
    return replace(
        first,
        splits=splits,
        sha256=together,
        factors=factors,
        pixels=extremes,
        min_foreground=max(manifest.min_foreground for manifest in manifests),
        remarks=remarks,
    )


def _check_people(splits: dict[str, tuple[Shard, ...]], *, by_name: bool) -> None:
    """UserError where a subject, or a scan under another name, is both learned from and judged by."""
    trained = splits.get("train", ())
    subjects = {shard.subject for shard in trained if by_name}
    sources = {source: shard.subject for shard in trained for source in shard.sources}
    for split, shards in splits.items():
        for shard in shards if split != "train" else ():
            if shard.subject in subjects:
                raise UserError(
                    f"{shard.subject} is a training subject in one folder of shards and a {split} subject in another: "
                    "make them with one --split file."
                )
            known = next((sources[source] for source in sorted(shard.sources) if source in sources), None)
            if known is not None:
                raise UserError(
                    f"{known}, a training subject, and {shard.subject}, a {split} subject, are one scan under two "
                    "names: take one of them out, and make the shards anew."
                    if by_name
                    else f"{known}, a training subject in one folder of shards, and {shard.subject}, a {split} subject "
                    "in another, have a scan in common: make them with one --split table."
                )
