"""Phantom heads scanned twice, as real DICOM files: a series of thick slices and one of thin ones for each person.

    python -m data_prep.dicom_phantom --output=FOLDER --people=4

writes FOLDER/low/person-1/..., FOLDER/high/person-1/..., for `mdcsrn-pairs` and whoever wants DICOM files that
belong to nobody. Files are numbered as a scanner exports them, by time: interleaved, so their names tell no position.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags

from data_prep.phantom import make_phantom
from mdcsrn_tf.command_line import run_command
from mdcsrn_tf.errors import UserError
from mdcsrn_tf.scans.slice_profile import SliceProfile

# Axial slices, 1 mm pixels: RAS+ millimetres of column, row and slice.
_THIN = np.array([[-1.0, 0, 0, 40], [0, -1.0, 0, 40], [0, 0, 1.0, -30], [0, 0, 0, 1]])

# Where an enhanced file says what is the same in all frames, and what is each one's own.
_SHARED = {
    "PixelMeasuresSequence": ("PixelSpacing", "SliceThickness"),
    "PlaneOrientationSequence": ("ImageOrientationPatient",),
    "PixelValueTransformationSequence": ("RescaleSlope", "RescaleIntercept"),
}
_OWN = {"PlanePositionSequence": ("ImagePositionPatient",)}


@dataclass(frozen=True)
class SeriesTags:
    """What a series says beside its voxels."""

    patient: str = "PHANTOM^ONE"
    frame: str = "1"  # scans of one frame of reference share their coordinates
    description: str = "thin"
    thickness: float | None = None  # mm
    slope: float = 1.0  # value = slope * stored + intercept
    intercept: float = 0.0


def write_series(folder: Path, voxels: np.ndarray, affine: np.ndarray, tags: SeriesTags) -> Path:
    """Write `voxels` [column, row, slice] in scanner units as one file a slice; `affine` leads to RAS+ millimetres."""
    folder.mkdir(parents=True, exist_ok=True)
    count = voxels.shape[2]
    for number, k in enumerate([*range(0, count, 2), *range(1, count, 2)], start=1):
        dataset = _slice(voxels[:, :, k], k, affine, tags)
        dataset.InstanceNumber = number
        dataset.save_as(folder / f"IM-{tags.description}-{number:04d}.dcm", enforce_file_format=True)
    return folder


def write_enhanced(path: Path, voxels: np.ndarray, affine: np.ndarray, tags: SeriesTags) -> Path:
    """As `write_series`, but as one enhanced file: the slices, the last one first, are its frames."""
    from pydicom.dataset import Dataset
    from pydicom.uid import EnhancedMRImageStorage

    frames = [_slice(voxels[:, :, k], k, affine, tags) for k in reversed(range(voxels.shape[2]))]
    whole = _slice(voxels[:, :, 0], 0, affine, tags)
    whole.file_meta.MediaStorageSOPClassUID = whole.SOPClassUID = EnhancedMRImageStorage
    whole.NumberOfFrames, whole.PixelData = len(frames), b"".join(frame.PixelData for frame in frames)

    def groups(frame: Any, sequences: Mapping[str, tuple[str, ...]]) -> Any:
        found = Dataset()
        for sequence, names in sequences.items():
            item = Dataset()
            for name in names:
                if name in frame:
                    setattr(item, name, frame.get(name))
            setattr(found, sequence, [item])
        return found

    whole.SharedFunctionalGroupsSequence = [groups(whole, _SHARED)]
    whole.PerFrameFunctionalGroupsSequence = [groups(frame, _OWN) for frame in frames]
    for name in [name for names in (*_SHARED.values(), *_OWN.values()) for name in names if name in whole]:
        del whole[name]
    whole.save_as(path, enforce_file_format=True)
    return path


def write_person(
    root: Path, number: int, shape: Sequence[int], factor: int, *, thickness: float, seed: int
) -> tuple[Path, Path]:
    """One phantom as thick slices (below `root`/low) and thin ones (`root`/high): the two folders."""
    thin = make_phantom(shape, seed)
    count = shape[2] // factor
    thick = SliceProfile("gaussian", thickness).thick_slices(thin[:, :, : count * factor], count, 2)
    affine = _THIN @ np.diag([1, 1, factor, 1.0])
    person = f"person-{number}"
    high = SeriesTags(f"PHANTOM^{number}", str(number), "thin", thickness=1.0)
    low = replace(high, description="thick", thickness=thickness, slope=0.5, intercept=-20.0)
    return (
        write_series(root / "low" / person, thick, affine, low),
        write_series(root / "high" / person, thin, _THIN, high),
    )


def define_flags(values: flags.FlagValues) -> None:
    """The flags of the command."""
    number = flags.DEFINE_integer
    flags.DEFINE_string("output", None, "Folder for the folders low and high.", flag_values=values)
    number("people", 4, "How many heads.", lower_bound=1, flag_values=values)
    number("size", 64, "Rows and columns of a slice.", lower_bound=16, flag_values=values)
    number("slices", 48, "Thin slices.", lower_bound=4, flag_values=values)
    number("factor", 3, "Thin slices a thick one.", lower_bound=2, flag_values=values)
    number("seed", 0, "Decides the heads.", lower_bound=0, flag_values=values)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; its exit code."""
    return run_command("data_prep.dicom_phantom", __doc__ or "", define_flags, _run, argv)


