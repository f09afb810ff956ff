"""mdcsrn-variants: the scans of a training set as they are, skull-stripped, in an inverted contrast, and turned.

A network sees in use what its makers did not have: other contrasts, heads without their skull, other phase-encoded
axes. The high-resolution scan is changed, before it is degraded, so the two images of a pair belong together exactly.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
from absl import flags
from tqdm import tqdm

from data_prep.brain import brain_mask
from data_prep.degrade import plan_outputs
from data_prep.subjects import VARIANTS
from data_prep.written_record import WrittenRecord
from mdcsrn_tf.command_line import run_command, warn
from mdcsrn_tf.errors import UserError
from mdcsrn_tf.scans.find import sha256_of_scan, stem_of
from mdcsrn_tf.scans.volumes import NIFTI_SUFFIXES, Volume, read_volume, to_ras, write_volume

RECORD = "variants.json"  # which scan each variant of the folder came of
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
    flags.DEFINE_bool("overwrite", False, "Replace variants that are there already.", flag_values=values)
    flags.DEFINE_bool("quiet", False, "No progress bar and no word of what was written.", flag_values=values)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; its exit code."""
    return run_command("mdcsrn-variants", __doc__ or "", define_flags, _run, argv)


def _run(values: flags.FlagValues) -> int:
    output, kinds = _checked(values), list(dict.fromkeys(values.kinds))
    pairs = _planned(Path(values.input), output)
    record = WrittenRecord(output / RECORD, {})
    everything = [(source, place_of(target, kind)) for source, target in pairs for kind in kinds]
    there = [] if values.overwrite else [(source, place) for source, place in everything if place.exists()]
    record.refuse_others(there)
    kept = {place for _, place in there}
    written = failed = 0
    for source, target in tqdm(pairs, unit="scan", disable=values.quiet or None):
        wanted = [kind for kind in kinds if place_of(target, kind) not in kept]
        try:
            for _ in write_variants(source, target, wanted, record):
                written += 1
        except UserError as error:
            failed += 1
            print(f"mdcsrn-variants: error: {error}", file=sys.stderr)
    if not values.quiet:
        passed_over = f"; {len(kept)} were there already, --overwrite replaces them" if kept else ""
        print(f"mdcsrn-variants: {written} of {len(everything)} variants written{passed_over}", file=sys.stderr)
    return 1 if failed else 0


def _checked(values: flags.FlagValues) -> Path:
    """The output folder; UserError for flags that make no sense."""
    if not values.input or not values.output:
        raise UserError("--input and --output are both needed.")
    if not values.kinds or not set(values.kinds) <= set(VARIANTS):
        raise UserError(f"--kinds={','.join(values.kinds)} must be some of {', '.join(VARIANTS)}.")
    output = Path(values.output)
    if output.is_file() or output.name.lower().endswith(NIFTI_SUFFIXES):
        raise UserError(f"--output={output} is a file; name a folder.")
    return output


def _planned(source: Path, output: Path) -> list[tuple[Path, Path]]:
    pairs = plan_outputs(source, output)
    beside = next((scan for scan, target in pairs if scan.parent.resolve() == target.parent.resolve()), None)
    if beside:
        raise UserError(f"--output would put the variants beside the scan {beside}; name another folder.")
    return pairs


def place_of(target: Path, kind: str) -> Path:
    """Where a variant goes: for `sub-01_T1w.nii.gz`, `sub-01_T1w_brain.nii.gz` and so on."""
    return target.with_name(f"{stem_of(target.name)}_{kind}.nii.gz")


def write_variants(
    source: Path, target: Path, kinds: Sequence[str], record: WrittenRecord | None = None
) -> Iterator[Path]:
    """Write the scan's variants beside `target`, each when it is asked for, and put it into `record`; their paths."""
    if not kinds:
        return
    volume, checksum = read_volume(source, nan=0.0), sha256_of_scan(source) if record else ""
    warn("mdcsrn-variants", volume.told)
    target.parent.mkdir(parents=True, exist_ok=True)
    for kind, data, like in variants_of(volume, kinds):
        place = place_of(target, kind)
        write_volume(place, data, like)
        if record:
            record.add(place, checksum)
        yield place


def variants_of(volume: Volume, kinds: Sequence[str]) -> Iterator[tuple[str, np.ndarray, Volume]]:
    """Each kind with its voxels, and a scan that lies as they do; UserError where no brain is found for the masked
    ones, which come last."""
    if "original" in kinds:
        yield "original", volume.data, volume
    for kind in TURNS:
        if kind in kinds:
            data, affine = turned(volume, TURNS[kind])
            yield kind, data, replace(volume, header=nib.Nifti1Image(data, affine).header, affine=affine)
    made = [kind for kind in MAKERS if kind in kinds]
    if not made:
        return
    try:
        mask = brain_mask(volume.data, np.linalg.norm(volume.affine[:3, :3], axis=0))
    except UserError as error:
        raise UserError(f"{volume.path}: {error}") from error
    for kind in made:
        yield kind, MAKERS[kind](volume.data, mask), volume


if __name__ == "__main__":
    sys.exit(main())
