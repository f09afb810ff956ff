"""Scans in: NIfTI (also as .hdr/.img), MGZ and DICOM series, checked before anything is done with them."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from mdcsrn_tf.errors import UserError, brief
from mdcsrn_tf.scans.axes import axes_are_anatomical, from_ras, resolve_axes, to_ras
from mdcsrn_tf.scans.dicom_kinds import is_dicom
from mdcsrn_tf.scans.find import NIFTI_SUFFIXES, PAIR_SUFFIXES, VOLUME_SUFFIXES, find_volumes, pair_of, why_no_file
from mdcsrn_tf.scans.head import head_mask
from mdcsrn_tf.scans.header_remarks import remarks_of, remedy_of_sizes, sizes_text
from mdcsrn_tf.scans.inflate import read_scan_bytes
from mdcsrn_tf.scans.normalisation import Normalisation
from mdcsrn_tf.scans.volume import Volume, new_header, quiet_libraries
from mdcsrn_tf.scans.writing import write_volume

__all__ = [
    "NIFTI_SUFFIXES",
    "VOLUME_SUFFIXES",
    "Normalisation",
    "Volume",
    "axes_are_anatomical",
    "find_volumes",
    "from_ras",
    "read_volume",
    "read_volumes",
    "resolve_axes",
    "to_ras",
    "volume_of_image",
    "write_volume",
]

_POINTERS = (b"version https://git-lfs", b"/annex/objects/")  # what stands in a file's place where Git keeps it apart
_SMALLEST_MM, _LARGEST_MM, _WIDEST_MM = 0.01, 50.0, 3000.0
_FAINTEST, _BRIGHTEST = 1e-15, 1e15  # squares of what lies between are float32 numbers still


def read_volume(
    path: str | os.PathLike[str], series_uid: str | None = None, *, nan: float | None = None, flat: bool = False
) -> Volume:
    """Read a `.nii`, `.nii.gz`, `.hdr`/`.img` or `.mgz` file or a DICOM series' folder; UserError for anything else.

    A slice of a DICOM series stands for its folder. With `nan`, NaN outside the head becomes that number and a remark.
    flat: one value in every voxel is no error, as in a label map that holds no label.
    """
    volumes = _read(Path(path), series_uid)
    if len(volumes) > 1:
        raise UserError(f"{path} holds {len(volumes)} volumes; give one 3-D volume, split from the others.")
    return _checked(volumes[0], nan, flat=flat)


def read_volumes(
    path: str | os.PathLike[str], series_uid: str | None = None, *, which: str = "all", nan: float | None = None
) -> list[Volume]:
    """As `read_volume`, but of a 4-D file `all` volumes, or the one whose number (from 0) `which` is.

    What is wrong with a volume that is not asked for does not matter.
    """
    volumes = _read(Path(path), series_uid)
    if which != "all" and (not which.isdecimal() or int(which) >= len(volumes)):
        raise UserError(f"{path} has no volume {which}; --volume takes all or a number up to {len(volumes) - 1}.")
    wanted = range(len(volumes)) if which == "all" else [int(which)]
    return [_checked(volumes[place], nan, f"volume {place}" if len(volumes) > 1 else "") for place in wanted]


def volume_of_image(image: Any, *, nan: float | None = None) -> Volume:
    """The scan that a nibabel image in memory is, checked as one that is read from a file."""
    path = Path(image.get_filename() or "the image")
    _check_type(image.get_data_dtype(), path)
    shape = _three_or_four_dimensions(image.shape, path)
    if len(shape) != 3:
        raise UserError(f"{path} holds {shape[3]} volumes; give one at a time.")
    data = np.ascontiguousarray(image.get_fdata(caching="unchanged", dtype=np.float32).reshape(shape))
    affine = np.array(image.header.get_best_affine() if image.affine is None else image.affine, np.float64)
    remarks = remarks_of(image.header, affine, shape)
    return _checked(Volume(data, affine, path, _as_nifti(image), image.get_data_dtype(), remarks=remarks), nan)


def _read(path: Path, series_uid: str | None) -> list[Volume]:
    """Every volume of the file or series, as it is stored."""
    folder, series_uid = _series_of(path, series_uid)
    if folder:
        return [_attempt(path, lambda: _read_folder(path, folder, series_uid))]
    if series_uid is not None:
        raise UserError(f"{path} is no DICOM folder, so no series can be chosen in it; drop the series UID.")
    if not path.is_file():
        raise UserError(f"{path} {why_no_file(path)}.")
    if not path.name.lower().endswith((*VOLUME_SUFFIXES, *PAIR_SUFFIXES)):
        raise UserError(f"{path} is no {', '.join(VOLUME_SUFFIXES)} file or DICOM folder; convert it first.")
    volume = _attempt(path, lambda: _read_image(path))
    if volume.data.ndim == 3:
        return [volume]
    frames = [np.ascontiguousarray(volume.data[..., place]) for place in range(volume.data.shape[3])]
    return [replace(volume, data=frame) for frame in frames]


def _series_of(path: Path, series_uid: str | None) -> tuple[Path | None, str | None]:
    """The folder of a DICOM series and its UID, where `path` is a folder or one of a series' slices."""
    if path.is_dir():
        return path, series_uid
    if not path.name.lower().endswith(VOLUME_SUFFIXES) and is_dicom(path):
        from mdcsrn_tf.scans.dicom import series_uid_of

        return path.parent, series_uid or series_uid_of(path)
    return None, series_uid


