"""The picture a person looks at: before, after and difference in three planes, and k-space before and after."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mdcsrn_tf.errors import UserError
from mdcsrn_tf.files import replace_when_done
from mdcsrn_tf.names import for_picture, readable
from mdcsrn_tf.scans.find import GENERATOR
from mdcsrn_tf.scans.head import bounding_box, head_mask

PLANES = ("sagittal", "coronal", "axial")
LETTERS = (("R", "L"), ("P", "A"), ("I", "S"))  # where a drawn axis begins (left or below), and where it ends
# All in inches: the widest panel (the others are on its scale), k-space, what lies between, a line of text.
_WIDEST, _KSPACE, _GAP, _HEADING, _LINE, _BAR = 2.7, 2.2, 0.08, 0.28, 0.17, 0.75
_DPI = 120
_BORDER_MM = 5.0
_CHARACTERS = 13  # of the caption, an inch


@dataclass(frozen=True)
class _Pair:
    """The two volumes, axes R, A, S, and how they are shown."""

    low_res: np.ndarray
    super_res: np.ndarray
    box: tuple[slice, ...]  # the head
    voxel_size: Sequence[float]
    seams: Sequence[Sequence[int]]
    measured: Sequence[float]

    def extent(self, axis: int) -> float:
        """Inches of the head along an axis."""
        millimetres = [(part.stop - part.start) * mm for part, mm in zip(self.box, self.voxel_size, strict=True)]
        return _WIDEST * millimetres[axis] / max(millimetres[:2])

    def slices(self, axis: int) -> list[np.ndarray]:
        """Both volumes' slice through the middle of the head."""
        place = (self.box[axis].start + self.box[axis].stop) // 2
        return [np.take(volume, place, axis=axis) for volume in (self.low_res, self.super_res)]


@dataclass(frozen=True)
class _Page:
    """A figure laid out by hand, in inches from its top left corner."""

    figure: Any
    width: float
    height: float

    def panel(self, left: float, top: float, width: float, height: float) -> Any:
        """Axes in that place."""
        box = (left / self.width, 1 - (top + height) / self.height, width / self.width, height / self.height)
        return self.figure.add_axes(box)

    def text(self, left: float, top: float, text: str, **style: Any) -> None:
        """White text, its top left corner there."""
        self.figure.text(left / self.width, 1 - top / self.height, for_picture(text), color="white", va="top", **style)


def save_picture(
    path: str | os.PathLike[str],
    low_res: np.ndarray,
    super_res: np.ndarray,
    title: str,
    voxel_size: Sequence[float] = (1.0, 1.0, 1.0),
    seams: Sequence[Sequence[int]] = ((), (), ()),
    *,
    caption: Sequence[str] = (),
    measured: Sequence[float] = (1.0, 1.0, 1.0),
) -> None:
    """Draw two volumes on one grid, axes R, A, S, to a PNG.

    `voxel_size` is in mm; `seams` are borders before voxels, by axis, that are marked; `caption` lines (the model, what
    was done, warnings) stand below; `measured` is the part of k-space along each axis that the scanner measured, and is
    outlined where it is not all.
    """
    border = [round(_BORDER_MM / mm) for mm in voxel_size]
    pair = _Pair(low_res, super_res, bounding_box(head_mask(low_res, voxel_size), border), voxel_size, seams, measured)
    heights = [max(pair.extent(1 if axis == 2 else 2), _KSPACE) for axis in range(3)]
    width = _left_of_kspace() + 2 * (_KSPACE + _GAP)
    lines = [part for line in caption for part in textwrap.wrap(readable(line), int(_CHARACTERS * width))]
    page = _new_page(width, sum(heights) + 4 * _HEADING + _LINE * len(lines) + 2 * _GAP)
    page.text(_GAP, _GAP, title, fontsize=11)
    page.text(_GAP, page.height - _LINE * len(lines) - _GAP, "\n".join(lines), fontsize=8.5, linespacing=1.3)
    top = 2 * _HEADING
    limit = float(np.percentile(np.abs(super_res - low_res), 99.8)) or 1.0
    for axis, height in enumerate(heights):
        drawn = _draw_images(page, pair, axis, top, height, limit)
        _draw_kspace(page, pair, axis, top, height)
        top += height + _HEADING
    _draw_bar(page, drawn, 2 * _HEADING, heights[0])
    _write(page.figure, path)


def log_spectrum(image: np.ndarray) -> np.ndarray:
    """log10 of the magnitude of a slice's k-space, zero frequency in the middle."""
    magnitude = np.abs(np.fft.fftshift(np.fft.fft2(image)))
    return np.log10(magnitude + 1e-6 * max(float(magnitude.max()), 1e-30))


def _new_page(width: float, height: float) -> _Page:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), facecolor="black")
    FigureCanvasAgg(figure)
    return _Page(figure, width, height)


