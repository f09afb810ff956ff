"""What is measured and by which conventions: everything that decides a number, in frozen dataclasses."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from mdcsrn_tf import __version__
from mdcsrn_tf.errors import UserError
from mdcsrn_tf.inference.settings import Settings
from mdcsrn_tf.scans.find import files_of
from mdcsrn_tf.scans.slice_profile import SliceSettings
from mdcsrn_tf.scans.volumes import Volume

FIDELITY = ("psnr", "ssim", "nrmse")
FIDELITY_3D = ("psnr3d", "ssim3d", "nrmse3d")
# The same inside the reference's head alone: what air cannot flatter.
HEAD = ("psnr_head", "ssim_head", "nrmse_head")
HEAD_3D = ("psnr3d_head", "ssim3d_head", "nrmse3d_head")
# The k-space that degradation removed: power relative to the reference's (dB), and correlation with it, in the head.
BANDS = ("band_db", "band_corr")
PERCEPTUAL = ("piqe", "niqe", "ma", "pi")
OVERLAP = ("dice", "jaccard")
# What the two papers on slices print: errors of z-scores with a peak of 255, and an error in the scan's own units.
PENN = ("psnr_penn", "mse_penn", "ssim_penn")
MSE = "mse"
METRICS = FIDELITY + HEAD + FIDELITY_3D + HEAD_3D + BANDS + PERCEPTUAL + OVERLAP + PENN + (MSE,)
# Whether a larger value is better; of band_db the nearest to 0 is best, of all others a smaller one.
LARGER_IS_BETTER = {
    "psnr",
    "ssim",
    "psnr3d",
    "ssim3d",
    "psnr_head",
    "ssim_head",
    "psnr3d_head",
    "ssim3d_head",
    "band_corr",
    "ma",
    "dice",
    "jaccard",
    "psnr_penn",
    "ssim_penn",
}
TITLES = {
    "psnr": "PSNR",
    "ssim": "SSIM",
    "nrmse": "NRMSE",
    "psnr3d": "PSNR 3D",
    "ssim3d": "SSIM 3D",
    "nrmse3d": "NRMSE 3D",
    "psnr_head": "PSNR head",
    "ssim_head": "SSIM head",
    "nrmse_head": "NRMSE head",
    "psnr3d_head": "PSNR 3D head",
    "ssim3d_head": "SSIM 3D head",
    "nrmse3d_head": "NRMSE 3D head",
    "band_db": "removed band (dB)",
    "band_corr": "removed band corr.",
    "piqe": "PIQE",
    "niqe": "NIQE",
    "ma": "Ma",
    "pi": "PI",
    "dice": "DSC",
    "psnr_penn": "PSNR of z-scores, peak 255",
    "mse_penn": "MSE of z-scores",
    "ssim_penn": "SSIM of z-scores",
    "mse": "MSE",
    "jaccard": "JACC",
    "parameters": "#parm",
    "macs": "MACs/voxel",
    "seconds": "time (s)",
}


# Between which the conventions' numbers lie.
_POSITIVE = (1e-12, 1e12)
_BOUNDS = {
    **dict.fromkeys(("foreground_level", "fidelity_share", "perceptual_share"), (0, 1)),
    "eight_bit_percentile": (0, 100),
    "penn_ssim_range": _POSITIVE,
    "bootstrap": (1, 10**7),
    "seed": (0, 2**63),
}


@dataclass(frozen=True)
class Conventions:
    """What the papers leave open (docs/decisions.md, "Evaluation"); the output records every one."""

    data_range: str = "max"  # of PSNR and SSIM: the reference volume's "max", its "span", or a number
    ssim_window: Literal["gaussian", "uniform"] = "gaussian"  # 11x11, sigma 1.5; or 7x7
    ssim_covariance: Literal["population", "sample"] = "population"
    nrmse: Literal["euclidean", "range", "mean"] = "euclidean"
    foreground_level: float = 0.05  # a voxel is foreground above this share of the reference's maximum
    fidelity_share: float = 0.10  # slices with more foreground than this are measured (0: all that are not empty)
    perceptual_share: float = 0.25  # J: "the foreground occupies more than 25% of the whole image"
    eight_bit_percentile: float = 99.9  # of the reference volume: what becomes 255 for the perceptual metrics
    penn_ssim_range: float = 2.0  # of SSIM between z-scores: what scikit-image took for floats in 2020
    deviation: Literal["sample", "population"] = "sample"  # over subjects
    bootstrap: int = 10_000  # resamplings of the paired difference
    seed: int = 0

    @classmethod
    def parse(cls, text: str) -> Conventions:
        """From `name=value,name=value`; what is not named keeps its default."""
        fields = {one.name: one for one in dataclasses.fields(cls)}
        values: dict[str, Any] = {}
        for item in filter(None, (part.strip() for part in text.split(","))):
            name, equals, value = item.partition("=")
            if name not in fields or not equals:
                raise UserError(f"--conventions has no {item!r}; it takes name=value of {', '.join(fields)}.")
            values[name] = _converted(name, value, type(fields[name].default))
        conventions = cls(**values)
        _require_choice("ssim_window", conventions.ssim_window, ("gaussian", "uniform"))
        _require_choice("ssim_covariance", conventions.ssim_covariance, ("population", "sample"))
        _require_choice("nrmse", conventions.nrmse, ("euclidean", "range", "mean"))
        _require_choice("deviation", conventions.deviation, ("sample", "population"))
        for name, (least, most) in _BOUNDS.items():
            _require_number(name, getattr(conventions, name), least, most)
        if conventions.data_range not in ("max", "span"):
            _require_number("data_range, if not max or span,", conventions.data_range, *_POSITIVE)
        return conventions

    def range_of(self, reference: np.ndarray) -> float:
        """The data range that PSNR and SSIM use for this reference."""
        if self.data_range == "max":
            return float(reference.max())
        if self.data_range == "span":
            return float(reference.max()) - float(reference.min())
        return float(self.data_range)


@dataclass(frozen=True)
class Method:
    """One row of our tables: where its images come from."""

    name: str
    kind: Literal["original", "low_res", "baseline", "model", "folder"]
    source: str = ""  # interpolation, model, or folder
    preset: str | None = None
    gan: bool = False
    parameters: int | None = None
    macs: int | None = None
    running: Settings = field(default_factory=Settings)  # of a model


@dataclass(frozen=True)
class Plan:
    """One evaluation."""

    methods: tuple[Method, ...]
    metrics: tuple[str, ...]
    conventions: Conventions = Conventions()
    axes: str = "LR,AP"
    factor: tuple[int, ...] = (2,)  # one for each of the axes; a single one holds for all
    slices: SliceSettings | None = None  # thick slices by that profile; None: k-space truncation
    plane: str = "auto"
    niqe_model: str | None = None
    ma_command: str | None = None
    segmenter: str | None = None  # "builtin" or "COMMAND {in} {out}"
    reference: bool = True  # whether the high-resolution scan is what the others are compared with
    threads: int | None = None

    def asks(self, *metrics: str) -> bool:
        """Whether any of these metrics is wanted."""
        return any(metric in self.metrics for metric in metrics)


@dataclass(frozen=True)
class Subject:
    """One person's files."""

    name: str
    high_res: Path | None = None
    low_res: Path | None = None
    results: tuple[tuple[str, Path], ...] = ()  # (method, file)

    def files_of(self, method: str) -> list[Path]:
        """The subject's scans, and that method's result where it is on disk."""
        found = (self.high_res, self.low_res, dict(self.results).get(method))
        return [path for path in found if path is not None]


