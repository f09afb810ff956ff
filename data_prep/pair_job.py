"""One pair of scans to one shard of slice patches: the unit of work of mdcsrn-pairs."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from data_prep.scan_pairs import ScanPair, Series
from data_prep.shard_job import check_range
from data_prep.slice_pairs import MatchSettings, View, check_patch, paired
from mdcsrn_tf.errors import UserError
from mdcsrn_tf.files import replace_when_done, sha256_of
from mdcsrn_tf.names import digest_of
from mdcsrn_tf.scans.dicom_series import files_of_series
from mdcsrn_tf.scans.find import files_of
from mdcsrn_tf.scans.normalisation import of_pair
from mdcsrn_tf.shards.records import encode_channels, write_shard

_TRIES = 50
_THROUGH = {"axial": "IS", "coronal": "AP", "sagittal": "LR"}  # the axis through the slices of each plane


@dataclass(frozen=True)
class PairSettings:
    """Everything that decides what the shards hold, beside the scans themselves."""

    match: MatchSettings = field(default_factory=MatchSettings)
    patch: int = 64
    patches_per_subject: int = 300  # 0: one from each pair of slices
    epochs_of_patches: int = 1
    seed: int = 0
    normalisation: str = "zscore_each_image"
    min_foreground: float = 0.25

    def for_manifest(self) -> dict[str, Any]:
        """As JSON values, under the names that readers of shards know."""
        edge = (self.patch, self.patch)
        return {
            **{key: value for key, value in asdict(self).items() if key != "match"},
            **{key: value for key, value in asdict(self.match).items() if key != "seed"},
            "source": "pairs",
            "axes": ",".join(_THROUGH[plane] for plane in self.match.planes),
            "factor": [],
            "planes": list(self.match.planes),
            "low_shape": [*edge, self.match.stack],
            "high_shape": [*edge, self.match.targets],
            "interpolation": "linear",
        }


@dataclass(frozen=True)
class PairJob:
    """Two scans, and where their shard goes."""

    pair: ScanPair
    settings: PairSettings
    output: str


def run_pair(job: PairJob) -> dict[str, Any]:
    """Write the pair's shard and return its entry of the manifest; of scans that do not fit it holds `error`."""
    try:
        return _make_shard(job)
    except UserError as error:
        return {"scan": job.pair.name, "error": _named(str(error), job.pair)}


def _named(reason: str, pair: ScanPair) -> str:
    """The reason with its scans before it, unless it names them."""
    named = any(str(series.path) in reason for series in (pair.low, pair.high))
    return reason if named else f"{pair.low.label} and {pair.high.label}: {reason}"


def source_checksum(pair: ScanPair) -> str:
    """Of the voxels and headers of both scans, whatever their files are called.

    Where it differs from the manifest's, a scan was exchanged since the shard was made.
    """
    return _checksum(map(sha256_of, chain(*_files(pair))))


def _checksum(hashes: Iterable[str]) -> str:
    return hashlib.sha256("".join(sorted(hashes)).encode()).hexdigest()


def _make_shard(job: PairJob) -> dict[str, Any]:
    pair, settings = job.pair, job.settings
    found = paired(pair.low, pair.high, settings.match, settings.patch)
    of_low, of_high = of_pair(settings.normalisation, *found.views[0].values())
    check_range(of_low, found.views[0].low)
    check_range(of_high, found.views[0].high)
    places = _places(found.views, pair, settings)
    shard = Path(job.output, pair.split, f"{pair.name}.tfrecord")
    shard.parent.mkdir(parents=True, exist_ok=True)
    patches = ((of_low.apply(low), of_high.apply(high)) for low, high in _patches(found.views, places, settings.patch))
    with replace_when_done(shard) as partial:
        write_shard(partial, patches, encode_channels)
        size, checksum = partial.stat().st_size, sha256_of(partial)
    return {
        "scan": pair.name,
        "subject": pair.subject,
        "split": pair.split,
        **_facts_of_files(pair),
        "low_scale": asdict(of_low),
        "high_scale": asdict(of_high),
        **found.facts,
        "shard": f"{pair.split}/{shard.name}",
        "pairs": len(places),
        "shard_bytes": size,
        "shard_sha256": checksum,
        "places": places.tolist(),
    }


