"""Normalised luminance, the ground that PIQE and NIQE share: (I - mu) / (sigma + 1) in a 7 x 7 Gaussian window."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

GAUSSIAN_SIGMA, GAUSSIAN_RADIUS = 7 / 6, 3
ROUNDING = 1e-9


def local_statistics(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The local mean and standard deviation at every pixel, the border continued by its last value."""
    mean = _blur(image)
    return mean, np.sqrt(np.abs(_blur(image * image) - mean * mean))


def normalised(image: np.ndarray) -> np.ndarray:
    """The mean-subtracted, contrast-normalised 2-D image (0 to 255), of the same shape (Mittal et al. 2013, eq. 1)."""
    mean, deviation = local_statistics(image)
    difference = image - mean
    # In a flat area the mean differs from the image by rounding only, and the sign of rounding is no statistic.
    difference[np.abs(difference) < ROUNDING] = 0
    return difference / (deviation + 1)


def blocks_of(image: np.ndarray, size: int) -> np.ndarray:
    """The whole square blocks of an image, row by row: [blocks, size, size]; its sides are multiples of `size`."""
    rows, columns = (length // size for length in image.shape)
    return image.reshape(rows, size, columns, size).swapaxes(1, 2).reshape(-1, size, size)


def _blur(image: np.ndarray) -> np.ndarray:
    return ndimage.gaussian_filter(image, GAUSSIAN_SIGMA, mode="nearest", radius=GAUSSIAN_RADIUS)
