"""Pictures for a sceptic: low resolution, sinc, networks and original side by side, voxel by voxel.

Nothing is smoothed: a voxel is a square of whole pixels (a rectangle where voxels are none). Below the slice two
insets, and what each image has that the original has not.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from benchmarks.data_helpers import read_ras
from benchmarks.network_checks import AXES, FACTORS, result_of, straight
from benchmarks.pages import ROOT
from mdcsrn_tf.files import replace_when_done
from mdcsrn_tf.scans.head import bounding_box, head_mask
from mdcsrn_tf.scans.kspace import acquire, degrade, interpolate

IMAGES = ROOT / "docs" / "images"
WIDTH = 300  # pixels of a panel
INSET_MM = 38.0
EDGE_MM = 8.0
GAP, HEADING = 6, 24
ERROR_SHARE = 0.2  # of the grey scale: what the darkest colour of a difference means
_FRAMES = ("#ffb000", "#40c0ff")


def draw_all(scans: Path, wanted: Sequence[str], folders: dict[str, Path]) -> list[str]:
    """Draw the wanted scans of the list that are in it; the names of the files in docs/images."""
    drawn = []
    for path in map(Path, scans.read_text(encoding="utf-8").splitlines()):
        name = path.name.split(".")[0]
        if name in wanted:
            drawn.append(f"compare_{name}.png")
            results = {title: straight(result_of(folder, path)) for title, folder in folders.items()}
            save(IMAGES / drawn[-1], *read_ras(path), results)
    return drawn


def save(path: Path, high: np.ndarray, spacing: Sequence[float], results: dict[str, np.ndarray]) -> None:
    """One scan's picture as a PNG; volumes with axes R, A, S on one grid, `spacing` in mm along them."""
    small = acquire(high, FACTORS, AXES)
    images = {
        "low resolution": interpolate(small, high.shape, FACTORS, AXES, "nearest"),
        "sinc": degrade(high, FACTORS, AXES, "sinc"),
        **results,
        "original": high,
    }
    mask = head_mask(high, spacing)
    place = int(np.argmax(mask.sum(axis=(0, 1))))
    box = bounding_box(mask[:, :, place], border=4)
    slices = {name: upright(image[:, :, place][box]) for name, image in images.items()}
    truth, inside = slices["original"], upright(mask[:, :, place][box])
    top = float(np.percentile(truth[inside], 99.7))
    pixels = (spacing[1], spacing[0])  # of a row and of a column
    # Away from skin and skull: they have the most contrast and the least to tell.
    corners = inset_corners(truth, ndimage.distance_transform_edt(inside, pixels) > EDGE_MM, pixels)
    columns = [column(name, image, truth, top, pixels, corners) for name, image in slices.items()]
    with replace_when_done(path) as partial:
        beside(columns).save(partial, format="PNG", optimize=True)


def upright(picture: np.ndarray) -> np.ndarray:
    """[R, A] as a picture: front up, the head's left on the reader's right, as radiologists hang it."""
    return picture.T[::-1, ::-1]


def column(name, image, truth, top, pixels, corners) -> Image.Image:
    """One method from top to bottom: name, slice with frames, insets, their differences from the original."""
    size = inset_size(pixels)
    whole = scaled(grey(image, top), pixels, WIDTH)
    draw, factor = ImageDraw.Draw(whole), np.array(whole.size[::-1]) / image.shape
    parts = [whole]
    for (row, left), colour in zip(corners, _FRAMES, strict=False):
        y, x = (np.array([row, left]) * factor).round()
        height, width = (np.array(size) * factor).round()
        draw.rectangle([x, y, x + width, y + height], outline=colour, width=2)
        cut = (slice(row, row + size[0]), slice(left, left + size[1]))
        parts.append(framed(scaled(grey(image[cut], top), pixels, WIDTH), colour))
    for row, left in corners if image is not truth else ():
        cut = (slice(row, row + size[0]), slice(left, left + size[1]))
        parts.append(scaled(difference(image[cut] - truth[cut], top), pixels, WIDTH))
    return stacked(name, parts)


