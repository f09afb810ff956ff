"""`mdcsrn-infer`: super-resolve a scan, a folder of scans or a BIDS dataset."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from absl import flags

from mdcsrn_tf.command_line import run_command
from mdcsrn_tf.errors import UserError

NAME = "mdcsrn-infer"
DESCRIPTION = """Super-resolve a scan (.nii, .nii.gz, .mgz, DICOM folder), a folder of scans, a list (.txt) or BIDS.

The result lies exactly on its input, in the same intensity units."""


def define_flags(values: flags.FlagValues) -> None:
    """What to read and write, by which network, and how."""
    own: dict[str, Any] = {"flag_values": values}
    text, switch, choice, number = flags.DEFINE_string, flags.DEFINE_bool, flags.DEFINE_enum, flags.DEFINE_integer
    text("input", None, "A scan, a folder of scans, a BIDS dataset or a list of paths (.txt).", **own)
    text("output", None, "The file to write (.nii or .nii.gz), or a folder.", **own)
    text("model", None, "A bundled network's name, a .keras file or a SavedModel folder; default: the first bundled "
         "network.", **own)  # fmt: skip
    number("tile", None, "Edge of the cubes, in voxels (default: the model card's, 70 in the paper).", **own)
    number("margin", None, "Voxels of a cube's border that are not kept (default: the card's, 3 in the paper).", **own)
    choice("bn", None, ["batch", "moving"], "Batch normalisation by each cube's own statistics, as in the paper, or by "
           "the trained ones (default: the card's).", **own)  # fmt: skip
    switch("seamless", False, "A result that does not depend on the cubes: trained statistics, and a margin of the "
           "network's receptive field.", **own)  # fmt: skip
    choice("grid", "same", ["same", "small"], "same: the scan is interpolated to the target grid already; small: it is "
           "the scanner's matrix and is interpolated first.", **own)  # fmt: skip
    text("axes", None, "The degraded axes, anatomical or indices (default: the card's, as LR,AP).", **own)
    text("factor", None, "By how much each of them is to grow (default: the card's, as 2,2).", **own)
    switch("consistency", False, "Put the measured centre of k-space back into the result.", **own)
    number("batch_tiles", 1, "Cubes at a time; never changes the result.", lower_bound=1, **own)
    choice("precision", "float32", ["float32", "tensorfloat32", "bfloat16"], "Of the convolutions.", **own)
    choice("device", "auto", ["auto", "cpu", "gpu"], "Where TensorFlow runs.", **own)
    choice("engine", "tensorflow", ["tensorflow", "openvino"], "What runs the network.", **own)
    choice("dtype", "float32", ["float32", "same"], "The voxels on disk: float32, or as the input stores them.", **own)
    switch("qc", False, "Draw a picture beside each result.", **own)
    switch("qc_seams", False, "Mark the borders of the cubes in it.", **own)
    text("series", None, "SeriesInstanceUID, where a DICOM folder holds several.", **own)
    switch("overwrite", False, "Replace results that are there already.", **own)
    switch("list_models", False, "Print a line about each bundled network, the default first, and end.", **own)
    switch("quiet", False, "No progress and no log lines, only errors.", **own)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; its exit code."""
    return run_command(NAME, DESCRIPTION, define_flags, _run, argv)


def _run(values: flags.FlagValues) -> int:
    from mdcsrn_tf.weights import describe, list_models

    if values.list_models:
        print("\n".join(describe(name) for name in list_models()))
        return 0
    if not values.input or not values.output:
        raise UserError("--input and --output are both needed.")
    from mdcsrn_tf.inference.outputs import plan

    output = Path(values.output)
    jobs = plan(Path(values.input), output)
    todo = jobs if values.overwrite else [job for job in jobs if not job.target.exists()]
    if len(jobs) == 1 and not todo:
        raise UserError(f"{jobs[0].target} is there already; --overwrite replaces it.")
    _check_folder(todo[0].target.parent if todo else output)
    if len(todo) < len(jobs):
        _say(values, f"{len(jobs) - len(todo)} of {len(jobs)} scans are finished already")
    failed = _process_all(todo, values) if todo else []
    if any(job.bids_root for job in todo) and len(failed) < len(todo):
        from mdcsrn_tf.inference.outputs import write_dataset_description

        write_dataset_description(output if output.is_dir() else output.parent)
    if failed and len(jobs) > 1:
        names = "".join(f"\n  {job.source}: {reason}" for job, reason in failed)
        print(f"{NAME}: error: {len(failed)} of {len(jobs)} scans failed:{names}", file=sys.stderr)
    return 1 if failed else 0


