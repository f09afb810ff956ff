"""`mdcsrn-infer`: super-resolve a scan, a folder of scans or a BIDS dataset."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absl import flags

from mdcsrn_tf.command_line import in_own_process, run_command
from mdcsrn_tf.errors import UserError
from mdcsrn_tf.files import check_writable, remove_abandoned

if TYPE_CHECKING:
    from mdcsrn_tf.inference.folder import Run
    from mdcsrn_tf.inference.outputs import Job

NAME = "mdcsrn-infer"
DESCRIPTION = """Super-resolve a scan (.nii, .nii.gz, .mgz, DICOM folder), a folder of scans, a list (.txt) or BIDS.

The result lies exactly on its input, in the same intensity units. Which axes were interpolated, how and by how much
is found from the header and from k-space, and the network is chosen by it; --grid, --axes, --factor and --model
override."""

HEADINGS = {
    "input": "Everyday",
    "grid": "What the scan is, where it is not to be found out",
    "tile": "How the network is run over it",
    "plane": "Networks on slices",
    "consistency": "What is written",
    "batch_tiles": "Speed and place",
    "list_models": "Else",
}


def define_flags(values: flags.FlagValues) -> None:
    """What to read and write, by which network, and how; the everyday ones first."""
    own: dict[str, Any] = {"flag_values": values}
    _define_everyday(own)
    _define_scan(own)
    _define_tiles(own)
    _define_slices(own)
    _define_result(own)
    _define_running(own)


def _define_everyday(own: dict[str, Any]) -> None:
    """Input and output, the network, and what to do about results."""
    text, switch = flags.DEFINE_string, flags.DEFINE_bool
    text("input", None, "A scan, a folder of scans, a BIDS dataset or a list of paths (.txt).", short_name="i", **own)
    text("output", None, "The file to write (.nii or .nii.gz), or a folder.", short_name="o", **own)
    text(
        "model",
        None,
        "A bundled network's name, a .keras file or a SavedModel folder; default: the first bundled "
        "network that was trained for such scans (for thick slices with interpolated planes two). fast-b4u4k16 takes a "
        "third of the default's time.",
        **own,
    )
    switch("qc", False, "Draw a picture beside each result (also of finished ones).", **own)
    switch("self_check", False, "Degrade the scan once more, and tell whether the network beats sinc there.", **own)
    switch("overwrite", False, "Replace results that are there already.", **own)
    switch("force", False, "Also super-resolve what the scan or the model card speaks against.", **own)


def _define_scan(own: dict[str, Any]) -> None:
    """What is found out of the scan unless it is said."""
    text = flags.DEFINE_string
    flags.DEFINE_enum(
        "grid",
        "auto",
        ["auto", "same", "small"],
        "same: the scan is interpolated to the target grid already; "
        "small: it is the scanner's matrix and is interpolated first; auto: found out.",
        **own,
    )
    text("axes", None, "The degraded axes, anatomical or indices, as LR,AP (default: found out).", **own)
    text("factor", None, "By how much each of them is to grow, as 2,2 (default: found out).", **own)
    text(
        "series",
        None,
        "Of DICOM folders: the series with this SeriesInstanceUID, or with this in their description (default: all, "
        "each by itself); of files: those with this in their name.",
        **own,
    )
    text("participant_label", None, "Of a BIDS dataset: the subjects, as 01,02 (default: all).", **own)
    text("volume", "all", "Of a 4-D file: the number of a volume, from 0, or all.", **own)
    text("nan", "0", "What takes the place of NaN outside the head; refuse: scans with NaN are not read.", **own)


def _define_tiles(own: dict[str, Any]) -> None:
    """How the network is run over the scan."""
    switch, choice, number = flags.DEFINE_bool, flags.DEFINE_enum, flags.DEFINE_integer
    number("tile", None, "Edge of the tiles, in voxels (default: the model card's, 70 in the paper).", **own)
    number("margin", None, "Voxels of a tile's border that are not kept (default: the card's, 3 in the paper).", **own)
    choice(
        "bn",
        None,
        ["batch", "moving"],
        "Batch normalisation by each tile's own statistics, as in the paper, or by "
        "the trained ones (default: the card's).",
        **own,
    )
    switch(
        "seamless",
        False,
        "A result that does not depend on the tiles: trained statistics, and a margin of the "
        "network's receptive field.",
        **own,
    )
    choice(
        "ensemble",
        "1",
        ["1", "2", "4", "8"],
        "The mean of the results of so many mirror images of the scan, itself among them (along the network's first "
        "axis, two, or all), in so many times the time.",
        **own,
    )


def _define_slices(own: dict[str, Any]) -> None:
    """How a network on slices is run over the scan."""
    choice, number = flags.DEFINE_enum, flags.DEFINE_integer
    choice(
        "plane",
        None,
        ["axial", "coronal", "sagittal", "mean3", "card"],
        "Of slice networks: the planes to cut in (default: the card's).",
        **own,
    )
    number("stride", None, "Of slice networks: pixels between tiles that are averaged (default: the card's).", **own)
    choice(
        "merge",
        None,
        ["core", "mean"],
        "Of slice networks: tiles side by side, or averaged (default: the card's).",
        **own,
    )


def _define_result(own: dict[str, Any]) -> None:
    """What is written."""
    switch, choice = flags.DEFINE_bool, flags.DEFINE_enum
    switch("consistency", False, "Put the measured centre of k-space back into the result.", **own)
    switch(
        "undo_filter",
        False,
        "Take back the window by which the scanner weighted k-space (Hamming's and others), where the scan shows one.",
        **own,
    )
    flags.DEFINE_string(
        "detail",
        "1",
        "How strong the detail that was not measured is: 1 as the network restores it, auto with about an original's "
        "power, as the scan itself tells, and more error, 0 none; or another number up to 4.",
        **own,
    )
    choice("dtype", "float32", ["float32", "same"], "The voxels on disk: float32, or as the input stores them.", **own)
    switch(
        "keep_header_text",
        False,
        "Keep the input's free header text and extensions, which may name the patient.",
        **own,
    )
    switch("qc_seams", False, "Mark the borders of the tiles in the picture.", **own)


def _define_running(own: dict[str, Any]) -> None:
    """What computes the result, and what is printed meanwhile."""
    switch, choice = flags.DEFINE_bool, flags.DEFINE_enum
    flags.DEFINE_integer(
        "batch_tiles",
        1,
        "Tiles at a time, for GPUs; never changes the result. On a processor it saves no time where each tile has its "
        "own statistics (--bn=batch).",
        lower_bound=1,
        **own,
    )
    choice(
        "precision",
        "float32",
        ["float32", "tensorfloat32", "bfloat16", "int8"],
        "Of the convolutions. bfloat16 is faster on newer processors, int8 (with --engine=openvino) on most; what they "
        "cost is in docs/results.md. tensorfloat32 is for GPUs.",
        **own,
    )
    choice("device", "auto", ["auto", "cpu", "gpu"], "Where TensorFlow runs.", **own)
    choice("engine", "tensorflow", ["tensorflow", "openvino"], "What runs the network.", **own)
    switch("list_models", False, "Print a line about each bundled network, the default first, and end.", **own)
    switch("quiet", False, "No progress and no log lines, only errors.", **own)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; its exit code."""
    return run_command(NAME, DESCRIPTION, define_flags, run, argv, HEADINGS)


