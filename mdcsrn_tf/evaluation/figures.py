"""The papers' figures as a command: methods side by side, error maps, spectra, box plots (M Fig. 2, J Fig. 1, 6)."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from mdcsrn_tf.evaluation.pictures import Picture, place_of, read_picture, safe_name
from mdcsrn_tf.evaluation.results import Results
from mdcsrn_tf.evaluation.statistics import FEWEST_PAIRS
from mdcsrn_tf.evaluation.tables import title_of
from mdcsrn_tf.files import replace_when_done
from mdcsrn_tf.metrics.spectra import ring_centres
from mdcsrn_tf.names import for_picture
from mdcsrn_tf.scans.head import bounding_box

FIGURES_OF_SUBJECTS = 3  # side by side and error maps of so many; box plots and spectra are of all
_INSET = 0.22  # of the shorter side: the zoomed part
_ERROR_SHARE = 0.15  # of the intensity scale: what the fullest colour of an error means
_AIR, _BORDER = 0.05, 4  # of the intensity scale; in voxels


@dataclass(frozen=True)
class Drawn:
    """A figure's files and what it shows."""

    title: str
    paths: tuple[Path, ...]  # PNG first


def read_pictures(results: Results, output: Path, subject: str) -> list[Picture]:
    """The kept slices of a subject, one a method, in the order of the table."""
    names = [row.method.name for row in results.rows]
    found = [read_picture(place_of(output, subject, name), name) for name in names]
    return [picture for picture in found if picture is not None]


def draw_all(results: Results, output: Path) -> list[Drawn]:
    """Every figure, as PNG and PDF in `output/figures`."""
    drawn = []
    for subject in results.subjects[:FIGURES_OF_SUBJECTS]:
        pictures = read_pictures(results, output, subject)
        name = safe_name(subject)
        captions = [_caption(results, picture.name, subject) for picture in pictures]
        drawn.append(
            _write(output, f"{name}_methods", f"{subject}: the degraded plane", side_by_side(pictures, captions))
        )
        truth = next((picture for picture in pictures if picture.name == "original"), None)
        if truth is not None and results.plan.reference:
            others = [p for p in pictures if p is not truth and p.pixels.shape == truth.pixels.shape]
            if others:
                title = f"{subject}: differences from the original"
                drawn.append(_write(output, f"{name}_errors", title, error_maps(truth, others)))
    everyone = {subject: read_pictures(results, output, subject) for subject in results.subjects}
    drawn.append(_write(output, "spectra", "Radial power spectrum in the degraded plane", spectra(everyone)))
    for metric in results.metrics:
        if any(results.values[name].get(metric) for name in results.values):
            title = f"{title_of(metric)} over subjects"
            drawn.append(_write(output, f"box_{metric}", title, box_plot(results, metric)))
    return drawn


def side_by_side(pictures: Sequence[Picture], captions: Sequence[str]) -> Figure:
    """One column a method: the slice with its scores above, and a zoomed inset below (M Fig. 2, J Fig. 6)."""
    pictures = _cropped(pictures)
    height, width = pictures[0].pixels.shape
    tall = height * pictures[0].aspect / width
    figure = Figure(figsize=(2.2 * len(pictures), 2.2 * (tall + 1) + 0.5), facecolor="black", layout="constrained")
    grid = {"height_ratios": [tall, 1]}
    axes = np.atleast_2d(figure.subplots(2, len(pictures), squeeze=False, gridspec_kw=grid))
    for column, (picture, caption) in enumerate(zip(pictures, captions, strict=True)):
        show = {"cmap": "gray", "vmin": 0, "vmax": picture.top, "interpolation": "nearest"}
        top, left, side = _inset_corner(pictures[-1].pixels if _alike(pictures) else picture.pixels)
        axes[0, column].imshow(picture.pixels, aspect=picture.aspect, **show)
        axes[0, column].add_patch(Rectangle((left, top), side, side, fill=False, color="#ffb000"))
        axes[0, column].set_title(for_picture(caption), fontsize=8, color="white")
        if column == 0:
            _mark_sides(axes[0, 0], picture.letters)
        inset = picture.pixels[top : top + side, left : left + side]
        axes[1, column].imshow(inset, aspect=picture.aspect, **show)
        for axis in axes[:, column]:
            axis.set_axis_off()
    return figure


def error_maps(truth: Picture, others: Sequence[Picture]) -> Figure:
    """Each image less the reference, all on one scale in the scan's own units: blue too dark, red too bright."""
    *others, truth = _cropped([*others, truth])
    height, width = truth.pixels.shape
    size = (2.2 * len(others) + 0.8, 2.2 * height * truth.aspect / width + 0.4)
    figure = Figure(figsize=size, facecolor="black", layout="constrained")
    axes = figure.subplots(1, len(others), squeeze=False)[0]
    limit = _ERROR_SHARE * truth.top
    for axis, picture in zip(axes, others, strict=True):
        error = picture.pixels - truth.pixels
        show = {"cmap": "berlin", "vmin": -limit, "vmax": limit, "interpolation": "nearest"}
        image = axis.imshow(error, aspect=picture.aspect, **show)
        axis.set_title(for_picture(picture.name), fontsize=8, color="white")
        axis.set_axis_off()
    bar = figure.colorbar(image, ax=list(axes), shrink=0.8)
    bar.set_label("image less original (scan's units)", color="white", fontsize=8)
    bar.ax.tick_params(colors="white", labelsize=7)
    return figure


