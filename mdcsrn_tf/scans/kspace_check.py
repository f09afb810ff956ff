"""What a scan tells about itself: which axes were interpolated, how many times, and by which method.

Two signs, neither of which real anatomy shows by accident (benchmarks/kspace_check.py has the figures):

- *Filling k-space with zeros* (sinc) leaves a cliff where the measured part ends: the power falls by 15 dB and more
  from one line to the next, also after rounding to 8 bits and taking magnitudes; full scans fall by 7 dB at most.
- *Nearest, linear and cubic interpolation* are repeated from the samples they would have started from: only the
  right phase gives the scan back. Another phase, which fits real anatomy just as well, is the control. Steps that are
  no whole number of voxels are told by the rhythm of the knots between samples (knots.py).

Both are looked for along whole lines and in the middle half of the scan, where a skull-stripped scan has no edges.
NumPy and SciPy only.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import scipy.fft
import scipy.linalg
import scipy.optimize

from mdcsrn_tf.scans.knots import likely_steps
from mdcsrn_tf.scans.resampling import Sampling, basis, inside, possible_samplings, usual_place

FACTORS = (2, 3, 4, 5, 6)
_CLIFF_DB = 11.0  # full scans 7.2 at most, zero-filled ones 15 at least
# Shorter axes, in voxels: cut out of full scans 17 dB but for one, zero-filled 21 at least (no record).
_SHORT, _CLIFF_OF_SHORT_DB = 48, 20.0
_BEHIND = 0.05  # of the contrast: more than that behind a cliff is anatomy with a gap in its spectrum
_LOST = 0.04  # of the contrast, by the right interpolation; rounding to 8 bits makes 0.3 to 1.2 %
_CONTROL = 3.5  # times as much as the right phase loses, another phase has to lose
_SMOOTH = 0.045  # full scans lose 7 % at least by the best interpolation
_ENDS = 3  # samples at either end, where every tool has rules of its own
_LINES, _FEW_LINES = 3000, 400
_STEPS = (1.37, 6.5)  # voxels: what is less is not worth a network's while (twofold.py)
_FEWEST = 8  # samples of a line from which a step is told
_NAMED = 0.15  # so far, as a part, may a step be from the factor that is named
_PHASES = 8  # of any step, where the search for the right one begins
_TRIED = 3  # steps and methods from which the search goes on
_SEARCH_LINES, _ROUNDS = 100, 80
_BAND = 3  # of samples in a row, the furthest two that cubic takes for one voxel
_UNSEEN = 1e-9  # the largest weight of a sample that no voxel shows
_RIDGE = 1e-13  # keeps apart what the last samples, of which hardly a voxel tells, can be


@dataclass(frozen=True)
class AxisFinding:
    """How an axis came to its grid."""

    method: str | None  # "sinc", "linear", "cubic", "nearest"; "unknown": smooth, but in no way we know; None: measured
    sampling: Sampling | None = None  # where the measured samples lie; None where the axis was measured as it is
    examined: bool = True  # False: too few voxels, or no contrast, to tell
    evidence: dict[str, float] = field(default_factory=dict)
    on_own_grid: AxisFinding | None = None  # the same of the scan's own grid, where it was brought to another

    @property
    def as_stored(self) -> AxisFinding:
        """What the axis shows on the scan's own grid."""
        return self.on_own_grid or self

    @property
    def factor(self) -> float:
        """How many voxels were made of one sample."""
        return self.sampling.step if self.sampling else 1.0

    @property
    def whole_factor(self) -> int:
        """The factor to the nearest whole number; 181 voxels of 90 samples are twice as many."""
        return max(1, round(self.factor))

    def lies_between(self, factors: Collection[int]) -> bool:
        """Whether the factor is between two of those, which a network of several factors learned from."""
        return bool(factors) and min(factors) < self.factor < max(factors)

    @property
    def proves_interpolation(self) -> bool:
        """Whether the axis was made of half its voxels or fewer.

        Partial Fourier and phase resolution leave outer k-space empty as well, by a third and less: that is no grid
        that somebody interpolated to.
        """
        return self.method not in (None, "unknown") and self.whole_factor >= 2


def examine_axis(volume: np.ndarray, axis: int, factor: int | None = None) -> AxisFinding:
    """How `axis` of a volume [i, j, k] was brought to its grid, by `factor` or (None) by any of `FACTORS`."""
    size = volume.shape[axis]
    factors = tuple(f for f in (FACTORS if factor is None else (factor,)) if f > 1 and size >= _FEWEST * f)
    if not factors or not np.ptp(volume):
        return AxisFinding(None, examined=False)
    smooth = None
    for place, lines in enumerate(_views(volume, axis)):
        fit = _best_fit(lines, factors)
        if not fit or fit.method == "unknown":
            fit = _fit_of_any_step(lines, factor) or fit
        if fit and fit.method != "unknown":
            return fit
        cliff = _zero_filled(lines, size, factors, factor)
        if cliff:
            return cliff
        smooth = fit if place == 0 else smooth
    return smooth or AxisFinding(None)


