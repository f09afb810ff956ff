"""What kind of DICOM object a file is: told by its first bytes, without pydicom."""

from __future__ import annotations

from pathlib import Path

from mdcsrn_tf.files import can_be_read

_BEGINNING = 512  # bytes: the kind is the third element, behind a preamble of 128
_KIND = b"\x02\x00\x02\x00UI"  # (0002,0002) MediaStorageSOPClassUID; two bytes of length follow
_STORAGE = "1.2.840.10008.5.1.4.1.1"
# Kinds that hold no image, as archives and discs have them beside the images; each with all its own kinds.
_WITHOUT_IMAGE = (
    "1.2.840.10008.1.3.10",  # DICOMDIR, a disc's table of contents
    f"{_STORAGE}.88",  # reports and key objects
    f"{_STORAGE}.11",  # presentation states
    f"{_STORAGE}.9",  # waveforms
    f"{_STORAGE}.104",  # documents
    f"{_STORAGE}.4.2",  # spectra
    f"{_STORAGE}.66.1",  # registrations
    f"{_STORAGE}.66.2",  # fiducials
    "1.3.12.2.1107.5.9.1",  # Siemens: raw data
)
_RAW_DATA = f"{_STORAGE}.66"  # alone: segmentations are kinds below it, and images


def is_dicom(file: Path) -> bool:
    """Whether a file is a DICOM one: its preamble says so."""
    return _beginning(file)[128:132] == b"DICM"


def is_image(file: Path) -> bool:
    """Whether a file is a DICOM one of a kind that holds an image, or does not say of which kind it is."""
    beginning = _beginning(file)
    if beginning[128:132] != b"DICM":
        return False
    _, found, rest = beginning.partition(_KIND)
    uid = rest[2 : 2 + int.from_bytes(rest[:2], "little")].rstrip(b"\0 ").decode("ascii", "replace") if found else ""
    return uid != _RAW_DATA and not any(uid == kind or uid.startswith(f"{kind}.") for kind in _WITHOUT_IMAGE)


def _beginning(file: Path) -> bytes:
    if not can_be_read(file):
        return b""
    try:
        with file.open("rb") as stream:
            return stream.read(_BEGINNING)
    except OSError:
        return b""
