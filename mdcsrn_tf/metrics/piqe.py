"""PIQE, a perceptual score without a reference (Venkatanath et al. 2015), as MATLAB's `piqe` computes it.

J's Table 2 was made with MATLAB R2019, so its conventions decide: 16 x 16 blocks, both thresholds 0.1, and
the surround of a block leaves out columns 8 and 10 (not 9), an oddity of MATLAB's centre-surround step.
"""

from __future__ import annotations

import numpy as np

from mdcsrn_tf.metrics.luminance import blocks_of, normalised

BLOCK = 16
ACTIVITY_THRESHOLD = 0.1  # a block whose normalised variance exceeds it is looked at
IMPAIRED_THRESHOLD = 0.1  # an edge segment flatter than this is a noticeable artefact
SEGMENT = 6  # pixels of a block's edge that are judged together
_CENTRE = [7, 8]
_SURROUND = [column for column in range(BLOCK) if column not in (7, 9)]


def piqe(image: np.ndarray) -> float:
    """The score of a 2-D image, 0 (excellent) to 100 (bad); NaN for an image that is zero everywhere."""
    image = np.asarray(image, dtype=np.float64)
    if image.ndim != 2:
        raise ValueError(f"PIQE takes a 2-D image, not one of shape {image.shape}")
    if not image.max() > 0:
        return float("nan")
    blocks = blocks_of(normalised(_padded(np.round(255 * image / image.max()))), BLOCK)
    variance = blocks.var(axis=(1, 2), ddof=1)
    active = variance > ACTIVITY_THRESHOLD
    blocks, variance = blocks[active], variance[active]
    artefact = _has_flat_edge(blocks) * (1 - variance)
    noise = _is_noisy(blocks, np.sqrt(variance)) * variance
    return float((artefact.sum() + noise.sum() + 1) / (1 + len(blocks)) * 100)


def _padded(image: np.ndarray) -> np.ndarray:
    return np.pad(image, [(0, -size % BLOCK) for size in image.shape], mode="symmetric")


def _has_flat_edge(blocks: np.ndarray) -> np.ndarray:
    edges = np.stack([blocks[:, 0], blocks[:, -1], blocks[:, :, 0], blocks[:, :, -1]], axis=1)
    segments = np.lib.stride_tricks.sliding_window_view(edges, SEGMENT, axis=2)
    return (segments.std(axis=3, ddof=1) < IMPAIRED_THRESHOLD).any(axis=(1, 2))


def _is_noisy(blocks: np.ndarray, deviation: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = blocks[:, :, _CENTRE].std(axis=(1, 2), ddof=1) / blocks[:, :, _SURROUND].std(axis=(1, 2), ddof=1)
    ratio = np.nan_to_num(ratio, nan=0.0, posinf=np.inf)
    with np.errstate(invalid="ignore"):
        beta = np.abs(deviation - ratio) / np.maximum(deviation, ratio)
    return deviation > 2 * beta
