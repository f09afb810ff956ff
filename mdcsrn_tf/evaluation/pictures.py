"""What figures and the report need of an image, kept beside the numbers: a slice, its spectrum, the whole head."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from nibabel.orientations import aff2axcodes

from mdcsrn_tf.evaluation.scene import Scene
from mdcsrn_tf.files import replace_when_done
from mdcsrn_tf.metrics.slices import eight_bit
from mdcsrn_tf.metrics.spectra import radial_power
from mdcsrn_tf.names import digest_of
from mdcsrn_tf.scans.axes import to_ras
from mdcsrn_tf.scans.head import bounding_box

SPECTRUM_SLICES = 24  # enough for a smooth curve
_BORDER = 3  # voxels around the head
_LONGEST = 80
_OPPOSITE = {"L": "R", "R": "L", "A": "P", "P": "A", "I": "S", "S": "I"}


@dataclass(frozen=True)
class Picture:
    """One method's slice of one subject, turned upright."""

    name: str
    pixels: np.ndarray
    power: np.ndarray
    top: float
    aspect: float
    letters: str = ""  # what lies left, right, above and below: "RLAP"


@dataclass(frozen=True)
class Head:
    """One method's whole head in 8 bits, axes R, A, S."""

    name: str
    voxels: np.ndarray  # uint8, cropped to the reference's head
    spacing: tuple[float, float, float]  # mm along them


def safe_name(name: str) -> str:
    """A name that can be a file's; a hash keeps apart what would become the same.

    >>> safe_name("sub-01_T1w")
    'sub-01_T1w'
    >>> safe_name("M\\u00fcller") == safe_name("M\\u00f6ller")
    False
    """
    cleaned = re.sub(r"[^A-Za-z0-9._-]+", "_", name)
    if cleaned == name and len(name) <= _LONGEST and not name.startswith("."):
        return name
    digest = digest_of(name).hex()[:10]
    return f"{cleaned[:_LONGEST].lstrip('.')}-{digest}"


def place_of(output: Path, subject: str, method: str) -> Path:
    """Where a method's picture of a subject is kept."""
    return output / "pictures" / safe_name(subject) / f"{safe_name(method)}.npz"


def keep(path: Path, data: np.ndarray, scene: Scene, whole: bool) -> None:
    """Write the measured plane's middle slice and spectrum; with `whole` the head in 8 bits, too."""
    pool = scene.fidelity_slices
    chosen = pool[np.linspace(0, len(pool) - 1, min(SPECTRUM_SLICES, len(pool))).astype(int)]
    content = {
        "picture": data.take(scene.picture_slice, scene.axis).astype(np.float32),
        "power": radial_power(data, scene.axis, chosen),
        "top": scene.top,
        "spacing": scene.spacing,
        "letters": _letters(scene),
    }
    if whole:
        box = bounding_box(scene.head, _BORDER)
        voxels, affine = to_ras(eight_bit(data[box], scene.top).astype(np.uint8), scene.volume.affine)
        content |= {"head": voxels, "head_spacing": np.linalg.norm(affine[:3, :3], axis=0)}
    path.parent.mkdir(parents=True, exist_ok=True)
    with replace_when_done(path) as partial, partial.open("wb") as stream:
        np.savez_compressed(stream, **content)


def read_picture(path: Path, name: str) -> Picture | None:
    """What `keep` wrote, turned upright; nothing where there is none."""
    if not path.is_file():
        return None
    with np.load(path) as kept:
        rows, columns = kept["spacing"]
        pixels, letters, aspect = kept["picture"].T[::-1], str(kept["letters"]), float(columns / rows)
        if letters.startswith("L"):  # as radiologists hang it: the patient's right on the reader's left
            pixels, letters = pixels[:, ::-1], letters[1] + letters[0] + letters[2:]
        return Picture(name, pixels, kept["power"], float(kept["top"]), aspect, letters)


def _letters(scene: Scene) -> str:
    """What lies at the beginning and the end of the picture's columns, and at the end and the beginning of its rows."""
    codes = aff2axcodes(scene.volume.affine)
    first, second = (codes[axis] for axis in range(3) if axis != scene.axis)
    return _OPPOSITE[first] + first + second + _OPPOSITE[second]


def read_head(path: Path, name: str) -> Head | None:
    """The whole head that `keep` wrote; nothing where it wrote none."""
    if not path.is_file():
        return None
    with np.load(path) as kept:
        if "head" not in kept:
            return None
        x, y, z = (float(step) for step in kept["head_spacing"])
        return Head(name, kept["head"], (x, y, z))
