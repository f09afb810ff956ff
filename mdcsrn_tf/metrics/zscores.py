"""The figures of *Reconstructing 9.4T MRI from 7T*: errors between z-scores, PSNR with a peak of 255 (its eq. 6 to 8).

Its images are z-scores, so its PSNR is 48.13 dB above one with a peak of 1; here so that its tables can be held
beside ours, and for nothing else.
"""

from __future__ import annotations

import numpy as np

from mdcsrn_tf.metrics.fidelity import mean_squared_error, psnr_of, slice_similarity

PEAK = 255.0
CLIPPED = (0.1, 99.9)  # percentiles between which each image is clipped before it is standardised


def standardised(image: np.ndarray) -> np.ndarray:
    """An image of any shape clipped at its percentiles, mean 0 and deviation 1 (float64), by its own statistics."""
    clipped = np.clip(image.astype(np.float64), *np.percentile(image, CLIPPED))
    deviation = clipped.std()
    return (clipped - clipped.mean()) / (deviation if deviation > 0 else 1.0)


def zscore_scores(reference: np.ndarray, image: np.ndarray, axis: int, *, ssim_range: float) -> dict[str, np.ndarray]:
    """`psnr_penn`, `mse_penn` and `ssim_penn` of every slice across `axis` of two volumes.

    `ssim_range` is the data range of SSIM, which the paper does not say; its window is scikit-image's default.
    """
    x, y = (np.moveaxis(standardised(volume), axis, 0) for volume in (reference, image))
    error = mean_squared_error(x, y, axes=(1, 2))
    similarity = slice_similarity(x, y, ssim_range, "uniform", sample_covariance=True)
    return {"psnr_penn": psnr_of(error, PEAK), "mse_penn": error, "ssim_penn": similarity}
