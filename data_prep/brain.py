"""A brain mask by threshold and morphology: crude, quick, and enough for training data.

A network that is to work on skull-stripped scans has to see their hard edge to zero, and where exactly the edge
runs does not matter. For anything else use a real skull-stripping tool.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage
from skimage.filters import threshold_otsu

from mdcsrn_tf.errors import UserError
from mdcsrn_tf.scans.head import large_parts

BRAIN_LITRES = (0.4, 1.9)  # of a child of some months to a large adult
_SMOOTHING_MM = 0.7
_DEPTHS_MM = (3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 12.0)
_CLOSING_MM = 4.0
_BRIGHT_PERCENTILE, _BRIGHT_MARGIN = 97, 1.15  # what outshines the tissue is fat


def brain_mask(scan: np.ndarray, spacing: Sequence[float]) -> np.ndarray:
    """Where the brain of a T1-weighted `scan` [i, j, k] is, roughly: boolean on its grid; `spacing` in millimetres.

    Tissue is what is neither air nor fat. Its largest part deeper than a few millimetres is the brain once that
    depth has cut the bridges to the scalp, so the smallest depth is taken that leaves no more than a brain.
    """
    smooth = ndimage.gaussian_filter(scan.astype(np.float32), [_SMOOTHING_MM / mm for mm in spacing])
    air = threshold_otsu(smooth)
    fat = _BRIGHT_MARGIN * np.percentile(smooth[smooth > air], _BRIGHT_PERCENTILE)
    depth = ndimage.distance_transform_edt((smooth > air) & (smooth < fat), sampling=spacing)
    for least in _DEPTHS_MM:
        if not (depth > least).any():
            break
        mask = _filled(_grown(large_parts(depth > least, share=1.0), least + 1.0, spacing), spacing)
        litres = np.count_nonzero(mask) * np.prod(spacing) / 1e6
        if litres < BRAIN_LITRES[0]:
            break
        if litres <= BRAIN_LITRES[1]:
            return mask
    raise UserError("No brain was found by threshold and depth; strip the skull with a tool made for it.")


def _grown(mask: np.ndarray, by_mm: float, spacing: Sequence[float]) -> np.ndarray:
    return ndimage.distance_transform_edt(~mask, sampling=spacing) <= by_mm


def _filled(mask: np.ndarray, spacing: Sequence[float]) -> np.ndarray:
    """Narrow sulci closed (by growing and shrinking) and holes filled."""
    closed = ndimage.distance_transform_edt(_grown(mask, _CLOSING_MM, spacing), sampling=spacing) > _CLOSING_MM
    return ndimage.binary_fill_holes(closed | mask)
