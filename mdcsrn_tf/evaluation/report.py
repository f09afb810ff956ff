"""report.html: tables, figures and a slider to wipe between images, in one file that needs no network."""

from __future__ import annotations

import base64
import html
import io
import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from mdcsrn_tf.evaluation.figures import FIGURES_OF_SUBJECTS, Drawn, Picture, read_pictures
from mdcsrn_tf.evaluation.formats import cell_text, write_text
from mdcsrn_tf.evaluation.report_page import PAGE
from mdcsrn_tf.evaluation.results import Results
from mdcsrn_tf.evaluation.statistics import Paired
from mdcsrn_tf.evaluation.tables import Table, title_of
from mdcsrn_tf.metrics.slices import eight_bit
from mdcsrn_tf.run_record import RunRecord, plain

_MOST_PAIRS = 60


def write_report(
    path: Path,
    results: Results,
    tables: Sequence[Table],
    figures: Sequence[Drawn],
    output: Path,
    record: RunRecord,
) -> Path:
    """Write the page and return its path."""
    content = PAGE
    for mark, part in {
        "@@TITLE@@": _count(len(results.subjects), "subject") + ", " + _count(len(results.rows), "method"),
        "@@LEFT_OUT@@": _left_out(results.left_out),
        "@@TABLES@@": "".join(_table(table) for table in tables),
        "@@PAIRED@@": _paired(results.paired),
        "@@FIGURES@@": "".join(_figure(figure) for figure in figures),
        "@@CONVENTIONS@@": _conventions(results, record),
        "@@IMAGES@@": json.dumps(_images(results, output)).replace("<", "\\u003c"),
    }.items():
        content = content.replace(mark, part)
    write_text(path, content)
    return path


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" + "s" * (number != 1)


def _left_out(sentences: Sequence[str]) -> str:
    if not sentences:
        return ""
    items = "".join(f"<li>{html.escape(sentence)}</li>" for sentence in sentences)
    return f'<section class="warning"><h2>Left out</h2><ul>{items}</ul></section>'


def _table(table: Table) -> str:
    both = any(row.published_as for row in table.rows)
    heading = ["paper", "ours"] if both else ["method"]
    head = "".join(f'<th scope="col">{html.escape(t)}</th>' for t in [*heading, *map(title_of, table.columns), "note"])
    body = []
    for row in table.rows:
        names = [row.published_as or "", row.ours_as or ""] if both else [row.ours_as or ""]
        cells = [cell_text(column, row.cells[column]) for column in table.columns]
        first = f'<th scope="row">{html.escape(names[0])}</th>'
        rest = "".join(f"<td>{html.escape(text)}</td>" for text in [*names[1:], *cells, row.note])
        body.append(f"<tr>{first}{rest}</tr>")
    remarks = "".join(f"<li>{html.escape(remark)}</li>" for remark in table.remarks)
    caption = f"<caption>{html.escape(table.title)}</caption>"
    rows = f"<thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody>"
    return f'<div class="scroll" tabindex="0"><table>{caption}{rows}</table></div><ul class="remarks">{remarks}</ul>'


def _paired(paired: Sequence[Paired]) -> str:
    if not paired:
        return ""
    rows = []
    for pair in paired[:_MOST_PAIRS]:
        p_value = "" if math.isnan(pair.p_value) else f"{pair.p_value:.3g}"
        cells = [
            f"{pair.first} − {pair.second}",
            f"{pair.difference:+.4f}",
            f"{pair.low:+.4f} to {pair.high:+.4f}",
            p_value,
        ]
        row = "".join(f"<td>{html.escape(cell)}</td>" for cell in cells)
        rows.append(f'<tr><th scope="row">{html.escape(title_of(pair.metric))}</th>{row}</tr>')
    names = ("metric", "methods", "mean difference", "bootstrap 95 % interval", "Wilcoxon p")
    head = "".join(f'<th scope="col">{name}</th>' for name in names)
    more = f"<p>The first {_MOST_PAIRS} of {len(paired)}; all are in results.md.</p>" * (len(paired) > _MOST_PAIRS)
    return (
        "<details><summary>Paired comparisons, subject by subject</summary>"
        f'<div class="scroll" tabindex="0"><table><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody>'
        f"</table></div>{more}</details>"
    )


def _figure(figure: Drawn) -> str:
    title = html.escape(figure.title)
    data = base64.b64encode(figure.paths[0].read_bytes()).decode()
    return f'<figure><img alt="{title}" src="data:image/png;base64,{data}"><figcaption>{title}</figcaption></figure>'


def _conventions(results: Results, record: RunRecord) -> str:
    values = {**plain(results.plan.conventions), "axes": results.plan.axes, "factor": results.plan.factor}
    values |= {"plane": results.plan.plane, "versions": record.versions, "started": record.started}
    items = "".join(
        f"<dt>{html.escape(str(name))}</dt><dd>{html.escape(str(value))}</dd>" for name, value in values.items()
    )
    return f"<dl>{items}</dl>"


def _images(results: Results, output: Path) -> list[dict]:
    """The slider's pictures: for the first subjects, every method's slice as a PNG in the page."""
    found = []
    for subject in results.subjects[:FIGURES_OF_SUBJECTS]:
        pictures = read_pictures(results, output, subject)
        found.append({"subject": subject, "methods": [[p.name, _data_url(p)] for p in pictures]})
    return found


def _data_url(picture: Picture) -> str:
    pixels = Image.fromarray(eight_bit(np.ascontiguousarray(picture.pixels), picture.top).astype(np.uint8))
    height, width = picture.pixels.shape
    if abs(picture.aspect - 1) > 0.01:  # a browser shows square pixels
        pixels = pixels.resize((width, max(1, round(height * picture.aspect))))
    stream = io.BytesIO()
    pixels.save(stream, format="PNG")
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode()
