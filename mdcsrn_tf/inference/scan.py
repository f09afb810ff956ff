"""One scan of `mdcsrn-infer`: read, interpolate, check, super-resolve, write."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mdcsrn_tf.errors import UserError
from mdcsrn_tf.files import sha256_of
from mdcsrn_tf.inference import tiling
from mdcsrn_tf.inference.outputs import Job, write_sidecar
from mdcsrn_tf.inference.settings import Settings
from mdcsrn_tf.inference.volume import Progress, Result, run
from mdcsrn_tf.scans import kspace
from mdcsrn_tf.scans.axes import axes_are_anatomical
from mdcsrn_tf.scans.factors import parse_factors
from mdcsrn_tf.scans.frames import Frame, is_backwards, order_for
from mdcsrn_tf.scans.kspace_check import AxisFinding, examine_axis, warnings_for
from mdcsrn_tf.scans.volumes import Volume, read_volume, resolve_axes, write_volume

if TYPE_CHECKING:
    from mdcsrn_tf.inference.engines import Engine

Say = Callable[[str], None]
_RAS = ("LR", "AP", "IS")


@dataclass(frozen=True)
class ScanSettings:
    """What the command asks for besides `inference.Settings`."""

    grid: str = "same"  # the scan is on the target grid already, or "small": the scanner's matrix
    axes: str | None = None  # None: the model card's
    factor: str | None = None
    consistency: bool = False
    dtype: str = "float32"
    qc: bool = False
    qc_seams: bool = False
    series: str | None = None


@dataclass(frozen=True)
class _Scan:
    """A scan on the target grid, in RAS+ (or as stored), and what is known of it."""

    volume: Volume
    affine: np.ndarray
    straight: np.ndarray
    frame: Frame
    degraded: tuple[int, ...]  # axes of `straight`
    factors: tuple[int, ...]
    findings: tuple[AxisFinding, ...]


def process(
    job: Job, engine: Engine, settings: Settings, wanted: ScanSettings, say: Say, on_progress: Progress | None
) -> None:
    """Super-resolve one scan and write the result, with its sidecar and picture where those are wanted."""
    clock = _Clock()
    scan = _prepare(job, engine, wanted, say)
    clock.lap("read")
    low_res = scan.frame.enter(scan.straight)
    result = run(engine, low_res, settings, on_progress)
    clock.lap(f"{result.tiles} tiles of {result.tile}^3")
    _say_fallbacks(result, say)
    data = _consistent(result.data, low_res, scan) if wanted.consistency else result.data
    straight = scan.frame.leave(data)
    job.target.parent.mkdir(parents=True, exist_ok=True)
    if wanted.qc:
        _draw(job, scan, straight, result, wanted)
    if job.bids_root is not None:
        write_sidecar(job, _provenance(job, engine, settings, wanted, result))
    # The scan itself comes last: where it is, the rest is, and a run that goes on passes over it.
    stored = scan.frame.unstraighten(straight)
    write_volume(job.target, stored, scan.volume, affine=scan.affine, dtype=wanted.dtype)  # type: ignore[arg-type]
    clock.lap("written")
    seam = "one tile" if result.seam_figure is None else f"seam figure {result.seam_figure:.3f}"
    say(f"{job.source.name} -> {job.target.name}: {clock}; {seam}")


def _prepare(job: Job, engine: Engine, wanted: ScanSettings, say: Say) -> _Scan:
    card = engine.card
    if wanted.consistency and card.slices:
        raise UserError(
            f"--consistency puts back measured k-space, but {card.preset} was trained for thick slices, which are "
            "means through the slice; leave it out."
        )
    volume = read_volume(job.source, wanted.series)
    axes = wanted.axes or ",".join(card.axes) or "LR,AP"
    factors = parse_factors(wanted.factor or ",".join(map(str, card.factor)) or "2", axes)
    stored_axes = resolve_axes(axes, volume.affine)
    data, affine = volume.data, volume.affine
    if wanted.grid == "small":
        data, affine = _to_target_grid(volume, factors, stored_axes, card.interpolation)
    frame = Frame(affine, axes_are_anatomical(axes))
    straight = frame.straighten(data)
    degraded = resolve_axes(axes, np.eye(4)) if frame.anatomical else stored_axes
    by_axis = dict(zip(degraded, factors, strict=True))
    findings = tuple(examine_axis(straight, axis, by_axis.get(axis, factors[0])) for axis in range(3))
    if wanted.grid == "same":
        names = _RAS if frame.anatomical else ("0", "1", "2")
        for sentence in warnings_for(findings, names, degraded, card.interpolation):
            say(f"warning: {job.source.name}: {sentence}")
    order = order_for(degraded, _trained_axes(card.axes, degraded))
    flipped = tuple(
        place for place, axis in enumerate(order)
        if axis in by_axis and is_backwards(straight.shape[axis], by_axis[axis], findings[axis].phase)
    )  # fmt: skip
    frame = Frame(affine, frame.anatomical, order, flipped)
    return _Scan(volume, affine, straight, frame, degraded, factors, findings)


def _to_target_grid(volume: Volume, factors, axes, method: str) -> tuple[np.ndarray, np.ndarray]:
    """The small matrix brought to the target grid: sample i comes to lie at index i * factor."""
    shape = list(volume.data.shape)
    affine = volume.affine.copy()
    for axis, factor in zip(axes, factors, strict=True):
        shape[axis] *= factor
        affine[:3, axis] /= factor
    if np.prod(shape) > 2**31:
        raise UserError(f"{volume.path} would grow to {shape} voxels; check --factor and --grid=small.")
    return kspace.interpolate(volume.data, shape, factors, axes, method).astype(np.float32, copy=False), affine


def _trained_axes(axes: tuple[str, ...], otherwise: tuple[int, ...]) -> tuple[int, ...]:
    return resolve_axes(",".join(axes), np.eye(4)) if axes else otherwise


def _consistent(image: np.ndarray, low_res: np.ndarray, scan: _Scan) -> np.ndarray:
    """The measured centre of k-space put back, so that nothing that was measured is altered."""
    place = {axis: number for number, axis in enumerate(scan.frame.order)}
    axes = tuple(place[axis] for axis in scan.degraded)
    measured = low_res
    for axis, ras_axis, factor in zip(axes, scan.degraded, scan.factors, strict=True):
        finding = scan.findings[ras_axis]
        if finding.method == "sinc":
            measured = kspace.truncate(measured, (factor,), (axis,))
        elif finding.method == "linear" and measured.shape[axis] % factor == 0:
            measured = np.take(measured, np.arange(0, measured.shape[axis], factor), axis=axis)
        else:
            raise UserError(
                f"{scan.volume.path}: --consistency cannot tell which samples were measured; give the scanner's small "
                "matrix with --grid=small, or leave out --consistency."
            )
    return kspace.put_back_centre(image, measured, scan.factors, axes).astype(np.float32)


def _draw(job: Job, scan: _Scan, straight: np.ndarray, result: Result, wanted: ScanSettings) -> None:
    from mdcsrn_tf.inference.qc import save_picture

    inside = [straight.shape[axis] for axis in scan.frame.order]
    seams = [tiling.seam_positions(size, result.tile, result.margin) for size in inside]
    marked = scan.frame.leave_positions(seams, inside) if wanted.qc_seams else ((), (), ())
    sizes = np.linalg.norm(scan.affine[:3, :3], axis=0)
    if scan.frame.anatomical:
        sizes = sizes[list(resolve_axes("LR,AP,IS", scan.affine))]
    seam = "" if result.seam_figure is None else f", seam figure {result.seam_figure:.3f}"
    save_picture(job.picture, scan.straight, straight, f"{job.source.name}{seam}", sizes, marked)


def _provenance(job: Job, engine: Engine, settings: Settings, wanted: ScanSettings, result: Result) -> dict[str, Any]:
    from mdcsrn_tf.run_record import versions

    content: dict[str, Any] = {
        "Description": "Super-resolved by mDCSRN",
        "Sources": [_bids_uri(job)],
        "Model": asdict(engine.card),
        "Settings": {**asdict(settings), **asdict(wanted)},
        "Tile": result.tile,
        "Margin": result.margin,
        "BatchNormalization": result.bn,
        "SeamFigure": result.seam_figure,
        "Versions": versions(),
    }
    if job.source.is_file():
        content["SourceSHA256"] = sha256_of(job.source)
    return content


def _bids_uri(job: Job) -> str:
    assert job.bids_root is not None
    inside = job.source.relative_to(job.bids_root) if job.source.is_relative_to(job.bids_root) else job.source.name
    return f"bids:raw:{inside}"


def _say_fallbacks(result: Result, say: Say) -> None:
    if result.fallback_tiles:
        tried = ", ".join(f"{tile}^3" for tile in result.fallback_tiles)
        say(f"warning: the memory did not suffice for tiles of {tried}; {result.tile}^3 was taken.")


class _Clock:
    """What took how long."""

    def __init__(self) -> None:
        self._last = time.monotonic()
        self._laps: list[str] = []

    def lap(self, name: str) -> None:
        now = time.monotonic()
        self._laps.append(f"{name} {now - self._last:.1f} s")
        self._last = now

    def __str__(self) -> str:
        return ", ".join(self._laps)
