"""The library's public functions: a file, a nibabel image or an array in, the same kind out.

Orientation, grid and interpolation are handled as in the commands. An array without an affine is taken as RAS+ with
voxels of 1 mm (its first axis runs from left to right, the second from back to front, the third from foot to head),
and a UserWarning says so.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import nibabel as nib
import numpy as np

from mdcsrn_tf.chatter import load_tensorflow_quietly
from mdcsrn_tf.errors import UserError
from mdcsrn_tf.scans import kspace
from mdcsrn_tf.scans.axes import resolve_axes
from mdcsrn_tf.scans.factors import parse_factors
from mdcsrn_tf.scans.volume import Volume, new_header
from mdcsrn_tf.scans.volumes import read_volume, volume_of_image, write_volume

if TYPE_CHECKING:
    import keras

    from mdcsrn_tf.models.files import ModelCard

Scan = TypeVar("Scan", str, os.PathLike, nib.spatialimages.SpatialImage, np.ndarray)
Names = str | Sequence[str]
Numbers = int | str | Sequence[int]
_FOR_FILES = ("dtype", "keep_header_text", "volume", "series", "self_check", "qc", "qc_seams")  # of ScanSettings


def super_resolve(
    scan: Scan,
    output: str | os.PathLike[str] | None = None,
    *,
    model: str | os.PathLike[str] | None = None,
    affine: np.ndarray | None = None,
    axes: Names | None = None,
    factor: Numbers | None = None,
    grid: str = "auto",
    force: bool = False,
    **settings: Any,
) -> Any:
    """The super-resolved scan, as the kind that `scan` is: of a path the path of the result, which is `output`.

    scan: a path, a nibabel image, or an array [i, j, k] in any units with `affine` (4x4, index to RAS+ millimetres).
    model: a bundled network's name or a path; None: the first bundled one that was made for such scans (of thick
        slices with interpolated planes two, one after the other).
    axes, factor, grid, force: as the command's flags; None and "auto": found from header and k-space.
    settings: fields of inference.settings.Settings (tile, margin, bn, seamless, ensemble, precision, ...) and
        ScanSettings (consistency, detail, undo_filter, nan; of a file also dtype, volume, series, self_check, qc, ...).

    The result has the input's geometry and units, in float32. A file gets the command's sidecar. Warnings: UserWarning.
    """
    wanted, how = _requests(settings, axes=_joined(axes), factor=_joined(factor), grid=grid, force=force)
    target = _target(scan, output, affine)
    if isinstance(scan, (str, os.PathLike)):
        return _super_resolve_file(Path(scan), target, model, how, wanted)
    _refuse_what_is_for_files(wanted)
    volume = _volume(scan, affine, wanted.nan)
    return _as_given(scan, volume, *_super_resolve_volume(volume, model, how, wanted))


def _warn(sentences: Sequence[str]) -> None:
    for sentence in sentences:
        warnings.warn(sentence, UserWarning, stacklevel=4)  # at who called super_resolve


def load_model(name: str | os.PathLike[str] | None = None) -> tuple[keras.Model, ModelCard]:
    """The Keras model and the card of a bundled network (None: the default one) or of a `.keras` file."""
    load_tensorflow_quietly()
    from mdcsrn_tf.models.files import load_model as load
    from mdcsrn_tf.weights import find_model

    return load(find_model(name))


def list_models() -> list[str]:
    """The names of the bundled networks, the default one first."""
    from mdcsrn_tf.weights import list_models as names

    return names()


def degrade(
    scan: Scan,
    output: str | os.PathLike[str] | None = None,
    *,
    axes: Names = "LR,AP",
    factor: Numbers = 2,
    interpolation: str | None = "sinc",
    affine: np.ndarray | None = None,
) -> Any:
    """The scan with the centre of its k-space alone, as the papers degrade, and as the kind that `scan` is.

    interpolation: how it comes back to its grid (nearest, linear, cubic, sinc): linearly in the papers, by sinc as the
    default network expects. None: it stays the small matrix, which of an array comes without an affine: its first
    sample lies where the array's does.
    """
    target = _target(scan, output, affine)
    if isinstance(scan, (str, os.PathLike)) and os.path.realpath(target) == os.path.realpath(scan):
        raise UserError(f"{output} is the scan itself; name another file.")
    volume = _volume(scan, affine)
    degraded = resolve_axes(_joined(axes) or "", volume.affine)
    factors = parse_factors(_joined(factor) or "", ",".join(map(str, degraded)))
    data, grid = kspace.acquire(volume.data, factors, degraded), volume.affine
    if interpolation is None:
        grid = kspace.small_affine(volume.affine, factors, degraded, volume.data.shape)
    else:
        data = kspace.interpolate(data, volume.data.shape, factors, degraded, interpolation)
    if not isinstance(scan, (str, os.PathLike)):
        return _as_given(scan, volume, data, grid)
    target.parent.mkdir(parents=True, exist_ok=True)
    write_volume(target, data, volume, affine=grid)
    return target


def evaluate(
    reference: Scan, result: Scan, *, axes: Names = "LR,AP", affine: np.ndarray | None = None
) -> dict[str, float]:
    """What mdcsrn-eval measures of `result` against the high-resolution `reference` on the same grid.

    PSNR (dB), SSIM and NRMSE, slice by slice in the most degraded plane, which `axes` decide, and in 3D (`psnr3d`), of
    all voxels as the papers do and inside the reference's head (`psnr_head`, `psnr3d_head`), where air cannot flatter.
    """
    from mdcsrn_tf.evaluation.measure import measure
    from mdcsrn_tf.evaluation.plan import FIDELITY, FIDELITY_3D, HEAD, HEAD_3D, Plan
    from mdcsrn_tf.evaluation.scene import set_scene
    from mdcsrn_tf.evaluation.subjects import check_same_grid

    high, image = _volume(reference, affine), _volume(result, affine)
    check_same_grid(high, image)
    plan = Plan((), (*FIDELITY, *HEAD, *FIDELITY_3D, *HEAD_3D), axes=_joined(axes) or "LR,AP")
    return measure(image.data, set_scene(high, plan, has_reference=True), plan).values


def _target(scan: Any, output: Any, affine: Any) -> Path:
    """Where the result of a file goes; an error for an output or an affine that the scan has no use for."""
    file = isinstance(scan, (str, os.PathLike))
    if file and output is None:
        raise UserError("A scan that is a file needs the name of the file to write.")
    if not file and output is not None:
        raise UserError("An output file is for a scan that is a file; save what is given back yourself.")
    if affine is not None and (file or isinstance(scan, nib.spatialimages.SpatialImage)):
        raise TypeError("An affine is for an array; a file and an image have their own.")
    return Path(output or "")


def _super_resolve_file(source: Path, output: Path, model, how, wanted) -> Path:
    from mdcsrn_tf.inference.folder import Noting, Run
    from mdcsrn_tf.inference.outputs import plan

    jobs = plan(source, output, wanted.series)
    console = Noting()
    try:
        failed = Run(_text(model), how, wanted, True, _before_network).over(jobs, console)
    finally:
        _warn(console.warnings)  # here: other threads may be reading with all warnings silenced
    if failed:
        reasons = "; ".join(f"{job.title} ({why})" for job, why in failed)
        raise UserError(f"{len(failed)} of {len(jobs)} scans failed, the others are written: {reasons}")
    return jobs[0].target if len(jobs) == 1 else output


def _super_resolve_volume(volume: Volume, model, how, wanted) -> tuple[np.ndarray, np.ndarray]:
    """The result's voxels and its affine."""
    from mdcsrn_tf.inference.choice import choose_steps
    from mdcsrn_tf.inference.folder import Noting, Run
    from mdcsrn_tf.inference.passes import super_resolve_by
    from mdcsrn_tf.inference.sight import look

    volume = replace(volume, remarks=())  # they have been told
    sight, console = look(volume), Noting()
    steps = choose_steps(sight, wanted, _text(model))
    load = Run(_text(model), how, wanted, True, _before_network).load
    try:
        whole = super_resolve_by(steps, volume, sight, load, how, console.say)
    finally:
        _warn(console.warnings)
    return whole.volumes[0], whole.affine