def _run(values: flags.FlagValues) -> int:
    if values.output is None:
        raise UserError("--output is missing: name a folder for the series.")
    if values.slices < 2 * values.factor:
        raise UserError(f"--slices={values.slices} are less than two thick slices of --factor={values.factor}.")
    shape = (values.size, values.size, values.slices)
    for number in range(1, values.people + 1):
        write_person(
            Path(values.output),
            number,
            shape,
            values.factor,
            thickness=float(values.factor),
            seed=1000 * values.seed + number,
        )
    print(f"{values.people} phantoms, thick and thin, in {values.output}")
    return 0


def _slice(pixels: np.ndarray, k: int, affine: np.ndarray, tags: SeriesTags) -> Any:
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import UID, ExplicitVRLittleEndian, MRImageStorage

    meta = FileMetaDataset()
    meta.TransferSyntaxUID, meta.MediaStorageSOPClassUID = ExplicitVRLittleEndian, MRImageStorage
    meta.MediaStorageSOPInstanceUID = UID(_uid(tags, "slice", k))
    dataset: Any = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    dataset.SOPClassUID, dataset.SOPInstanceUID = MRImageStorage, meta.MediaStorageSOPInstanceUID
    dataset.Modality, dataset.PatientName, dataset.PatientID = "MR", tags.patient, tags.patient
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = _uid(tags, "study"), _uid(tags, "series")
    dataset.FrameOfReferenceUID = _uid(SeriesTags(patient="", frame=tags.frame, description=""), "frame")
    dataset.SeriesDescription = tags.description
    _set_geometry(dataset, k, affine, tags)
    stored = np.rint((pixels.T - tags.intercept) / tags.slope).clip(-32768, 32767).astype("<i2")
    dataset.Rows, dataset.Columns = stored.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 16, 15, 1
    dataset.RescaleSlope, dataset.RescaleIntercept = tags.slope, tags.intercept
    dataset.PixelData = np.ascontiguousarray(stored).tobytes()
    return dataset


def _set_geometry(dataset: Any, k: int, affine: np.ndarray, tags: SeriesTags) -> None:
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
    steps = np.linalg.norm(lps[:3, :3], axis=0)
    along_row, along_column = (lps[:3, axis] / steps[axis] for axis in (0, 1))
    dataset.PixelSpacing = [_decimal(steps[1]), _decimal(steps[0])]
    dataset.ImageOrientationPatient = [_decimal(part) for part in (*along_row, *along_column)]
    dataset.ImagePositionPatient = [_decimal(part) for part in (lps @ [0, 0, k, 1])[:3]]
    dataset.SpacingBetweenSlices = _decimal(steps[2])
    if tags.thickness is not None:
        dataset.SliceThickness = _decimal(tags.thickness)


def _decimal(number: float) -> str:
    """DICOM's decimal string holds 16 characters."""
    return f"{float(number):.9g}"


def _uid(tags: SeriesTags, *what: object) -> str:
    from pydicom.uid import generate_uid

    return generate_uid(entropy_srcs=[tags.patient, tags.frame, tags.description, *map(str, what)])


if __name__ == "__main__":
    sys.exit(main())
