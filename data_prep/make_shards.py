"""mdcsrn-shards: scans to TFRecord shards of low- and high-resolution patches, and manifest.json."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags

from data_prep.recipe_flag import asked_recipe, define_recipe_flag
from data_prep.shard_folder import ShardFolder
from data_prep.shard_job import ShardJob, ShardSettings, is_source_of, run_job
from data_prep.shard_progress import collect, complete, summary
from data_prep.subjects import Scan, list_scans, lookalikes, phantom_scans
from data_prep.workers import run_local, run_on_cluster
from mdcsrn_tf.cli.slice_flags import define_slice_flags, read_slice_settings
from mdcsrn_tf.command_line import run_command
from mdcsrn_tf.errors import UserError
from mdcsrn_tf.files import sha256_of
from mdcsrn_tf.locks import only_run_in
from mdcsrn_tf.run_record import RunRecord
from mdcsrn_tf.scans.axes import resolve_axes
from mdcsrn_tf.scans.factors import parse_factors
from mdcsrn_tf.scans.normalisation import RULES
from mdcsrn_tf.workers import available_cores

_HEADINGS = {
    "input": "Everyday",
    "axes": "How scans are degraded",
    "patch": "What is cut from them",
    "workers": "How it is run",
}


def define_flags(values: flags.FlagValues) -> None:
    """The flags of mdcsrn-shards, the everyday ones first."""
    own: dict[str, Any] = {"flag_values": values}
    _define_scans(own)
    _define_degradation(own)
    define_slice_flags(values)
    _define_patches(own)
    _define_running(own)


def _define_scans(own: dict[str, Any]) -> None:
    """What is read and written, and who comes into which split."""
    text = flags.DEFINE_string
    text("input", None, "Folder, BIDS tree, list of paths (.txt) or one scan.", **own)
    text("output", None, "Folder of the shards and manifest.json.", **own)
    text(
        "series", None, "Of DICOM folders: which series, by UID or a part of the description; of files: by name.", **own
    )
    text(
        "split",
        "0.7,0.1,0.1,0.1",
        "train,validation,evaluation,test as fractions or as numbers of subjects, or a .tsv file with the columns "
        "subject and split.",
        **own,
    )
    decided = "--interpolation, --normalisation, --patch, --patches_per_subject and --min_foreground"
    define_recipe_flag(own["flag_values"], decided)
    flags.DEFINE_integer("phantoms", 0, "Make this many synthetic heads in place of --input.", lower_bound=0, **own)
    flags.DEFINE_bool("overwrite", False, "Replace shards of other settings.", **own)


def _define_degradation(own: dict[str, Any]) -> None:
    """How a scan becomes low-resolution, and by which rule both are brought to one scale."""
    text, choice = flags.DEFINE_string, flags.DEFINE_enum
    text("axes", "LR,AP", "Phase-encoded axes, in anatomical terms or as array indices.", **own)
    text("factor", "2,2", "How much coarser each of the axes becomes.", **own)
    choice(
        "interpolation",
        None,
        ("linear", "sinc"),
        "How the low-resolution image comes back to the grid; without it as the --recipe does.",
        **own,
    )
    choice(
        "normalisation",
        None,
        list(RULES),
        "The rule that brings scans to one scale; without it the --recipe's. tissue_level does not depend on the field "
        "of view; zscore_of_voxels_above_mean is the papers'.",
        **own,
    )


def _define_patches(own: dict[str, Any]) -> None:
    """What is cut from a scan."""
    number = flags.DEFINE_integer
    number("patch", None, "Edge of the cubic patches, voxels; without it the --recipe's.", lower_bound=4, **own)
    number("patches_per_subject", None, "Patches of a scan and epoch; without it the --recipe's.", lower_bound=1, **own)
    number("epochs_of_patches", 1, "How often training scans are drawn from anew.", lower_bound=1, **own)
    flags.DEFINE_float(
        "min_foreground",
        None,
        "Part of a patch that has to be brighter than the scan's mean; 0: patches lie anywhere. Without it the "
        "--recipe's.",
        lower_bound=0,
        upper_bound=1,
        **own,
    )
    number("seed", 0, "Decides the split and the patches.", lower_bound=0, **own)


def _define_running(own: dict[str, Any]) -> None:
    """Where and how the command runs."""
    flags.DEFINE_integer("workers", 0, "Processes; 0: one a core.", lower_bound=0, **own)
    flags.DEFINE_string("cluster", None, "Address of a Dask scheduler (tcp://...) to work on.", **own)
    flags.DEFINE_bool("quiet", False, "No progress bar.", **own)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; its exit code."""
    return run_command("mdcsrn-shards", __doc__ or "", define_flags, _run, argv, _HEADINGS)


