"""Enhanced DICOM: one file that holds all slices of a series, taken apart into slices like those of classic files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mdcsrn_tf.errors import UserError

PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")  # the elements that pixels may be in
# Where an enhanced file says what a classic slice says of itself (DICOM part 3, C.7.6.16): a sequence and its elements.
_GROUPS = {
    "PixelMeasuresSequence": ("PixelSpacing", "SliceThickness"),
    "PlaneOrientationSequence": ("ImageOrientationPatient",),
    "PlanePositionSequence": ("ImagePositionPatient",),
    "PixelValueTransformationSequence": ("RescaleSlope", "RescaleIntercept"),
    "MREchoSequence": ("EffectiveEchoTime",),
    "FrameContentSequence": ("TemporalPositionIndex",),
}
# What its frames have in common.
_COMMON = (
    "SeriesInstanceUID",
    "SeriesDescription",
    "PatientID",
    "FrameOfReferenceUID",
    "Rows",
    "Columns",
    "BitsAllocated",
    "PixelRepresentation",
    "PhotometricInterpretation",
)


def slices_of(dataset: Any) -> list[Any]:
    """The slices in a file: itself, or one dataset for each frame, with the elements of a classic slice."""
    count = int(dataset.get("NumberOfFrames") or 1)
    places = dataset.get("PerFrameFunctionalGroupsSequence")
    if count == 1 and places is None:
        return [dataset]
    if places is None or len(places) != count:
        raise UserError(
            f"{dataset.filename} has {count} frames without saying where each lies; convert the series to NIfTI, with "
            "dcm2niix for instance."
        )
    shared = dataset.get("SharedFunctionalGroupsSequence") or []
    return [_slice(dataset, number, [*shared[:1], own]) for number, own in enumerate(places)]


def decoded(dataset: Any) -> np.ndarray:
    """The pixels of a slice as they are stored, [row, column]."""
    whole, number = getattr(dataset, "frame_of", (dataset, None))
    refuse_colour(dataset)
    try:
        stored = whole.pixel_array
    except Exception as error:  # pydicom's decoders raise what their libraries raise
        raise _undecoded(dataset, whole, " ".join(str(error).split())) from error
    if number is not None and stored.ndim == 3:
        stored = stored[number]
    if stored.shape != (whole.Rows, whole.Columns):
        raise _not_grey(dataset)
    return stored


def refuse_colour(dataset: Any) -> None:
    """UserError for a slice whose pixels are colours, or numbers of colours: no intensities."""
    whole, _ = getattr(dataset, "frame_of", (dataset, None))
    if int(whole.get("SamplesPerPixel") or 1) > 1 or whole.get("PhotometricInterpretation") == "PALETTE COLOR":
        raise _not_grey(dataset)


def _not_grey(dataset: Any) -> UserError:
    return UserError(
        f"{dataset.filename} is no grey-scale image, as pictures of a screen and coloured maps are not; take it out of "
        "the folder, or name the series that is meant."
    )


def _undecoded(dataset: Any, whole: Any, reason: str) -> UserError:
    """Why the pixels could not be had, and what to do: `reason` is the libraries' own."""
    if "dependencies" in reason:  # no decoder for this transfer syntax
        syntax = getattr(whole.file_meta.get("TransferSyntaxUID"), "name", "compressed")
        return UserError(
            f"{dataset.filename} is compressed ({syntax}), and nothing that decodes it is installed; install it with: "
            "pip install 'pydicom[pixeldata]', or export the series uncompressed."
        )
    return UserError(f"{dataset.filename} cannot be decoded ({reason[:120]}); export it again, uncompressed.")


def _slice(dataset: Any, number: int, groups: Sequence[Any]) -> Any:
    from pydicom.dataset import Dataset

    found: Any = Dataset()
    for name in _COMMON:
        if name in dataset:
            setattr(found, name, dataset.get(name))
    for group in groups:
        for sequence, names in _GROUPS.items():
            items = group.get(sequence) or [Dataset()]
            for name in names:
                if name in items[0]:
                    setattr(found, name, items[0].get(name))
    found.filename, found.frame_of = dataset.filename, (dataset, number)
    return found
