"""Tables as Markdown, CSV and JSON files."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from mdcsrn_tf.evaluation.statistics import Paired
from mdcsrn_tf.evaluation.tables import Cell, Table, title_of, to_json
from mdcsrn_tf.files import replace_when_done
from mdcsrn_tf.run_record import write_json

_TWO_DECIMALS = ("psnr", "psnr3d", "psnr_head", "psnr3d_head", "band_db", "piqe", "niqe", "ma", "pi", "seconds")
_DECIMALS = {**dict.fromkeys((*_TWO_DECIMALS, "psnr_penn"), 2), "macs": 0}
_DEFAULT_DECIMALS = 4
_CSV_NAMES = ("paper_method", "our_method", "note")
TABLE_SUFFIXES = (".md", ".csv", ".json")


def markdown(table: Table) -> str:
    """The table for a reader: paper, ours and difference in one cell where both exist."""
    both = any(row.published_as for row in table.rows)
    heading = ["paper", "ours"] if both else ["method"]
    lines = [
        f"### {table.title}",
        "",
        _line([*heading, *(title_of(column) for column in table.columns), "note"]),
        _line(["---"] * len(heading) + ["---:"] * len(table.columns) + ["---"]),
    ]
    for row in table.rows:
        names = [row.published_as or "", row.ours_as or ""] if both else [row.ours_as or ""]
        lines.append(_line([*names, *(cell_text(column, row.cells[column]) for column in table.columns), row.note]))
    return "\n".join([*lines, "", *(f"- {remark}" for remark in table.remarks)]) + "\n"


def cell_text(column: str, cell: Cell) -> str:
    """`paper 36.39 ± 0.82; ours 35.10 ± 1.20; -1.29`, as far as there is anything."""
    if cell.published is None and cell.printed:
        return cell.printed
    ours = _with_deviation(column, cell.ours, cell.ours_deviation)
    theirs = cell.printed or _with_deviation(column, cell.published, cell.published_deviation)
    if theirs and ours:
        difference = "" if cell.difference is None else f" ({figure_text(column, cell.difference, sign=True)})"
        return f"{theirs} → {ours}{difference}"
    if theirs:
        return f"{theirs} → ?"
    return ours


def csv_text(table: Table) -> str:
    """One line a row, four columns a figure."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    heading = [*_CSV_NAMES]
    for column in table.columns:
        heading += [f"{column}_paper", f"{column}_paper_sd", f"{column}_ours", f"{column}_ours_sd", f"{column}_diff"]
    writer.writerow(heading)
    for row in table.rows:
        line: list[object] = [row.published_as or "", row.ours_as or "", row.note]
        for column in table.columns:
            cell = row.cells[column]
            line += [cell.published, cell.published_deviation, cell.ours, cell.ours_deviation, cell.difference]
        writer.writerow(["" if value is None else value for value in line])
    return stream.getvalue()


def paired_markdown(paired: Sequence[Paired]) -> str:
    """The paired comparisons as a table."""
    lines = [
        "### Paired comparisons, subject by subject",
        "",
        _line(["metric", "methods", "subjects", "mean difference", "bootstrap 95 % interval", "Wilcoxon p"]),
        _line(["---", "---", "---:", "---:", "---:", "---:"]),
    ]
    for pair in paired:
        difference, low, high = (
            figure_text(pair.metric, value, sign=True) for value in (pair.difference, pair.low, pair.high)
        )
        p_value = "" if math.isnan(pair.p_value) else f"{pair.p_value:.3g}"
        names = f"{pair.first} − {pair.second}"
        lines.append(_line([title_of(pair.metric), names, str(pair.subjects), difference, f"{low} to {high}", p_value]))
    return "\n".join(lines) + "\n"


def write_table(folder: Path, table: Table, paired: Sequence[Paired] = ()) -> list[Path]:
    """`NAME.md`, `NAME.csv` and `NAME.json` in `folder`."""
    text = markdown(table) + ("\n" + paired_markdown(paired) if paired else "")
    paths = [folder / f"{table.name}{suffix}" for suffix in TABLE_SUFFIXES]
    write_text(paths[0], text)
    write_text(paths[1], csv_text(table))
    write_json(paths[2], {**to_json(table), "paired": list(paired)})
    return paths


def foreign_tables(folder: Path, titles: Mapping[str, str]) -> Iterator[Path]:
    """The files that `write_table` would replace with tables of those titles by their names, and never wrote."""
    for name, title in titles.items():
        paths = (folder / f"{name}{suffix}" for suffix in TABLE_SUFFIXES)
        yield from (path for path in paths if path.exists() and not _is_table(path, title))


def _is_table(path: Path, title: str) -> bool:
    """Whether the file is what `write_table` makes of a table with that title, and nobody else's of the same name."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
        if path.suffix == ".json":
            return bool(json.loads(text)["title"] == title)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return False
    return text.startswith(",".join(_CSV_NAMES) if path.suffix == ".csv" else f"### {title}\n")


def write_text(path: Path, text: str) -> None:
    """Write text whole or not at all, making the folder if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replace_when_done(path) as partial:
        partial.write_text(text, encoding="utf-8", errors="backslashreplace")


def _with_deviation(column: str, mean: float | None, deviation: float | None) -> str:
    if mean is None:
        return ""
    text = figure_text(column, mean)
    return text if deviation is None else f"{text} ± {figure_text(column, deviation)}"


def figure_text(column: str, value: float, sign: bool = False) -> str:
    """A figure with the decimals of its column."""
    if column == "parameters":
        return f"{value / 1e6:{'+' if sign else ''}.7g}M"  # to the digit: some papers print all of them
    if column == "mse":  # in a scan's own units: of any size
        return f"{value:{'+' if sign else ''}.3g}"
    decimals = _DECIMALS.get(column, _DEFAULT_DECIMALS)
    return f"{value:{'+' if sign else ''},.{decimals}f}"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
