"""Run a whole evaluation: all subjects, then tables, figures, page and record."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from mdcsrn_tf.command_line import sentence_of
from mdcsrn_tf.errors import UserError
from mdcsrn_tf.evaluation import job
from mdcsrn_tf.evaluation.figures import draw_all
from mdcsrn_tf.evaluation.formats import write_table
from mdcsrn_tf.evaluation.plan import ImageMaker, Plan, Subject
from mdcsrn_tf.evaluation.report import HEADS_IN_REPORT, write_report
from mdcsrn_tf.evaluation.results import Results, collect
from mdcsrn_tf.evaluation.tables import Table, beside_paper, our_table
from mdcsrn_tf.evaluation.workers import run_all
from mdcsrn_tf.papers import TABLES
from mdcsrn_tf.run_record import RunRecord

LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class Effort:
    """How an evaluation is carried out; none of it changes a number."""

    workers: int = 1
    cluster: str | None = None
    quiet: bool = False
    figures: bool = True


def measure_all(
    subjects: Sequence[Subject], plan: Plan, maker: ImageMaker, output: Path, left_out: Sequence[str], effort: Effort
) -> Results:
    """Measure every subject, name those that fail, and average the others."""
    tasks = [
        job.Task(subject, plan, maker, output, heads_kept=number < HEADS_IN_REPORT)
        for number, subject in enumerate(subjects)
    ]
    records, sentences = [], list(left_out)
    outcomes = run_all(job.run, tasks, effort.workers, effort.cluster)
    for task, outcome in tqdm(outcomes, total=len(tasks), unit="subject", disable=effort.quiet, desc="evaluating"):
        if isinstance(outcome, OSError) and outcome.errno is not None:
            raise outcome  # scans are read with a sentence of their own: nothing can be written
        if isinstance(outcome, Exception):
            sentences.append(f"{task.subject.name} is left out: {_sentence(outcome)}")
            if sentence_of(outcome) is None:
                LOGGER.warning("%s failed", task.subject.name, exc_info=outcome)
        else:
            records.append(outcome)
    if not records:
        raise UserError("No subject could be evaluated. " + " ".join(sentences))
    return collect(plan, records, sorted(sentences))


def tables_of(results: Results, published: str | None) -> list[Table]:
    """Ours, and the paper's beside ours where one was asked for."""
    tables = [our_table(results)]
    if published is not None:
        tables.insert(0, beside_paper(TABLES[published], results))
    return tables


def write_all(results: Results, tables: Sequence[Table], output: Path, effort: Effort, record: RunRecord) -> list[Path]:
    """Everything a person looks at, in `output`."""
    written = []
    for table in tables:
        written += write_table(output, table, results.paired)
    figures = draw_all(results, output) if effort.figures else []
    written += [path for figure in figures for path in figure.paths]
    written.append(write_report(output / "report.html", results, tables, figures, output, record))
    record.results = summary(results)
    record.write(output / "run.json")
    return [*written, output / "run.json"]


def summary(results: Results) -> dict[str, Any]:
    """What the run record keeps: every method's means, every subject's values."""
    return {
        "subjects": list(results.subjects),
        "left_out": list(results.left_out),
        "methods": {row.method.name: job.encoded(_plain_row(row)) for row in results.rows},
        "values": job.encoded(results.values),
        "remarks": list(results.remarks),
    }


def _plain_row(row: Any) -> dict[str, Any]:
    figures = {name: vars(found) for name, found in row.figures.items()}
    return {**figures, "device": row.device, "missing": row.missing}


def _sentence(error: Exception) -> str:
    return sentence_of(error) or f"{type(error).__name__}: {(str(error).strip().splitlines() or ['no message'])[0]}."
