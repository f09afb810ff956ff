"""Scans out: NIfTI with its geometry kept, whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import nibabel as nib
import numpy as np

from mdcsrn_tf.errors import UserError, brief
from mdcsrn_tf.files import replace_when_done
from mdcsrn_tf.scans.find import NIFTI_SUFFIXES
from mdcsrn_tf.scans.volume import Volume, quiet_libraries


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

    `data` is 3-D, or 4-D for several volumes on one grid, in scanner units. `same` stores the input's type and
    scaling, values clipped and rounded to it. Free text of the header and its extensions, which may name the patient,
    go along only with `keep_text`. The file appears whole, by a rename, or not at all; `before_it_appears` is called
    with it as it lies there, finished, under its hidden name.
    """
    path = Path(path)
    if not path.name.lower().endswith(NIFTI_SUFFIXES):
        raise UserError(f"{path} must end in .nii or .nii.gz: nothing else is written.")
    header = like.header.copy()
    if not keep_text:
        _forget_text(header)
    header.set_data_shape(data.shape)
    if affine is not None and not np.array_equal(affine, like.affine):
        _move_to_grid(header, like.affine, affine)
    stored, slope, intercept = np.asarray(data, np.float32), 1.0, 0.0
    if dtype == "same":
        stored, slope, intercept = _to_stored(data, like), like.slope, like.intercept
    header.set_data_dtype(stored.dtype)
    kind = nib.Nifti2Image if isinstance(header, nib.Nifti2Header) else nib.Nifti1Image
    image = kind(stored, None, header)
    image.header.set_slope_inter(slope, intercept)
    try:
        with replace_when_done(path) as partial, quiet_libraries():
            nib.save(image, partial)
            if before_it_appears:
                before_it_appears(partial)
    except OSError as error:
        raise UserError(f"{path} cannot be written ({brief(error)}); check the folder and the space.") from error


def _forget_text(header: nib.Nifti1Header) -> None:
    """Clear what people and programs write into a header: names, dates, paths."""
    for name in ("descrip", "aux_file", "db_name", "intent_name"):
        if name in header:
            header[name] = b""
    header.extensions.clear()


def _move_to_grid(header: nib.Nifti1Header, old: np.ndarray, new: np.ndarray) -> None:
    """Let the header speak of another grid."""
    _move_forms(header, old, new)
    _forget_slice_times(header)


def _move_forms(header: nib.Nifti1Header, old: np.ndarray, new: np.ndarray) -> None:
    """Let each form of the header that is in use follow the change of grid."""
    step = np.linalg.inv(old) @ new  # new index -> old index
    sform, scode = header.get_sform(coded=True)
    qform, qcode = header.get_qform(coded=True)
    header.set_zooms((*np.linalg.norm(new[:3, :3], axis=0), *header.get_zooms()[3:]))
    if qcode:
        header.set_qform(qform @ step, code=qcode, strip_shears=True)
    if scode or not qcode:
        # Without any form the old affine was read off the voxel sizes; the new grid has to say where it lies.
        header.set_sform(sform @ step if scode else new, code=scode or 1)


def _forget_slice_times(header: nib.Nifti1Header) -> None:
    """Clear when each slice was measured: the numbers count the old grid's slices."""
    for name in ("slice_start", "slice_end", "slice_code", "slice_duration"):
        header[name] = 0


def _to_stored(data: np.ndarray, like: Volume) -> np.ndarray:
    stored = (np.asarray(data, np.float64) - like.intercept) / like.slope
    if like.stored_dtype.kind in "iu":
        limits = np.iinfo(like.stored_dtype)
        stored = np.rint(stored).clip(limits.min, limits.max)
        if like.stored_dtype.itemsize == 8:
            # float64 rounds the limit of a 64-bit integer up, out of its range.
            stored = np.minimum(stored, np.nextafter(np.float64(limits.max), 0))
    return stored.astype(like.stored_dtype)
