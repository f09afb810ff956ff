"""`mdcsrn-eval scans`: evaluate super-resolved scans and regenerate the papers' tables."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from absl import flags

from mdcsrn_tf.cli.slice_flags import define_slice_flags
from mdcsrn_tf.files import remove_abandoned_below
from mdcsrn_tf.locks import only_run_in

if TYPE_CHECKING:
    from mdcsrn_tf.evaluation.plan import Plan

DESCRIPTION = """Evaluate super-resolved scans slice by slice and print the papers' tables beside ours.

--hr alone compares the interpolations; --models adds networks, --sr folders of finished results.
mdcsrn-eval takes a sub-command first: scans (this one, if none is named), tables (what the papers
print), labels (Dice and Jaccard of label maps), fit-niqe (a pristine model of your scans),
architectures (published and our parameter counts); each has its own --help."""
HEADINGS = {
    "hr": "What is compared",
    "axes": "How it was degraded, and what is measured",
    "plane": "What the papers leave open, and models of others",
    "workers": "How it is run",
}
PAPER_TABLES = ("miccai1", "miccai2", "journal1", "journal2", "journal3", "journal4", "srgan2d1", "penn2", "penn3")


def define_flags(values: flags.FlagValues) -> None:
    """The sub-command's flags, the everyday ones first."""
    _define_inputs(values)
    _define_measures(values)
    _define_details(values)
    flags.DEFINE_integer("workers", 1, "Subjects measured at a time.", lower_bound=1, flag_values=values)
    flags.DEFINE_string("cluster", None, "A Dask scheduler's address, as in tcp://host:8786.", flag_values=values)
    flags.DEFINE_string("json", None, "Also write the printed table as JSON to this file.", flag_values=values)
    flags.DEFINE_boolean("figures", True, "Draw the figures.", flag_values=values)
    flags.DEFINE_boolean("quiet", False, "No progress bar.", flag_values=values)


def _define_inputs(values: flags.FlagValues) -> None:
    text = flags.DEFINE_string
    text("hr", None, "High-resolution scans: a file, folder, BIDS tree or list.", flag_values=values)
    text("output", None, "The folder for tables, figures, report.html and run.json.", flag_values=values)
    flags.DEFINE_list(
        "models",
        [],
        "Models to run, by bundled name or file. NAME@openvino, NAME@bfloat16, NAME@int8: as mdcsrn-infer does with "
        "such an --engine or --precision.",
        flag_values=values,
    )
    text("sr", "", "Finished results, DIR or NAME=DIR,NAME=DIR; NAME may be a preset.", flag_values=values)
    text("lr", None, "Low-resolution scans; without them the high-resolution scans are degraded.", flag_values=values)
    text(
        "series",
        None,
        "Of --hr and --lr: which DICOM series, by UID or description; files by name.",
        flag_values=values,
    )
    flags.DEFINE_list(
        "baselines",
        None,
        "Interpolations: nn, linear, bicubic, sinc, sinc-dark (default: all, with --hr).",
        flag_values=values,
    )
    flags.DEFINE_enum("table", None, PAPER_TABLES, "The paper's table to print beside ours.", flag_values=values)


def _define_measures(values: flags.FlagValues) -> None:
    text = flags.DEFINE_string
    text("axes", "LR,AP", "The degraded axes, by name or index.", flag_values=values)
    text("factor", "2", "The degradation along each of them.", flag_values=values)
    define_slice_flags(values)
    flags.DEFINE_list(
        "metrics",
        None,
        "Which metrics (default: the table's, else psnr, ssim and nrmse, of all voxels and inside the head).",
        flag_values=values,
    )
    text("segmenter", None, "'builtin', or a command with {in} and {out}.", flag_values=values)


def _define_details(values: flags.FlagValues) -> None:
    text = flags.DEFINE_string
    text(
        "plane",
        "auto",
        "Slices: auto (the most degraded plane), axial, coronal, sagittal, 0, 1, 2.",
        flag_values=values,
    )
    text("conventions", "", "What the papers leave open, name=value,...: docs/evaluation.md.", flag_values=values)
    text(
        "niqe_model",
        None,
        "NIQE's pristine model: .mat, .npz, .json, .yml or .xml (default: the bundled one).",
        flag_values=values,
    )
    text("ma_command", None, "A command that scores the PNG slices in {in}, a number a line.", flag_values=values)


def evaluate(values: flags.FlagValues) -> int:
    """Measure, print, and write everything into --output."""
    from mdcsrn_tf.cli import eval_settings

    plan = eval_settings.plan_of(values)  # first: what cannot be done leaves no folder behind
    output = eval_settings.output_folder(values)
    with only_run_in(output):
        remove_abandoned_below(output)
        return _evaluate_in(output, plan, values)


def _evaluate_in(output: Path, plan: Plan, values: flags.FlagValues) -> int:
    from mdcsrn_tf.cli import eval_settings
    from mdcsrn_tf.evaluation import runner
    from mdcsrn_tf.evaluation.formats import markdown, paired_markdown
    from mdcsrn_tf.evaluation.methods import KspaceMaker
    from mdcsrn_tf.evaluation.tables import to_json
    from mdcsrn_tf.run_record import RunRecord, write_json

    record = RunRecord.begin({name: values[name].value for name in values}, {"hr": values.hr, "lr": values.lr})
    subjects, left_out = eval_settings.subjects_of(values)
    effort = runner.Effort(values.workers, values.cluster, values.quiet, values.figures)
    results = runner.measure_all(subjects, plan, KspaceMaker(), output, left_out, effort)
    tables = runner.tables_of(results, values.table)
    runner.write_all(results, tables, output, effort, record)
    print(markdown(tables[0]))
    if results.paired:
        print(paired_markdown(results.paired))
    if values.json:
        write_json(values.json, {**to_json(tables[0]), "paired": list(results.paired)})
    print(f"Written to {output}: report.html, tables, {'figures, ' if values.figures else ''}run.json.")
    return name_left_out(results.left_out)


def name_left_out(sentences: Sequence[str]) -> int:
    """Exit code 1 and a sentence each when somebody was left out, never silently."""
    for sentence in sentences:
        print(f"mdcsrn-eval: warning: {sentence}", file=sys.stderr)
    return 1 if sentences else 0
