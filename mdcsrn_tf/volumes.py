"""Scans in and out: read NIfTI, MGZ and DICOM series, write NIfTI with its geometry kept; axes; normalisation."""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import nibabel as nib
import numpy as np
from nibabel.orientations import (
    apply_orientation,
    inv_ornt_aff,
    io_orientation,
    ornt_transform,
)

from mdcsrn_tf.errors import UserError
from mdcsrn_tf.files import replace_when_done
from mdcsrn_tf.volume_files import NIFTI_SUFFIXES, VOLUME_SUFFIXES, find_volumes

__all__ = [
    "NIFTI_SUFFIXES",
    "NORMALISATION",
    "VOLUME_SUFFIXES",
    "Normalisation",
    "Volume",
    "axes_are_anatomical",
    "find_volumes",
    "from_ras",
    "read_volume",
    "resolve_axes",
    "to_ras",
    "write_volume",
]

# The name, recorded in manifests and model cards, of the rule in Normalisation.from_low_res.
NORMALISATION = "zscore_of_voxels_above_mean"

_AXIS_NAMES = {"LR": 0, "RL": 0, "AP": 1, "PA": 1, "IS": 2, "SI": 2}


@dataclass(frozen=True)
class Volume:
    """One 3-D scan in scanner units, with what is needed to write another on its grid."""

    data: np.ndarray  # float32, C-contiguous, [i, j, k] as stored
    affine: np.ndarray  # float64 4x4, voxel index -> RAS+ millimetres
    path: Path
    header: nib.Nifti1Header = field(repr=False)  # a NIfTI-1 header also where the source was none
    stored_dtype: np.dtype  # the type on disk
    slope: float = 1.0  # value = slope * stored + intercept
    intercept: float = 0.0


@dataclass(frozen=True)
class Normalisation:
    """z-score with statistics of the low-resolution image: at deployment there is no other."""

    mean: float
    std: float

    @classmethod
    def from_low_res(cls, low_res: np.ndarray) -> Normalisation:
        """Mean and standard deviation of the voxels brighter than the image's mean.

        How much empty background a scan has is an accident of its field of view: leaving it out puts the
        tissue of every scan on one scale. Where those voxels all have one value, all voxels count instead.
        """
        values = low_res[low_res > low_res.mean(dtype=np.float64)]
        deviation = float(values.std(dtype=np.float64)) if values.size else 0.0
        if deviation <= 1e-6 * float(np.abs(low_res).max()):
            values, deviation = low_res, float(low_res.std(dtype=np.float64))
        if not deviation > 0:
            raise UserError("An image of one constant value cannot be normalised; give one with contrast.")
        return cls(mean=float(values.mean(dtype=np.float64)), std=deviation)

    def apply(self, array: np.ndarray) -> np.ndarray:
        """Scanner units to z-score, float32."""
        return ((array - self.mean) / self.std).astype(np.float32)

    def undo(self, array: np.ndarray) -> np.ndarray:
        """z-score to scanner units, float32: the inverse of `apply`."""
        return (array * self.std + self.mean).astype(np.float32)


def read_volume(path: str | os.PathLike[str], series_uid: str | None = None) -> Volume:
    """Read a `.nii`, `.nii.gz` or `.mgz` file or the folder of a DICOM series; UserError for anything else."""
    path = Path(path)
    if path.is_dir():
        from mdcsrn_tf.dicom_series import read_series

        data, affine, dtype = read_series(path, series_uid)
        return _checked(Volume(data, affine, path, _new_header(affine), dtype))
    if series_uid is not None:
        raise UserError(f"{path} is no DICOM folder, so no series can be chosen in it; drop the series UID.")
    if not path.is_file():
        raise UserError(f"{path} does not exist; check the path.")
    if not path.name.lower().endswith(VOLUME_SUFFIXES):
        raise UserError(f"{path} is no {', '.join(VOLUME_SUFFIXES)} file or DICOM folder; convert it first.")
    try:
        with _quiet_nibabel(), np.errstate(all="ignore"):
            return _checked(_read_image(path))
    except UserError:
        raise
    except (OSError, EOFError, zlib.error, MemoryError, ValueError, KeyError, OverflowError, TypeError,
            nib.filebasedimages.ImageFileError, nib.spatialimages.HeaderDataError) as error:
        raise UserError(f"{path} cannot be read ({_brief(error)}); export or download it again.") from error


