"""NumPy archives from anywhere: no array larger than what the file holds of it, and one kind of error."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import numpy as np


def load_npz(path: str | os.PathLike[str], largest: int | None = None) -> dict[str, np.ndarray]:
    """The arrays of an `.npz`; ValueError or OSError where it is damaged.

    Members have to be stored as they are, as `numpy.savez` does; with `largest`, in bytes, also compressed up to that.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                if largest is None and member.compress_type != zipfile.ZIP_STORED:
                    raise ValueError("it is compressed")
                if member.file_size > (Path(path).stat().st_size if largest is None else largest):
                    raise ValueError(f"its {member.filename} is too large")
            return {member.filename.removesuffix(".npy"): _array(archive, member) for member in archive.infolist()}
    except (ValueError, OSError):
        raise
    except Exception as error:  # what the parsers make of damaged bytes has no common type
        raise ValueError(f"{type(error).__name__}: {error}".strip(": ")) from error


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    with archive.open(member) as stream:
        version = np.lib.format.read_magic(stream)
        header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = header(stream)
        size = int(np.prod(shape, dtype=object)) * dtype.itemsize
        if dtype.hasobject or not 0 <= size <= member.file_size:
            raise ValueError(f"its {member.filename} is no plain array")
    with archive.open(member) as stream:
        return np.lib.format.read_array(stream, allow_pickle=False)
