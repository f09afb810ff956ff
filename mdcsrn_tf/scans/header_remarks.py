"""What a scan's header leaves in doubt, in sentences for the user."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import nibabel as nib
import numpy as np

_SAME_SIZE = 0.02  # by which two forms of a header may differ, as an aligned scan's do

_UPRIGHT_DEGREES = 2.0  # a tilted gantry is off by more; a registration leaves a degree in many an sform


def remarks_of(header: Any, affine: np.ndarray, shape: Sequence[int]) -> tuple[str, ...]:
    """What is doubtful about where a scan of that shape [i, j, k, ...] lies, and whether it is a slice alone.

    Only a NIfTI's header may contradict itself: any other, and None, do not. affine: to millimetres.
    """
    single = ("it is a single slice.",) if 1 in shape[:3] else ()
    return (*_remarks_of_forms(header), *_remarks_of_shear(affine), *single)


def remedy_of_sizes(header: nib.Nifti1Header) -> str:
    """What to do about voxels of a size (taken as mm) that no scanner makes."""
    unit = str(header.get_xyzt_units()[0])
    return f"its header counts in {unit}s: let it count in mm" if unit in ("meter", "micron") else "repair its header"


def sizes_text(sizes: Sequence[float]) -> str:
    """Three sizes, as `1 x 1 x 2`."""
    return " x ".join(f"{size:.3g}" for size in sizes)


def _remarks_of_forms(header: Any) -> tuple[str, ...]:
    """What is doubtful about where a NIfTI says that it lies."""
    if not isinstance(header, nib.Nifti1Header):
        return ()
    sform, scode = header.get_sform(coded=True)
    qform, qcode = header.get_qform(coded=True)
    if not scode and not qcode:
        return (
            "its header does not say where it lies (no sform, no qform), so that left, right and the names of its "
            "axes are a guess.",
        )
    if scode and qcode and np.linalg.det(sform[:3, :3]) * np.linalg.det(qform[:3, :3]) < 0:
        return ("its sform and qform disagree on what is left and right; the sform is believed.",)
    if scode and qcode and nib.aff2axcodes(sform) != nib.aff2axcodes(qform):
        return ("its sform and qform disagree on which axis is which; the sform is believed.",)
    return _remarks_of_sizes(sform, header.get_zooms()[:3]) if scode else ()


def _remarks_of_shear(affine: np.ndarray) -> tuple[str, ...]:
    with np.errstate(all="ignore"):  # of an affine to nowhere, which is refused later
        directions = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    cosines = np.abs(directions.T @ directions - np.eye(3))
    degrees = float(np.degrees(np.arcsin(np.clip(cosines.max(), 0, 1))))
    if not degrees > _UPRIGHT_DEGREES:
        return ()
    return (
        f"its axes are not perpendicular but {degrees:.1f} degrees off, as a tilted gantry's are. An sform says so, "
        "but no qform can, and many programs take such a scan for an upright one; straighten it first, as dcm2niix "
        "does.",
    )


def _remarks_of_sizes(sform: np.ndarray, pixdim: Sequence[float]) -> tuple[str, ...]:
    sizes = np.linalg.norm(sform[:3, :3], axis=0)
    if np.allclose(sizes, pixdim, rtol=_SAME_SIZE):
        return ()
    return (
        f"its sform has voxels of {sizes_text(sizes)} mm, its pixdim says {sizes_text(pixdim)}; the sform is believed.",
    )
