"""report.html: tables, figures and a viewer to wipe between images, in one file that needs no network."""

from __future__ import annotations

import base64
import io
import math
import shlex
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mdcsrn_tf.evaluation.figures import Drawn
from mdcsrn_tf.evaluation.formats import write_text
from mdcsrn_tf.evaluation.pictures import Head, place_of, read_head
from mdcsrn_tf.evaluation.report_tables import paired_section, table_section
from mdcsrn_tf.evaluation.results import Results
from mdcsrn_tf.evaluation.tables import Table
from mdcsrn_tf.evaluation.template import Html, fill, policy_for, text
from mdcsrn_tf.names import readable
from mdcsrn_tf.run_record import RunRecord, plain
from mdcsrn_tf.scans.axes import resolve_axes

HEADS_IN_REPORT = 3  # subjects whose whole heads the page holds, as far as its size allows
_MOST_BYTES = 60_000_000  # of heads in one page; the first subject's are always there
_AXIAL = 2


def write_report(
    path: Path, results: Results, tables: Sequence[Table], figures: Sequence[Drawn], output: Path, record: RunRecord
) -> Path:
    """Write the page and return its path."""
    template = resources.files("mdcsrn_tf.evaluation").joinpath("report.html").read_text(encoding="utf-8")
    values = {
        "policy": policy_for(template),
        "title": _count(len(results.subjects), "subject") + ", " + _count(len(results.rows), "method"),
        "made": f"{record.started}, mdcsrn_tf {record.versions.get('mdcsrn_tf', '')},",
        "command": shlex.join(map(readable, _without_its_folder(record.command))),
        "left_out": _left_out(results.left_out),
        "tables": Html("".join(table_section(table) for table in tables)),
        "paired": paired_section(results.paired),
        "figures": Html("".join(_figure(figure) for figure in figures) or "<p>None were drawn.</p>"),
        "conventions": _conventions(results, record),
        "heads": heads(results, output),
    }
    write_text(path, fill(template, values))
    return path


def _without_its_folder(command: Sequence[str]) -> list[str]:
    """The command's words; where it is installed is not the reader's concern."""
    return [Path(command[0]).name, *command[1:]] if command else []


def heads(results: Results, output: Path) -> list[dict[str, Any]]:
    """The viewer's subjects: every method's head as one PNG, and which two it opens on."""
    found: list[dict[str, Any]] = []
    size = 0
    for subject in results.subjects[:HEADS_IN_REPORT]:
        methods = []
        for row in results.rows:
            head = read_head(place_of(output, subject, row.method.name), row.method.name)
            if head is not None:
                methods.append(_packed(head))
        size += sum(len(method["sheet"]) for method in methods)
        if methods and (not found or size <= _MOST_BYTES):
            left, right = _opening(results, [method["name"] for method in methods])
            entry: dict[str, Any] = {"subject": readable(subject), "methods": methods, "left": left, "right": right}
            found.append(entry | {"plane": _degraded_plane(results)})
    for entry in found:
        for method in entry["methods"]:
            method["name"] = readable(method["name"])
    return found


def _opening(results: Results, names: list[str]) -> tuple[int, int]:
    """Left the best interpolation there is, right the first network or folder of results; else the original."""
    kinds = {row.method.name: row.method.kind for row in results.rows}
    networks = [k for k, name in enumerate(names) if kinds[name] in ("model", "folder")]
    left = next((names.index(name) for name in ("sinc", "bicubic", "linear", "lr", "nn") if name in names), 0)
    return left, networks[0] if networks else len(names) - 1


def _degraded_plane(results: Results) -> int:
    """The axis across the most degraded plane, of R, A, S."""
    names = results.plan.axes
    if any(part.strip().isdigit() for part in names.split(",")):
        return _AXIAL
    left = [axis for axis in range(3) if axis not in resolve_axes(names, np.eye(4))]
    return left[-1] if left else _AXIAL


def _packed(head: Head) -> dict[str, Any]:
    """All axial slices beside one another in one PNG, as near to a square as whole slices allow."""
    nx, ny, nz = head.voxels.shape
    across = max(1, round(math.sqrt(nz * ny / nx)))
    rows = math.ceil(nz / across)
    sheet = np.zeros((rows * ny, across * nx), np.uint8)
    for z in range(nz):
        top, left = (z // across) * ny, (z % across) * nx
        sheet[top : top + ny, left : left + nx] = head.voxels[:, :, z].T
    stream = io.BytesIO()
    Image.fromarray(sheet).save(stream, format="PNG")
    data = "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode()
    return {"name": head.name, "shape": [nx, ny, nz], "spacing": list(head.spacing), "across": across, "sheet": data}


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" + "s" * (number != 1)


def _left_out(sentences: Sequence[str]) -> Html:
    if not sentences:
        return Html("")
    items = "".join(f"<li>{text(sentence)}</li>" for sentence in sentences)
    return Html(f'<section class="warning"><h2>Left out</h2><ul>{items}</ul></section>')


def _figure(figure: Drawn) -> Html:
    title = text(figure.title)
    data = base64.b64encode(figure.paths[0].read_bytes()).decode()
    image = f'<img alt="{title}" src="data:image/png;base64,{data}">'
    return Html(f"<figure>{image}<figcaption>{title}</figcaption></figure>")


def _conventions(results: Results, record: RunRecord) -> Html:
    values = {**plain(results.plan.conventions), "axes": results.plan.axes, "factor": results.plan.factor}
    values |= {"plane": results.plan.plane, "versions": record.versions, "device": record.device}
    items = "".join(f"<dt>{text(name)}</dt><dd>{text(value)}</dd>" for name, value in values.items())
    return Html(f"<dl>{items}</dl>")
