"""The sub-commands of `mdcsrn-eval` that evaluate no scans: published tables, label maps, NIQE's model, sizes."""

from __future__ import annotations

from pathlib import Path

from absl import flags

from mdcsrn_tf.chatter import load_tensorflow_quietly
from mdcsrn_tf.cli.eval_scans import PAPER_TABLES, name_left_out
from mdcsrn_tf.command_line import in_own_process
from mdcsrn_tf.errors import UserError
from mdcsrn_tf.files import replace_when_done

TABLES_TEXT = "Print the tables of the papers: every published number, no scans needed."
LABELS_TEXT = "Compare label maps with reference label maps: Dice and Jaccard, label by label and scan by scan."
NIQE_TEXT = "Fit a pristine model for NIQE from sharp scans of your own; use it by --niqe_model."
ARCHITECTURES_TEXT = "Print every network's parameters beside the published counts, its work and its receptive field."


def define_tables_flags(values: flags.FlagValues) -> None:
    """Of `tables`."""
    flags.DEFINE_enum("table", None, PAPER_TABLES, "Only this one.", flag_values=values)


def print_tables(values: flags.FlagValues) -> int:
    """The published tables as Markdown."""
    from mdcsrn_tf.evaluation.formats import markdown
    from mdcsrn_tf.evaluation.tables import as_published
    from mdcsrn_tf.papers import TABLES

    for name in [values.table] if values.table else PAPER_TABLES:
        print(markdown(as_published(TABLES[name])))
    return 0


def define_labels_flags(values: flags.FlagValues) -> None:
    """Of `labels`."""
    text = flags.DEFINE_string
    text("labels", None, "A label map or a folder of them.", flag_values=values)
    text("reference_labels", None, "The label maps they are compared with.", flag_values=values)
    text("output", None, "A folder for the table as Markdown, CSV and JSON.", flag_values=values)


def compare_labels(values: flags.FlagValues) -> int:
    """A row a subject, a row a label."""
    from mdcsrn_tf.evaluation.formats import foreign_tables, markdown, write_table
    from mdcsrn_tf.evaluation.label_folders import TITLES, compare_label_folders

    if not (values.labels and values.reference_labels):
        raise UserError("Label maps are compared in pairs: give both --labels and --reference_labels.")
    theirs = next(foreign_tables(Path(values.output), TITLES), None) if values.output else None
    if theirs:
        raise UserError(f"{theirs} is no table of label maps and would be replaced; give another --output.")
    table, sentences = compare_label_folders(Path(values.reference_labels), Path(values.labels))
    print(markdown(table))
    if values.output:
        write_table(Path(values.output), table)
    return name_left_out(sentences)


def define_niqe_flags(values: flags.FlagValues) -> None:
    """Of `fit-niqe`."""
    text = flags.DEFINE_string
    text("hr", None, "The pristine scans: a file, folder, BIDS tree or list.", flag_values=values)
    text("output", None, "The model to write (.npz).", flag_values=values)
    flags.DEFINE_integer("niqe_block", 96, "Pixels of a block's edge.", lower_bound=16, flag_values=values)
    text("axes", "LR,AP", "The axes that will be degraded: they span the slices.", flag_values=values)
    text("plane", "auto", "Slices: auto (across --axes), axial, coronal, sagittal, 0, 1, 2.", flag_values=values)
    text("conventions", "", "As of mdcsrn-eval scans: docs/evaluation.md.", flag_values=values)
    flags.DEFINE_boolean("quiet", False, "No progress bar.", flag_values=values)


def fit_niqe(values: flags.FlagValues) -> int:
    """Fit on the slices that NIQE would measure, and write the model."""
    from mdcsrn_tf.cli.eval_settings import parse_conventions
    from mdcsrn_tf.evaluation.niqe_fit import fit_from_scans
    from mdcsrn_tf.metrics.niqe_files import check_target, save_niqe_model

    if not values.hr or not values.output:
        raise UserError("fit-niqe learns from pristine scans and writes a model: give both --hr and --output.")
    check_target(values.output)
    model, sentences = fit_from_scans(
        Path(values.hr), values.axes, values.plane, parse_conventions(values), values.niqe_block, quiet=values.quiet
    )
    save_niqe_model(values.output, model)
    print(
        f"{values.output}: {model.notes['blocks']} sharp blocks of {model.block} pixels "
        f"from {model.notes['images']} slices."
    )
    return name_left_out(sentences)


def define_architectures_flags(values: flags.FlagValues) -> None:
    """Of `architectures`."""
    flags.DEFINE_string("json", None, "Also write the table as JSON to this file.", flag_values=values)


def print_architectures(values: flags.FlagValues) -> int:
    """The table of sizes."""
    load_tensorflow_quietly(own_process=in_own_process())
    from mdcsrn_tf.evaluation import architectures

    rows = architectures.architecture_rows()
    print(architectures.format_table(rows))
    if values.json:
        with replace_when_done(Path(values.json)) as partial:
            partial.write_text(architectures.to_json(rows), encoding="utf-8")
    return 0
