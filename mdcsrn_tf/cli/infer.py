"""`mdcsrn-infer`: super-resolve a scan, a folder of scans or a BIDS dataset."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from absl import flags

from mdcsrn_tf.command_line import run_command
from mdcsrn_tf.errors import UserError
from mdcsrn_tf.files import check_writable, remove_abandoned

NAME = "mdcsrn-infer"
DESCRIPTION = """Super-resolve a scan (.nii, .nii.gz, .mgz, DICOM folder), a folder of scans, a list (.txt) or BIDS.

The result lies exactly on its input, in the same intensity units. Which axes were interpolated, how and by how much
is found from the header and from k-space, and the network is chosen by it; --grid, --axes, --factor and --model
override."""


HEADINGS = {
    "input": "Everyday",
    "grid": "What the scan is, where it is not to be found out",
    "tile": "How the network is run over it",
    "dtype": "What is written",
    "batch_tiles": "Speed and place",
    "plane": "Networks on slices",
    "list_models": "Else",
}


def define_flags(values: flags.FlagValues) -> None:
    """What to read and write, by which network, and how; the everyday ones first."""
    own: dict[str, Any] = {"flag_values": values}
    _define_everyday(own)
    _define_network(own)
    _define_running(own)


def _define_everyday(own: dict[str, Any]) -> None:
    """Input and output, and what is found out unless it is said."""
    text, switch, choice = flags.DEFINE_string, flags.DEFINE_bool, flags.DEFINE_enum
    text("input", None, "A scan, a folder of scans, a BIDS dataset or a list of paths (.txt).", short_name="i", **own)
    text("output", None, "The file to write (.nii or .nii.gz), or a folder.", short_name="o", **own)
    text(
        "model",
        None,
        "A bundled network's name, a .keras file or a SavedModel folder; default: the first bundled "
        "network that was trained for such scans.",
        **own,
    )
    switch("qc", False, "Draw a picture beside each result (also of finished ones).", **own)
    switch("self_check", False, "Degrade the scan once more, and tell whether the network beats sinc there.", **own)
    switch("overwrite", False, "Replace results that are there already.", **own)
    switch("force", False, "Also super-resolve what the scan or the model card speaks against.", **own)
    choice(
        "grid",
        "auto",
        ["auto", "same", "small"],
        "same: the scan is interpolated to the target grid already; "
        "small: it is the scanner's matrix and is interpolated first; auto: found out.",
        **own,
    )
    text("axes", None, "The degraded axes, anatomical or indices, as LR,AP (default: found out).", **own)
    text("factor", None, "By how much each of them is to grow, as 2,2 (default: found out).", **own)
    text("series", None, "SeriesInstanceUID, where a DICOM folder holds several.", **own)
    text("participant_label", None, "Of a BIDS dataset: the subjects, as 01,02 (default: all).", **own)
    text("volume", "all", "Of a 4-D file: the number of a volume, from 0, or all.", **own)
    text("nan", "0", "What takes the place of NaN outside the head; refuse: scans with NaN are not read.", **own)


def _define_network(own: dict[str, Any]) -> None:
    """How the network is run over the scan."""
    switch, choice, number = flags.DEFINE_bool, flags.DEFINE_enum, flags.DEFINE_integer
    number("tile", None, "Edge of the cubes, in voxels (default: the model card's, 70 in the paper).", **own)
    number("margin", None, "Voxels of a cube's border that are not kept (default: the card's, 3 in the paper).", **own)
    choice(
        "bn",
        None,
        ["batch", "moving"],
        "Batch normalisation by each cube's own statistics, as in the paper, or by "
        "the trained ones (default: the card's).",
        **own,
    )
    switch(
        "seamless",
        False,
        "A result that does not depend on the cubes: trained statistics, and a margin of the "
        "network's receptive field.",
        **own,
    )
    choice(
        "ensemble",
        "1",
        ["1", "2"],
        "2: the mean of the scan's result and of its mirror image's, in twice the time.",
        **own,
    )
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


def _define_running(own: dict[str, Any]) -> None:
    """The result, and what computes it."""
    switch, choice, number = flags.DEFINE_bool, flags.DEFINE_enum, flags.DEFINE_integer
    switch("consistency", False, "Put the measured centre of k-space back into the result.", **own)
    choice("dtype", "float32", ["float32", "same"], "The voxels on disk: float32, or as the input stores them.", **own)
    switch(
        "keep_header_text",
        False,
        "Keep the input's free header text and extensions, which may name the patient.",
        **own,
    )
    switch("qc_seams", False, "Mark the borders of the cubes in the picture.", **own)
    number(
        "batch_tiles",
        1,
        "Cubes at a time; never changes the result, and saves no time where each cube "
        "has its own statistics (--bn=batch).",
        lower_bound=1,
        **own,
    )
    choice("precision", "float32", ["float32", "tensorfloat32", "bfloat16"], "Of the convolutions.", **own)
    choice("device", "auto", ["auto", "cpu", "gpu"], "Where TensorFlow runs.", **own)
    choice("engine", "tensorflow", ["tensorflow", "openvino"], "What runs the network.", **own)
    switch("list_models", False, "Print a line about each bundled network, the default first, and end.", **own)
    switch("quiet", False, "No progress and no log lines, only errors.", **own)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; its exit code."""
    return run_command(NAME, DESCRIPTION, define_flags, run, argv, HEADINGS)