def _before_network(engine: str) -> None:
    if engine == "tensorflow":
        load_tensorflow_quietly()


def _requests(settings: dict[str, Any], **known: Any):
    """`settings` parted into the two dataclasses' fields; TypeError for a name that neither has."""
    from mdcsrn_tf.inference.settings import ScanSettings, Settings, check_running, check_words

    of_run = {field.name for field in fields(Settings)}
    of_scan = {field.name for field in fields(ScanSettings)}
    unknown = sorted(set(settings) - of_run - of_scan)
    if unknown:
        raise TypeError(f"super_resolve() takes no {', '.join(unknown)}; see mdcsrn_tf.inference.settings.")
    how = Settings(**{name: value for name, value in settings.items() if name in of_run})
    wanted = ScanSettings(**known, **{name: value for name, value in settings.items() if name in of_scan})
    check_running(how)
    check_words(wanted)
    return replace(wanted, volume=str(wanted.volume)), how


def _refuse_what_is_for_files(wanted: Any) -> None:
    """TypeError for what only a file in and a file out have: several volumes or series, a sidecar, a picture."""
    usual = type(wanted)()
    changed = [name for name in _FOR_FILES if getattr(wanted, name) != getattr(usual, name)]
    if changed:
        raise TypeError(f"super_resolve() takes {', '.join(changed)} only where the scan is a file.")