def grey(image: np.ndarray, top: float) -> np.ndarray:
    """0 to `top` as 8-bit RGB."""
    levels = np.round(255 * np.clip(image / top, 0, 1)).astype(np.uint8)
    return np.repeat(levels[:, :, None], 3, axis=2)


def difference(error: np.ndarray, top: float) -> np.ndarray:
    """Blue where the image is too dark, red where it is too bright, black where it is right."""
    share = np.clip(error / (ERROR_SHARE * top), -1, 1)
    return np.round(255 * colormaps["berlin"](0.5 + 0.5 * share)[:, :, :3]).astype(np.uint8)


def scaled(rgb: np.ndarray, pixels: Sequence[float], width: int) -> Image.Image:
    """Enlarged to about `width` without a new value; a whole number of pixels a voxel where voxels are square."""
    rows, columns = rgb.shape[:2]
    across = max(1, round(width / columns)) if abs(pixels[0] / pixels[1] - 1) < 0.02 else width / columns
    down = across * pixels[0] / pixels[1] if isinstance(across, float) else across
    return Image.fromarray(rgb).resize((round(columns * across), round(rows * down)), Image.Resampling.NEAREST)


def inset_size(pixels: Sequence[float]) -> tuple[int, int]:
    """Rows and columns of an inset."""
    return round(INSET_MM / pixels[0]), round(INSET_MM / pixels[1])


def inset_corners(truth: np.ndarray, inside: np.ndarray, pixels: Sequence[float]) -> list[tuple[int, int]]:
    """The first row and column of two squares within `inside` that have the most detail and do not overlap."""
    rows, columns = inset_size(pixels)
    detail = np.abs(np.diff(truth, axis=0, append=0)) + np.abs(np.diff(truth, axis=1, append=0))
    detail = np.where(inside, detail, 0)
    allowed = window_sums(inside.astype(float), rows, columns) > 0.9 * rows * columns
    scores = np.where(allowed, window_sums(detail, rows, columns), -1.0)
    corners = []
    for _ in _FRAMES:
        row, left = np.unravel_index(int(np.argmax(scores)), scores.shape)
        if scores[row, left] < 0:
            break
        corners.append((int(row), int(left)))
        scores[max(0, row - rows) : row + rows, max(0, left - columns) : left + columns] = -1.0
    return corners or [(max(0, (truth.shape[0] - rows) // 2), max(0, (truth.shape[1] - columns) // 2))]


def window_sums(image: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """The sum over every window of that size, by its first row and column."""
    total = np.pad(image.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    return total[rows:, columns:] - total[:-rows, columns:] - total[rows:, :-columns] + total[:-rows, :-columns]


def framed(picture: Image.Image, colour: str) -> Image.Image:
    """With a border of its frame's colour in the slice."""
    ImageDraw.Draw(picture).rectangle([0, 0, picture.width - 1, picture.height - 1], outline=colour, width=3)
    return picture


def stacked(title: str, parts: Sequence[Image.Image]) -> Image.Image:
    """One below the other on black, the title above."""
    width = max(part.width for part in parts)
    canvas = Image.new("RGB", (width, HEADING + sum(part.height + GAP for part in parts)))
    font = ImageFont.load_default(size=15)
    ImageDraw.Draw(canvas).text((width // 2, HEADING // 2), title, fill="white", font=font, anchor="mm")
    y = HEADING
    for part in parts:
        canvas.paste(part, ((width - part.width) // 2, y))
        y += part.height + GAP
    return canvas


def beside(columns: Sequence[Image.Image]) -> Image.Image:
    """Next to one another on black, with the key of the differences below."""
    width = sum(column.width + GAP for column in columns) - GAP
    height = max(column.height for column in columns)
    canvas = Image.new("RGB", (width, height + HEADING))
    x = 0
    for part in columns:
        canvas.paste(part, (x, 0))
        x += part.width + GAP
    text = f"differences from the original: blue darker, red brighter, full colour at {ERROR_SHARE:.0%} of white"
    font = ImageFont.load_default(size=15)
    ImageDraw.Draw(canvas).text((width // 2, height + HEADING // 2), text, fill="white", font=font, anchor="mm")
    return canvas
