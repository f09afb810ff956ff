"""mdcsrn-degrade: low-resolution scans from high-resolution ones, by keeping the centre of k-space."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from absl import flags
from tqdm import tqdm

from data_prep.recipe_flag import asked_recipe, define_recipe_flag
from data_prep.written_record import WrittenRecord
from mdcsrn_tf.cli.slice_flags import define_slice_flags, read_slice_settings
from mdcsrn_tf.command_line import run_command, warn
from mdcsrn_tf.errors import UserError
from mdcsrn_tf.names import digest_of
from mdcsrn_tf.run_record import plain
from mdcsrn_tf.scans import kspace
from mdcsrn_tf.scans.factors import parse_factors
from mdcsrn_tf.scans.find import each_series, is_result, place_below, refuse_other_formats, sha256_of_scan
from mdcsrn_tf.scans.slice_profile import profile_for
from mdcsrn_tf.scans.volumes import NIFTI_SUFFIXES, Volume, find_volumes, read_volume, resolve_axes, write_volume
from mdcsrn_tf.workers import available_cores

Pair = tuple[Path, Path]  # a scan and where it goes
RECORD = "degraded.json"
_HEADINGS = {
    "input": "Everyday",
    "slice_profile": "Thick slices",
    "noise_snr": "What else is done",
}


def define_flags(values: flags.FlagValues) -> None:
    """The flags of mdcsrn-degrade."""
    text = flags.DEFINE_string
    text(
        "input",
        None,
        "A scan (.nii, .nii.gz, .mgz, DICOM folder), a folder of scans or a list (.txt).",
        flag_values=values,
    )
    text("output", None, "The file to write (.nii or .nii.gz), or a folder if the input is one.", flag_values=values)
    text("axes", "LR,AP", "Phase-encoded axes, in anatomical terms or as array indices.", flag_values=values)
    text("factor", "2,2", "How much coarser each of the axes becomes.", flag_values=values)
    flags.DEFINE_enum(
        "grid",
        "same",
        ("same", "small"),
        "same: interpolated to the input's grid; small: the truncated matrix with its own affine.",
        flag_values=values,
    )
    define_recipe_flag(values, "--interpolation")
    flags.DEFINE_enum(
        "interpolation",
        None,
        kspace.METHODS,
        "How to come back to the grid; without it as the --recipe does, by sinc, or linearly in the papers'.",
        flag_values=values,
    )
    define_slice_flags(values)
    flags.DEFINE_float("noise_snr", None, "Add complex noise: signal over its standard deviation.", flag_values=values)
    flags.DEFINE_integer("seed", 0, "Decides the noise.", lower_bound=0, flag_values=values)
    text(
        "series",
        None,
        "Of DICOM folders: which series, by UID or a part of the description (default: all, each by itself); of "
        "files: by name.",
        flag_values=values,
    )
    flags.DEFINE_bool("overwrite", False, "Replace scans that are there already.", flag_values=values)
    flags.DEFINE_bool("quiet", False, "No progress bar and no word of what was written.", flag_values=values)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; its exit code."""
    return run_command("mdcsrn-degrade", __doc__ or "", define_flags, _run, argv, _HEADINGS)


def degrade_file(source: Path, target: Path, values: flags.FlagValues) -> None:
    """Degrade one scan as the flags say."""
    volume = read_volume(source, nan=0.0)
    warn("mdcsrn-degrade", volume.told)
    axes = resolve_axes(values.axes, volume.affine)
    factors = parse_factors(values.factor, values.axes)
    image = kspace.acquire(
        volume.data,
        factors,
        axes,
        noise_snr=values.noise_snr,
        rng=_rng(values.seed, _place(source, target, Path(values.output))),
        slices=_profile(volume, factors, axes, values),
        workers=available_cores(),
    )
    affine = None
    if values.grid == "small":
        affine = kspace.small_affine(volume.affine, factors, axes, volume.data.shape)
    else:
        image = kspace.interpolate(image, volume.data.shape, factors, axes, _method(values), workers=available_cores())
    target.parent.mkdir(parents=True, exist_ok=True)
    write_volume(target, image, volume, affine=affine)


def _method(values: flags.FlagValues) -> str:
    """The interpolation that is asked for, or else the recipe's."""
    return values.interpolation or asked_recipe(values).interpolation


def _profile(volume: Volume, factors: Sequence[int], axes: Sequence[int], values: flags.FlagValues):
    """The slice profile that the flags ask for in this scan, or None for k-space truncation."""
    settings = read_slice_settings(values)
    count = kspace.small_size(volume.data.shape[axes[0]], factors[0])
    try:
        return profile_for(settings, volume.data.shape, count, axes[0], volume.affine)
    except UserError as error:
        raise UserError(f"{volume.path}: {error}") from error


