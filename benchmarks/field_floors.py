"""What can be had of a pair in the field study without a network: by a curve, by knowing the shading, by neighbours.

All but `common_curve` are fitted on the very scan that they are measured on: no honest method knows so much. They
part what the task asks for into what a pixel's own brightness tells, what its place tells, and what lies around it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from mdcsrn_tf.shards.dataset import read_manifest, validation_batches

DEGREE = 3  # of every curve
REACH = 2  # pixels: 5 x 5 neighbours, as many as the paper's forest sees
Image = np.ndarray


def best_curve(pair: dict[str, Any]) -> Image:
    """The cubic of the input that fits the truth best in the head: what no honest method knows."""
    head = pair["head"]
    low, high = (pair[kind][head].astype(np.float64) for kind in ("low", "high"))
    return np.polyval(np.polyfit(low, high, DEGREE), pair["low"])


def common_curve(shards: Path) -> np.ndarray:
    """The coefficients of the cubic that fits the pairs to learn from best, by its normal equations."""
    products, targets = np.zeros((DEGREE + 1, DEGREE + 1)), np.zeros(DEGREE + 1)
    for batch in validation_batches(read_manifest(shards), "train", batch_size=64):
        low, high = (np.ravel(images).astype(np.float64) for images in batch)
        powers = np.vander(low, DEGREE + 1)
        products += powers.T @ powers
        targets += powers.T @ high
    return np.linalg.solve(products, targets)


def best_shaded(pair: dict[str, Any]) -> Image:
    """The best curve whose every coefficient is a quadratic of the place."""
    low = pair["low"].astype(np.float64)
    return _fitted(pair, [term * low**power for term in _quadratic(low.shape) for power in range(DEGREE + 1)])


def best_of_neighbours(pair: dict[str, Any]) -> Image:
    """The best sum of a curve, a quadratic shading and weights of the 24 neighbours in the slice."""
    low = pair["low"].astype(np.float64)
    padded = np.pad(low, ((REACH, REACH), (REACH, REACH), (0, 0)), mode="edge")
    around = [
        padded[i : i + low.shape[0], j : j + low.shape[1]] for i in range(2 * REACH + 1) for j in range(2 * REACH + 1)
    ]
    curve = [low**power for power in range(DEGREE + 1) if power != 1]  # the pixel itself is among those around it
    return _fitted(pair, [*around, *curve, *(term * low for term in _quadratic(low.shape)[1:])])


def _fitted(pair: dict[str, Any], columns: list[Image]) -> Image:
    """The sum of weighted images that is nearest to the truth in the head."""
    head = pair["head"]
    samples = np.stack([column[head] for column in columns], axis=1)
    weights = np.linalg.lstsq(samples, pair["high"][head].astype(np.float64), rcond=None)[0]
    return np.asarray(sum(weight * column for weight, column in zip(weights, columns, strict=True)))


def _quadratic(shape: tuple[int, ...]) -> list[Image]:
    """1, the coordinates from -1 to 1, and their products."""
    lines = np.meshgrid(*(np.linspace(-1, 1, size) for size in shape), indexing="ij")
    products = [lines[i] * lines[j] for i in range(3) for j in range(i, 3)]
    return [np.ones(shape), *lines, *products]
