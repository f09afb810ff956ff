"""A folder with a DICOM series, as one volume (needs the extra `dicom`)."""

from __future__ import annotations

import io
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from mdcsrn_tf.errors import UserError, brief
from mdcsrn_tf.scans.dicom_frames import PIXELS, decoded, refuse_colour, slices_of
from mdcsrn_tf.scans.dicom_series import labels, series_in, uid_of
from mdcsrn_tf.scans.find import SLICE_SUFFIXES

# Slice positions are printed with few digits: a gap is a step that differs by a tenth of the spacing.
_SPACING_TOLERANCE = 0.1
_ORIENTATION_TOLERANCE = 1e-3
_SIDEWAYS = 0.5  # of a pixel
_ONE_POSITION_MM = 1e-3
# What slices at one position may differ in, the likeliest first.
_TELLING = (
    "EchoTime",
    "EffectiveEchoTime",
    "InversionTime",
    "TemporalPositionIdentifier",
    "TemporalPositionIndex",
    "DiffusionBValue",
    "TriggerTime",
    "ImageType",
    "AcquisitionNumber",
    "AcquisitionTime",
)
_HEADER_BYTES = 1 << 24  # more than any header has before the pixels


def read_series(folder: Path, wanted: str | None = None) -> tuple[np.ndarray, np.ndarray, np.dtype, float, float]:
    """float32 voxels [column, row, slice], the affine to RAS+ millimetres, and type, slope and intercept as stored.

    Slices that are each scaled in their own way have no common slope: their stored type is then given as float32.
    wanted: which series, by its UID or a part of its description; None: the only one.
    """
    slices = sorted_along_normal(one_series(folder, wanted), folder)
    refuse_doubled(slices, folder)
    _check_spacing(np.diff(positions_along_normal(slices)), folder)
    _check_line(slices, folder)
    data = np.stack([pixels_of(dataset) for dataset in slices], axis=-1)
    stored = _stored_type(slices[0])
    scalings = {scaling_of(dataset) for dataset in slices}
    slope, intercept = next(iter(scalings)) if len(scalings) == 1 else (1.0, 0.0)
    stored = stored if len(scalings) == 1 else np.dtype(np.float32)
    return np.ascontiguousarray(data, np.float32), _affine(slices), stored, slope, intercept


def series_uid_of(file: Path) -> str:
    """The SeriesInstanceUID of a slice; UserError for a file that is none, or damaged."""
    _refuse_without_pydicom(file)
    found = [one.uid for one in series_in(file.parent) if file in one.files]
    if not found:
        raise _without_image(file)
    return found[0]


def slices_by_series(folder: Path, *, headers_alone: bool = False, uid: str | None = None) -> dict[str, list[Any]]:
    """The images in `folder` as pydicom's datasets, by SeriesInstanceUID, in the order of the files' names.

    uid: of this series alone; no pixels of another are read.
    """
    _refuse_without_pydicom(folder)
    import pydicom

    series: dict[str, list[Any]] = defaultdict(list)
    images: list[tuple[Path, str]] = []
    others: list[tuple[Path, str]] = []  # a DICOMDIR and its neighbours: readme files, thumbnails, reports
    for file in _files_in(folder, uid):
        try:
            dataset = _read_dataset(file, headers_alone)
        except pydicom.errors.InvalidDicomError:
            others.append((file, ""))
            continue
        except Exception as error:  # what a parser makes of damaged bytes has no common type
            raise UserError(f"{file} cannot be read as DICOM ({brief(error)}); export the series again.") from error
        if uid is not None and dataset.get("SeriesInstanceUID", uid) != uid:  # a report, or cut off before its image
            continue
        kind = str(dataset.file_meta.get("MediaStorageSOPClassUID", ""))
        if not any(key in dataset for key in (("Rows",) if headers_alone else PIXELS)):
            others.append((file, kind))
            continue
        dataset.filename = str(file)
        series[str(dataset.get("SeriesInstanceUID", ""))] += slices_of(dataset)
        images.append((file, kind))
    _refuse_cut_off(others, images)
    if not series:
        raise UserError(f"{folder} holds no DICOM image; name the folder of one series.")
    return series


def _files_in(folder: Path, uid: str | None) -> Iterator[Path]:
    """A folder's files but for hidden ones; with `uid` without the images of other series."""
    of_series = {file: one.uid for one in series_in(folder) for file in one.files} if uid is not None else {}
    for file in sorted(folder.iterdir()):
        if file.is_file() and not file.name.startswith(".") and of_series.get(file, uid) == uid:
            yield file


