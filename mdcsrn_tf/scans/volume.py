"""What a scan is in memory: voxels in scanner units, where they lie, and how they were stored."""

from __future__ import annotations

import logging
import threading
import warnings
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import nibabel as nib
import numpy as np


@dataclass(frozen=True)
class Volume:
    """One 3-D scan in scanner units, with what is needed to write another on its grid."""

    data: np.ndarray  # float32, C-contiguous, [i, j, k] as stored
    affine: np.ndarray  # float64 4x4, voxel index -> RAS+ millimetres
    path: Path
    header: nib.Nifti1Header = field(repr=False)  # NIfTI-1's, or NIfTI-2's where the source was that
    stored_dtype: np.dtype  # the type on disk
    slope: float = 1.0  # value = slope * stored + intercept
    intercept: float = 0.0
    remarks: tuple[str, ...] = ()  # what a user should know about the file, a sentence each

    @property
    def told(self) -> tuple[str, ...]:
        """The remarks, each with the file's name before it."""
        return tuple(f"{self.path}: {remark}" for remark in self.remarks)


def new_header(affine: np.ndarray) -> nib.Nifti1Header:
    """A NIfTI-1 header that says nothing but where the voxels lie."""
    header = nib.Nifti1Header()
    header.set_sform(affine, code=1)
    header.set_qform(affine, code=1, strip_shears=True)
    header.set_xyzt_units("mm")
    return header


@contextmanager
def quiet_libraries():
    """Within it nibabel and pydicom print nothing of what they mend in headers: our commands say what matters.

    Threads may be in it side by side: the first to enter begins the silence, and the last to leave ends it.
    """
    _SILENCE.enter()
    try:
        yield
    finally:
        _SILENCE.leave()


class _Silence:
    """The libraries' silence, begun and ended once for all threads in it."""

    def __init__(self):
        self._lock, self._threads = threading.Lock(), 0
        self._undo = ExitStack()

    def enter(self) -> None:
        with self._lock:
            if self._threads == 0:
                self._begin()
            self._threads += 1

    def leave(self) -> None:
        with self._lock:
            self._threads -= 1
            if self._threads == 0:
                self._undo.close()

    def _begin(self) -> None:
        self._undo.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        for logger in (nib.imageglobals.logger, logging.getLogger("pydicom")):
            self._undo.callback(setattr, logger, "disabled", logger.disabled)
            logger.disabled = True


_SILENCE = _Silence()
