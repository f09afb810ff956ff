"""The papers' tables beside ours: every published row with our value, and the difference."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from mdcsrn_tf.evaluation.plan import BANDS, FIDELITY, HEAD, HEAD_3D, TITLES
from mdcsrn_tf.evaluation.results import Results, Row
from mdcsrn_tf.papers.config import PublishedRow, PublishedTable

# What the papers' rows without a network are called here.
_PLAIN_ROWS = {
    "nn": "nn",
    "bicubic": "bicubic",
    "original resolution": "original",
    "full resolution": "original",
    "low resolution": "lr",
}
OTHER_DATA = (
    "The paper's numbers are of {paper}; ours of {subjects} subjects given here: compare the order, not the digits."
)


@dataclass(frozen=True)
class Cell:
    """One figure: the paper's and ours."""

    published: float | None = None
    published_deviation: float | None = None
    ours: float | None = None
    ours_deviation: float | None = None
    printed: str | None = None  # the paper's own digits, where they say more than the number

    @property
    def difference(self) -> float | None:
        """Ours minus the paper's."""
        if self.published is None or self.ours is None or not math.isfinite(self.ours):
            return None
        return self.ours - self.published


@dataclass(frozen=True)
class TableRow:
    """A method of the paper, of ours, or of both."""

    published_as: str | None
    ours_as: str | None
    cells: dict[str, Cell]
    note: str = ""


@dataclass(frozen=True)
class Table:
    """A table ready to be written in any format."""

    name: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[TableRow, ...]
    remarks: tuple[str, ...]


OUR_TITLES = {"results": "Our results"}  # by their files' name


def our_table(results: Results, name: str = "results", title: str = OUR_TITLES["results"]) -> Table:
    """Everything measured, without a paper beside it."""
    columns = _with_size(results.metrics, results)
    rows = tuple(
        TableRow(None, row.method.name, _our_cells(row, columns), row.device)
        for row in results.rows
        if _has_anything(row)
    )
    return Table(name, title, columns, rows, (*results.remarks, *results.left_out))


def beside_paper(published: PublishedTable, results: Results) -> Table:
    """The paper's rows in the paper's order, then our methods that it does not have."""
    beside = (*FIDELITY, *HEAD, *HEAD_3D, *BANDS)  # ours, and what the paper's own figures cannot say
    more = tuple(metric for metric in results.metrics if metric in beside and metric not in published.metrics)
    columns = _with_size((*published.metrics, *more), results, published)
    rows, used = [], set()
    for theirs in published.rows:
        ours = find_ours(theirs, results)
        cells = {column: _cell(column, theirs, ours) for column in columns}
        rows.append(
            TableRow(
                theirs.method, ours.method.name if ours else None, cells, ours.device if ours else "not evaluated here"
            )
        )
        if ours:
            used.add(ours.method.name)
    rows += [
        TableRow(None, row.method.name, _our_cells(row, columns), row.device)
        for row in results.rows
        if row.method.name not in used and _has_anything(row)
    ]
    caution = OTHER_DATA.format(paper=published.subjects, subjects=len(results.subjects))
    remarks = (caution, *published.remarks, *_time_remark(published), *results.remarks, *results.left_out)
    return Table(published.name, published.title, columns, tuple(rows), remarks)


def _has_anything(row: Row) -> bool:
    """Not so of the original where nothing is measured but errors against it: its row would be empty."""
    return row.method.kind != "original" or bool(row.figures)


def as_published(published: PublishedTable) -> Table:
    """The paper's rows alone."""
    sized = ("parameters",) if any(row.million_parameters or row.parameters for row in published.rows) else ()
    timed = ("seconds",) if any(row.seconds for row in published.rows) else ()
    columns = (*published.metrics, *sized, *timed)
    rows = []
    for row in published.rows:
        cells = {column: _cell(column, row, None) for column in columns}
        # The paper's figures take the place of ours, which there are none of.
        alone = {
            name: Cell(ours=cell.published, ours_deviation=cell.published_deviation, printed=cell.printed)
            for name, cell in cells.items()
        }
        rows.append(TableRow(None, row.method, alone))
    title = f"{published.title} ({published.subjects})"
    return Table(published.name, title, columns, tuple(rows), (*published.remarks, *_time_remark(published)))


def find_ours(theirs: PublishedRow, results: Results) -> Row | None:
    """Our row of the same method: the same interpolation, or a model of the same preset and training phase."""
    if theirs.preset is None:
        return results.row(_PLAIN_ROWS.get(theirs.method.lower(), ""))
    return next((r for r in results.rows if r.method.preset == theirs.preset and r.method.gan == theirs.gan), None)


def to_json(table: Table) -> dict[str, Any]:
    """The table as JSON's own types."""
    return {
        "name": table.name,
        "title": table.title,
        "rows": [
            {
                "published_as": row.published_as,
                "ours_as": row.ours_as,
                "note": row.note,
                "cells": {column: {**vars(cell), "difference": cell.difference} for column, cell in row.cells.items()},
            }
            for row in table.rows
        ],
        "remarks": list(table.remarks),
    }


def title_of(column: str) -> str:
    """A column's heading."""
    return TITLES.get(column, column)


def _with_size(metrics: tuple[str, ...], results: Results, published: PublishedTable | None = None) -> tuple[str, ...]:
    sized = any(row.method.parameters for row in results.rows)
    timed = any(row.seconds.subjects for row in results.rows)
    if published is not None:
        sized = sized or any(row.million_parameters for row in published.rows)
        # Beside a paper's table without sizes and times (J Tables 3 and 4) ours has none either.
        timed = any(row.seconds for row in published.rows)
        sized = (sized and timed) or any(row.parameters for row in published.rows)
    counted = any(row.method.macs for row in results.rows)
    extra = (("parameters",) if sized else ()) + (("macs",) if counted else ()) + (("seconds",) if timed else ())
    return (*metrics, *extra)


def _cell(column: str, theirs: PublishedRow, ours: Row | None) -> Cell:
    own = _our_cells(ours, (column,))[column] if ours else Cell()
    if column == "parameters":
        printed = theirs.parameters or (float(theirs.million_parameters) * 1e6 if theirs.million_parameters else None)
        text = f"{theirs.million_parameters}M" if theirs.million_parameters and not theirs.parameters else None
        return Cell(printed, None, own.ours, printed=text)
    if column == "seconds":
        return Cell(theirs.seconds, None, own.ours, own.ours_deviation)
    mean, deviation = theirs.metrics.get(column, (None, None))
    return Cell(mean, deviation, own.ours, own.ours_deviation)


def _our_cells(row: Row, columns: tuple[str, ...]) -> dict[str, Cell]:
    cells = {}
    for column in columns:
        if column in ("parameters", "macs"):
            count = getattr(row.method, column)
            cells[column] = Cell(ours=None if count is None else float(count))
        elif column in row.figures:
            found = row.figures[column]
            deviation = None if math.isnan(found.deviation) else found.deviation
            cells[column] = Cell(ours=found.mean, ours_deviation=deviation)
        else:
            cells[column] = Cell()
    return cells


def _time_remark(published: PublishedTable) -> tuple[str, ...]:
    if any(row.seconds for row in published.rows):
        return ("The paper's times are of one GTX 1080 Ti and 320x320x256 voxels; ours of the device in the note.",)
    return ()
