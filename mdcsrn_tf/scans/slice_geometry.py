"""How thick a scan's slices are, how far apart and along which axis: from DICOM, a BIDS sidecar or the header.

The distance of the slices is what their positions say (the affine). The thickness is what was excited, which no
position tells and no NIfTI header holds: DICOM's (0018,0050), or `SliceThickness` in the JSON file that dcm2niix and
BIDS put beside a scan.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from nibabel.orientations import io_orientation

from mdcsrn_tf.errors import UserError
from mdcsrn_tf.files import can_be_read
from mdcsrn_tf.scans.dicom_frames import slices_of
from mdcsrn_tf.scans.dicom_kinds import is_dicom
from mdcsrn_tf.scans.find import stem_of

_NAMES = ("LR", "AP", "IS")


@dataclass(frozen=True)
class SliceGeometry:
    """The slices of one scan; lengths in millimetres."""

    axis: int  # of the scan's array
    direction: str  # LR, AP or IS, the nearest
    spacing: float  # from the middle of a slice to the next one's
    thickness: float | None  # None: nothing says it
    source: str  # what said the thickness: "DICOM", "sidecar" or ""

    @property
    def thickness_of_spacing(self) -> str:
        """The thickness as a part of the spacing, as --slice_thickness takes it ("80%")."""
        assert self.thickness is not None
        return f"{100 * self.thickness / self.spacing:.4g}%"


def slice_geometry(path: Path, affine: np.ndarray, header: Any = None) -> SliceGeometry:
    """The slices of the scan at `path`: a file, or the folder of one DICOM series, whose slices are the third axis.

    Of a file the slice axis is what the NIfTI header names, else the coarsest one (of equals the last).
    """
    if path.is_dir():
        axis, (thickness, source) = 2, _from_dicom(path)
    else:
        axis, (thickness, source) = _slice_axis(affine, header), _from_sidecar(path)
    spacing = float(np.linalg.norm(affine[:3, axis]))
    direction = _NAMES[int(io_orientation(affine)[axis, 0])]
    return SliceGeometry(axis, direction, spacing, thickness, source if thickness else "")


def thickness_like(path: Path, affine: np.ndarray, header: Any, axes: str) -> str:
    """What --slice_thickness would have to be for slices like those of this scan, made along `axes`."""
    found = slice_geometry(path, affine, header)
    if found.thickness is None:
        raise UserError(
            f"{path} does not say how thick its slices are; give --slice_thickness (its slices are "
            f"{found.spacing:.3g} mm apart)."
        )
    if axes.upper() not in (found.direction, found.direction[::-1]):
        raise UserError(
            f"{path} has its slices along {found.direction}, but --axes={axes}; give --axes={found.direction}."
        )
    return found.thickness_of_spacing


def _slice_axis(affine: np.ndarray, header: Any) -> int:
    named = header.get_dim_info()[2] if hasattr(header, "get_dim_info") else None
    if named is not None:
        return int(named)
    sizes = np.round(np.linalg.norm(affine[:3, :3], axis=0), 3)
    return int(2 - np.argmax(sizes[::-1]))


def _from_sidecar(path: Path) -> tuple[float | None, str]:
    sidecar = path.with_name(f"{stem_of(path)}.json")
    if not can_be_read(sidecar):
        return None, ""
    try:
        content = json.loads(sidecar.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None, ""
    return millimetres(content.get("SliceThickness") if isinstance(content, dict) else None), "sidecar"


def _from_dicom(folder: Path) -> tuple[float | None, str]:
    from pydicom import dcmread

    for file in filter(is_dicom, sorted(folder.iterdir())):
        try:
            dataset = dcmread(file, stop_before_pixels=True)
        except Exception:  # what a parser makes of damaged bytes has no common type; who reads the scan says so
            continue
        if "Rows" in dataset:
            return millimetres(slices_of(dataset)[0].get("SliceThickness")), "DICOM"
    return None, ""


def millimetres(value: Any) -> float | None:
    """A length in millimetres, if it is one: exporters also write 0, nothing at all, or text."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if 0 < number < 1000 else None