def run(values: flags.FlagValues, name: str = NAME) -> int:
    """What the flags ask for, logged by that name; the exit code."""
    if values.list_models:
        from mdcsrn_tf.weights import describe, list_models

        print("\n".join(describe(name) for name in list_models()))
        return 0
    if not values.input or not values.output:
        raise UserError("--input and --output are both needed.")
    from mdcsrn_tf.cli.console import Console
    from mdcsrn_tf.inference.outputs import plan
    from mdcsrn_tf.weights import find_model

    find_model(values.model)  # a name that is none leaves no folder behind
    output = Path(values.output)
    jobs = _of_subjects(plan(Path(values.input), output, values.series), values.participant_label)
    asked = _run_of(values)
    _check_folder(jobs[0].target.parent)
    for folder in {job.target.parent for job in jobs}:
        remove_abandoned(folder)
    failed = asked.over(jobs, Console(name, values.quiet))
    datasets = {job.bids_root for job in jobs if job.bids_root}
    if datasets and len(failed) < len(jobs):
        from mdcsrn_tf.inference.outputs import write_dataset_description

        write_dataset_description(output, datasets)
    if failed:
        sentences = "".join(f"\n  {_named(job, reason)}" for job, reason in failed)
        print(f"{name}: error: {len(failed)} of {len(jobs)} scans failed:{sentences}", file=sys.stderr)
    return 1 if failed else 0


def _named(job: Job, reason: str) -> str:
    """The reason with its scan before it; most sentences begin so."""
    if job.series:
        return f"{job.series} ({job.source}): {reason}"
    return reason if reason.startswith(str(job.source)) else f"{job.source}: {reason}"


def _of_subjects(jobs, labels: str | None):
    """The jobs of those subjects of a BIDS dataset."""
    if labels is None:
        return jobs
    wanted = {f"sub-{label.strip().removeprefix('sub-')}" for label in labels.split(",")}
    missing = sorted(wanted - {_subject(job.source) for job in jobs})
    if missing:
        raise UserError(f"--participant_label={labels} names {', '.join(missing)}, which the dataset has not.")
    return [job for job in jobs if _subject(job.source) in wanted]


def _subject(scan: Path) -> str:
    """The folder of its subject: the nearest that is called so, as a dataset may lie within another's."""
    around = scan.parts if scan.is_dir() else scan.parts[:-1]
    return next((part for part in reversed(around) if part.startswith("sub-")), "")


def _run_of(values: flags.FlagValues) -> Run:
    """What the library is asked to do, by the flags; these are checked as far as no scan is needed for it."""
    from mdcsrn_tf.cli.infer_settings import network_settings, scan_settings
    from mdcsrn_tf.inference.folder import Run

    _check_axes(values)
    return Run(values.model, network_settings(values), scan_settings(values), values.overwrite, _prepare)


def _check_axes(values: flags.FlagValues) -> None:
    import numpy as np

    from mdcsrn_tf.scans.axes import resolve_axes
    from mdcsrn_tf.scans.factors import parse_factors

    if values.axes is not None:
        resolve_axes(values.axes, np.eye(4))
    if values.factor and values.axes:
        parse_factors(values.factor, values.axes)


def _prepare(engine: str) -> None:
    """What is to be done before a network is loaded. OpenVINO does without TensorFlow, and most files without Keras."""
    from mdcsrn_tf.chatter import load_tensorflow_quietly
    from mdcsrn_tf.inference.memory import keep_freed_memory

    keep_freed_memory()
    if engine == "tensorflow":
        load_tensorflow_quietly(own_process=in_own_process(), with_keras=False)


def _check_folder(folder: Path) -> None:
    """Find out that nothing can be written before hours of work, not after."""
    try:
        check_writable(folder)
    except OSError as error:
        raise UserError(f"Nothing can be written to {folder} ({error.strerror}); name another --output.") from error
