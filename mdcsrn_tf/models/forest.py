"""RFSR: a random forest on a pixel's neighbours, the model that the 7T paper compares its networks with.

A sample is a pixel: its 25 neighbours within two pixels less itself (the middle column is always 0; beyond the border
there are zeros), and the target is what the high-resolution image adds to it. scikit-learn grows the trees; what is
stored are their plain arrays in one `.npz`, and NumPy walks them, so a model can be neither a program nor bound to one
release of scikit-learn.

The code that the paper cites casts the shifted images to integers before it subtracts the pixel, right for its 8-bit
pictures; of z-scores the neighbours are mostly lost then, and the pixel's own value is left in their place.
`integers=True` does the same, to measure it (docs/field_study.md); nothing else uses it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mdcsrn_tf.errors import UserError, brief
from mdcsrn_tf.files import replace_when_done
from mdcsrn_tf.papers.forests import ForestConfig

RADIUS = 2
LIVE_CHANNELS = 2 * (2 * RADIUS + 1) ** 2 + 10  # float32 numbers a pixel: its sample, twice, and sums in float64
_ARRAYS = ("left", "right", "feature", "threshold", "value", "roots")
_PIXELS = 1 << 16  # predicted at a time


@dataclass(frozen=True)
class Forest:
    """Every node of every tree, numbered through; a leaf is its own child."""

    left: np.ndarray  # int32: where a sample goes whose feature is at most the threshold
    right: np.ndarray  # int32
    feature: np.ndarray  # int8
    threshold: np.ndarray  # float32
    value: np.ndarray  # float64: a leaf's mean
    roots: np.ndarray  # int32, one a tree

    def predict(self, samples: np.ndarray) -> np.ndarray:
        """The mean of the trees for samples [n, 25]: float64 [n]."""
        samples = np.ascontiguousarray(samples, np.float32)
        rows = np.arange(len(samples))
        total = np.zeros(len(samples))
        for root in self.roots:
            node = np.full(len(samples), root, np.int32)
            while True:
                low = samples[rows, self.feature[node]] <= self.threshold[node]
                child = np.where(low, self.left[node], self.right[node])
                if np.array_equal(child, node):
                    break
                node = child
            total += self.value[node]
        return total / len(self.roots)

    def apply(self, slices: np.ndarray) -> np.ndarray:
        """float32 [batch, h, w, 1] to the same, super-resolved."""
        added = [self._added(image) for image in slices[..., 0]]
        return (slices + np.stack(added)[..., None]).astype(np.float32)

    def _added(self, image: np.ndarray) -> np.ndarray:
        samples = features(image)
        parts = [self.predict(samples[first : first + _PIXELS]) for first in range(0, len(samples), _PIXELS)]
        return np.concatenate(parts).reshape(image.shape)


def features(image: np.ndarray, *, integers: bool = False) -> np.ndarray:
    """The samples of an image's pixels, row by row: float32 [pixels, 25]."""
    padded = np.pad(np.asarray(image, np.float32), RADIUS)
    height, width = image.shape
    shifts = [
        padded[row : row + height, column : column + width]
        for row in range(2 * RADIUS + 1)
        for column in range(2 * RADIUS + 1)
    ]
    shifted = np.stack(shifts, axis=-1)
    if integers:
        shifted = shifted.astype(np.int32).astype(np.float32)
    return (shifted - padded[RADIUS : RADIUS + height, RADIUS : RADIUS + width, None]).reshape(-1, len(shifts))