def _places(views: tuple[View, ...], pair: ScanPair, settings: PairSettings) -> np.ndarray:
    """(view, pair of slices, row, column) of each patch [n, 4]; only training gets more than one epoch."""
    for view in views:
        check_patch(view.high.shape[1:], settings.patch)
    identity = int.from_bytes(digest_of(pair.name)[:8], "big")
    epochs = settings.epochs_of_patches if pair.split == "train" else 1
    bright = [view.low > view.low.mean(dtype=np.float64) for view in views]
    return np.concatenate(
        [
            _one_epoch(np.random.default_rng([settings.seed, identity, epoch]), views, bright, settings)
            for epoch in range(epochs)
        ]
    )


def _one_epoch(
    rng: np.random.Generator, views: tuple[View, ...], bright: list[np.ndarray], settings: PairSettings
) -> np.ndarray:
    """Axis, slice and corner uniform; or, with no number asked for, every pair of slices once."""
    chosen: list[tuple[int, int | None]]
    if settings.patches_per_subject:
        chosen = [(int(rng.integers(len(views))), None) for _ in range(settings.patches_per_subject)]
    else:
        chosen = [(v, p) for v, view in enumerate(views) for p in range(len(view.lows))]
    return np.array([(v, *_corner(rng, views[v], bright[v], p, settings)) for v, p in chosen])


def _corner(
    rng: np.random.Generator, view: View, bright: np.ndarray, fixed: int | None, settings: PairSettings
) -> tuple[int, int, int]:
    """(pair of slices, row, column): the first of 50 tries with enough foreground inside both fields, else the best."""
    edge = settings.patch
    room = np.array(view.high.shape[1:]) - edge + 1
    best, best_score = (0, 0, 0), -np.inf
    for _ in range(_TRIES):
        p = int(rng.integers(len(view.lows))) if fixed is None else fixed
        row, column = (int(corner) for corner in rng.integers(0, room))
        window = np.s_[row : row + edge, column : column + edge]
        score = _score(view, bright, p, window)
        if score >= settings.min_foreground:
            return p, row, column
        if score > best_score:
            best, best_score = (p, row, column), score
    if best_score < 0:
        raise UserError(
            f"no patch of {edge} pixels was found inside the field that both scans share; choose a smaller --patch, "
            "or check that both show the same part of the head."
        )
    return best


def _score(view: View, bright: np.ndarray, p: int, window: tuple[slice, ...]) -> float:
    """The part of the patch that is foreground; below zero where it reaches out of the common field."""
    inside = all(view.inside[k][window].all() for k in {*view.highs[p], *view.neighbours_in_field(p)})
    middle = view.lows[p][len(view.lows[p]) // 2]
    return float(bright[middle][window].mean()) - 2 * (not inside)


def _patches(views: tuple[View, ...], places: np.ndarray, edge: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Patches with channels last: channel c of pixel (i, j) is pixel (i, j) of the c-th slice, a transposition."""
    for v, p, row, column in places:
        view = views[v]
        window = np.s_[row : row + edge, column : column + edge]
        low, high = (
            [image[k][window] for k in chosen]
            for image, chosen in ((view.low, view.lows[p]), (view.high, view.highs[p]))
        )
        yield np.stack(low, axis=-1), np.stack(high, axis=-1)


def _facts_of_files(pair: ScanPair) -> dict[str, Any]:
    """How large the pair's files are, and the checksums of both scans and of each."""
    files = _files(pair)
    hashes = [[sha256_of(file) for file in of_scan] for of_scan in files]
    return {
        "source_bytes": sum(file.stat().st_size for file in chain(*files)),
        "source_sha256": _checksum(chain(*hashes)),
        "scans_sha256": [_checksum(of_scan) for of_scan in hashes],
    }


def _files(pair: ScanPair) -> list[list[Path]]:
    return [_files_of(series) for series in (pair.low, pair.high)]


def _files_of(series: Series) -> list[Path]:
    """A scan's files: of a DICOM folder that holds several series, or several people's, this one's alone."""
    if series.uid is None:
        return files_of(series.path)
    return files_of_series(series.path, series.uid)
