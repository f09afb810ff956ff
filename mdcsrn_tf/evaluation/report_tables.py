"""The report's tables as markup: which way is better in the heading, the best of a column in bold."""

from __future__ import annotations

import math
from collections.abc import Sequence

from mdcsrn_tf.evaluation.formats import figure_text
from mdcsrn_tf.evaluation.plan import LARGER_IS_BETTER, METRICS
from mdcsrn_tf.evaluation.statistics import Paired
from mdcsrn_tf.evaluation.tables import Cell, Table, TableRow, title_of
from mdcsrn_tf.evaluation.template import Html, text

UNITS = {"psnr": "dB", "psnr3d": "dB", "psnr_head": "dB", "psnr3d_head": "dB"}
_NEAREST_ZERO = ("band_db",)
_MOST_PAIRS = 60


def table_section(table: Table) -> Html:
    """One table with its remarks."""
    both = any(row.published_as for row in table.rows)
    names = ["paper", "ours"] if both else ["method"]
    head = "".join(f'<th scope="col" class="text">{text(name)}</th>' for name in names)
    head += "".join(f'<th scope="col">{text(heading(column))}</th>' for column in table.columns)
    head += '<th scope="col" class="text">note</th>'
    best = {column: best_of(table, column) for column in table.columns}
    body = "".join(_row(row, table.columns, best, both) for row in table.rows)
    remarks = "".join(f"<li>{text(remark)}</li>" for remark in table.remarks)
    caption = f"<caption>{text(table.title)}</caption>"
    rows = f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody>"
    return Html(
        f'<div class="scroll" tabindex="0"><table>{caption}{rows}</table></div><ul class="remarks">{remarks}</ul>'
    )


def heading(column: str) -> str:
    """A column's title with its unit and an arrow towards better."""
    unit = f" ({UNITS[column]})" if column in UNITS else ""
    arrow = " → 0" if column in _NEAREST_ZERO else " ↑" if column in LARGER_IS_BETTER else " ↓"
    return title_of(column) + unit + (arrow if column in METRICS or column == "seconds" else "")


def best_of(table: Table, column: str) -> float | None:
    """The best of our values, the original's own apart; nothing where fewer than two compete."""
    values = [
        cell.ours
        for row in table.rows
        if row.ours_as != "original" and (cell := row.cells[column]).ours is not None and math.isfinite(cell.ours)
    ]
    if column not in METRICS or len(values) < 2:
        return None
    if column in _NEAREST_ZERO:
        return min(values, key=abs)
    return max(values) if column in LARGER_IS_BETTER else min(values)


def paired_section(paired: Sequence[Paired]) -> Html:
    """The paired comparisons, folded."""
    if not paired:
        return Html("")
    names = ("metric", "methods", "subjects", "mean difference", "bootstrap 95 % interval", "Wilcoxon p")
    head = "".join(f'<th scope="col">{text(name)}</th>' for name in names)
    rows = "".join(_pair(pair) for pair in paired[:_MOST_PAIRS])
    more = f"<p>The first {_MOST_PAIRS} of {len(paired)}; all are in results.md.</p>" * (len(paired) > _MOST_PAIRS)
    return Html(
        "<details><summary>Paired comparisons, subject by subject</summary>"
        f'<div class="scroll" tabindex="0"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'
        f"{more}</details>"
    )


def _row(row: TableRow, columns: Sequence[str], best: dict[str, float | None], both: bool) -> str:
    names = [row.published_as or "", row.ours_as or ""] if both else [row.ours_as or ""]
    first = f'<th scope="row">{text(names[0])}</th>'
    named = "".join(f'<td class="text">{text(name)}</td>' for name in names[1:])
    is_best = {c: row.ours_as != "original" and best[c] is not None and row.cells[c].ours == best[c] for c in columns}
    cells = "".join(f"<td>{_cell(column, row.cells[column], is_best[column])}</td>" for column in columns)
    return f'<tr>{first}{named}{cells}<td class="text">{text(row.note)}</td></tr>'


def _cell(column: str, cell: Cell, best: bool) -> str:
    """Ours with its deviation below, the paper's below that, and the difference."""
    lines = []
    if cell.ours is not None:
        value = text(figure_text(column, cell.ours))
        lines.append(f"<b>{value}</b>" if best else str(value))
        if cell.ours_deviation is not None:
            lines.append(f"<small>± {text(figure_text(column, cell.ours_deviation))}</small>")
    if cell.published is not None:
        spread = "" if cell.published_deviation is None else f" ± {figure_text(column, cell.published_deviation)}"
        theirs = cell.printed or figure_text(column, cell.published) + spread
        lines.append(f"<small>paper {text(theirs)}</small>")
    if cell.difference is not None:
        lines.append(f"<small>({text(figure_text(column, cell.difference, sign=True))})</small>")
    return "".join(lines)


def _pair(pair: Paired) -> str:
    difference, low, high = (figure_text(pair.metric, v, sign=True) for v in (pair.difference, pair.low, pair.high))
    p_value = "" if math.isnan(pair.p_value) else f"{pair.p_value:.3g}"
    cells = [f"{pair.first} − {pair.second}", str(pair.subjects), difference, f"{low} to {high}", p_value]
    row = "".join(f"<td>{text(cell)}</td>" for cell in cells)
    return f'<tr><th scope="row">{text(title_of(pair.metric))}</th>{row}</tr>'
