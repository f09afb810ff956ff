"""The detail of a result, stronger or fainter: what it holds beyond the k-space that was measured.

A network that minimises its error gives of each detail as much as it is sure of, which is less than there was: a blur
that no error shows. Stronger, the detail has an original's power and no more of its content, so that the error rises;
nothing is invented that the network did not put there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from mdcsrn_tf.errors import UserError
from mdcsrn_tf.inference.decision import Decision
from mdcsrn_tf.inference.detail_law import FACTORS, FEWEST_SAMPLES, power_beyond, signs_of
from mdcsrn_tf.inference.measured import samples_of
from mdcsrn_tf.scans import kspace
from mdcsrn_tf.scans.head import head_mask
from mdcsrn_tf.scans.resampling import Sampling, measured_samples
from mdcsrn_tf.scans.volumes import Volume

Strength = float | Literal["auto"]

STRONGEST = 4.0
# Of a strength that the scan decides (docs/decisions.md): how far below the original's power it stays, and its limits.
AIM_DB = -0.75
WEAKEST_AUTO, STRONGEST_AUTO = 0.8, 2.2


def check_detail(strength: Strength, decision: Decision, preset: str) -> None:
    """UserError for a strength that means nothing, or a network that does not say what was measured."""
    if not decision.axes:
        raise UserError(f"--detail is of what was not measured, but {preset} works on slices; leave it out.")
    if strength == "auto":
        if sorted(decision.factors) != sorted(FACTORS):
            raise UserError(
                "--detail=auto knows how much detail an original has beyond 2x along two axes, and not what is asked "
                "here; give a number."
            )
    elif not 0 <= strength <= STRONGEST:
        raise UserError(f"--detail={strength:g} must be from 0 (what was measured alone) to {STRONGEST:g}, or auto.")


def strength_of_original(image: np.ndarray, affine: np.ndarray, volume: Volume, decision: Decision) -> float:
    """The strength by which the detail of a result comes near the power that its original's had, as `volume` tells.

    image: the result, in the stored orientation, `affine` its grid's; `volume`: what it was made of.
    """
    samples, grid = _samples(volume, decision)
    if min(samples.shape) < FEWEST_SAMPLES:
        raise UserError(
            f"{volume.path}: --detail=auto needs at least {FEWEST_SAMPLES} samples along every axis, and here are "
            f"{'x'.join(map(str, samples.shape))}; give a number."
        )
    wanted = power_beyond(signs_of(samples, _spacing(grid), decision.axes)) * 10 ** (AIM_DB / 10)
    detail = image - _measured(image, decision.axes, decision.factors)
    there = float(np.mean(np.square(detail[head_mask(image, _spacing(affine))], dtype=np.float64)))
    strongest = wanted >= there * STRONGEST_AUTO**2  # so it is where the result has no detail at all
    return STRONGEST_AUTO if strongest else max(WEAKEST_AUTO, float(np.sqrt(wanted / there)))


def with_detail(image: np.ndarray, strength: float, axes: Sequence[int], factors: Sequence[float]) -> np.ndarray:
    """`image` [i, j, k] with the frequencies that a scan `factors` times as coarse along `axes` lacks times `strength`.

    >>> fine = np.cos(np.pi * 6 * (np.arange(8) + 0.5) / 8)[:, None, None]  # beyond half of the eight frequencies
    >>> bool(np.allclose(with_detail(fine + 7, 2, [0], [2]), 2 * fine + 7, atol=1e-6))
    True
    """
    measured = _measured(image, axes, factors)
    return (measured + np.float32(strength) * (image - measured)).astype(np.float32)


def _measured(image: np.ndarray, axes: Sequence[int], factors: Sequence[float]) -> np.ndarray:
    """What a scan `factors` times as coarse holds of an image, on the image's own grid."""
    kept = [round(image.shape[axis] / factor) for axis, factor in zip(axes, factors, strict=True)]
    return kspace.mirrored_low_pass(image, kept, axes)


def _samples(volume: Volume, decision: Decision) -> tuple[np.ndarray, np.ndarray]:
    """The measured samples, and the affine of their grid.

    Along an axis that does not tell how it was interpolated, what the factor leaves is taken as measured.
    """
    samples, affine = samples_of(volume, decision)
    if decision.grid == "same":
        for axis, factor, finding in zip(decision.axes, decision.factors, decision.findings, strict=True):
            if finding.sampling is None:
                sampling = Sampling(samples.shape[axis], float(factor))
                samples = measured_samples(samples, axis, sampling, "sinc")
                affine[:3, axis] *= factor
    return samples, affine


def _spacing(affine: np.ndarray) -> list[float]:
    return [float(size) for size in np.linalg.norm(affine[:3, :3], axis=0)]
