"""Scans in and out: read NIfTI, MGZ and DICOM series, write NIfTI with its geometry kept; axes; normalisation."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import nibabel as nib
import numpy as np

from mdcsrn_tf.errors import UserError
from mdcsrn_tf.files import replace_when_done
from mdcsrn_tf.scans.axes import axes_are_anatomical, from_ras, resolve_axes, to_ras
from mdcsrn_tf.scans.find import NIFTI_SUFFIXES, VOLUME_SUFFIXES, find_volumes
from mdcsrn_tf.scans.inflate import read_scan_bytes
from mdcsrn_tf.scans.normalisation import Normalisation

__all__ = [
    "NIFTI_SUFFIXES",
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

_SMALLEST_MM, _LARGEST_MM, _WIDEST_MM = 0.01, 50.0, 3000.0


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


def read_volume(path: str | os.PathLike[str], series_uid: str | None = None) -> Volume:
    """Read a `.nii`, `.nii.gz` or `.mgz` file or the folder of a DICOM series; UserError for anything else."""
    path = Path(path)
    if path.is_dir():
        return _checked(_attempt(path, lambda: _read_folder(path, series_uid)))
    if series_uid is not None:
        raise UserError(f"{path} is no DICOM folder, so no series can be chosen in it; drop the series UID.")
    if not path.is_file():
        what = "is no regular file" if path.exists() else "does not exist"
        raise UserError(f"{path} {what}; check the path.")
    if not path.name.lower().endswith(VOLUME_SUFFIXES):
        raise UserError(f"{path} is no {', '.join(VOLUME_SUFFIXES)} file or DICOM folder; convert it first.")
    return _checked(_attempt(path, lambda: _read_image(path)))


def write_volume(
    path: str | os.PathLike[str],
    data: np.ndarray,
    like: Volume,
    *,
    affine: np.ndarray | None = None,
    dtype: Literal["float32", "same"] = "float32",
    keep_text: bool = False,
    before_it_appears: Callable[[Path], None] | None = None,
) -> None:
    """Write `data` as NIfTI with `like`'s header; with another `affine`, both of its forms follow.

    `same` stores the input's type and scaling, values clipped and rounded to it. Free text of the header and its
    extensions, which may name the patient, go along only with `keep_text`. The file appears whole, by a rename, or not
    at all; `before_it_appears` is called with it as it lies there, finished, under its hidden name.
    """
    path = Path(path)
    if not path.name.lower().endswith(NIFTI_SUFFIXES):
        raise UserError(f"{path} must end in .nii or .nii.gz: nothing else is written.")
    header = like.header.copy()
    if not keep_text:
        _forget_text(header)
    header.set_data_shape(data.shape)
    if affine is not None and not np.array_equal(affine, like.affine):
        _move_forms(header, like.affine, affine)
    stored, slope, intercept = np.asarray(data, np.float32), 1.0, 0.0
    if dtype == "same":
        stored, slope, intercept = _to_stored(data, like), like.slope, like.intercept
    header.set_data_dtype(stored.dtype)
    image = nib.Nifti1Image(stored, None, header)
    image.header.set_slope_inter(slope, intercept)
    try:
        with replace_when_done(path) as partial, _quiet_libraries():
            nib.save(image, partial)
            if before_it_appears:
                before_it_appears(partial)
    except OSError as error:
        raise UserError(f"{path} cannot be written ({_brief(error)}); check the folder and the space.") from error


def _attempt(path: Path, read: Callable[[], Volume]) -> Volume:
    """What `read` gives; UserError for whatever it raises: what parsers make of damaged bytes has no common type."""
    try:
        with _quiet_libraries(), np.errstate(all="ignore"):
            return read()
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"{path} cannot be read ({_brief(error)}); export or download it again.") from error


def _read_folder(path: Path, series_uid: str | None) -> Volume:
    from mdcsrn_tf.scans.dicom import read_series

    data, affine, dtype = read_series(path, series_uid)
    return Volume(data, affine, path, _new_header(affine), dtype)


def _read_image(path: Path) -> Volume:
    raw = read_scan_bytes(path)
    image = _image_type(path, raw).from_bytes(raw)
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


def _image_type(path: Path, raw: bytes) -> Any:
    if not path.name.lower().endswith(NIFTI_SUFFIXES):
        return nib.MGHImage
    sizes = {int.from_bytes(raw[:4], "little"), int.from_bytes(raw[:4], "big")}
    if 348 in sizes and raw[344:347] == b"n+1":
        return nib.Nifti1Image
    if 540 in sizes and raw[4:7] == b"n+2":
        return nib.Nifti2Image
    raise UserError(f"{path} is no NIfTI file, whatever its name says; export or download it again.")


def _three_dimensions(shape: Sequence[int], path: Path) -> tuple[int, ...]:
    if len(shape) > 3 and all(size == 1 for size in shape[3:]):
        shape = shape[:3]
    if len(shape) != 3:
        raise UserError(f"{path} has shape {_text(shape)}; give one 3-D volume, split from the others.")
    if 0 in shape or any(size < 0 for size in shape):
        raise UserError(f"{path} has shape {_text(shape)}, so it holds no voxels; export it again.")
    return tuple(int(size) for size in shape)


def _check_type_and_size(image: Any, available: int, path: Path) -> None:
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
    sizes = np.linalg.norm(affine[:3, :3], axis=0)
    if sizes.min() < _SMALLEST_MM or sizes.max() > _LARGEST_MM or (sizes * data.shape).max() > _WIDEST_MM:
        raise UserError(
            f"{path} has voxels of {' x '.join(f'{size:.3g}' for size in sizes)} mm over a matrix of "
            f"{_text(data.shape)}, which no scanner makes; repair its header."
        )
    if not np.isfinite(data).all():
        raise UserError(f"{path} holds NaN or infinite voxels; replace them, by 0 for instance.")
    if data.min() == data.max():
        raise UserError(f"{path} has the value {data.flat[0]:g} in every voxel; give a scan with contrast.")
    return volume


def _as_nifti1(image: Any) -> nib.Nifti1Header:
    if type(image) is nib.Nifti1Image:
        header = image.header.copy()
    elif isinstance(image, nib.Nifti2Image):
        header = nib.Nifti1Image.from_image(image).header.copy()
        for form in ("sform", "qform"):
            getattr(header, f"set_{form}")(*getattr(image.header, f"get_{form}")(coded=True), **_KEEP_SHEARS[form])
    else:
        header = _new_header(image.affine)
    return header


_KEEP_SHEARS: dict[str, dict[str, bool]] = {"sform": {}, "qform": {"strip_shears": True}}


def _new_header(affine: np.ndarray) -> nib.Nifti1Header:
    header = nib.Nifti1Header()
    header.set_sform(affine, code=1)
    header.set_qform(affine, code=1, strip_shears=True)
    header.set_xyzt_units("mm")
    return header


def _forget_text(header: nib.Nifti1Header) -> None:
    """Clear what people and programs write into a header: names, dates, paths."""
    for name in ("descrip", "aux_file", "db_name", "intent_name"):
        if name in header:
            header[name] = b""
    header.extensions.clear()


def _move_forms(header: nib.Nifti1Header, old: np.ndarray, new: np.ndarray) -> None:
    """Let each form of the header that is in use follow the change of grid."""
    step = np.linalg.inv(old) @ new  # new index -> old index
    sform, scode = header.get_sform(coded=True)
    qform, qcode = header.get_qform(coded=True)
    header.set_zooms(np.linalg.norm(new[:3, :3], axis=0))
    if qcode:
        header.set_qform(qform @ step, code=qcode, strip_shears=True)
    if scode or not qcode:
        # Without any form the old affine was read off the voxel sizes; the new grid has to say where it lies.
        header.set_sform(sform @ step if scode else new, code=scode or 1)


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
def _quiet_libraries():
    """nibabel and pydicom say what they mend in a header; a command has one sentence for the reader, or none."""
    with nib.imageglobals.LoggingOutputSuppressor(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _brief(error: BaseException) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__


def _text(shape: Sequence[int]) -> str:
    return "x".join(str(size) for size in shape)
