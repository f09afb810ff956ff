"""Scans as another field strength might give them: for studies of field translation without its data (ours).

    python -m data_prep.field_phantom --input=SCANS --output=FOLDER

writes FOLDER/high/NAME.nii.gz (the scan, 0 to 1 between its percentiles 0.1 and 99.9) and FOLDER/low/NAME.nii.gz:
another contrast curve, shading, half the resolution and Rician noise, on the small matrix. `mdcsrn-pairs
--match=volume` makes pairs of them. They are no 7T and 9.4T scans: two fields differ in more than a curve, and what
a network learns here it need not learn there.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from absl import flags

from data_prep.degrade import plan_outputs
from data_prep.phantom import make_phantom
from mdcsrn_tf.command_line import run_command
from mdcsrn_tf.errors import UserError
from mdcsrn_tf.names import digest_of
from mdcsrn_tf.scans import kspace
from mdcsrn_tf.scans.axes import to_ras
from mdcsrn_tf.scans.volumes import Volume, read_volume, write_volume

_AXES = (0, 1, 2)
_PERCENTILES = (0.1, 99.9)
_PHANTOM_SHAPE = (72, 80, 72)  # room for the 64-pixel patches of P inside the field that both scans have


@dataclass(frozen=True)
class FieldSettings:
    """How the low field differs."""

    factor: int = 2  # along every axis
    exponent: float = 1.4  # of the contrast curve on intensities from 0 to 1
    shading: float = 0.2  # at most this part, a quadratic in the coordinates
    noise: float = 0.02  # deviation of the complex noise's parts, of the bright tissue at 1


def high_field(scan: np.ndarray) -> np.ndarray:
    """The scan from 0 to 1 between its percentiles 0.1 and 99.9, clipped there; float32 on the same grid."""
    bottom, top = np.percentile(scan, _PERCENTILES)
    if not top > bottom:
        raise UserError("it has one value nearly everywhere; give a scan with contrast.")
    return np.clip((scan - bottom) / (top - bottom), 0, 1).astype(np.float32)


def low_field(high: np.ndarray, settings: FieldSettings, rng: np.random.Generator) -> np.ndarray:
    """What the other field gives of `high` (0 to 1): float32 on the small matrix of `kspace.small_shape`."""
    image = high**settings.exponent * shading(high.shape, settings.shading, rng)
    small = kspace.truncate(image, (settings.factor,) * 3, _AXES)
    parts = rng.standard_normal((2, *small.shape), dtype=np.float32) * np.float32(settings.noise)
    return np.hypot(small + parts[0], parts[1]).astype(np.float32)


def shading(shape: Sequence[int], strength: float, rng: np.random.Generator) -> np.ndarray:
    """A smooth field around 1, a quadratic in the coordinates, at most `strength` away from it; float32."""
    lines = [np.linspace(-1, 1, size, dtype=np.float32) for size in shape]
    slopes, bends = rng.uniform(-1, 1, (2, 3)).astype(np.float32)
    field = np.zeros(shape, np.float32)
    for axis, line in enumerate(lines):
        across = [1, 1, 1]
        across[axis] = -1
        field += (slopes[axis] * line + bends[axis] * (line**2 - 0.5)).reshape(across)
    return 1 + np.float32(strength) * field / np.abs(field).max()


def define_flags(values: flags.FlagValues) -> None:
    """The flags of the command."""
    text, number, real = flags.DEFINE_string, flags.DEFINE_integer, flags.DEFINE_float
    default = FieldSettings()
    text("input", None, "Scans: a file, a folder, a BIDS tree or a list (.txt).", flag_values=values)
    text("output", None, "Folder for the folders low and high.", flag_values=values)
    number("phantoms", 0, "Synthetic heads in place of --input.", lower_bound=0, flag_values=values)
    number("factor", default.factor, "How much coarser each axis becomes.", lower_bound=1, flag_values=values)
    real("exponent", default.exponent, "Of the contrast curve.", lower_bound=0.1, flag_values=values)
    real(
        "shading",
        default.shading,
        "The largest part by which it brightens or darkens.",
        lower_bound=0,
        upper_bound=0.9,
        flag_values=values,
    )
    real("noise", default.noise, "Of bright tissue.", lower_bound=0, flag_values=values)
    number("seed", 0, "Decides shading, noise and phantoms.", lower_bound=0, flag_values=values)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; its exit code."""
    return run_command("data_prep.field_phantom", __doc__ or "", define_flags, _run, argv)


def _run(values: flags.FlagValues) -> int:
    if values.output is None or (values.input is None) == (values.phantoms == 0):
        raise UserError("give --output, and either --input or --phantoms.")
    settings, output = FieldSettings(values.factor, values.exponent, values.shading, values.noise), Path(values.output)
    if values.phantoms:
        for number in range(1, values.phantoms + 1):
            head = make_phantom(_PHANTOM_SHAPE, 1000 * values.seed + number, noise=0.005)
            header = nib.Nifti1Image(head, np.eye(4)).header
            name = f"phantom-{number:04d}"
            scan = Volume(head, np.eye(4), Path(name), header, head.dtype)
            write_fields(output, name, scan, settings, values.seed)
        return 0
    for path, target in plan_outputs(Path(values.input), output / "high"):
        name = target.relative_to(output / "high").as_posix().removesuffix(".nii.gz")
        write_fields(output, name, read_volume(path), settings, values.seed)
    return 0


def write_fields(output: Path, name: str, scan: Volume, settings: FieldSettings, seed: int) -> None:
    """Both fields of one scan; its name, which may begin with folders, and the seed decide shading and noise."""
    data, affine = to_ras(scan.data, scan.affine)
    try:
        high = high_field(data)
    except UserError as error:
        raise UserError(f"{scan.path}: {error}") from error
    identity = int.from_bytes(digest_of(name)[:8], "big")
    small = low_field(high, settings, np.random.default_rng([seed, identity]))
    small_affine = kspace.small_affine(affine, (settings.factor,) * 3, _AXES, high.shape)
    for kind, image, where in (("high", high, affine), ("low", small, small_affine)):
        target = output / kind / f"{name}.nii.gz"
        target.parent.mkdir(parents=True, exist_ok=True)
        write_volume(target, image, scan, affine=where)


if __name__ == "__main__":
    sys.exit(main())
