"""Radial power spectra in the degraded plane: what detail a method restores, frequency by frequency."""

from __future__ import annotations

import numpy as np

BINS = 48


def radial_power(volume: np.ndarray, axis: int, slices: np.ndarray, bins: int = BINS) -> np.ndarray:
    """Mean power in rings from 0 to the Nyquist frequency of the slices across `axis`, over those slices."""
    chosen = np.moveaxis(volume, axis, 0)[slices]
    window = np.multiply.outer(np.hanning(chosen.shape[1]), np.hanning(chosen.shape[2]))
    total = np.zeros(bins)
    radius = np.hypot(
        np.fft.fftfreq(chosen.shape[1])[:, None] / 0.5, np.fft.rfftfreq(chosen.shape[2])[None, :] / 0.5
    )
    ring = np.minimum((radius * bins).astype(int), bins)  # corners beyond Nyquist go to a ring that is dropped
    counts = np.bincount(ring.ravel(), minlength=bins + 1)[:bins]
    for picture in chosen:
        power = np.abs(np.fft.rfft2((picture - picture.mean()) * window)) ** 2
        total += np.bincount(ring.ravel(), power.ravel(), minlength=bins + 1)[:bins]
    return total / np.maximum(counts, 1) / max(1, len(chosen))


def ring_centres(bins: int = BINS) -> np.ndarray:
    """The middle of every ring as a fraction of the Nyquist frequency."""
    return (np.arange(bins) + 0.5) / bins