def _draw_images(page: _Page, pair: _Pair, axis: int, top: float, room: float, limit: float) -> Any:
    """Before, after and their difference in one plane; what the colour bar is to explain."""
    across = [a for a in range(3) if a != axis]
    width, height = (pair.extent(a) for a in across)
    low, high = np.percentile(pair.low_res, (0.5, 99.7))
    before, after = pair.slices(axis)
    panels = (
        (before, f"{PLANES[axis]}: before", "gray", low, high),
        (after, "after", "gray", low, high),
        (after - before, "after less before", "berlin", -limit, limit),
    )
    for column, (image, name, colours, dark, bright) in enumerate(panels):
        left = _GAP + column * (_WIDEST + _GAP) + (_WIDEST - width) / 2
        axes = page.panel(left, top + (room - height) / 2, width, height)
        drawn = axes.imshow(
            image.T, origin="lower", cmap=colours, vmin=dark, vmax=bright, aspect="auto", interpolation="nearest"
        )
        _dress(axes, name)
        if name == "after":
            _mark_seams(axes, [pair.seams[a] for a in across])
        _look_from_the_feet(axes, across, [pair.box[a] for a in across])
    return drawn


def _look_from_the_feet(axes: Any, across: Sequence[int], box: Sequence[slice]) -> None:
    """Only the head, the patient's right on the reader's left, as radiologists hang pictures; and the letters of it."""
    from matplotlib.patheffects import withStroke

    columns = (box[0].start - 0.5, box[0].stop - 0.5)
    axes.set_xlim(*(columns[::-1] if across[0] == 0 else columns))
    axes.set_ylim(box[1].start - 0.5, box[1].stop - 0.5)
    places = ((0.02, 0.5, "left"), (0.98, 0.5, "right")), ((0.5, 0.04, "center"), (0.5, 0.96, "center"))
    for axis, ends in zip(across, places, strict=True):
        for letter, (x, y, side) in zip(LETTERS[axis], ends, strict=True):
            text = axes.text(x, y, letter, transform=axes.transAxes, color="white", fontsize=9, ha=side, va="center")
            text.set_path_effects([withStroke(linewidth=2, foreground="black")])  # tissue may be white as well


def _draw_kspace(page: _Page, pair: _Pair, axis: int, top: float, room: float) -> None:
    """Both slices' k-space in panels of one size, in shares of the Nyquist frequency."""
    from matplotlib.patches import Rectangle

    across = [a for a in range(3) if a != axis]
    spectra = [log_spectrum(image) for image in pair.slices(axis)]
    low, high = float(np.percentile(spectra[1], 2)), float(spectra[1].max())
    for column, (spectrum, name) in enumerate(zip(spectra, ("before", "after"), strict=True)):
        left = _left_of_kspace() + column * (_KSPACE + _GAP)
        axes = page.panel(left, top + (room - _KSPACE) / 2, _KSPACE, _KSPACE)
        axes.imshow(
            spectrum.T,
            origin="lower",
            cmap="magma",
            vmin=low,
            vmax=high,
            extent=(-1, 1, -1, 1),
            aspect="auto",
            interpolation="nearest",
        )
        _dress(axes, f"k-space {name}")
        axes.add_patch(
            Rectangle((-1, -1), 2, 2, fill=False, color="#606060")
        )  # where nothing was measured, all is black
        width, height = (pair.measured[a] for a in across)
        if min(width, height) < 1:
            axes.add_patch(
                Rectangle((-width, -height), 2 * width, 2 * height, fill=False, color="#40c0ff", ls="--", lw=1.2)
            )
            axes.text(0, 0.03 - height, "measured", color="#40c0ff", fontsize=8, ha="center", va="bottom")


def _draw_bar(page: _Page, drawn: Any, top: float, height: float) -> None:
    """The difference's colours, in the scan's own units."""
    bar = page.panel(_left_of_kspace() - _BAR, top + 0.1 * height, 0.12, 0.8 * height)
    page.figure.colorbar(drawn, cax=bar)
    bar.tick_params(colors="white", labelsize=7)
    bar.set_title("scan's units", color="white", fontsize=7, loc="left")


def _left_of_kspace() -> float:
    return _GAP + 3 * (_WIDEST + _GAP) + _BAR


def _dress(axes: Any, title: str) -> None:
    axes.set_title(title, color="white", fontsize=9, pad=3)
    axes.set_axis_off()


def _mark_seams(axes: Any, seams: Sequence[Sequence[int]]) -> None:
    for draw, positions in zip((axes.axvline, axes.axhline), seams, strict=True):
        for position in positions:
            draw(position - 0.5, color="yellow", linewidth=0.5, alpha=0.8)


def _write(figure: Any, path: str | os.PathLike[str]) -> None:
    try:
        with replace_when_done(path) as partial:
            figure.savefig(partial, format="png", dpi=_DPI, metadata={"Software": GENERATOR})
    except OSError as error:
        raise UserError(f"{path} cannot be written ({error.strerror}); check the folder and its disk.") from error
