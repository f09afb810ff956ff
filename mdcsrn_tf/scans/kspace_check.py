"""Does a scan look as the model expects: interpolated to its grid, along those axes, by that method?

An axis that was brought to its grid from every f-th sample betrays itself: take those samples again, repeat
the interpolation, and the scan comes back. No spectrum of real anatomy does that by accident: of eight full
scans 8 to 16 % of the contrast was lost, of the same interpolated and rounded to 8 bits 0.3 to 2.7 %
(benchmarks/kspace_check.py). NumPy and SciPy only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.fft

# What is lost may be this part of the scan's contrast, for the rounding of a scan stored in 8 bits.
_LOST = 0.04
_LINES = 20_000  # lines along an axis that are looked at


@dataclass(frozen=True)
class AxisFinding:
    """How an axis was interpolated: "linear", "sinc" or None; for linear, the first measured sample."""

    method: str | None
    phase: int
    lost: dict[str, float]  # part of the contrast that interpolating anew loses, by method


def examine_axis(volume: np.ndarray, axis: int, factor: int) -> AxisFinding:
    """Try every way in which the axis may have been interpolated by `factor`."""
    lines = _some_lines(volume, axis)
    size = lines.shape[1]
    contrast = float(np.std(lines))
    if factor < 2 or size < 4 * factor or contrast == 0.0:
        return AxisFinding(None, 0, {})
    lost = {"sinc": _rms(lines - _low_pass(lines, size // factor)) / contrast}
    phases = range(factor) if size % factor == 0 else range(1)
    by_phase = [_rms(_linear_error(lines, factor, phase)) / contrast for phase in phases]
    phase = int(np.argmin(by_phase))
    lost["linear"] = by_phase[phase]
    best = min(lost, key=lambda method: lost[method])
    method = best if lost[best] < _LOST else None
    return AxisFinding(method, phase if method == "linear" else 0, lost)


def warnings_for(
    findings: Sequence[AxisFinding], names: Sequence[str], degraded: Sequence[int], trained_on: str
) -> list[str]:
    """What to tell the user about a same-grid scan, a sentence each; `findings` and `names` for all three axes."""
    empty = [axis for axis, finding in enumerate(findings) if finding.method]
    full = [axis for axis in degraded if axis not in empty]
    unexpected = [axis for axis in empty if axis not in degraded]
    sentences = []
    if full and not unexpected:
        where = " and ".join(names[axis] for axis in full)
        sentences.append(
            f"the outer k-space along {where} is not empty: the scan seems to be of full resolution there already, "
            "or was interpolated in another way than the model expects."
        )
    if unexpected:
        sentences.append(
            f"k-space looks empty along {_list(names, empty)}, but --axes says {_list(names, degraded)}; check --axes."
        )
    other = {findings[axis].method for axis in degraded} - {None, trained_on}
    if other:
        sentences.append(
            f"the scan was brought to its grid by {other.pop()} interpolation, but the model was trained on "
            f"{trained_on}: expect a worse result."
        )
    return sentences


def _some_lines(volume: np.ndarray, axis: int) -> np.ndarray:
    """Lines along the axis through the middle half of the other two, thinned out; float64 [lines, size]."""
    moved = np.moveaxis(volume, axis, -1)
    middle = moved[tuple(slice(n // 4, max(n - n // 4, n // 4 + 1)) for n in moved.shape[:2])]
    step = max(1, int(np.ceil(np.sqrt(middle.shape[0] * middle.shape[1] / _LINES))))
    return middle[::step, ::step].reshape(-1, volume.shape[axis]).astype(np.float64)


def _low_pass(lines: np.ndarray, kept: int) -> np.ndarray:
    spectrum = scipy.fft.rfft(lines, axis=1)
    spectrum[:, kept // 2 + 1 :] = 0.0
    return scipy.fft.irfft(spectrum, n=lines.shape[1], axis=1)


def _linear_error(lines: np.ndarray, factor: int, phase: int) -> np.ndarray:
    """What is between the samples less what linear interpolation puts there."""
    size = lines.shape[1]
    positions = np.arange(phase, size, factor)
    inside = np.arange(phase, positions[-1] + 1)
    below = (inside - phase) // factor
    t = (inside - phase) % factor / factor
    samples = lines[:, positions]
    above = np.minimum(below + 1, len(positions) - 1)
    return lines[:, inside] - (samples[:, below] * (1 - t) + samples[:, above] * t)


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


def _list(names: Sequence[str], axes: Sequence[int]) -> str:
    return ",".join(names[axis] for axis in sorted(axes))