def write_volume(
    path: str | os.PathLike[str],
    data: np.ndarray,
    like: Volume,
    *,
    affine: np.ndarray | None = None,
    dtype: Literal["float32", "same"] = "float32",
) -> None:
    """Write `data` as NIfTI with `like`'s header; with another `affine`, both of its forms follow.

    `same` stores the input's type and scaling, values clipped and rounded to it. The file appears whole, by
    a rename, or not at all.
    """
    path = Path(path)
    if not path.name.lower().endswith(NIFTI_SUFFIXES):
        raise UserError(f"{path} must end in .nii or .nii.gz: nothing else is written.")
    header = like.header.copy()
    if affine is not None and not np.array_equal(affine, like.affine):
        _move_forms(header, np.linalg.inv(like.affine) @ affine)
    stored, slope, intercept = np.asarray(data, np.float32), 1.0, 0.0
    if dtype == "same":
        stored, slope, intercept = _to_stored(data, like), like.slope, like.intercept
    header.set_data_dtype(stored.dtype)
    image = nib.Nifti1Image(stored, None, header)
    image.header.set_slope_inter(slope, intercept)
    try:
        with replace_when_done(path) as partial:
            nib.save(image, partial)
    except OSError as error:
        raise UserError(f"{path} cannot be written ({_brief(error)}); check the folder and the space.") from error


def resolve_axes(axes: str, affine: np.ndarray) -> tuple[int, ...]:
    """Array axes of `"LR,AP"` (anatomical names, either way round) or `"0,1"` (indices) in a scan's array."""
    names = [name.strip().upper() for name in axes.split(",") if name.strip()]
    world = io_orientation(affine)[:, 0]
    resolved = []
    for name in names:
        if name in _AXIS_NAMES:
            found = int(np.flatnonzero(world == _AXIS_NAMES[name])[0])
        elif name in ("0", "1", "2"):
            found = int(name)
        else:
            raise UserError(f"{name!r} is no axis; name LR, AP or IS, or give an index 0, 1 or 2, as in LR,AP.")
        resolved.append(found)
    if not resolved or len(set(resolved)) != len(resolved):
        raise UserError(f"--axes={axes} must name one to three different axes, as in LR,AP.")
    return tuple(resolved)


def axes_are_anatomical(axes: str) -> bool:
    """Whether `axes` names anatomical directions (and arrays should be turned to RAS+), not array indices."""
    return not any(name.strip().isdigit() for name in axes.split(","))


