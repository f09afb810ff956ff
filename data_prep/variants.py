"""mdcsrn-variants: the scans of a training set as they are, skull-stripped, in an inverted contrast, and turned.

A network sees in use what its makers did not have: other contrasts, heads without their skull, other phase-encoded
axes. The high-resolution scan is changed, before it is degraded, so the two images of a pair belong together exactly.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
from absl import flags
from tqdm import tqdm

from data_prep.brain import brain_mask
from data_prep.degrade import plan_outputs
from data_prep.subjects import VARIANTS
from mdcsrn_tf.command_line import run_command, warn
from mdcsrn_tf.errors import UserError
from mdcsrn_tf.scans.find import stem_of
from mdcsrn_tf.scans.volumes import NIFTI_SUFFIXES, Volume, read_volume, to_ras, write_volume

_WHITE_PERCENTILE = 99.5  # of the brain's voxels: brighter ones are vessels, and become black


def brain_only(scan: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The scan with a hard edge to zero around the brain, which the boolean `mask` on the scan's grid is."""
    return np.where(mask, scan, 0)


def inverted(scan: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The brain (`mask`, on the scan's grid) with dark for bright, zero around it, in the scan's unit.

    Fluid, grey and white matter then have the order that they have in T2-weighted scans.
    """
    white = np.percentile(scan[mask], _WHITE_PERCENTILE)
    return np.where(mask, np.maximum(white - scan, 0), 0)


# Turned scans: which of the RAS+ axes lies along left-right, anterior-posterior and inferior-superior. Degraded along
# LR and AP, they show the network what scans degraded along the other pairs of axes look like.
TURNS = {"ap-is": (0, 2, 1), "lr-is": (2, 1, 0)}
MAKERS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {"brain": brain_only, "inverted": inverted}


def turned(volume: Volume, order: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """The scan in RAS+ with its axes in that order, and an affine under which the person lies so: an axis keeps its
    voxel size and takes the other's direction."""
    data, affine = to_ras(volume.data, volume.affine)
    places = [*order, 3]
    return np.ascontiguousarray(data.transpose(order)), affine[places][:, places]


def define_flags(values: flags.FlagValues) -> None:
    """The flags of mdcsrn-variants."""
    flags.DEFINE_string(
        "input",
        None,
        "Training scans (T1-weighted, skull on, for brain and inverted): a folder, a list (.txt) or a scan.",
        flag_values=values,
    )
    flags.DEFINE_string(
        "output", None, "The folder to write to; a variant's name ends with its kind.", flag_values=values
    )
    flags.DEFINE_list("kinds", ["original", *MAKERS], f"Which of {', '.join(VARIANTS)} to write.", flag_values=values)
    flags.DEFINE_bool("quiet", False, "No progress bar.", flag_values=values)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; its exit code."""
    return run_command("mdcsrn-variants", __doc__ or "", define_flags, _run, argv)


def _run(values: flags.FlagValues) -> int:
    if not values.input or not values.output:
        raise UserError("--input and --output are both needed.")
    if not values.kinds or not set(values.kinds) <= set(VARIANTS):
        raise UserError(f"--kinds={','.join(values.kinds)} must be some of {', '.join(VARIANTS)}.")
    output = Path(values.output)
    if output.is_file() or output.name.lower().endswith(NIFTI_SUFFIXES):
        raise UserError(f"--output={output} is a file; name a folder.")
    pairs = plan_outputs(Path(values.input), output)
    beside = next((source for source, target in pairs if source.parent.resolve() == target.parent.resolve()), None)
    if beside:
        raise UserError(f"--output would put the variants beside the scan {beside}; name another folder.")
    failed = 0
    for source, target in tqdm(pairs, unit="scan", disable=values.quiet or None):
        try:
            write_variants(source, target, values.kinds)
        except UserError as error:
            failed += 1
            print(f"mdcsrn-variants: error: {error}", file=sys.stderr)
    return 1 if failed else 0


def write_variants(source: Path, target: Path, kinds: Sequence[str]) -> None:
    """Write the scan's variants beside `target`: for `sub-01_T1w.nii.gz`, `sub-01_T1w_brain.nii.gz` and so on."""
    volume = read_volume(source, nan=0.0)
    warn("mdcsrn-variants", volume.told)
    places = {kind: target.with_name(f"{stem_of(target.name)}_{kind}.nii.gz") for kind in kinds}
    target.parent.mkdir(parents=True, exist_ok=True)
    if "original" in kinds:
        write_volume(places["original"], volume.data, volume)
    for kind in TURNS:
        if kind in kinds:
            data, affine = turned(volume, TURNS[kind])
            header = nib.Nifti1Image(data, affine).header
            write_volume(places[kind], data, replace(volume, header=header, affine=affine))
    made = [kind for kind in MAKERS if kind in kinds]
    if not made:
        return
    try:
        mask = brain_mask(volume.data, np.linalg.norm(volume.affine[:3, :3], axis=0))
    except UserError as error:
        raise UserError(f"{source}: {error}") from error
    for kind in made:
        write_volume(places[kind], MAKERS[kind](volume.data, mask), volume)


if __name__ == "__main__":
    sys.exit(main())
