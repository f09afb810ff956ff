"""Which axis of a scan's array is which direction of the head."""

from __future__ import annotations

import numpy as np
from nibabel.orientations import apply_orientation, inv_ornt_aff, io_orientation, ornt_transform

from mdcsrn_tf.errors import UserError

_AXIS_NAMES = {"LR": 0, "RL": 0, "AP": 1, "PA": 1, "IS": 2, "SI": 2}


def resolve_axes(axes: str, affine: np.ndarray) -> tuple[int, ...]:
    """Array axes of `"LR,AP"` (anatomical names, either way round) or `"0,1"` (indices) in a scan's array.

    >>> resolve_axes("LR,AP", np.eye(4)), resolve_axes("IS", np.eye(4))
    ((0, 1), (2,))
    """
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
    """Whether `axes` names anatomical directions (and arrays should be turned to RAS+), not array indices.

    >>> axes_are_anatomical("LR,AP"), axes_are_anatomical("0,1")
    (True, False)
    """
    return not any(name.strip().isdigit() for name in axes.split(","))


def to_ras(data: np.ndarray, affine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`data` with its axes flipped and swapped, never resampled, to run R, A, S as nearly as they can.

    >>> turned, _ = to_ras(np.arange(3).reshape(3, 1, 1), np.diag([-1.0, 1.0, 1.0, 1.0]))
    >>> turned.ravel()
    array([2, 1, 0])
    """
    orientation = io_orientation(affine)
    turned = np.ascontiguousarray(apply_orientation(data, orientation))
    return turned, affine @ inv_ornt_aff(orientation, data.shape)


def from_ras(data: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """The inverse of `to_ras`: an array in RAS+ order as it was stored; `affine` is the stored array's."""
    back = ornt_transform(np.array([[0, 1], [1, 1], [2, 1]]), io_orientation(affine))
    return np.ascontiguousarray(apply_orientation(data, back))


def axis_names(affine: np.ndarray) -> tuple[str, str, str]:
    """LR, AP and IS in the order of the array's axes."""
    first, second, third = (("LR", "AP", "IS")[int(world)] for world in io_orientation(affine)[:, 0])
    return first, second, third