class ImageMaker(Protocol):
    """Makes what is not on disk: baselines and model outputs. It is sent to worker processes."""

    def low_res(self, reference: Volume, plan: Plan, interpolation: str) -> np.ndarray:
        """The reference degraded and interpolated back to its own grid."""
        ...

    def enlarge(self, low_res: Volume, reference: Volume, plan: Plan, interpolation: str) -> np.ndarray:
        """A given low-resolution scan on the reference's grid."""
        ...

    def super_resolve(
        self, method: Method, low_res: Volume | None, reference: Volume | None, plan: Plan
    ) -> tuple[np.ndarray, float]:
        """The model's result and its seconds, from a given low-resolution scan or from the degraded reference."""
        ...


def fingerprint(plan: Plan, method: Method, files: list[Path]) -> str:
    """Changes whenever a stored result of this method could: settings, method, model and input files, version."""
    settings = dataclasses.replace(plan, methods=(), threads=None)
    models = [Path(name) for name in (method.source, plan.niqe_model) if name and Path(name).exists()]
    identity = [[_stamp(part) for part in files_of(path)] for path in files]
    identity += [[_stamp(part) for part in _parts_of(path)] for path in models]
    content = [__version__, dataclasses.asdict(settings), _described(method), identity]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def _described(method: Method) -> dict[str, Any]:
    """Its fields, and of how it is run what is not usual alone: what was measured before that could be asked stays."""
    described, usual = dataclasses.asdict(method), dataclasses.asdict(Settings())
    running = {name: value for name, value in described.pop("running").items() if value != usual[name]}
    return {**described, "running": running} if running else described


def _parts_of(model: Path) -> list[Path]:
    return sorted(part for part in model.rglob("*") if part.is_file()) if model.is_dir() else [model]


def _stamp(file: Path) -> list:
    return [str(file), file.stat().st_size, file.stat().st_mtime_ns]


def _converted(name: str, value: str, kind: type) -> Any:
    try:
        return kind(value)
    except ValueError:
        raise UserError(f"--conventions: {name} takes a number, not {value!r}.") from None


def _require_number(name: str, value: float | str, least: float, most: float) -> None:
    try:
        fits = least <= float(value) <= most
    except ValueError:
        fits = False
    if not fits:
        raise UserError(f"--conventions: {name} is a number from {least:g} to {most:g}, not {value}.")


def _require_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise UserError(f"--conventions: {name} is one of {', '.join(choices)}, not {value!r}.")