def grow(
    samples: np.ndarray,
    targets: np.ndarray,
    config: ForestConfig,
    *,
    seed: int = 0,
    jobs: int = -1,
    on_progress: Callable[[int], None] | None = None,
) -> Any:
    """scikit-learn's forest on samples [n, 25] and targets [n]; `on_progress` hears how many trees there are."""
    try:
        from sklearn.ensemble import RandomForestRegressor
    except ImportError as error:
        raise UserError(
            "Growing a forest needs scikit-learn; install it with: pip install 'mdcsrn-tf[forest]'."
        ) from error
    forest = RandomForestRegressor(
        n_estimators=0,
        max_depth=config.depth,
        min_samples_split=config.min_samples_split,
        n_jobs=jobs,
        random_state=seed,
        warm_start=True,
    )
    step = max(1, config.trees // 20)
    for count in [*range(step, config.trees, step), config.trees]:
        forest.set_params(n_estimators=count)
        forest.fit(samples, targets)
        if on_progress:
            on_progress(count)
    return forest


def plain_arrays(forest: Any) -> Forest:
    """scikit-learn's trees as arrays, equal to it in every comparison."""
    parts: dict[str, list[np.ndarray]] = {name: [] for name in _ARRAYS}
    first = 0
    for estimator in forest.estimators_:
        tree = estimator.tree_
        own = np.arange(tree.node_count)
        leaf = tree.children_left < 0
        parts["roots"].append(np.array([first]))
        parts["left"].append(first + np.where(leaf, own, tree.children_left))
        parts["right"].append(first + np.where(leaf, own, tree.children_right))
        parts["feature"].append(np.where(leaf, 0, tree.feature))
        parts["threshold"].append(_rounded_down(np.where(leaf, 0.0, tree.threshold)))
        parts["value"].append(tree.value.reshape(-1))
        first += tree.node_count
    types = {"feature": np.int8, "threshold": np.float32, "value": np.float64}
    return Forest(**{name: np.concatenate(parts[name]).astype(types.get(name, np.int32)) for name in _ARRAYS})


def is_forest(path: str | os.PathLike[str]) -> bool:
    """Whether a model's file is a forest's, by its name."""
    return Path(path).suffix == ".npz"


def save_forest(path: str | os.PathLike[str], forest: Forest, card: str) -> None:
    """Write the arrays and the card's JSON text to a `.npz`, whole or not at all."""
    arrays = {name: getattr(forest, name) for name in _ARRAYS}
    with replace_when_done(path) as partial, partial.open("wb") as stream:
        np.savez_compressed(stream, card=np.frombuffer(card.encode(), np.uint8), **arrays)


def load_forest(path: str | os.PathLike[str]) -> tuple[Forest, str]:
    """The forest and its card's JSON text; UserError for anything that is no such file. Nothing is unpickled."""
    try:
        with np.load(path, allow_pickle=False) as content:
            card = content["card"].tobytes().decode()
            forest = Forest(**{name: content[name] for name in _ARRAYS})
        json.loads(card)
        _check(forest)
    except Exception as error:  # what a reader makes of damaged bytes has no common type
        raise UserError(f"{path} is no forest, or a damaged one ({brief(error)}); copy it again.") from error
    return forest, card


def forest_card_text(path: str | os.PathLike[str]) -> str:
    """The card's JSON text alone."""
    try:
        with np.load(path, allow_pickle=False) as content:
            return content["card"].tobytes().decode()
    except Exception as error:  # see load_forest
        raise UserError(f"{path} is no forest, or a damaged one; copy it again.") from error


def _rounded_down(thresholds: np.ndarray) -> np.ndarray:
    """The largest float32 at or below: samples are float32, so every comparison comes out as before."""
    nearest = thresholds.astype(np.float32)
    return np.where(nearest > thresholds, np.nextafter(nearest, np.float32(-np.inf)), nearest)


def _check(forest: Forest) -> None:
    """Children come after their parents (or are themselves): every walk ends, and inside the arrays."""
    nodes = np.arange(len(forest.left))
    sizes = {len(getattr(forest, name)) for name in _ARRAYS if name != "roots"}
    inside = all(
        (child >= nodes).all() and (child < len(nodes)).all() and (child.dtype.kind == "i")
        for child in (forest.left, forest.right)
    )
    known = ((forest.feature >= 0) & (forest.feature < (2 * RADIUS + 1) ** 2)).all()
    rooted = len(forest.roots) > 0 and ((forest.roots >= 0) & (forest.roots < len(nodes))).all()
    leaves = (forest.left == nodes) == (forest.right == nodes)
    if len(sizes) != 1 or not (inside and known and rooted and leaves.all() and np.isfinite(forest.value).all()):
        raise ValueError("its trees do not hang together")