def _refuse_cut_off(others: Sequence[tuple[Path, str]], images: Sequence[tuple[Path, str]]) -> None:
    """UserError where one of the files without an image ought to hold one, by its kind of DICOM or its name.

    A series whose last slice was cut off while it was copied would else be one slice shorter, and nobody be told.
    """
    kinds, names = {kind for _, kind in images}, {_without_numbers(file) for file, _ in images}
    for file, kind in others:
        meant = kind in kinds if kind else file.suffix.lower() in SLICE_SUFFIXES or _without_numbers(file) in names
        if meant:
            raise _without_image(file)


def _without_image(file: Path) -> UserError:
    return UserError(
        f"{file} should be a DICOM image and holds none: it may have been cut off, or be of another format; copy or "
        "export it again, or take it out of the folder."
    )


def _refuse_without_pydicom(path: Path) -> None:
    if find_spec("pydicom") is None:
        raise UserError(f"{path}: DICOM needs pydicom; install it with: pip install 'mdcsrn-tf[dicom]'.")


def _without_numbers(file: Path) -> str:
    return re.sub(r"\d+", "0", file.name)


def _read_dataset(file: Path, headers_alone: bool) -> Any:
    """The file as a dataset, every element parsed now: else pydicom raises on a damaged one where it is first used."""
    import pydicom

    with file.open("rb") as stream:
        # From memory a read stops at the file's end; from a file it asks for room for whatever length a tag claims.
        raw = stream.read(_HEADER_BYTES if headers_alone else -1)
    dataset = pydicom.dcmread(io.BytesIO(raw), stop_before_pixels=headers_alone)
    for element in dataset:
        _ = element.value
    return dataset


def one_series(folder: Path, wanted: str | None = None, *, headers_alone: bool = False) -> list[Any]:
    """The slices of a folder's only series, or of the one whose UID or description `wanted` is."""
    there = series_in(folder)
    uid = uid_of(folder, wanted) if wanted is not None and there else there[0].uid if len(there) == 1 else None
    series = slices_by_series(folder, headers_alone=headers_alone, uid=uid)
    if len(series) > 1:
        raise UserError(
            f"{folder} holds {len(series)} series; choose one by its UID or description: {labels(series_in(folder))}."
        )
    return next(iter(series.values()))


def sorted_along_normal(slices: Sequence[Any], folder: Path) -> list[Any]:
    """The slices in order of position; refused unless they are parallel and of one grid."""
    for dataset in slices:
        refuse_colour(dataset)
        missing = [
            key
            for key in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "Rows", "Columns")
            if dataset.get(key) in (None, "")
        ]
        if missing:
            raise UserError(
                f"{dataset.filename} lacks {missing[0]}; convert the series to NIfTI, with dcm2niix for instance."
            )
    first = slices[0]
    for dataset in slices[1:]:
        if not np.allclose(_orientation(dataset), _orientation(first), atol=_ORIENTATION_TOLERANCE):
            raise UserError(f"{folder} mixes slice orientations, as localisers do; name the folder of one stack.")
        if _grid(dataset) != _grid(first):
            raise UserError(f"{folder} mixes matrix or voxel sizes; name the folder of one stack.")
    return [slices[index] for index in np.argsort(positions_along_normal(slices))]


def positions_along_normal(slices: Sequence[Any]) -> np.ndarray:
    """Where each slice lies along the first one's normal, mm."""
    return np.array([float(_position(dataset) @ _normal(slices[0])) for dataset in slices])


def refuse_doubled(slices: Sequence[Any], folder: Path) -> None:
    """UserError where two of the slices (in their order) lie at one position, with what tells them apart."""
    steps = np.diff(positions_along_normal(slices))
    for place in np.flatnonzero(steps < _ONE_POSITION_MM)[:1]:
        one, other = slices[place], slices[place + 1]
        files = [Path(dataset.filename).name for dataset in (one, other)]
        image = one.get("SOPInstanceUID")
        if image and image == other.get("SOPInstanceUID") and files[0] != files[1]:
            raise UserError(f"{folder} holds one image twice, as {files[0]} and {files[1]}; remove one of them.")
        said = [f"{key} ({one.get(key)} and {other.get(key)})" for key in _TELLING if one.get(key) != other.get(key)]
        raise UserError(
            f"{folder} holds two slices at one position{f', of another {said[0]}' if said else ''}; separate the "
            "acquisitions, each into a folder of its own."
        )