def _mark_sides(axis, letters: str) -> None:
    """Left, right, top and bottom of the head, inside the picture's edges."""
    places = ((0.03, 0.5), (0.97, 0.5), (0.5, 0.97), (0.5, 0.03))
    for letter, (x, y) in zip(letters, places, strict=False):
        axis.text(x, y, letter, color="white", fontsize=7, ha="center", va="center", transform=axis.transAxes)


def _cropped(pictures: Sequence[Picture]) -> list[Picture]:
    """Without the air around the last one's head, where all lie on one grid."""
    last = pictures[-1]
    if not _alike(pictures):
        return list(pictures)
    box = bounding_box(last.pixels > _AIR * last.top, border=_BORDER)
    return [dataclasses.replace(picture, pixels=picture.pixels[box]) for picture in pictures]


def spectra(everyone: dict[str, list[Picture]]) -> Figure:
    """Every method's power, averaged over subjects, each subject's scaled by its own lowest ring."""
    curves: dict[str, list[np.ndarray]] = {}
    for pictures in everyone.values():
        if pictures:
            scale = max(pictures[-1].power[0], 1e-30)
            for picture in pictures:
                curves.setdefault(picture.name, []).append(np.log10(np.maximum(picture.power / scale, 1e-30)))
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axis = figure.subplots()
    for name, found in curves.items():
        axis.plot(ring_centres(len(found[0])), 10 * np.mean(found, axis=0), label=for_picture(name))
    # Zero-filled k-space falls to rounding errors; what is below -100 dB is none of a reader's concern.
    axis.set(xlabel="spatial frequency (fraction of Nyquist)", ylabel="power (dB)", ylim=(-100, 5))
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8)
    return figure


def box_plot(results: Results, metric: str) -> Figure:
    """Every subject a dot, and one box a method where there are subjects enough for its quartiles."""
    names = [name for name in results.values if _finite(results.values[name].get(metric, {}).values())]
    values = [_finite(results.values[name][metric].values()) for name in names]
    figure = Figure(figsize=(1.6 + 0.9 * len(names), 3.8), layout="constrained")
    axis = figure.subplots()
    if values and max(map(len, values)) >= FEWEST_PAIRS:
        axis.boxplot(values, showfliers=False)
    for position, found in enumerate(values, start=1):
        offsets = np.linspace(-0.12, 0.12, len(found)) if len(found) > 1 else [0.0]
        axis.plot(position + np.asarray(offsets), found, "o", markersize=3, alpha=0.7)
    titles = [for_picture(name) for name in names]
    axis.set_xticks(range(1, len(names) + 1), titles, rotation=30, ha="right", fontsize=8)
    axis.set_ylabel(title_of(metric))
    axis.grid(axis="y", alpha=0.3)
    return figure


def _write(output: Path, name: str, title: str, figure: Figure) -> Drawn:
    folder = output / "figures"
    folder.mkdir(parents=True, exist_ok=True)
    FigureCanvasAgg(figure)
    paths = (folder / f"{name}.png", folder / f"{name}.pdf")
    for path in paths:
        with replace_when_done(path) as partial:
            figure.savefig(partial, dpi=150)
    return Drawn(title, paths)


def _caption(results: Results, method: str, subject: str) -> str:
    """The subject's own scores above its picture, as in the papers."""
    scores = []
    for metric in ("psnr", "ssim") if results.plan.reference else ("piqe", "niqe"):
        value = results.values[method].get(metric, {}).get(subject, math.nan)
        if math.isfinite(value):
            scores.append(f"{title_of(metric)} {value:.{4 if metric == 'ssim' else 2}f}")
    return "\n".join([method, " / ".join(scores)])


def _inset_corner(pixels: np.ndarray) -> tuple[int, int, int]:
    """Where the picture has most detail: the square with the largest variance of its differences."""
    side = min(max(8, int(min(pixels.shape) * _INSET)), *pixels.shape)
    detail = np.abs(np.diff(pixels, axis=0, append=0)) + np.abs(np.diff(pixels, axis=1, append=0))
    total = np.pad(detail.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    # The middle half only: the most detail is at the skull, the most interest inside.
    first = [min(size // 4, size - side) for size in pixels.shape]
    middle = tuple(slice(k, max(k + 1, 3 * (size // 4) - side)) for k, size in zip(first, pixels.shape, strict=True))
    sums = (total[side:, side:] - total[:-side, side:] - total[side:, :-side] + total[:-side, :-side])[middle]
    top, left = np.unravel_index(int(np.argmax(sums)), sums.shape)
    return int(top) + first[0], int(left) + first[1], side


def _alike(pictures: Sequence[Picture]) -> bool:
    return len({picture.pixels.shape for picture in pictures}) == 1


def _finite(values) -> list[float]:
    return [value for value in values if math.isfinite(value)]