def _run(values: flags.FlagValues) -> int:
    if values.input is None or values.output is None:
        raise UserError("--input and --output are both needed.")
    if values.noise_snr is not None and not values.noise_snr > 0:
        raise UserError(f"--noise_snr={values.noise_snr} must be positive.")
    if values.grid == "small" and values.interpolation:
        raise UserError("--interpolation brings a scan back to its grid, and --grid=small does not: leave out one.")
    resolve_axes(values.axes, np.eye(4))
    parse_factors(values.factor, values.axes)
    read_slice_settings(values)
    planned = plan_outputs(Path(values.input), Path(values.output), values.series)
    record = _record(planned, Path(values.output), values)
    pairs = [pair for pair in planned if values.overwrite or not pair[1].exists()]
    if record and not values.overwrite:
        record.refuse_others([pair for pair in planned if pair[1].exists()])
    if planned[0][1] == Path(values.output) and not pairs:  # a file by its own name; of a folder it is passed over
        raise UserError(f"{planned[0][1]} is there already; --overwrite replaces it.")
    failed = 0
    for source, target in tqdm(pairs, unit="scan", disable=True if values.quiet or len(pairs) == 1 else None):
        try:
            degrade_file(source, target, values)
            if record:
                record.add(target, sha256_of_scan(source))
        except UserError as error:
            failed += 1
            print(f"mdcsrn-degrade: error: {error}", file=sys.stderr)
    if not values.quiet and (len(planned) > 1 or not failed):
        print(f"mdcsrn-degrade: {_written(planned, pairs, failed, values)}", file=sys.stderr)
    return 1 if failed else 0


def _record(planned: Sequence[Pair], output: Path, values: flags.FlagValues) -> WrittenRecord | None:
    """What the output folder says of the scans in it, and is to say of this run's; None for a file by itself."""
    if planned[0][1] == output:
        output = output.parent
        if not (output / RECORD).is_file():
            return None
    settings = {
        "axes": values.axes,
        "factor": list(parse_factors(values.factor, values.axes)),
        "grid": values.grid,
        "interpolation": _method(values) if values.grid == "same" else None,
        "slices": plain(read_slice_settings(values)),
        "noise_snr": values.noise_snr,
        "seed": values.seed if values.noise_snr else None,
    }
    return WrittenRecord(output / RECORD, settings)


def _written(planned: Sequence[Pair], pairs: Sequence[Pair], failed: int, values: flags.FlagValues) -> str:
    """What came of the run, in a sentence."""
    how = "the small matrix" if values.grid == "small" else f"{_method(values)} interpolation"
    factors = "x".join(map(str, parse_factors(values.factor, values.axes)))
    what = f"{factors} times coarser along {values.axes}, {how}"
    if len(planned) == len(pairs) == 1:
        return f"{planned[0][0].name} -> {planned[0][1]}: {what}"
    there = len(planned) - len(pairs)
    passed_over = f"; {there} were there already, --overwrite replaces them" if there else ""
    return f"{len(pairs) - failed} of {len(planned)} scans written: {what}{passed_over}"


def plan_outputs(source: Path, output: Path, series: str | None = None) -> list[tuple[Path, Path]]:
    """Which file becomes which: one to one, or a folder's tree below the output folder, as .nii.gz.

    series: of DICOM folders those with that UID or description, of files those with that in their name.
    """
    if source.name in ("", ".."):  # "." and "..": a DICOM series' result is called after the folder's own name
        source = source.resolve()
    scans = each_series(_without_earlier_results(find_volumes(source), source, output), source, series)
    if len(scans) == 1 and output.name.lower().endswith(NIFTI_SUFFIXES):
        return [_apart(scans[0][0], output)]
    if output.name.lower().endswith(NIFTI_SUFFIXES) or output.is_file():
        raise UserError(f"--output={output} is a file, but --input={source} holds {len(scans)} scans; name a folder.")
    refuse_other_formats(output)
    base = source if source.is_dir() and [path for path, _ in scans] != [source] else source.parent
    pairs = []
    for path, name in scans:
        inside = place_below(path, base)
        pairs.append(_apart(path, output / inside.with_name(f"{name}.nii.gz")))
    targets = [target for _, target in pairs]
    doubled = next((target for target in targets if targets.count(target) > 1), None)
    if doubled is not None:
        remedy = "put the list into a folder above both" if source.is_file() else "rename one"
        raise UserError(f"two scans of --input={source} would both become {doubled}; {remedy}.")
    return pairs


def _without_earlier_results(sources: list[Path], source: Path, output: Path) -> list[Path]:
    """The scans of a folder without what came of the others: mdcsrn-infer's results beside them, and what lies in an
    output folder within it. Results alone are taken, to see what was measured in them."""
    folder, results = source.resolve(), output.resolve()
    sources = [path for path in sources if not is_result(path)] or sources
    if folder not in results.parents:
        return sources
    scans = [path for path in sources if results not in (path.parent.resolve() / path.name).parents]
    if not scans:
        raise UserError(f"--input={source} holds scans in --output={output} alone; name another output.")
    return scans


def _apart(source: Path, target: Path) -> tuple[Path, Path]:
    same = os.path.realpath(source) == os.path.realpath(target)  # also where folders on the way are still to be made
    if same or (target.exists() and source.exists() and target.samefile(source)):
        raise UserError(f"--output would replace the scan {source}; name another place.")
    return source, target


def _place(source: Path, target: Path, output: Path) -> Path:
    """What tells a scan from the others of a run: its name, and the folder that its result has below `output`."""
    return Path(source.name) if target == output else target.parent.relative_to(output) / source.name


def _rng(seed: int, place: Path) -> np.random.Generator:
    """Noise that differs from scan to scan, and is the same for a scan in every run."""
    identity = int.from_bytes(digest_of(place.as_posix())[:8], "big")
    return np.random.default_rng([seed, identity])


if __name__ == "__main__":
    sys.exit(main())
