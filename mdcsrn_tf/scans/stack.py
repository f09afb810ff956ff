"""A scan as a stack of parallel slices, wherever they lie: what two scans of one person are matched by.

Unlike a volume a stack may have gaps. Its in-plane axes are turned to run right, anterior, superior (two of the three,
in this order), and its slices to go the same way, so that stacks of one plane compare whatever stored them.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import scipy.ndimage
from nibabel.orientations import io_orientation

from mdcsrn_tf.errors import UserError
from mdcsrn_tf.scans.axes import to_ras
from mdcsrn_tf.scans.slice_geometry import millimetres, slice_geometry
from mdcsrn_tf.scans.volumes import read_volume

PLANES = {"sagittal": 0, "coronal": 1, "axial": 2}  # by the RAS axis that their slices follow
_DIRECTIONS = {"LR": 0, "AP": 1, "IS": 2}
_ORIENTATION_TOLERANCE = 1e-3
_ASIDE_MM = 0.5
_PLACE_TOLERANCE = 0.05  # of a pixel: positions are printed with few digits


@dataclass(frozen=True)
class SliceStack:
    """Slices [n, a, b] in scanner units; `axes` are the RAS axes of (slice, a, b)."""

    data: np.ndarray  # float32
    positions: np.ndarray  # mm along `directions[0]`, increasing
    directions: np.ndarray  # three unit vectors in RAS+ space: through the slices, along a, along b
    origin: np.ndarray  # mm along directions 1 and 2 of pixel (0, 0)
    pixel_mm: np.ndarray  # steps along a and b
    axes: tuple[int, int, int]
    path: Path = field(default=Path(), compare=False)
    thickness: float | None = None  # mm
    remarks: tuple[str, ...] = ()  # what is doubtful about its header

    @property
    def plane(self) -> str:
        """axial, coronal or sagittal: the nearest."""
        return next(name for name, axis in PLANES.items() if axis == self.axes[0])

    @property
    def spacing(self) -> float:
        """The usual distance of two slices, mm."""
        return float(np.median(np.diff(self.positions)))


def read_stack(path: Path, series_uid: str | None = None, plane: str | None = None) -> SliceStack:
    """The scan at `path` (a volume file, or a DICOM series' folder) as slices of `plane`; None: as it was acquired.

    A series with gaps can only be had in its own plane.
    """
    if path.is_dir():
        own = _dicom_stack(path, series_uid)
        if plane in (None, own.plane):
            return own
    volume = read_volume(path, series_uid, nan=0.0)
    found = slice_geometry(path, volume.affine, volume.header)
    axis = _DIRECTIONS[found.direction] if plane is None else PLANES[plane]
    thickness = found.thickness if axis == _DIRECTIONS[found.direction] else None
    stack = stack_of(volume.data, volume.affine, axis)
    if len(stack.data) < 2:
        raise UserError(f"{path} holds a single {stack.plane} slice; name a whole scan, or another --plane.")
    _check_upright(stack, path)
    return replace(stack, path=path, thickness=thickness, remarks=volume.remarks)


def acquired_plane(path: Path, series_uid: str | None = None) -> str:
    """The plane of a scan's slices, by its header alone: axial, coronal or sagittal, the nearest."""
    from mdcsrn_tf.scans import dicom

    if path.is_dir():
        slices = dicom.one_series(path, series_uid, headers_alone=True)
        return _plane_of(dicom.affine_in_plane(dicom.sorted_along_normal(slices, path)[0]), 2)
    try:
        image = nib.load(path)  # a file's voxels are not read
    except Exception:
        image = None
    if not isinstance(image, nib.spatialimages.SpatialImage):  # whoever reads the voxels says what is wrong with it
        return read_stack(path, series_uid).plane
    return _plane_of(image.affine, slice_geometry(path, image.affine, image.header).axis)


def _plane_of(affine: np.ndarray, axis: int) -> str:
    return next(name for name, along in PLANES.items() if along == int(io_orientation(affine)[axis, 0]))


def stack_of(data: np.ndarray, affine: np.ndarray, axis: int) -> SliceStack:
    """A volume's slices across the RAS axis `axis` (0 sagittal, 1 coronal, 2 axial)."""
    straight, affine = to_ras(data, affine)
    steps = np.linalg.norm(affine[:3, :3], axis=0)
    distances = np.arange(straight.shape[axis]) * steps[axis]
    return _placed(straight, affine, axis, distances)


def in_plane_of(low: SliceStack, high: SliceStack) -> tuple[SliceStack, bool]:
    """`low`'s slices on `high`'s pixels (linearly, zero outside), and whether they had to be resampled for it.

    UserError where the two stacks are not parallel: then no slice of one shows what a slice of the other does.
    """
    if low.axes != high.axes or not np.allclose(low.directions, high.directions, atol=_ORIENTATION_TOLERANCE):
        raise UserError(
            f"{low.path} and {high.path} lie at different orientations ({_angle(low, high):.1f} degrees apart); "
            "resample one with --match=volume, or find the movement with --register=rigid."
        )
    shape = high.data.shape[1:]
    step = high.pixel_mm / low.pixel_mm
    first = (high.origin - low.origin) / low.pixel_mm
    drift = np.abs(first) + np.abs(step - 1) * np.array(shape)
    if low.data.shape[1:] == shape and (drift < _PLACE_TOLERANCE).all():
        return low, False
    where = np.meshgrid(*(first[a] + step[a] * np.arange(shape[a]) for a in (0, 1)), indexing="ij")
    data = np.stack(
        [scipy.ndimage.map_coordinates(image, where, order=1, mode="constant", output=np.float32) for image in low.data]
    )
    return replace(low, data=data, origin=high.origin, pixel_mm=high.pixel_mm), True


def _dicom_stack(folder: Path, series_uid: str | None) -> SliceStack:
    from mdcsrn_tf.scans import dicom

    slices = dicom.sorted_along_normal(dicom.one_series(folder, series_uid), folder)
    affine = dicom.affine_in_plane(slices[0])
    distances = dicom.positions_along_normal(slices)
    distances = distances - distances[0]
    _check_positions(slices, affine, distances, folder)
    data = np.stack([dicom.pixels_of(dataset) for dataset in slices], axis=-1)
    axis = int(io_orientation(affine)[2, 0])
    thickness = millimetres(slices[0].get("SliceThickness"))
    return replace(_turned(data, affine, axis, distances), path=folder, thickness=thickness)


def _check_positions(slices: list[Any], affine: np.ndarray, distances: np.ndarray, folder: Path) -> None:
    from mdcsrn_tf.scans import dicom

    if len(slices) < 2:
        raise UserError(f"{folder} holds a single slice; name the folder of a whole series.")
    dicom.refuse_doubled(slices, folder)
    places = np.array([[float(number) for number in dataset.ImagePositionPatient] for dataset in slices])
    through = np.array([-1.0, -1.0, 1.0]) * affine[:3, 2]
    aside = np.linalg.norm(places - places[0] - distances[:, None] * through, axis=1)
    if aside.max() > _ASIDE_MM:
        raise _tilted(folder, aside.max())


def _check_upright(stack: SliceStack, path: Path) -> None:
    """UserError where the axes of a volume's slices are not perpendicular: positions along them say nothing then."""
    size = np.array([np.ptp(stack.positions), *(stack.pixel_mm * stack.data.shape[1:])])
    aside = np.abs(stack.directions @ stack.directions.T - np.eye(3)) * size
    if aside.max() > _ASIDE_MM:
        raise _tilted(path, aside.max())


def _tilted(path: Path, aside: float) -> UserError:
    return UserError(
        f"{path} has slices that are shifted sideways, by {aside:.1f} mm, as a tilted gantry's are; straighten it "
        "first, as dcm2niix does, or resample it with --match=volume."
    )


def _turned(data: np.ndarray, affine: np.ndarray, axis: int, distances: np.ndarray) -> SliceStack:
    """A stack whose third stored axis goes through the slices by a millimetre of `affine`'s third column."""
    straight, turned = to_ras(data, affine)
    if np.dot(turned[:3, axis], affine[:3, 2]) < 0:
        # The stack was turned over: the last slice comes first, at the place of the last one.
        turned[:3, 3] += (distances[-1] - (len(distances) - 1)) * affine[:3, 2]
        distances = distances[-1] - distances[::-1]
    return _placed(straight, turned, axis, distances)


def _placed(data: np.ndarray, affine: np.ndarray, axis: int, distances: np.ndarray) -> SliceStack:
    order = (axis, *(a for a in range(3) if a != axis))
    steps = np.linalg.norm(affine[:3, :3], axis=0)
    directions = (affine[:3, :3] / steps).T[list(order)]
    along = directions @ affine[:3, 3]
    return SliceStack(
        data=np.ascontiguousarray(np.transpose(data, order), np.float32),
        positions=along[0] + distances,
        directions=directions,
        origin=along[1:],
        pixel_mm=steps[list(order[1:])],
        axes=order,  # type: ignore[arg-type]
    )


def _angle(low: SliceStack, high: SliceStack) -> float:
    """Degrees between the two normals, or between the turned pixel rows where the normals agree."""
    cosines = np.abs(np.sum(low.directions * high.directions, axis=1)).clip(0, 1)
    return float(np.degrees(np.arccos(cosines.min())))
