"""Pictures of a run: fixed validation patches as they improve, and the curves at the end."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from mdcsrn_tf.files import replace_when_done

# (title, the columns of metrics.csv drawn there)
PANELS = (
    ("training loss", ("loss", "intensity_loss")),
    ("Earth Mover estimate", ("earth_mover",)),
    ("gradient penalty", ("penalty",)),
    ("critic scores", ("score_real", "score_fake")),
    ("gradient norms", ("gradient_norm", "critic_gradient_norm")),
    ("validation PSNR (dB)", ("psnr", "input_psnr")),
)
# The critic's gradients are hundreds of times the generator's.
LOGARITHMIC = ("gradient norms",)


def draw_patches(path: Path, low_res: np.ndarray, super_res: np.ndarray, high_res: np.ndarray, title: str) -> None:
    """One row a patch: the middle slice of LR, SR, HR and SR - HR, the first three on one grey scale."""
    figure, axes = _figure(len(low_res), 4, 2.2, layout=None)  # to look for a layout takes as long as to draw
    figure.subplots_adjust(0.01, 0.01, 0.99, 1 - 0.4 / figure.get_figheight(), 0.03, 0.12)
    for row, images in zip(axes, zip(low_res, super_res, high_res, strict=True), strict=True):
        low, super_, high = (_middle(image) for image in images)
        dark, bright = np.percentile(high, [0.5, 99.5])
        error = super_ - high
        spread = max(float(np.abs(low - high).max()), 1e-6)  # of the input's error, so rows compare over time
        for axis, image, name in zip(row, (low, super_, high), ("LR", "SR", "HR"), strict=False):
            axis.imshow(image, cmap="gray", vmin=dark, vmax=bright)
            axis.set_title(name, fontsize=8, y=1.0)
        row[3].imshow(error, cmap="RdBu", vmin=-spread, vmax=spread)
        row[3].set_title("SR - HR", fontsize=8, y=1.0)
    for axis in axes.flat:
        axis.set_axis_off()
    figure.suptitle(title, fontsize=9)
    _write(figure, path)


def draw_curves(path: Path, rows: Sequence[dict[str, str]]) -> None:
    """The rows of metrics.csv as curves, the phases one after the other; only panels that have data.

    Where a phase begins is marked by its name, where the statistics of batch normalisation were measured anew by a
    line. A table without phases, as recipes/jax_volumes writes it, is of one.
    """
    rows = [{"phase": "", **row} for row in rows]
    panels = [(title, columns) for title, columns in PANELS if any(_points(rows, column) for column in columns)]
    across = min(3, len(panels)) or 1
    figure, axes = _figure(-(-len(panels) // across) or 1, across, 3.6)
    for axis, (title, columns) in zip(axes.flat, panels, strict=False):
        for column in columns:
            for kind, style in (("train", "-"), ("validation", "o--")):
                points = _points(rows, column, kind)
                if points:
                    name = f"{column.replace('_', ' ').replace('psnr', 'PSNR')} ({kind})"
                    drawn = style if len(points) > 1 else "o"  # of one point there is no line
                    axis.plot(*zip(*points, strict=True), drawn, markersize=2, linewidth=1, label=name)
        _mark_events(axis, rows, remeasured=title.startswith("validation"))
        axis.set_title(title, fontsize=9)
        axis.set_xlabel("step", fontsize=8)
        axis.set_xlim(*_limits(rows))
        axis.tick_params(labelsize=7, which="both")
        axis.set_yscale("log" if title in LOGARITHMIC else "linear")
        axis.legend(fontsize=6)
    for axis in list(axes.flat)[len(panels) :]:
        axis.set_axis_off()
    _write(figure, path)


def _limits(rows: Sequence[dict[str, str]]) -> tuple[float, float]:
    """The steps that every panel shows, whether it has a point at each end or not."""
    offsets = _phase_offsets(rows)
    last = max((offsets[row["phase"]] + int(row["step"]) for row in rows), default=0)
    return -0.02 * max(last, 1), 1.02 * max(last, 1)


def _points(rows: Sequence[dict[str, str]], column: str, kind: str | None = None) -> list[tuple[int, float]]:
    """Step, counted over all phases, and value of the rows that have one; of one kind, or of any."""
    offsets = _phase_offsets(rows)
    return [
        (offsets[row["phase"]] + int(row["step"]), float(row[column]))
        for row in rows
        if row.get(column) and kind in (None, row["kind"])
    ]


def _mark_events(axis: Any, rows: Sequence[dict[str, str]], remeasured: bool) -> None:
    offsets = _phase_offsets(rows)
    if len(offsets) > 1:
        for phase, step in offsets.items():
            axis.axvline(step, color="0.5", linewidth=0.8)
            axis.text(step, 1.0, f" {phase}", transform=axis.get_xaxis_transform(), fontsize=7, va="top", color="0.3")
    if remeasured:
        for place, step in enumerate(remeasured_at(rows)):
            name = "_" if place else "statistics measured anew"  # named once in the legend
            axis.axvline(step, color="tab:green", linewidth=0.8, linestyle=":", label=name)


def remeasured_at(rows: Sequence[dict[str, str]]) -> list[int]:
    """Where a phase ends with a second validation of its last step: its statistics were measured anew between them."""
    offsets, seen, found = _phase_offsets(rows), set(), []
    for row in rows:
        at = (row["phase"], row["step"])
        if row["kind"] == "validation" and at in seen:
            found.append(offsets[row["phase"]] + int(row["step"]))
        elif row["kind"] == "validation":
            seen.add(at)
    return found


def _middle(patch: np.ndarray) -> np.ndarray:
    """The middle slice of a volume [a, b, c, 1] or of neighbouring slices [h, w, channels]."""
    return patch[..., patch.shape[-1] // 2] if patch.ndim == 3 else patch[patch.shape[0] // 2, :, :, 0]


def _phase_offsets(rows: Sequence[dict[str, str]]) -> dict[str, int]:
    """Where each phase begins when they are drawn one after the other."""
    offsets, end = {}, 0
    for phase in dict.fromkeys(row["phase"] for row in rows):
        offsets[phase] = end
        end += max(int(row["step"]) for row in rows if row["phase"] == phase)
    return offsets


def _figure(
    rows: int, columns: int, inches: float, layout: Literal["constrained"] | None = "constrained"
) -> tuple[Any, Any]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(columns * inches, rows * inches), dpi=90, layout=layout)
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, squeeze=False)


def _write(figure: Any, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with replace_when_done(path) as partial:
        figure.savefig(partial, format="png")