def _run(values: flags.FlagValues) -> int:
    scans, root = _scans(values)
    settings = _settings(values)
    for sentence in lookalikes(scans):
        _warn(sentence)
    asked = {**settings.for_manifest(), "scans": [asdict(scan) for scan in scans]}
    record = RunRecord.begin({"settings": settings, "workers": values.workers, "cluster": values.cluster})
    folder = ShardFolder(Path(values.output))
    folder.refuse_file()
    with only_run_in(folder.path):
        return _fill(folder, asked, settings, scans, root, record, values)


def _settings(values: flags.FlagValues) -> ShardSettings:
    """What the flags ask for, and where they are silent the recipe."""
    recipe = asked_recipe(values)
    resolve_axes(values.axes, np.eye(4))  # a mistake is told once, and not of every scan
    return ShardSettings(
        patch=values.patch or recipe.patch_size,
        patches_per_subject=values.patches_per_subject or recipe.patches_per_subject,
        epochs_of_patches=values.epochs_of_patches,
        seed=values.seed,
        axes=values.axes.upper().replace(" ", ""),
        factor=parse_factors(values.factor, values.axes),
        interpolation=values.interpolation or recipe.interpolation,
        min_foreground=recipe.sample.min_foreground if values.min_foreground is None else values.min_foreground,
        normalisation=values.normalisation or recipe.normalisation,
        slices=read_slice_settings(values),
    )


def _fill(
    folder: ShardFolder,
    asked: dict[str, Any],
    settings: ShardSettings,
    scans: tuple[Scan, ...],
    root: Path,
    record: RunRecord,
    values: flags.FlagValues,
) -> int:
    """Make the shards that are missing in the folder, and the manifest."""
    folder.open(asked, overwrite=values.overwrite)
    done = _unchanged(folder.finished(), scans, root)
    missing = [scan for scan in scans if scan.name not in done]
    if not missing and folder.is_finished():
        return complete("mdcsrn-shards", values.output, done)
    jobs = [ShardJob(scan, str(root), settings, str(folder.path.absolute())) for scan in missing]
    skipped = _work(jobs, folder, done, values)
    if not done:
        raise UserError(f"none of the {len(scans)} scans could be read; the first: {skipped[0]['error']}")
    folder.finish(asked, done.values(), [{**entry, "error": _without(root, entry)} for entry in skipped])
    record.data = {"manifest_sha256": sha256_of(folder.manifest_path)}
    record.results = {"shards_made": len(missing) - len(skipped), "shards": len(done), "skipped": len(skipped)}
    record.write(folder.path / "run.json")
    return summary("mdcsrn-shards", values.output, done, skipped)


def _scans(values: flags.FlagValues) -> tuple[tuple[Scan, ...], Path]:
    if values.output is None:
        raise UserError("--output is missing: name a folder for the shards.")
    if (values.input is None) == (values.phantoms == 0):
        raise UserError("give either --input=SCANS or --phantoms=N.")
    if values.phantoms:
        return phantom_scans(values.phantoms, values.split, values.seed), Path()
    source = Path(values.input)
    scans = list_scans(source, values.split, values.seed, _warn, series=values.series)
    return scans, source.absolute() if source.is_dir() else source.absolute().parent


def _warn(sentence: str) -> None:
    print(f"mdcsrn-shards: warning: {sentence}", file=sys.stderr)


def _unchanged(done: dict[str, dict[str, Any]], scans: Sequence[Scan], root: Path) -> dict[str, dict[str, Any]]:
    for scan in scans:
        if scan.name in done and not is_source_of(done[scan.name], scan, str(root)):
            raise UserError(
                f"{root / scan.source} is not the file its shard was made of; put that back, or remove the "
                "output folder and start anew."
            )
    return done


def _work(
    jobs: list[ShardJob], folder: ShardFolder, done: dict[str, dict[str, Any]], values: flags.FlagValues
) -> list[dict[str, Any]]:
    """Run the jobs, note each finished shard in the folder and in `done`; return the skipped scans."""
    results: Iterator[dict[str, Any]]
    if values.cluster:
        results = run_on_cluster(run_job, jobs, values.cluster)
    else:
        results = run_local(run_job, jobs, values.workers or available_cores())
    return collect(results, folder, done, command="mdcsrn-shards", total=len(jobs), quiet=values.quiet)


def _without(root: Path, entry: dict[str, Any]) -> str:
    """The sentence with the source's path as the manifest gives it: manifests name no machine's folders."""
    return entry["error"].replace(str(root / entry["source"]), entry["source"])


if __name__ == "__main__":
    sys.exit(main())