def to_ras(data: np.ndarray, affine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`data` with its axes flipped and swapped, never resampled, to run R, A, S as nearly as they can."""
    orientation = io_orientation(affine)
    turned = np.ascontiguousarray(apply_orientation(data, orientation))
    return turned, affine @ inv_ornt_aff(orientation, data.shape)


def from_ras(data: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """The inverse of `to_ras`, `affine` being that of the original array."""
    back = ornt_transform(np.array([[0, 1], [1, 1], [2, 1]]), io_orientation(affine))
    return np.ascontiguousarray(apply_orientation(data, back))


def _read_image(path: Path) -> Volume:
    raw = path.read_bytes()
    if raw[:2] == b"\x1f\x8b":
        raw = gzip.decompress(raw)  # to the end, so that the checksum of the whole is verified
    if path.name.lower().endswith(NIFTI_SUFFIXES):
        second = int.from_bytes(raw[:4], "little") == 540 or int.from_bytes(raw[:4], "big") == 540
        image = (nib.Nifti2Image if second else nib.Nifti1Image).from_bytes(raw)
    else:
        image = nib.MGHImage.from_bytes(raw)
    shape = _three_dimensions(image.shape, path)
    _check_type_and_size(image, len(raw), path)
    data = image.get_fdata(caching="unchanged", dtype=np.float32).reshape(shape)
    header = _as_nifti1(image)
    slope, intercept = getattr(image.dataobj, "slope", 1.0), getattr(image.dataobj, "inter", 0.0)
    return Volume(
        data=np.ascontiguousarray(data, np.float32),
        affine=np.array(image.affine, np.float64),
        path=path,
        header=header,
        stored_dtype=image.get_data_dtype(),
        slope=float(slope),
        intercept=float(intercept),
    )


def _three_dimensions(shape: Sequence[int], path: Path) -> tuple[int, ...]:
    if len(shape) > 3 and all(size == 1 for size in shape[3:]):
        shape = shape[:3]
    if len(shape) != 3:
        raise UserError(f"{path} has shape {_text(shape)}; give one 3-D volume, split from the others.")
    if 0 in shape or any(size < 0 for size in shape):
        raise UserError(f"{path} has shape {_text(shape)}, so it holds no voxels; export it again.")
    return tuple(int(size) for size in shape)


def _check_type_and_size(image: nib.spatialimages.SpatialImage, available: int, path: Path) -> None:
    dtype = image.get_data_dtype()
    if dtype.kind not in "iuf":
        raise UserError(f"{path} holds voxels of type {dtype}; give a scan with one real number a voxel.")
    needed = image.dataobj.offset + int(np.prod(image.shape, dtype=object)) * dtype.itemsize
    if needed > available:
        raise UserError(f"{path} ends after {available} of {needed} bytes; export or download it again.")


def _checked(volume: Volume) -> Volume:
    path, data, affine = volume.path, volume.data, volume.affine
    if not np.isfinite(affine).all() or not 1e-30 < abs(np.linalg.det(affine[:3, :3])) < 1e30:
        raise UserError(f"{path} has an affine that maps to no space; repair its sform or qform.")
    if not np.isfinite(data).all():
        raise UserError(f"{path} holds NaN or infinite voxels; replace them, by 0 for instance.")
    if data.min() == data.max():
        raise UserError(f"{path} has the value {data.flat[0]:g} in every voxel; give a scan with contrast.")
    return volume


def _as_nifti1(image: nib.spatialimages.SpatialImage) -> nib.Nifti1Header:
    if type(image) is nib.Nifti1Image:
        header = image.header.copy()
    elif isinstance(image, nib.Nifti2Image):
        header = nib.Nifti1Image.from_image(image).header.copy()
        for form in ("sform", "qform"):
            getattr(header, f"set_{form}")(*getattr(image.header, f"get_{form}")(coded=True), **_KEEP_SHEARS[form])
    else:
        header = _new_header(image.affine)
    if not header.get_sform(coded=True)[1] and not header.get_qform(coded=True)[1]:
        # Neither form is set: the affine is nibabel's reading of the voxel sizes; write it down as it was used.
        header.set_sform(image.affine, code=1)
    return header


_KEEP_SHEARS: dict[str, dict[str, bool]] = {"sform": {}, "qform": {"strip_shears": True}}


def _new_header(affine: np.ndarray) -> nib.Nifti1Header:
    header = nib.Nifti1Header()
    header.set_sform(affine, code=1)
    header.set_qform(affine, code=1, strip_shears=True)
    header.set_xyzt_units("mm")
    return header


def _move_forms(header: nib.Nifti1Header, step: np.ndarray) -> None:
    """Let each form of the header that is in use follow the change of grid `step` (new index -> old index)."""
    sform, scode = header.get_sform(coded=True)
    qform, qcode = header.get_qform(coded=True)
    if qcode:
        header.set_qform(qform @ step, code=qcode, strip_shears=True)
    if scode:
        header.set_sform(sform @ step, code=scode)
    if not qcode:
        # The voxel sizes are read from pixdim even where only the sform is in use.
        header.set_zooms(np.linalg.norm((sform @ step)[:3, :3], axis=0))


def _to_stored(data: np.ndarray, like: Volume) -> np.ndarray:
    stored = (np.asarray(data, np.float64) - like.intercept) / like.slope
    if like.stored_dtype.kind in "iu":
        limits = np.iinfo(like.stored_dtype)
        stored = np.rint(stored).clip(limits.min, limits.max)
        if like.stored_dtype.itemsize == 8:
            # float64 rounds the limit of a 64-bit integer up, out of its range.
            stored = np.minimum(stored, np.nextafter(np.float64(limits.max), 0))
    return stored.astype(like.stored_dtype)


@contextmanager
def _quiet_nibabel():
    """nibabel logs what it mends in a header; a command has one sentence for the reader, or none."""
    with nib.imageglobals.LoggingOutputSuppressor():
        yield


def _brief(error: BaseException) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__


def _text(shape: Sequence[int]) -> str:
    return "x".join(str(size) for size in shape)
