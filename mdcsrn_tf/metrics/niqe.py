"""NIQE, the distance of an image's statistics from those of pristine images (Mittal et al. 2013).

Features: in every block, at two scales, an asymmetric generalised Gaussian is fitted to the normalised
luminance and to its products with four neighbours: 2 * (2 + 4 * 4) = 36 numbers. The score is the distance
between two multivariate Gaussians over blocks, the image's and the pristine model's.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy import special

from mdcsrn_tf.metrics.luminance import blocks_of, local_statistics, normalised

BLOCK = 96
FEATURES = 36
SHARPNESS = 0.75  # a pristine block counts when its contrast exceeds this share of its image's sharpest
_NEIGHBOURS = ((0, 1), (1, 0), (1, 1), (1, -1))

_SHAPES = np.arange(200, 10_001) / 1000  # the grid of Mittal's release
# Gamma(2/a)^2 / (Gamma(1/a) Gamma(3/a)) rises with a, so that the nearest entry is found by bisection.
_MOMENT_RATIO = special.gamma(2 / _SHAPES) ** 2 / (special.gamma(1 / _SHAPES) * special.gamma(3 / _SHAPES))


@dataclass(frozen=True)
class NiqeModel:
    """The multivariate Gaussian of pristine blocks."""

    mean: np.ndarray
    covariance: np.ndarray
    block: int = BLOCK
    notes: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.mean.shape != (FEATURES,) or self.covariance.shape != (FEATURES, FEATURES):
            raise ValueError(
                f"a NIQE model has a mean of {FEATURES} and a covariance of {FEATURES} x {FEATURES}, "
                f"not {self.mean.shape} and {self.covariance.shape}"
            )
        if self.block < 2 or self.block % 2:
            raise ValueError(f"a NIQE model has blocks of an even number of pixels, not of {self.block}")
        if not (np.isfinite(self.mean).all() and np.isfinite(self.covariance).all()):
            raise ValueError("a NIQE model holds finite numbers alone")


def niqe(image: np.ndarray, model: NiqeModel) -> float:
    """The score of a 2-D image (0 to 255, larger is worse).

    NaN when fewer than two blocks have statistics: the image's own covariance needs two. Blocks of one
    constant value (the zeroed background of a skull-stripped scan) have none and are left out.
    """
    features = block_features(image, model.block)
    features = features[np.isfinite(features).all(axis=1)]
    if len(features) < 2:
        return float("nan")
    difference = model.mean - features.mean(axis=0)
    pooled = (model.covariance + np.cov(features, rowvar=False)) / 2
    return float(np.sqrt(difference @ np.linalg.pinv(pooled) @ difference))


def fit(images: Iterable[np.ndarray], *, block: int = BLOCK, sharpness: float = SHARPNESS, **notes: Any) -> NiqeModel:
    """A pristine model from the sharp blocks of pristine 2-D images (0 to 255); `notes` go into it."""
    kept, seen = [], 0
    for image in images:
        features, contrast = block_features(image, block), _block_contrast(image, block)
        seen += 1
        usable = np.isfinite(features).all(axis=1)
        if usable.any():
            kept.append(features[usable & (contrast > sharpness * contrast.max())])
    features = np.concatenate(kept) if kept else np.empty((0, FEATURES))
    if len(features) <= FEATURES:
        raise ValueError(f"only {len(features)} sharp blocks in {seen} images; a model needs over {FEATURES}")
    notes |= {"images": seen, "blocks": len(features), "sharpness": sharpness}
    return NiqeModel(features.mean(axis=0), np.cov(features, rowvar=False), block, notes)


def block_features(image: np.ndarray, block: int = BLOCK) -> np.ndarray:
    """The 36 features of every whole block of a 2-D image (0 to 255), row by row: [blocks, 36].

    An image smaller than a block has no row.
    """
    image = _cropped(image, block)
    if not image.size:
        return np.empty((0, FEATURES))
    fine = _features(normalised(image), block)
    coarse = _features(normalised(halved(image)), block // 2)
    return np.hstack([fine, coarse])


def halved(image: np.ndarray) -> np.ndarray:
    """A 2-D image at half its size, antialiased, bicubic: MATLAB's `imresize(image, 0.5)` for even sizes."""
    for axis in (0, 1):
        # Every output sits between two inputs, so the eight weights are the same everywhere.
        offsets = np.arange(-3.5, 4) / 2
        weights = _cubic(offsets)
        weights /= weights.sum()
        padded = np.pad(image, [(4, 4) if a == axis else (0, 0) for a in (0, 1)], mode="symmetric")
        windows = np.lib.stride_tricks.sliding_window_view(padded, 8, axis=axis)
        every_second = (slice(1, -1, 2), slice(None)) if axis == 0 else (slice(None), slice(1, -1, 2))
        image = windows[every_second] @ weights
    return image


def _cubic(x: np.ndarray) -> np.ndarray:
    x = np.abs(x)
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x <= 1, near, np.where(x <= 2, far, 0.0))


def _cropped(image: np.ndarray, block: int) -> np.ndarray:
    image = np.asarray(image, dtype=np.float64)
    if image.ndim != 2 or block % 2:
        raise ValueError(f"NIQE takes a 2-D image and an even block size, not {image.shape} and {block}")
    rows, columns = (size - size % block for size in image.shape)
    return image[:rows, :columns]


def _block_contrast(image: np.ndarray, block: int) -> np.ndarray:
    """The mean local standard deviation of every block (Mittal's measure of sharpness)."""
    _, deviation = local_statistics(_cropped(image, block))
    return blocks_of(deviation, block).mean(axis=(1, 2))


def _features(image: np.ndarray, block: int) -> np.ndarray:
    """18 features of every block at one scale."""
    blocks = blocks_of(image, block)
    shape, left, right = _fit_aggd(blocks)
    columns = [shape, (left + right) / 2]
    for shift in _NEIGHBOURS:
        # The shift wraps round within a block, as in Mittal's release.
        shape, left, right = _fit_aggd(blocks * np.roll(blocks, shift, axis=(1, 2)))
        mean = (right - left) * special.gamma(2 / shape) / special.gamma(1 / shape)
        columns += [shape, mean, left, right]
    return np.stack(columns, axis=1)


def _fit_aggd(blocks: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Shape and left and right scale of every block's asymmetric generalised Gaussian, by moments."""
    values = blocks.reshape(len(blocks), -1)
    with np.errstate(divide="ignore", invalid="ignore"):
        left = np.sqrt(_mean_square(values, values < 0))
        right = np.sqrt(_mean_square(values, values > 0))
        ratio = left / right
        moments = np.abs(values).mean(axis=1) ** 2 / (values**2).mean(axis=1)
        target = moments * (ratio**3 + 1) * (ratio + 1) / (ratio**2 + 1) ** 2
    shape = _SHAPES[_nearest(_MOMENT_RATIO, np.nan_to_num(target))]
    shape = np.where(np.isfinite(target), shape, np.nan)
    scale = np.sqrt(special.gamma(1 / shape) / special.gamma(3 / shape))
    return shape, scale * left, scale * right


def _mean_square(values: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    return np.square(values, where=chosen, out=np.zeros_like(values)).sum(axis=1) / chosen.sum(axis=1)


def _nearest(rising: np.ndarray, targets: np.ndarray) -> np.ndarray:
    above = np.clip(np.searchsorted(rising, targets), 1, len(rising) - 1)
    return np.where(targets - rising[above - 1] <= rising[above] - targets, above - 1, above)