def _attempt(path: Path, read: Callable[[], Volume]) -> Volume:
    """What `read` gives; UserError for whatever it raises: what parsers make of damaged bytes has no common type."""
    try:
        with quiet_libraries(), np.errstate(all="ignore"):
            return read()
    except (UserError, MemoryError):  # a lack of memory is no fault of the file
        raise
    except PermissionError as error:  # nor is this
        raise UserError(f"{error.filename or path} cannot be read ({error.strerror}); let it be read.") from error
    except Exception as error:
        raise UserError(f"{path} cannot be read ({brief(error)}); export or download it again.") from error


def _read_folder(path: Path, folder: Path, series_uid: str | None) -> Volume:
    from mdcsrn_tf.scans.dicom import read_series

    data, affine, dtype, slope, intercept = read_series(folder, series_uid)
    return Volume(data, affine, path, new_header(affine), dtype, slope, intercept, remarks_of(None, affine, data.shape))


def _read_image(path: Path) -> Volume:
    if path.name.lower().endswith(PAIR_SUFFIXES):
        image, available = _read_pair(path)
    else:
        raw = read_scan_bytes(path)
        image, available = _image_type(path, raw).from_bytes(raw), len(raw)
    shape = _three_or_four_dimensions(image.shape, path)
    _check_type_and_size(image, available, path)
    data = image.get_fdata(caching="unchanged", dtype=np.float32).reshape(shape)
    affine = np.array(image.affine, np.float64)
    slope, intercept = getattr(image.dataobj, "slope", 1.0), getattr(image.dataobj, "inter", 0.0)
    return Volume(
        data=np.ascontiguousarray(data, np.float32),
        affine=affine,
        path=path,
        header=_as_nifti(image),
        stored_dtype=image.get_data_dtype(),
        slope=float(slope),
        intercept=float(intercept),
        remarks=remarks_of(image.header, affine, shape),
    )


def _read_pair(path: Path) -> tuple[Any, int]:
    """A NIfTI in two files, by either of their names, and how many bytes there are."""
    header, voxels = pair_of(path)
    for part in (header, voxels):
        if not part.is_file():
            raise UserError(f"{path} lacks its other half, {part.name}; put both into one folder.")
    with header.open("rb") as stream:
        magic = stream.read(348)[344:347]
    if magic != b"ni1":
        raise UserError(f"{path} is Analyze 7.5, which does not say what is left and right; convert it to NIfTI.")
    return nib.Nifti1Pair.from_filename(str(header)), voxels.stat().st_size


def _image_type(path: Path, raw: bytes) -> Any:
    if not path.name.lower().endswith(NIFTI_SUFFIXES):
        return nib.MGHImage
    sizes = {int.from_bytes(raw[:4], "little"), int.from_bytes(raw[:4], "big")}
    if 348 in sizes and raw[344:347] == b"n+1":
        return nib.Nifti1Image
    if 540 in sizes and raw[4:7] == b"n+2":
        return nib.Nifti2Image
    if raw.startswith(_POINTERS):
        raise UserError(f"{path} only points to the scan; fetch that first (git lfs pull, datalad get, git annex get).")
    raise UserError(f"{path} is no NIfTI file, whatever its name says; export or download it again.")


