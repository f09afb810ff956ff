"""The evaluation command's flags turned into a plan, subjects and an output folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from absl import flags

from mdcsrn_tf.cli.slice_flags import read_slice_settings
from mdcsrn_tf.errors import UserError
from mdcsrn_tf.evaluation.formats import foreign_tables
from mdcsrn_tf.evaluation.job import holds_records
from mdcsrn_tf.evaluation.methods import BASELINES, baseline_methods, folder_method, folder_methods, model_methods
from mdcsrn_tf.evaluation.plan import (
    FIDELITY,
    HEAD,
    METRICS,
    MSE,
    OVERLAP,
    PENN,
    PERCEPTUAL,
    Conventions,
    Method,
    Plan,
    Subject,
)
from mdcsrn_tf.evaluation.scene import plane_axis
from mdcsrn_tf.evaluation.subjects import match_subjects
from mdcsrn_tf.evaluation.tables import OUR_TITLES
from mdcsrn_tf.papers import TABLES
from mdcsrn_tf.scans.axes import resolve_axes
from mdcsrn_tf.scans.factors import parse_factors
from mdcsrn_tf.workers import available_cores

_WRITTEN_LAST = ("report.html", "run.json")  # after subjects/ and the tables
_FOR_METRICS = {"segmenter": OVERLAP, "ma_command": ("ma", "pi"), "niqe_model": ("niqe", "pi")}
_UNPAIRED_TABLE = "journal4"  # low and high resolution are separate scans there: only scores without a reference


def parse_conventions(values: flags.FlagValues) -> Conventions:
    """`--conventions` checked."""
    return Conventions.parse(values.conventions)


def output_folder(values: flags.FlagValues) -> Path:
    """The output folder, made if need be."""
    if not values.output:
        raise UserError("Where to? Give a folder with --output.")
    output = Path(values.output)
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{output} cannot be made ({error.strerror}); give another --output.") from error
    if not os.access(output, os.W_OK):
        raise UserError(f"{output} cannot be written to; give another --output.")
    theirs = next(_not_ours(output, values.table), None)
    if theirs:
        raise UserError(f"{theirs} is no evaluation's and would be replaced; give another --output.")
    return output


def _not_ours(output: Path, published: str | None) -> Iterator[Path]:
    """What an evaluation would replace, and none has written."""
    if not holds_records(output / "subjects"):
        yield from (output / name for name in _WRITTEN_LAST if (output / name).exists())
    yield from foreign_tables(output, OUR_TITLES | ({published: TABLES[published].title} if published else {}))


def plan_of(values: flags.FlagValues) -> Plan:
    """What is measured and how."""
    if not values.hr and not values.lr:
        raise UserError("Whose scans? Give --hr (to compare with) or --lr (for scores without a reference).")
    # A mistake is told once, and not of every scan.
    plane_axis(values.plane, resolve_axes(values.axes, np.eye(4)), np.eye(4))
    metrics = _metrics(values)
    plan = Plan(
        methods=tuple(_methods(values)),
        metrics=metrics,
        conventions=parse_conventions(values),
        axes=values.axes,
        factor=parse_factors(values.factor, values.axes),
        slices=read_slice_settings(values),
        plane=values.plane,
        niqe_model=values.niqe_model,
        ma_command=values.ma_command,
        segmenter=values.segmenter,
        reference=bool(values.hr) and values.table != _UNPAIRED_TABLE,
        threads=max(1, available_cores() // values.workers) if values.workers > 1 else None,
    )
    if not plan.methods:
        raise UserError("There is nothing to compare: give --baselines, --models, --sr or --lr.")
    if not plan.reference and not set(metrics) <= {*PERCEPTUAL}:
        why = f"For --table={_UNPAIRED_TABLE}" if values.hr else "Without --hr"
        raise UserError(f"{why} only piqe, niqe, ma and pi can be measured: name them with --metrics.")
    for flag, needed in _FOR_METRICS.items():
        if values[flag].value and not plan.asks(*needed):
            raise UserError(f"--{flag} is for {' and '.join(needed)}: name them with --metrics, or leave it out.")
    names = [method.name for method in plan.methods]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UserError(
            f"Two rows are called {twice[0]!r}; give a folder another name (--sr=NAME=DIR), a model's file as well."
        )
    return plan


def subjects_of(values: flags.FlagValues) -> tuple[list[Subject], list[str]]:
    """The subjects with all their files, and a sentence for each that lacks one."""
    subjects, sentences = match_subjects(
        Path(values.hr) if values.hr else None,
        Path(values.lr) if values.lr else None,
        folder_methods(values.sr),
        values.series,
    )
    if not subjects:
        raise UserError("No subject has a scan in every folder. " + " ".join(sentences))
    return subjects, sentences


def _metrics(values: flags.FlagValues) -> tuple[str, ...]:
    if values.metrics is not None:
        wanted = values.metrics
    elif values.table:
        wanted = list(TABLES[values.table].metrics)
        if set(wanted) & {*PENN, MSE}:  # figures that nobody else prints: ours beside them
            wanted += FIDELITY
        wanted += HEAD if "psnr" in wanted else ()
        wanted += OVERLAP if values.segmenter else ()
    else:
        wanted = [*FIDELITY, *HEAD, *(OVERLAP if values.segmenter else ())]
    for metric in wanted:
        if metric not in METRICS:
            raise UserError(f"There is no metric {metric!r}; there are {', '.join(METRICS)}.")
    if {*OVERLAP} & {*wanted} and not values.segmenter:
        raise UserError("Overlap needs a segmenter: --segmenter=builtin, or a command with {in} and {out}.")
    return tuple(dict.fromkeys(wanted))


def _methods(values: flags.FlagValues) -> list[Method]:
    unpaired = values.table == _UNPAIRED_TABLE
    baselines = values.baselines
    if baselines is None:
        baselines = list(BASELINES) if values.hr and not unpaired else []
    methods = [Method("lr", "low_res")] if values.lr else []
    methods += baseline_methods(baselines) + model_methods(values.models)
    methods += [folder_method(name) for name in folder_methods(values.sr)]
    if values.hr:
        methods.append(Method("original", "original"))
    return methods
