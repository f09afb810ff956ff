"""How a network is run on a volume."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Literal

import numpy as np

from mdcsrn_tf.errors import UserError

ApplyTiles = Callable[[np.ndarray], np.ndarray]  # float32 [batch, D, H, W] to the same
Strength = float | Literal["auto"]  # of detail, times what the network restores; "auto": as the scan tells
Progress = Callable[[int, int], None]  # parts done, parts in all: tiles, slabs of columns, slices
ApplyColumn = Callable[[np.ndarray, Progress], np.ndarray]  # float32 [1, D, H, W] to the same, telling of its slabs

INT8 = "int8"  # OpenVINO's alone
PRECISIONS = ("float32", "tensorfloat32", "bfloat16", INT8)
ENGINES = ("tensorflow", "openvino")
DEVICES = ("auto", "cpu", "gpu")
# The words that settings of that name take.
_WORDS: dict[str, tuple[str | None, ...]] = {
    "precision": PRECISIONS,
    "engine": ENGINES,
    "device": DEVICES,
    "bn": ("batch", "moving", None),
    "plane": ("axial", "coronal", "sagittal", "mean3", "card", None),
    "merge": ("core", "mean", None),
    "grid": ("auto", "same", "small"),
    "dtype": ("float32", "same"),
}

_STRONGEST_DETAIL = 4.0


@dataclass(frozen=True)
class Settings:
    """How to run a network; what is None is taken from its model card."""

    # One number for all axes, or one for each, in voxels.
    tile: int | tuple[int, ...] | None = None
    margin: int | tuple[int, ...] | None = None
    bn: str | None = None  # "batch": J's train mode, each tile's own statistics; "moving": the trained ones
    seamless: bool = False  # moving statistics, and a margin that makes the result independent of the tiling
    batch_tiles: int = 1
    precision: str = "float32"
    device: str = "auto"
    engine: str = "tensorflow"
    ensemble: int = 1  # 2, 4, 8: the mean of the results of so many mirror images of the volume, itself among them
    # Of slice networks alone: "axial", "coronal", "sagittal", "mean3", or "card": as it was trained.
    plane: str | None = None
    stride: int | None = None  # between tiles that are averaged
    merge: str | None = None  # "core": side by side; "mean": averaged


@dataclass(frozen=True)
class Result:
    """A super-resolved volume, and how it came about."""

    data: np.ndarray
    tile: int | tuple[int, ...]
    margin: int | tuple[int, ...]
    bn: str
    tiles: int  # of a slice network: slices
    seam_figure: float | None
    fallback_tiles: tuple[int | tuple[int, ...], ...] = ()  # tile sizes for which the memory did not suffice


@dataclass(frozen=True)
class ScanSettings:
    """What is asked of a scan; what is None is found from the scan, else taken from the model card."""

    grid: str = "auto"  # "same": the scan is on the target grid already; "small": it is the scanner's matrix
    axes: str | None = None
    factor: str | None = None
    force: bool = False  # also what the scan or the model card speaks against
    consistency: bool = False
    # Times what the network restores beyond the measured k-space; "auto": so that it comes near an original's power.
    detail: Strength = 1.0
    undo_filter: bool = False  # of k-space, where the scan shows one
    self_check: bool = False
    dtype: Literal["float32", "same"] = "float32"  # or "same": of the voxels on disk
    keep_header_text: bool = False
    volume: str = "all"  # of a 4-D file: which, or all
    nan: float | None = 0.0  # what takes the place of NaN in the background; None: such scans are refused
    qc: bool = False
    qc_seams: bool = False
    series: str | None = None  # of DICOM folders: by UID or description; None: all, each by itself

    def __post_init__(self) -> None:
        if self.qc_seams:  # they are marked in the picture
            object.__setattr__(self, "qc", True)


def check_running(settings: Settings) -> None:
    """UserError for what no setting can be, and for a precision, an engine or a device that do not go together."""
    check_words(settings)
    if settings.batch_tiles < 1:
        raise UserError(f"--batch_tiles={settings.batch_tiles} is no number of tiles at a time; give 1 or more.")
    if settings.precision == INT8 and settings.engine != "openvino":
        raise UserError(f"--precision={INT8} is for OpenVINO: add --engine=openvino, or take --precision=bfloat16.")
    if (settings.precision, settings.engine) == ("tensorfloat32", "openvino"):
        raise UserError("--precision=tensorfloat32 is for GPUs, which --engine=openvino does not use; leave it out.")


def check_words(asked: Settings | ScanSettings) -> None:
    """UserError for a word that its setting does not know: it would else be passed over."""
    for name in (field.name for field in fields(asked)):
        known, word = _WORDS.get(name), getattr(asked, name)
        if known and word not in known:
            raise UserError(f"--{name}={word} is none of {', '.join(filter(None, known))}.")


def check_strength(detail: object) -> None:
    """UserError for a strength of detail that is neither "auto" nor a number that means something."""
    if detail == "auto" or (isinstance(detail, int | float | np.floating) and 0 <= detail <= _STRONGEST_DETAIL):
        return
    raise UserError(f"--detail={detail} must be from 0 (what was measured alone) to {_STRONGEST_DETAIL:g}, or auto.")
