"""The detail of a result, stronger or fainter: what it holds beyond the k-space that was measured.

A network that minimises its error gives of each detail as much as it is sure of, which is less than there was: a blur
that no error shows. Stronger, the detail has an original's power and no more of its content, so that the error rises;
nothing is invented that the network did not put there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mdcsrn_tf.errors import UserError
from mdcsrn_tf.inference.decision import Decision
from mdcsrn_tf.inference.detail_law import FACTORS, FEWEST_SAMPLES, power_beyond, signs_of
from mdcsrn_tf.inference.measured import below, samples_of
from mdcsrn_tf.inference.settings import Strength, check_strength
from mdcsrn_tf.inference.words import times, with_and
from mdcsrn_tf.scans import kspace
from mdcsrn_tf.scans.head import head_mask
from mdcsrn_tf.scans.resampling import Sampling
from mdcsrn_tf.scans.volumes import Volume
from mdcsrn_tf.scans.window import weakened_within

# Of a strength that the scan decides (docs/decisions.md): where its power is to be, beside the original's, and limits.
AIM_DB = -0.75
WEAKEST_AUTO, STRONGEST_AUTO = 0.8, 2.2


@dataclass(frozen=True)
class Original:
    """What a scan tells of the detail that its original had."""

    power: float | None  # mean square inside the head, in the scan's units; None: it does not tell
    counts: tuple[int, ...]  # samples that were measured along the decision's axes
    silence: str = ""  # why it does not tell


def check_detail(strength: Strength, decision: Decision, preset: str) -> None:
    """UserError for a strength that means nothing, or a network that does not say what was measured."""
    check_strength(strength)
    if not decision.axes:
        raise UserError(f"--detail is of what was not measured, but {preset} works on slices; leave it out.")
    by_another = any(finding.on_own_grid is not None for finding in decision.findings)
    if strength == "auto" and (by_another or sorted(decision.factors) != sorted(FACTORS)):
        shown = [finding.as_stored.factor for finding in decision.findings] if by_another else decision.factors
        asked = f"{times([round(factor, 2) for factor in shown])} along {with_and(decision.names)}"
        raise UserError(
            f"--detail=auto knows how much detail an original has beyond 2x along two axes, not beyond {asked}; give a "
            "number."
        )


def original_of(volume: Volume, decision: Decision) -> Original:
    """What the measured samples of a scan tell; UserError where they are too few."""
    samples, affine = _samples(volume, decision)
    if min(samples.shape) < FEWEST_SAMPLES:
        raise UserError(
            f"{volume.path}: --detail=auto needs at least {FEWEST_SAMPLES} samples along every axis, and here are "
            f"{'x'.join(map(str, samples.shape))}; give a number."
        )
    signs = signs_of(samples, _spacing(affine), decision.axes)
    power = None if signs.silence else power_beyond(signs)
    return Original(power, tuple(samples.shape[axis] for axis in decision.axes), signs.silence)


def strength_towards(original: Original, image: np.ndarray, affine: np.ndarray, decision: Decision) -> float:
    """How strong the detail of a result is to be, to come near its original's power; 1 where that is not known.

    image: the result, in the stored orientation; `affine`: its grid's.
    """
    if original.power is None:
        return 1.0
    detail = image - kspace.mirrored_low_pass(image, original.counts, decision.axes)
    there = float(np.mean(np.square(detail[head_mask(image, _spacing(affine))], dtype=np.float64)))
    return max(WEAKEST_AUTO, strength_for(original.power, there, AIM_DB, STRONGEST_AUTO))


def strength_for(wanted: float, there: float, aim_db: float, most: float) -> float:
    """The strength, `most` at most, that brings a power that is `there` to `aim_db` beside the one `wanted`."""
    aim = wanted * 10 ** (aim_db / 10)
    return most if aim >= there * most**2 else float(np.sqrt(aim / there))  # where there is none, too


def doubts_about(original: Original, strength: float) -> tuple[str, ...]:
    """What has to be said of a strength that the scan decided, a sentence each."""
    if original.power is None:
        return (
            f"{original.silence}, so that it does not tell how much detail its original had: --detail=auto leaves the "
            "detail as the network restored it; a number makes it stronger.",
        )
    if strength == STRONGEST_AUTO:
        return (
            f"an original's power would ask for more than {STRONGEST_AUTO:g} times the detail, which is the most that "
            "is given: beyond, a result is likely to err more than sinc does.",
        )
    if strength == WEAKEST_AUTO:
        return (
            f"an original's power would ask for less than {WEAKEST_AUTO:g} times the detail, which is the least that "
            "is given: the result has more power than its original.",
        )
    return ()


def remarks_on(volume: Volume, decision: Decision, original: Original | None, strength: float) -> tuple[str, ...]:
    """What has to be said of a strength that the scan decided (`original`), or of a scan that was filtered."""
    return doubts_about(original, strength) if original else _remarks_on_filter(volume, decision)


def _remarks_on_filter(volume: Volume, decision: Decision) -> tuple[str, ...]:
    """What has to be said of a scan whose measured k-space was filtered so that a network adds little."""
    if len(decision.factors) < 2 or set(decision.factors) != {2}:
        return ()
    samples, _ = _coarse(volume, decision)
    measured = dict.fromkeys(decision.axes, 1.0)
    measured |= {axis: 1 / sampling.step for axis, sampling in _filled(decision).items()}
    if not weakened_within(samples, measured):
        return ()
    return (
        "power falls towards the edge of the measured k-space as a strong filter makes it fall: expect little of the "
        "network, which learned from scans without one, unless --undo_filter takes it back.",
    )


def with_detail(image: np.ndarray, strength: float, axes: Sequence[int], factors: Sequence[float]) -> np.ndarray:
    """`image` [i, j, k] with the frequencies that a scan `factors` times as coarse along `axes` lacks times `strength`.

    >>> fine = np.cos(np.pi * 6 * (np.arange(8) + 0.5) / 8)[:, None, None]  # beyond half of the eight frequencies
    >>> bool(np.allclose(with_detail(fine + 7, 2, [0], [2]), 2 * fine + 7, atol=1e-6))
    True
    """
    kept = [_measured(image.shape[axis], factor) for axis, factor in zip(axes, factors, strict=True)]
    measured = kspace.mirrored_low_pass(image, kept, axes)
    return (measured + np.float32(strength) * (image - measured)).astype(np.float32)


def _samples(volume: Volume, decision: Decision) -> tuple[np.ndarray, np.ndarray]:
    """The measured samples, and the affine of their grid.

    A small matrix that the scanner had filled up with zeros is taken back, too.
    """
    samples, affine = _coarse(volume, decision)
    for axis, sampling in _filled(decision).items():
        samples = below(samples, axis, sampling)
        affine[:3, axis] *= sampling.step
    return samples, affine


def _coarse(volume: Volume, decision: Decision) -> tuple[np.ndarray, np.ndarray]:
    """The samples of the grid that a network makes finer, and its affine.

    On the target grid, what lies beyond the factor counts as not measured, whatever the axis tells of itself.
    """
    samples, affine = samples_of(volume, decision)
    for axis, factor in zip(decision.axes, decision.factors, strict=True):
        size, most = samples.shape[axis], _measured(volume.data.shape[axis], factor)
        if decision.grid != "small" and size > most:
            sampling = Sampling(size, size / most)
            samples = below(samples, axis, sampling)
            affine[:3, axis] *= sampling.step
    return samples, affine


def _filled(decision: Decision) -> dict[int, Sampling]:
    """Of a small matrix, what was measured along the axes that the scanner had filled up with zeros."""
    if decision.grid != "small":
        return {}
    found = zip(decision.axes, decision.findings, strict=True)
    return {axis: one.sampling for axis, one in found if one.method == "sinc" and one.sampling is not None}


def _measured(size: int, factor: float) -> int:
    """Of how many samples an axis was made, at least one."""
    return max(1, round(size / factor))


def _spacing(affine: np.ndarray) -> list[float]:
    return [float(size) for size in np.linalg.norm(affine[:3, :3], axis=0)]
