"""Which DICOM files of a folder are of which series: told by their headers alone (needs the extra `dicom`)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from mdcsrn_tf.errors import UserError
from mdcsrn_tf.names import digest_of

# All that is read of a file, so that a folder of thousands is looked through in seconds.
_TOLD = ("SeriesInstanceUID", "SeriesNumber", "SeriesDescription", "Rows", "NumberOfFrames", "Modality")
_NO_SCANS = ("SEG", "RTDOSE")  # kinds that hold voxels, too, and are made of a scan


@dataclass(frozen=True)
class SeriesFiles:
    """One series among a folder's files, in the order of their names."""

    uid: str
    number: str  # "": not said, as the description
    description: str
    slices: int
    files: tuple[Path, ...]

    @property
    def name(self) -> str:
        """What a file made of it is called after, from what names no patient.

        >>> SeriesFiles("1.2.3", "4", "t1 mprage, sag", 192, ()).name, SeriesFiles("1.2.3", "", "", 1, ()).name
        ('004_t1_mprage_sag', 'series_1.2.3')
        """
        number = f"{int(self.number):03d}" if self.number.isdigit() else ""
        words = re.sub(r"[^A-Za-z0-9.+-]+", "_", self.description).strip("_.")
        return "_".join(filter(None, (number, words))) or f"series_{self.uid}"

    @property
    def label(self) -> str:
        """For a sentence: the UID, and what tells a reader which it is."""
        return f"{self.uid} ({self.slices} slices{', ' + self.description if self.description else ''})"

    def is_meant_by(self, wanted: str) -> bool:
        """Whether `wanted` is its UID, or a part of its description."""
        return is_meant(wanted, self.uid, self.description)


def is_meant(wanted: str, uid: str | None, text: str) -> bool:
    """Whether `wanted` is that UID, or a part of that description or name in whatever case."""
    return wanted == uid or (wanted != "" and wanted.lower() in text.lower())


def series_in(folder: Path) -> list[SeriesFiles]:
    """The series of the images in a folder, in the order of their first files' names.

    What is no DICOM, or holds no image, is passed over: whoever reads a series says what is wrong with it. Without
    pydicom none are found.
    """
    files = [file for file in sorted(folder.iterdir()) if not file.name.startswith(".") and file.is_file()]
    stamps = [(status.st_size, status.st_mtime_ns) for status in (file.stat() for file in files)]
    return list(_series_among(tuple(zip(files, stamps, strict=True))))


@lru_cache(maxsize=8)  # whoever reads the series of a folder one by one asks again and again
def _series_among(stamped: tuple[tuple[Path, tuple[int, int]], ...]) -> tuple[SeriesFiles, ...]:
    """`series_in` of files with their sizes and times of change."""
    if find_spec("pydicom") is None:
        return ()
    found: dict[str, list[tuple[Path, dict[str, str]]]] = {}
    for file, _ in stamped:
        header = _header(file)
        if "Rows" in header and header.get("Modality") not in _NO_SCANS:
            found.setdefault(header.get("SeriesInstanceUID", ""), []).append((file, header))
    return tuple(_series(uid, members) for uid, members in found.items())


def files_of_series(folder: Path, uid: str) -> list[Path]:
    """A folder's files of one series."""
    return [file for one in series_in(folder) if one.uid == uid for file in one.files]


def names_apart(series: Sequence[SeriesFiles]) -> list[str]:
    """The series' names; those of several with one name (of several people, say) end with a hash of their UID."""
    times = Counter(one.name.lower() for one in series)
    return [
        one.name if times[one.name.lower()] == 1 else f"{one.name}-{digest_of(one.uid).hex()[:8]}" for one in series
    ]


def uid_of(folder: Path, wanted: str) -> str:
    """The UID of the one series that `wanted` means by UID or description; UserError where it means none or several."""
    series = series_in(folder)
    meant = [one for one in series if one.is_meant_by(wanted)]
    if not meant:
        raise UserError(f"{folder} holds no series {wanted}; there are {labels(series)}.")
    if len(meant) > 1:
        raise UserError(f"{folder} holds {len(meant)} series {wanted!r}; choose one by its UID: {labels(meant)}.")
    return meant[0].uid


def labels(series: Sequence[SeriesFiles]) -> str:
    """The series by UID, for a sentence."""
    return ", ".join(sorted(one.label for one in series))


def _header(file: Path) -> dict[str, str]:
    """What `_TOLD` names of it, as text; nothing of what is no DICOM, or damaged."""
    import pydicom

    try:
        header = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=list(_TOLD))
        # pydicom parses an element, and finds it damaged, where it is first used.
        told = {key: "" if header.get(key) is None else str(header.get(key)) for key in _TOLD if key in header}
        _frames(told)
    except Exception:  # what a parser makes of other files' bytes has no common type
        return {}
    return told


def _frames(header: Mapping[str, str]) -> int:
    return int(header.get("NumberOfFrames") or 1)


def _series(uid: str, members: Sequence[tuple[Path, Mapping[str, str]]]) -> SeriesFiles:
    first = members[0][1]
    number, description = (first.get(key, "").strip() for key in ("SeriesNumber", "SeriesDescription"))
    slices = sum(_frames(header) for _, header in members)
    return SeriesFiles(uid, number, description, slices, tuple(file for file, _ in members))