def _check_spacing(steps: np.ndarray, folder: Path) -> None:
    if not steps.size:
        raise UserError(f"{folder} holds a single slice; name the folder of a whole series.")
    usual = float(np.median(steps))
    if np.abs(steps - usual).max() > _SPACING_TOLERANCE * usual:
        raise UserError(
            f"{folder} has a gap between slices ({steps.max():g} mm instead of {usual:g}); find the missing files."
        )


def _check_line(slices: Sequence[Any], folder: Path) -> None:
    """UserError for slices that lie beside the line from the first to the last one: an affine would displace them."""
    places, along = np.stack([_position(dataset) for dataset in slices]), positions_along_normal(slices)
    parts = (along - along[0]) / (along[-1] - along[0])
    aside = np.linalg.norm(places - places[0] - parts[:, None] * (places[-1] - places[0]), axis=1).max()
    if aside > _SIDEWAYS * min(float(step) for step in slices[0].PixelSpacing):
        raise UserError(
            f"{folder} has slices that are shifted sideways, unevenly and by up to {aside:.2g} mm: no volume has its "
            "voxels where they lie; name the folder of one stack, or resample the series."
        )


def pixels_of(dataset: Any) -> np.ndarray:
    """float32 [column, row], with slope and intercept applied."""
    if dataset.get("PhotometricInterpretation") == "MONOCHROME1":
        raise UserError(f"{dataset.filename} is a negative (MONOCHROME1): dark is bright; export it as MONOCHROME2.")
    stored = decoded(dataset)
    slope, intercept = scaling_of(dataset)
    return stored.T.astype(np.float32) * np.float32(slope) + np.float32(intercept)


def _stored_type(dataset: Any) -> np.dtype:
    """The integers, or the floating-point numbers, that the pixels are on disk."""
    whole, _ = getattr(dataset, "frame_of", (dataset, None))
    if "PixelData" not in whole:
        return np.dtype(np.float32 if "FloatPixelData" in whole else np.float64)
    signed, octets = int(dataset.get("PixelRepresentation") or 0), int(dataset.get("BitsAllocated") or 16) // 8
    return np.dtype(f"{'i' if signed else 'u'}{octets}")


def scaling_of(dataset: Any) -> tuple[float, float]:
    """Slope and intercept: value = slope * stored + intercept. A field that is there but empty is refused."""
    found = []
    for key, default in (("RescaleSlope", 1.0), ("RescaleIntercept", 0.0)):
        value = dataset.get(key, default)
        if value is None or value == "":
            raise UserError(f"{dataset.filename} has an empty {key}; export the series again.")
        found.append(float(value))
    return found[0], found[1]


def affine_in_plane(first: Any) -> np.ndarray:
    """As `_affine`, the third column a millimetre along the slice's normal."""
    affine = _affine([first, first])
    affine[:3, 2] = np.array([-1.0, -1.0, 1.0]) * _normal(first)
    return affine


def _affine(slices: Sequence[Any]) -> np.ndarray:
    """Standard C.7.6.2.1.1: index (column, row) and slice to patient millimetres, then LPS to RAS."""
    first, last = slices[0], slices[-1]
    along_row, along_column = _orientation(first)
    row_step, column_step = (float(step) for step in first.PixelSpacing)
    affine = np.eye(4)
    affine[:3, 0] = along_row * column_step
    affine[:3, 1] = along_column * row_step
    affine[:3, 2] = (_position(last) - _position(first)) / (len(slices) - 1)
    affine[:3, 3] = _position(first)
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine


def _orientation(dataset: Any) -> np.ndarray:
    return np.array([float(number) for number in dataset.ImageOrientationPatient]).reshape(2, 3)


def _position(dataset: Any) -> np.ndarray:
    return np.array([float(number) for number in dataset.ImagePositionPatient])


def _normal(dataset: Any) -> np.ndarray:
    return np.cross(*_orientation(dataset))


def _grid(dataset: Any) -> tuple[Any, ...]:
    spacing = tuple(round(float(step), 5) for step in dataset.PixelSpacing)
    return int(dataset.Rows), int(dataset.Columns), spacing
