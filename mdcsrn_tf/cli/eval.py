"""Command: evaluate super-resolved scans and regenerate the papers' tables."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from absl import flags

from data_prep.slice_flags import define_slice_flags
from mdcsrn_tf.chatter import load_tensorflow_quietly
from mdcsrn_tf.command_line import run_command
from mdcsrn_tf.errors import UserError
from mdcsrn_tf.files import remove_abandoned_below, replace_when_done
from mdcsrn_tf.locks import only_run_in

DESCRIPTION = """Evaluate super-resolved scans slice by slice and print the papers' tables beside ours.

--hr alone compares the interpolations; --models adds networks, --sr folders of finished results.
--table=architectures needs no scans. --labels with --reference_labels compares label maps."""
PAPER_TABLES = ("miccai1", "miccai2", "journal1", "journal2", "journal3", "journal4", "srgan2d1", "penn2", "penn3")


def define_flags(values: flags.FlagValues) -> None:
    """The command's flags."""
    _define_inputs(values)
    _define_measures(values)
    flags.DEFINE_string("output", None, "The folder for tables, figures, report.html and run.json.", flag_values=values)
    flags.DEFINE_string("json", None, "Also write the printed table as JSON to this file.", flag_values=values)
    flags.DEFINE_integer("workers", 1, "Subjects measured at a time.", lower_bound=1, flag_values=values)
    flags.DEFINE_string("cluster", None, "A Dask scheduler's address, as in tcp://host:8786.", flag_values=values)
    flags.DEFINE_boolean("figures", True, "Draw the figures.", flag_values=values)
    flags.DEFINE_boolean("quiet", False, "No progress bar.", flag_values=values)


def _define_inputs(values: flags.FlagValues) -> None:
    text = flags.DEFINE_string
    text("hr", None, "High-resolution scans: a file, folder, BIDS tree or list.", flag_values=values)
    text("lr", None, "Low-resolution scans; without them the HR scans are degraded.", flag_values=values)
    text("sr", "", "Finished results, DIR or NAME=DIR,NAME=DIR; NAME may be a preset.", flag_values=values)
    flags.DEFINE_list("models", [], "Models to run, by bundled name or file.", flag_values=values)
    flags.DEFINE_list("baselines", None, "Interpolations: nn, linear, bicubic, sinc (default: all, with --hr).",
                      flag_values=values)  # fmt: skip
    text("labels", None, "A label map or a folder of them, to compare.", flag_values=values)
    text("reference_labels", None, "The label maps they are compared with.", flag_values=values)
    text("fit_niqe", None, "Fit a NIQE model from the --hr scans and write it to this .npz.", flag_values=values)


def _define_measures(values: flags.FlagValues) -> None:
    text = flags.DEFINE_string
    flags.DEFINE_enum("table", None, (*PAPER_TABLES, "architectures"), "The paper's table to print beside ours.",
                      flag_values=values)  # fmt: skip
    text("axes", "LR,AP", "The degraded axes, by name or index.", flag_values=values)
    flags.DEFINE_list("factor", ["2"], "The degradation along each of them.", flag_values=values)
    define_slice_flags(values)
    text("plane", "auto", "Slices: auto (the most degraded plane), axial, coronal, sagittal, 0, 1, 2.",
         flag_values=values)  # fmt: skip
    flags.DEFINE_list("metrics", None, "Which metrics (default: the table's, else psnr,ssim,nrmse).",
                      flag_values=values)  # fmt: skip
    text("conventions", "", "What the papers leave open, name=value,...: docs/evaluation.md.", flag_values=values)
    text("niqe_model", None, "NIQE's pristine model: .mat, .npz, .json, .yml or .xml (default: the bundled one).",
         flag_values=values)  # fmt: skip
    flags.DEFINE_integer("niqe_block", 96, "The block size for --fit_niqe.", lower_bound=16, flag_values=values)
    text("ma_command", None, "A command that scores the PNG slices in {in}, a number a line.", flag_values=values)
    text("segmenter", None, "'builtin', or a command with {in} and {out}.", flag_values=values)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    return run_command("mdcsrn-eval", DESCRIPTION, define_flags, _run, argv)


def _run(values: flags.FlagValues) -> int:
    if values.table == "architectures":
        return _architectures(values)
    if values.fit_niqe:
        return _fit_niqe(values)
    if values.labels or values.reference_labels:
        return _compare_labels(values)
    return _evaluate(values)


def _architectures(values: flags.FlagValues) -> int:
    load_tensorflow_quietly()
    from mdcsrn_tf.evaluation import architectures

    rows = architectures.architecture_rows()
    print(architectures.format_table(rows))
    if values.json:
        with replace_when_done(Path(values.json)) as partial:
            partial.write_text(architectures.to_json(rows), encoding="utf-8")
    return 0


def _fit_niqe(values: flags.FlagValues) -> int:
    from mdcsrn_tf.cli.eval_settings import parse_conventions
    from mdcsrn_tf.evaluation.niqe_fit import fit_from_scans
    from mdcsrn_tf.metrics.niqe_files import save_niqe_model

    if not values.hr:
        raise UserError("--fit_niqe learns from pristine scans: give them with --hr.")
    model, sentences = fit_from_scans(
        Path(values.hr), values.axes, values.plane, parse_conventions(values), values.niqe_block, quiet=values.quiet
    )
    save_niqe_model(values.fit_niqe, model)
    print(f"{values.fit_niqe}: {model.notes['blocks']} sharp blocks of {model.block} pixels "
          f"from {model.notes['images']} slices.")  # fmt: skip
    return _name(sentences)


def _compare_labels(values: flags.FlagValues) -> int:
    from mdcsrn_tf.evaluation.formats import markdown, write_table
    from mdcsrn_tf.evaluation.label_folders import compare_label_folders

    if not (values.labels and values.reference_labels):
        raise UserError("Label maps are compared in pairs: give both --labels and --reference_labels.")
    table, sentences = compare_label_folders(Path(values.reference_labels), Path(values.labels))
    print(markdown(table))
    if values.output:
        write_table(Path(values.output), table)
    return _name(sentences)


def _evaluate(values: flags.FlagValues) -> int:
    from mdcsrn_tf.cli import eval_settings

    output = eval_settings.output_folder(values)
    with only_run_in(output):
        remove_abandoned_below(output)
        return _evaluate_in(output, values)


def _evaluate_in(output: Path, values: flags.FlagValues) -> int:
    from mdcsrn_tf.cli import eval_settings
    from mdcsrn_tf.evaluation import runner
    from mdcsrn_tf.evaluation.formats import markdown, paired_markdown
    from mdcsrn_tf.evaluation.methods import KspaceMaker
    from mdcsrn_tf.evaluation.tables import to_json
    from mdcsrn_tf.run_record import RunRecord, write_json

    record = RunRecord.begin({name: values[name].value for name in values}, {"hr": values.hr, "lr": values.lr})
    plan = eval_settings.plan_of(values)
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
    print(f"Written to {output}: report.html, tables, figures, run.json.")
    return _name(results.left_out)


def _name(sentences: Sequence[str]) -> int:
    """Exit code 1 and a sentence each when somebody was left out, never silently."""
    import sys

    for sentence in sentences:
        print(f"mdcsrn-eval: warning: {sentence}", file=sys.stderr)
    return 1 if sentences else 0