def _three_or_four_dimensions(shape: Sequence[int], path: Path) -> tuple[int, ...]:
    if len(shape) > 3 and all(size == 1 for size in shape[3:]):
        shape = shape[:3]
    if len(shape) not in (3, 4):
        raise UserError(f"{path} has shape {_text(shape)}; give a 3-D volume, or a 4-D file of several.")
    if 0 in shape or any(size < 0 for size in shape):
        raise UserError(f"{path} has shape {_text(shape)}, so it holds no voxels; export it again.")
    return tuple(int(size) for size in shape)


def _check_type(dtype: np.dtype, path: Path) -> None:
    if dtype.kind not in "iuf":
        raise UserError(f"{path} holds voxels of type {dtype}; give a scan with one real number a voxel.")


def _check_type_and_size(image: Any, available: int, path: Path) -> None:
    dtype = image.get_data_dtype()
    _check_type(dtype, path)
    # nibabel takes an offset of 0 at its word, and the header for voxels. A pair's lie in a file of their own.
    in_header = image.dataobj.offset < getattr(image.header, "sizeof_hdr", 0)
    if in_header and not path.name.lower().endswith(PAIR_SUFFIXES):
        raise UserError(f"{path} says that its voxels begin within its header; export it again.")
    needed = image.dataobj.offset + int(np.prod(image.shape, dtype=object)) * dtype.itemsize
    if needed > available:
        raise UserError(f"{path} ends after {available} of {needed} bytes; export or download it again.")


def _checked(volume: Volume, nan: float | None, which: str = "", *, flat: bool = False) -> Volume:
    """The volume, its NaN in the air replaced by `nan`; UserError, with `which` said behind the file's name, for what
    nothing can be computed with."""
    path, data, affine = _named(volume, which), volume.data, volume.affine
    if not np.isfinite(affine).all() or not 1e-30 < abs(np.linalg.det(affine[:3, :3])) < 1e30:
        raise UserError(f"{path} has an affine that maps to no space; repair its sform or qform.")
    sizes = np.linalg.norm(affine[:3, :3], axis=0)
    if sizes.min() < _SMALLEST_MM or sizes.max() > _LARGEST_MM or (sizes * data.shape).max() > _WIDEST_MM:
        raise UserError(
            f"{path} has voxels of {sizes_text(sizes)} mm over a matrix of {_text(data.shape)}, "
            f"which no scanner makes; {remedy_of_sizes(volume.header)}."
        )
    if nan is not None and np.isnan(data).any():
        volume = _without_nan(volume, nan, which)
        data = volume.data
    if not np.isfinite(data).all():
        raise UserError(f"{path} holds NaN or infinite voxels; replace them, by 0 for instance.")
    if data.min() == data.max():
        if flat:
            return volume
        raise UserError(f"{path} has the value {data.flat[0]:g} in every voxel; give a scan with contrast.")
    largest = max(abs(float(data.min())), abs(float(data.max())))
    if not _FAINTEST < largest < _BRIGHTEST:
        raise UserError(f"{path} has voxels of up to {largest:.3g}, beyond what is computed with; rescale it.")
    return volume


def _named(volume: Volume, which: str) -> str:
    return f"{volume.path}: {which}" if which else str(volume.path)


def _without_nan(volume: Volume, value: float, which: str) -> Volume:
    """NaN in the air replaced by `value`, with a remark. UserError for NaN inside the head."""
    missing = np.isnan(volume.data)
    data = np.where(missing, np.float32(value), volume.data)
    inside = missing & head_mask(np.where(missing, 0, data), np.linalg.norm(volume.affine[:3, :3], axis=0))
    if inside.any():
        raise UserError(f"{_named(volume, which)} holds NaN in {int(inside.sum())} voxels of the head; replace them.")
    where = f"in {which}, " if which else ""
    remark = f"{where}{int(missing.sum())} voxels outside the head are NaN; they are taken as {value:g}."
    return replace(volume, data=data, remarks=(*volume.remarks, remark))


def _as_nifti(image: Any) -> nib.Nifti1Header:
    """The image's own header where that is NIfTI's (of a pair: as of a single file), else a new one."""
    if isinstance(image, nib.Nifti2Image):
        return image.header.copy()
    if isinstance(image, nib.Nifti1Pair):
        return nib.Nifti1Header.from_header(image.header)
    return new_header(image.affine)


def _text(shape: Sequence[int]) -> str:
    return "x".join(str(size) for size in shape)
