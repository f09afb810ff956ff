"""Dice and Jaccard of finished label maps: two files, or two folders brought together by subject."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mdcsrn_tf.errors import UserError
from mdcsrn_tf.evaluation.labels import whole_labels
from mdcsrn_tf.evaluation.plan import Conventions
from mdcsrn_tf.evaluation.statistics import Summary, summarise
from mdcsrn_tf.evaluation.subjects import check_same_grid, files_by_subject, match_files
from mdcsrn_tf.evaluation.tables import Cell, Table, TableRow
from mdcsrn_tf.metrics.overlap import Overlap, overlap
from mdcsrn_tf.scans.volumes import read_volume

_OVERLAP = ("dice", "jaccard")
TITLES = {"overlap": "Overlap of label maps"}  # of the table, by its files' name


def compare_label_folders(reference: Path, labels: Path) -> tuple[Table, list[str]]:
    """A row a subject, a row a label, and the mean; and a sentence for everyone who is left out."""
    folders = {"--reference_labels": files_by_subject(reference), "--labels": files_by_subject(labels)}
    subjects, sentences = match_files(folders, asked=[*folders])
    found: dict[str, Overlap] = {}
    for name, files in subjects.items():
        try:
            found[name] = _compare(*files.values())
        except UserError as error:
            sentences.append(f"{name} is left out: {error}")
    if not found:
        raise UserError("No pair of label maps could be compared. " + " ".join(sentences))
    means = {
        "dice": summarise([result.mean_dice for result in found.values()], Conventions()),
        "jaccard": summarise([result.mean_jaccard for result in found.values()], Conventions()),
    }
    rows = [TableRow(None, f"mean of {len(found)} subjects", {m: _cell(means[m]) for m in _OVERLAP})]
    rows += [
        TableRow(None, name, {"dice": Cell(ours=result.mean_dice), "jaccard": Cell(ours=result.mean_jaccard)})
        for name, result in found.items()
    ]
    rows += [TableRow(None, f"label {label}", cells) for label, cells in _by_label(found).items()]
    ((table, title),) = TITLES.items()
    return Table(table, title, _OVERLAP, tuple(rows), tuple(sentences)), sentences


def _compare(reference: Path, labels: Path) -> Overlap:
    """Of two maps without a label the overlap is undefined; where one alone has none, Dice and Jaccard are 0."""
    one, two = (read_volume(path, flat=True) for path in (reference, labels))
    check_same_grid(one, two)
    found = overlap(*(whole_labels(scan.data, str(scan.path)) for scan in (one, two)))
    if not found.labels:
        raise UserError("neither label map holds a label.")
    return found


def _by_label(found: dict[str, Overlap]) -> dict[int, dict[str, Cell]]:
    """Every label's mean over the subjects that have it in either map."""
    collected: dict[int, list[tuple[float, float]]] = {}
    for result in found.values():
        for label, dice, jaccard in zip(result.labels, result.dice, result.jaccard, strict=True):
            collected.setdefault(label, []).append((dice, jaccard))
    cells = {}
    for label in sorted(collected):
        columns = np.array(collected[label]).T
        cells[label] = {m: _cell(summarise(list(c), Conventions())) for m, c in zip(_OVERLAP, columns, strict=True)}
    return cells


def _cell(summary: Summary) -> Cell:
    return Cell(ours=summary.mean, ours_deviation=None if np.isnan(summary.deviation) else summary.deviation)