def _views(volume: np.ndarray, axis: int) -> Iterator[tuple[np.ndarray, int]]:
    """Lines along the axis through the middle half of the others, float64 [lines, voxels], and where they begin.

    First whole lines, then, where they are long enough, their middle halves.
    """
    moved = np.moveaxis(volume, axis, -1)
    middle = moved[tuple(slice(n // 4, max(n - n // 4, n // 4 + 1)) for n in moved.shape[:2])]
    step = max(1, int(np.ceil(np.sqrt(middle.shape[0] * middle.shape[1] / _LINES))))
    lines = middle[::step, ::step].reshape(-1, volume.shape[axis]).astype(np.float64)
    yield lines, 0
    size = lines.shape[1]
    if size >= 64:
        yield lines[:, size // 4 : size - size // 4], size // 4


def _zero_filled(
    view: tuple[np.ndarray, int], size: int, factors: tuple[int, ...], wanted: int | None
) -> AxisFinding | None:
    """The cliff in the spectrum of Hann-windowed lines, if there is one."""
    lines = view[0]
    length = lines.shape[1]
    windowed = (lines - lines.mean(axis=1, keepdims=True)) * np.hanning(length)
    if np.abs(windowed).max() <= 1e-9 * np.abs(lines).max():  # each the same all along, but for how its mean is rounded
        return None
    power = np.mean(np.abs(scipy.fft.rfft(windowed, axis=1)) ** 2, axis=0)
    level = 10 * np.log10(power + 1e-12 * power.max())
    heights = _cliffs(level)
    if heights.max() < (_CLIFF_DB if size >= _SHORT else _CLIFF_OF_SHORT_DB):
        return None
    kept = _kept(_brink(level, int(np.argmax(heights))) * size / length, size, factors, 2.5 * size / length)
    if wanted is not None and abs(size / kept - wanted) > 0.15 * wanted:
        return None
    # RMS of what lies behind the cliff, past the few lines that Hann's window leaks into. The window damps a signal's
    # mean square to 3/8 (0.375), which is undone here.
    behind = power[int(kept / 2 * length / size) + 3 :].sum()
    lost = float(np.sqrt(2 * behind / (0.375 * length**2)) / np.std(lines))
    if lost > _BEHIND:
        return None
    return AxisFinding("sinc", Sampling(size, size / kept), evidence={"cliff_db": float(heights.max()), "lost": lost})


def _cliffs(level: np.ndarray) -> np.ndarray:
    """For every line of the spectrum, how far (dB) those before it lie above those behind it."""
    width = max(3, min(8, len(level) // 12))
    heights = np.zeros(len(level))
    for place in range(max(width, len(level) // 8), len(level) - width - 1):
        heights[place] = level[place - width : place].mean() - level[place + 1 : place + 1 + width].mean()
    return heights


def _brink(level: np.ndarray, place: int) -> int:
    """The last line of the spectrum that was measured: the one before the power falls, near `place`.

    The cliff was found as a difference of means over several lines, and Hann's window smears it over a few more: its
    highest place alone does not tell the line.
    """
    width = max(3, min(8, len(level) // 12))
    before = level[max(place - 2 * width, 0) : place - width + 1].mean()
    fallen = np.flatnonzero(level[place - width : place + width] < before - 8.0)
    return place - width + int(fallen[0]) - 1 if len(fallen) else place


def _kept(edge: float, size: int, factors: tuple[int, ...], tolerance: float) -> int:
    """How many samples k-space held: what a whole factor leaves, where the cliff is that near to it."""
    near = min((max(1, size // f) for f in factors), key=lambda kept: abs(kept / 2 - edge))
    return near if abs(near / 2 - edge) <= tolerance else min(size, 2 * round(edge))


def _best_fit(view: tuple[np.ndarray, int], factors: tuple[int, ...]) -> AxisFinding | None:
    """The interpolation that the lines show: at the right phase it gives them back, at its other phases it does not.

    None where there is none; "unknown" where the lines are smooth, but no method gives them back.
    """
    lines, begin = view
    size = lines.shape[1] + 2 * begin
    lines = lines[:: max(1, len(lines) // _FEW_LINES)]
    contrast = float(np.std(lines))
    if not contrast:
        return None
    factors = tuple(factor for factor in factors if lines.shape[1] >= _FEWEST * factor)
    found: list[tuple[float, AxisFinding]] = []
    smoothest = None
    for factor in factors:
        for method in ("nearest", "linear", "cubic"):
            best, lost, control = _fit_and_control(lines, begin, size, factor, method)
            lost, control = lost / contrast, control / contrast
            evidence = {"lost": lost, "control": control}
            if lost < _LOST and control > _CONTROL * lost + 1e-5:
                found.append((control / (lost + 1e-4), AxisFinding(method, best, evidence=evidence)))
            elif lost < _SMOOTH and factor == factors[0]:
                smoothest = AxisFinding("unknown", Sampling(size, size / (size // factor)), evidence=evidence)
    return max(found, key=lambda pair: pair[0])[1] if found else smoothest


def _fit_of_any_step(view: tuple[np.ndarray, int], wanted: int | None) -> AxisFinding | None:
    """The linear or cubic interpolation by any step, whole or not, that the lines show; None where they show none."""
    lines, begin = view
    few = lines[:: max(1, len(lines) // _SEARCH_LINES)]
    contrast = float(np.std(few))
    if not contrast:
        return None
    found = []
    for start in sorted(_starts(view, few, wanted), key=lambda start: start.share)[:_TRIED]:
        best = _refined(few, begin, start.sampling, start.method)
        evidence = {"lost": _lost(few, begin, best, start.method) / contrast, "control": start.control / contrast}
        score = evidence["control"] / (evidence["lost"] + 1e-5)
        if evidence["lost"] < _LOST and score > _CONTROL:
            found.append((score, AxisFinding(start.method, best, evidence=evidence)))
    return max(found, key=lambda pair: pair[0])[1] if found else None


class _Start(NamedTuple):
    """The best phase of one step and method, where the search goes on."""

    method: str
    sampling: Sampling
    control: float  # what the phases lose (their median)
    share: float  # of that, the best phase


def _starts(view: tuple[np.ndarray, int], few: np.ndarray, wanted: int | None) -> Iterator[_Start]:
    """For every step that the lines may have, the phase by which a `few` of them lose least."""
    lines, begin = view
    size = lines.shape[1] + 2 * begin
    least, most = (wanted * (1 - _NAMED), wanted * (1 + _NAMED)) if wanted else _STEPS
    most = min(most, lines.shape[1] / _FEWEST)
    for method in ("linear", "cubic"):
        for step in likely_steps(lines, method, least, most):
            phases = [Sampling(size, step, step * place / _PHASES) for place in range(_PHASES)]
            lost = [_lost(few, begin, phase, method) for phase in phases]
            control = float(np.median(lost))
            yield _Start(method, phases[int(np.argmin(lost))], control, min(lost) / (control + _UNSEEN))


def _refined(lines: np.ndarray, begin: int, start: Sampling, method: str) -> Sampling:
    """The sampling near `start` by which the lines lose least."""
    near = 1.5 * start.step / _PHASES
    drift = start.step / start.size  # of the step: one sample from one end of the axis to the other
    begun = (start.step, start.first)
    simplex = [begun, (start.step + 0.3 * drift, start.first), (start.step, start.first + near / 3)]
    fine = 1e-6 * float(np.std(lines))
    search = scipy.optimize.minimize(
        lambda place: _lost(lines, begin, Sampling(start.size, *place), method),
        begun,
        method="Nelder-Mead",
        bounds=[(start.step - drift, start.step + drift), (start.first - near, start.first + near)],
        options={"initial_simplex": simplex, "xatol": 1e-4, "fatol": fine, "maxfev": _ROUNDS},
    )
    return usual_place(Sampling(start.size, *map(float, search.x)))


def _fit_and_control(
    lines: np.ndarray, begin: int, size: int, factor: int, method: str
) -> tuple[Sampling, float, float]:
    """The sampling that loses least, what it loses, and what the others lose (their median)."""
    samplings = possible_samplings(size, factor)
    if method == "nearest":  # blocks begin at voxels: other samplings are these again
        samplings = [s for s in samplings if s.first.is_integer() and (s.step == factor or s.first == 0.0)]
    lost = [_lost(lines, begin, sampling, method) for sampling in samplings]
    # Of those that fit equally well, as two ways of cutting blocks do, the first: whole steps, not stretched ones.
    best = int(np.argmax(np.array(lost) <= min(lost) + 1e-6 * np.std(lines)))
    return samplings[best], lost[best], float(np.median(lost[:best] + lost[best + 1 :]))


def _lost(lines: np.ndarray, begin: int, sampling: Sampling, method: str) -> float:
    """RMS of the lines less their best fit by the interpolation (by least squares), the ends left out."""
    positions = sampling.positions
    here = slice(begin, begin + lines.shape[1])
    rows = inside(sampling, method)[here]
    values = lines[:, rows].T
    rest = values - _fitted(basis(sampling, method)[here][rows], values)
    first, last = positions[here][rows][[0, -1]]
    counted = (positions[here][rows] > first + _ENDS) & (positions[here][rows] < last - _ENDS)
    return float(np.sqrt(np.mean(np.square(rest[counted])))) if counted.any() else float("inf")


def _fitted(columns: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The sum of the columns [voxels, samples] that is nearest to each of the values [voxels, lines].

    By the normal equations: a column shares voxels with its next few alone, so theirs is a narrow band.
    """
    columns = columns[:, columns.max(axis=0) > _UNSEEN]
    products = columns.T @ columns
    band = np.zeros((_BAND + 1, len(products)))
    for offset in range(min(_BAND + 1, len(products))):
        band[offset, : len(products) - offset] = np.diagonal(products, -offset)
    band[0] += _RIDGE
    inverse = scipy.linalg.solveh_banded(band, np.eye(len(products)), lower=True, check_finite=False)
    return columns @ (inverse @ (columns.T @ values))