def _volume(scan: Any, affine: np.ndarray | None, nan: float | None = 0.0) -> Volume:
    """The scan, with a UserWarning for each thing that is doubtful about it."""
    if isinstance(scan, (str, os.PathLike)):
        volume = read_volume(scan, nan=nan)
    else:
        image = isinstance(scan, nib.spatialimages.SpatialImage)
        volume = volume_of_image(scan if image else _image_of(scan, affine), nan=nan)
    for sentence in volume.told:
        warnings.warn(sentence, UserWarning, stacklevel=3)
    return volume


def _image_of(scan: Any, affine: np.ndarray | None) -> nib.Nifti1Image:
    given = np.asarray(scan)
    if given.dtype.kind not in "biuf":  # of a complex array NumPy would drop the phase
        raise UserError(f"An array of type {given.dtype} is no scan; give one real number a voxel.")
    data = np.ascontiguousarray(given, np.float32)
    if affine is None:
        warnings.warn("An array without an affine is taken as RAS+ with voxels of 1 mm.", UserWarning, stacklevel=4)
        affine = np.eye(4)
    return nib.Nifti1Image(data, affine)


def _as_given(scan: Any, volume: Volume, data: np.ndarray, affine: np.ndarray) -> Any:
    """The result as the kind that the scan was."""
    if not isinstance(scan, nib.spatialimages.SpatialImage):
        return data
    kind = nib.Nifti2Image if isinstance(volume.header, nib.Nifti2Header) else nib.Nifti1Image
    if np.array_equal(affine, volume.affine):
        header = volume.header.copy()
        header.set_data_dtype(np.float32)
        return kind(data, header.get_best_affine(), header)
    return kind(data, affine, new_header(affine))


def _joined(values: Any) -> str | None:
    if values is None or isinstance(values, str):
        return values
    return ",".join(map(str, values)) if isinstance(values, (list, tuple, np.ndarray)) else str(values)


def _text(model: Any) -> str | None:
    return None if model is None else os.fspath(model)
