"""The detail of a result, stronger or fainter: what it holds beyond the k-space that was measured.

A network that minimises its error gives of each detail as much as it is sure of, which is less than there was: a blur
that no error shows. Stronger, the detail has an original's power and no more of its content, so that the error rises;
nothing is invented that the network did not put there.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.fft

from mdcsrn_tf.errors import UserError
from mdcsrn_tf.inference.decision import Decision

STRONGEST = 4.0


def check_detail(strength: float, decision: Decision, preset: str) -> None:
    """UserError for a strength that means nothing, or a network that does not say what was measured."""
    if not 0 <= strength <= STRONGEST:
        raise UserError(f"--detail={strength:g} must be from 0 (what was measured alone) to {STRONGEST:g}.")
    if not decision.axes:
        raise UserError(f"--detail is of what was not measured, but {preset} works on slices; leave it out.")


def with_detail(image: np.ndarray, strength: float, axes: Sequence[int], factors: Sequence[float]) -> np.ndarray:
    """`image` [i, j, k] with the frequencies that a scan `factors` times as coarse along `axes` lacks times `strength`.

    Along each axis the image is continued by its mirror image: its ends do not meet, as they would in k-space.

    >>> fine = np.cos(np.pi * 6 * (np.arange(8) + 0.5) / 8)[:, None, None]  # beyond half of the eight frequencies
    >>> bool(np.allclose(with_detail(fine + 7, 2, [0], [2]), 2 * fine + 7, atol=1e-6))
    True
    """
    measured = np.asarray(image, np.float32)
    for axis, factor in zip(axes, factors, strict=True):
        spectrum = scipy.fft.dct(measured, axis=axis, norm="ortho")
        kept = round(image.shape[axis] / factor)
        spectrum[(slice(None),) * axis + (slice(kept, None),)] = 0
        measured = scipy.fft.idct(spectrum, axis=axis, norm="ortho")
    return (measured + np.float32(strength) * (image - measured)).astype(np.float32)