def run(values: flags.FlagValues) -> int:
    """What the flags ask for; the exit code."""
    if values.list_models:
        from mdcsrn_tf.weights import describe, list_models

        print("\n".join(describe(name) for name in list_models()))
        return 0
    if not values.input or not values.output:
        raise UserError("--input and --output are both needed.")
    from mdcsrn_tf.cli.console import Console
    from mdcsrn_tf.inference.outputs import plan

    output = Path(values.output)
    jobs = _of_subjects(plan(Path(values.input), output), values.participant_label)
    _check_folder(jobs[0].target.parent)
    for folder in {job.target.parent for job in jobs}:
        remove_abandoned(folder)
    failed = _asked(values).over(jobs, Console(NAME, values.quiet))
    if any(job.bids_root for job in jobs) and len(failed) < len(jobs):
        from mdcsrn_tf.inference.outputs import write_dataset_description

        write_dataset_description(output if output.is_dir() else output.parent)
    if failed:
        names = "".join(f"\n  {job.source}: {reason}" for job, reason in failed)
        print(f"{NAME}: error: {len(failed)} of {len(jobs)} scans failed:{names}", file=sys.stderr)
    return 1 if failed else 0


def _of_subjects(jobs, labels: str | None):
    """The jobs of those subjects of a BIDS dataset."""
    if not labels:
        return jobs
    wanted = {f"sub-{label.strip().removeprefix('sub-')}" for label in labels.split(",")}
    missing = sorted(wanted - {part for job in jobs for part in job.source.parts})
    if missing:
        raise UserError(f"--participant_label names {', '.join(missing)}, which the dataset has not.")
    return [job for job in jobs if wanted & set(job.source.parts)]


def _asked(values: flags.FlagValues):
    """The flags, checked as far as no scan is needed for it, as what the library is asked to do."""
    import numpy as np

    from mdcsrn_tf.inference.folder import Run
    from mdcsrn_tf.inference.settings import ScanSettings, Settings
    from mdcsrn_tf.scans.axes import resolve_axes
    from mdcsrn_tf.scans.factors import parse_factors

    if values.axes is not None:
        resolve_axes(values.axes, np.eye(4))
    if values.factor and values.axes:
        parse_factors(values.factor, values.axes)
    settings = Settings(
        tile=values.tile,
        margin=values.margin,
        bn=values.bn,
        seamless=values.seamless,
        ensemble=int(values.ensemble),
        batch_tiles=values.batch_tiles,
        precision=values.precision,
        device=values.device,
        engine=values.engine,
        plane=values.plane,
        stride=values.stride,
        merge=values.merge,
    )
    wanted = ScanSettings(
        grid=values.grid,
        axes=values.axes,
        factor=values.factor,
        force=values.force,
        consistency=values.consistency,
        self_check=values.self_check,
        dtype=values.dtype,
        qc=values.qc or values.qc_seams,
        qc_seams=values.qc_seams,
        series=values.series,
        volume=values.volume,
        nan=_number(values.nan),
        keep_header_text=values.keep_header_text,
    )
    return Run(values.model, settings, wanted, values.overwrite, _load_tensorflow)


def _number(nan: str) -> float | None:
    try:
        return None if nan == "refuse" else float(nan)
    except ValueError:
        raise UserError(f"--nan={nan} is neither a number nor refuse.") from None


def _load_tensorflow() -> None:
    from mdcsrn_tf.chatter import load_tensorflow_quietly
    from mdcsrn_tf.inference.memory import keep_freed_memory

    keep_freed_memory()
    load_tensorflow_quietly()


def _check_folder(folder: Path) -> None:
    """Find out that nothing can be written before hours of work, not after."""
    try:
        check_writable(folder)
    except OSError as error:
        raise UserError(f"Nothing can be written to {folder} ({error.strerror}); name another --output.") from error
