"""Grow the random forest on shards of slices: `train.py --preset=7t/rfsr`."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from mdcsrn_tf import __version__
from mdcsrn_tf.command_line import warn
from mdcsrn_tf.errors import UserError
from mdcsrn_tf.locks import only_run_in
from mdcsrn_tf.models.files import ModelCard
from mdcsrn_tf.models.forest import Forest, features, grow, plain_arrays, save_forest
from mdcsrn_tf.papers.forests import FORESTS, ForestConfig
from mdcsrn_tf.run_record import RunRecord
from mdcsrn_tf.shards.dataset import Manifest, validation_batches
from mdcsrn_tf.shards.joined import read_manifests

MODEL = "best_forest.npz"
_BATCH = 64


def train_forest(
    preset: str, data: str, workdir: Path, *, seed: int = 0, samples: int | None = None, quiet: bool = False
) -> int:
    """Grow the preset's forest, measure it on the validation pairs, and write it; the exit code.

    `data` is a folder of shards, or several, separated by commas.
    """
    config = FORESTS[preset]
    manifest = read_manifests(data)
    warn("mdcsrn-train", manifest.remarks)
    if manifest.rank != 2 or manifest.channels != (1, 1):
        raise UserError(f"{data} holds no pairs of single slices; make them by mdcsrn-pairs --stack=1 --targets=1.")
    with only_run_in(workdir):
        check_free(workdir)
        record = RunRecord.begin(
            {"preset": preset, "forest": config, "seed": seed, "samples": samples or config.samples},
            {"folder": data, "manifest_sha256": manifest.sha256},
        )
        forest, count = _grown(manifest, config, samples or config.samples, seed, quiet)
        found = _measured(forest, manifest)
        notes = {"samples": count, "seed": seed, "validation": found, "data_sha256": manifest.sha256, **manifest.notes}
        save_forest(workdir / MODEL, forest, _card(preset, manifest, config, notes).to_json())
        record.results = {**notes, "nodes": len(forest.left)}
        record.write(workdir / "run.json")
    if quiet:
        return 0
    print(
        f"mdcsrn-train: done; {workdir / MODEL}: mean square error {found['mse']:.4f}, the input's "
        f"{found['input_mse']:.4f} ({found['split']})"
    )
    return 0


def check_free(workdir: Path) -> None:
    """UserError where a forest, or the record of another run, would be replaced."""
    found = next((workdir / name for name in (MODEL, "run.json") if (workdir / name).exists()), None)
    if found:
        raise UserError(f"{found} would be replaced by a new forest; move it away, or take another --workdir.")


def sampled_pixels(manifest: Manifest, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """`count` samples and targets, fewer where there are not so many pixels: spread evenly over the training pairs."""
    rng = np.random.default_rng([seed, 1])
    shares = np.diff(np.arange(manifest.pairs("train") + 1) * count // manifest.pairs("train"))
    samples, targets = [], []
    for (low, high), share in zip(_pairs(manifest, "train"), shares, strict=True):
        chosen = rng.permutation(low.size)[:share]
        samples.append(features(low)[chosen])
        targets.append((high - low).ravel()[chosen])
    return np.concatenate(samples), np.concatenate(targets)


def _grown(manifest: Manifest, config: ForestConfig, count: int, seed: int, quiet: bool) -> tuple[Forest, int]:
    samples, targets = sampled_pixels(manifest, count, seed)
    with tqdm(total=config.trees, unit="tree", disable=quiet or None, file=sys.stderr) as bar:
        found = grow(samples, targets, config, seed=seed, on_progress=lambda trees: bar.update(trees - bar.n))
    return plain_arrays(found), len(samples)


def _measured(forest: Forest, manifest: Manifest) -> dict[str, float]:
    """Mean square errors over the validation pairs, in the shards' units."""
    split = "validation" if manifest.splits.get("validation") else "train"
    errors = [
        (np.mean((forest.apply(low[None, ..., None])[0, ..., 0] - high) ** 2), np.mean((low - high) ** 2))
        for low, high in _pairs(manifest, split)
    ]
    mse, input_mse = np.mean(errors, axis=0)
    return {"split": split, "mse": float(mse), "input_mse": float(input_mse)}  # type: ignore[dict-item]


def _pairs(manifest: Manifest, split: str):
    """Every pair of a split as two images [h, w]."""
    for low, high in validation_batches(manifest, split, batch_size=_BATCH):
        yield from zip(low.numpy()[..., 0], high.numpy()[..., 0], strict=True)


def _card(preset: str, manifest: Manifest, config: ForestConfig, notes: dict[str, Any]) -> ModelCard:
    return ModelCard(
        preset=preset,
        version=__version__,
        interpolation=manifest.interpolation,
        axes=manifest.axes,
        factor=manifest.factor,
        tile=0,  # whole slices: a pixel sees its neighbours alone
        margin=0,
        bn="moving",
        normalisation=manifest.normalisation,
        planes=manifest.planes,
        notes=json.loads(json.dumps({"forest": asdict(config), **notes})),
    )