def _process_all(jobs, values: flags.FlagValues) -> list[tuple[Any, str]]:
    """Every scan by itself; those that failed, and why."""
    settings, wanted = _settings(values)
    engine = _engine(values, settings)
    from tqdm import tqdm

    from mdcsrn_tf.inference.scan import process

    failed = []
    hidden = True if values.quiet else None  # None: where there is a terminal
    with tqdm(total=len(jobs), unit="scan", disable=hidden if len(jobs) > 1 else True, position=0) as scans:
        for job in jobs:
            with tqdm(unit="tile", desc=job.source.name, disable=hidden, position=scans.pos and 1, leave=False) as bar:
                try:
                    process(job, engine, settings, wanted, lambda line: _say(values, line), _updates(bar))
                except Exception as error:
                    if len(jobs) == 1:
                        raise
                    failed.append((job, _reason(error)))
                    print(f"{NAME}: error: {failed[-1][1]}", file=sys.stderr)
            scans.update()
    return failed


def _settings(values: flags.FlagValues):
    from mdcsrn_tf.inference.scan import ScanSettings
    from mdcsrn_tf.inference.settings import Settings

    settings = Settings(
        tile=values.tile, margin=values.margin, bn=values.bn, seamless=values.seamless,
        batch_tiles=values.batch_tiles, precision=values.precision, device=values.device, engine=values.engine,
    )  # fmt: skip
    wanted = ScanSettings(
        grid=values.grid, axes=values.axes, factor=values.factor, consistency=values.consistency, dtype=values.dtype,
        qc=values.qc or values.qc_seams, qc_seams=values.qc_seams, series=values.series,
    )  # fmt: skip
    return settings, wanted


def _engine(values: flags.FlagValues, settings):
    """Load the network, and refuse settings that fit no scan before any is read."""
    import numpy as np

    from mdcsrn_tf.chatter import load_tensorflow_quietly
    from mdcsrn_tf.inference.memory import keep_freed_memory
    from mdcsrn_tf.scans.factors import parse_factors

    keep_freed_memory()
    load_tensorflow_quietly()
    from mdcsrn_tf.inference.engines import load_engine
    from mdcsrn_tf.inference.volume import geometry
    from mdcsrn_tf.scans.axes import resolve_axes

    if values.axes:
        resolve_axes(values.axes, np.eye(4))
    if values.factor:
        parse_factors(values.factor, values.axes or "LR,AP")
    engine = load_engine(values.model, settings)
    geometry(engine, settings)
    return engine


def _check_folder(folder: Path) -> None:
    """Find out that nothing can be written before hours of work, not after."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".{NAME}-{os.getpid()}"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise UserError(f"Nothing can be written to {folder} ({error.strerror}); name another --output.") from error


def _reason(error: Exception) -> str:
    if isinstance(error, UserError):
        return str(error)
    # A mistake of ours must not cost the other scans of the night, nor its own traceback.
    traceback.print_exception(error, file=sys.stderr)
    return f"{type(error).__name__}: {error}"


def _updates(bar):
    def update(done: int, total: int) -> None:
        bar.total = total
        bar.update(done - bar.n)

    return update


def _say(values: flags.FlagValues, line: str) -> None:
    if values.quiet:
        return
    from tqdm import tqdm

    tqdm.write(f"{NAME}: {line}", file=sys.stderr)
