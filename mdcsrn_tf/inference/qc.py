"""The picture a person looks at: before, after and difference in three planes, and k-space before and after."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np

from mdcsrn_tf.errors import UserError
from mdcsrn_tf.files import replace_when_done
from mdcsrn_tf.names import for_picture

PLANES = ("sagittal", "coronal", "axial")


def save_picture(
    path: str | os.PathLike[str],
    low_res: np.ndarray,
    super_res: np.ndarray,
    title: str,
    voxel_size: Sequence[float] = (1.0, 1.0, 1.0),
    seams: Sequence[Sequence[int]] = ((), (), ()),
) -> None:
    """Draw two volumes on one grid, axes R, A, S, to a PNG; `seams` are marked, by axis."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(15, 9.5), facecolor="black", layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(for_picture(title), color="white")
    axes = figure.subplots(3, 5)
    low, high = np.percentile(low_res, (0.5, 99.7))
    difference = super_res - low_res
    limit = float(np.percentile(np.abs(difference), 99.8)) or 1.0
    for row, plane in enumerate(PLANES):
        place = low_res.shape[row] // 2
        across = [axis for axis in range(3) if axis != row]
        before, after = (np.take(volume, place, axis=row) for volume in (low_res, super_res))
        aspect = voxel_size[across[1]] / voxel_size[across[0]]
        _show(axes[row, 0], before, f"{plane}: LR", "gray", low, high, aspect)
        _show(axes[row, 1], after, "SR", "gray", low, high, aspect)
        _show(axes[row, 2], after - before, "SR - LR", "RdBu_r", -limit, limit, aspect)
        _mark_seams(axes[row, 1], [seams[axis] for axis in across])
        spectra = [log_spectrum(image) for image in (before, after)]
        for column, (spectrum, name) in enumerate(zip(spectra, ("LR", "SR"), strict=True), start=3):
            _show(axes[row, column], spectrum, f"k-space {name}", "magma", *_limits(spectra[1]), 1.0 / aspect)
    try:
        with replace_when_done(path) as partial:
            figure.savefig(partial, format="png", dpi=80, metadata={"Software": None})
    except OSError as error:
        raise UserError(f"{path} cannot be written ({error.strerror}); check the folder and its disk.") from error


def log_spectrum(image: np.ndarray) -> np.ndarray:
    """log10 of the magnitude of a slice's k-space, zero frequency in the middle."""
    magnitude = np.abs(np.fft.fftshift(np.fft.fft2(image)))
    return np.log10(magnitude + 1e-6 * max(float(magnitude.max()), 1e-30))


def _limits(spectrum: np.ndarray) -> tuple[float, float]:
    return float(np.percentile(spectrum, 2)), float(spectrum.max())


def _show(axes, image, title, cmap, low, high, aspect) -> None:
    axes.imshow(image.T, origin="lower", cmap=cmap, vmin=low, vmax=high, aspect=aspect, interpolation="nearest")
    axes.set_title(title, color="white", fontsize=9)
    axes.set_axis_off()


def _mark_seams(axes, seams) -> None:
    for draw, positions in zip((axes.axvline, axes.axhline), seams, strict=True):
        for position in positions:
            draw(position - 0.5, color="yellow", linewidth=0.5, alpha=0.8)
