"""What the sections of docs/results.md share: where records lie, and how numbers and tables are written."""

from __future__ import annotations

import json
import math
import re
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
TITLES = {
    "psnr": "PSNR (dB)",
    "ssim": "SSIM",
    "nrmse": "NRMSE",
    "psnr3d": "PSNR 3D (dB)",
    "ssim3d": "SSIM 3D",
    "nrmse3d": "NRMSE 3D",
    "psnr_head": "PSNR head (dB)",
    "ssim_head": "SSIM head",
    "nrmse_head": "NRMSE head",
    "psnr3d_head": "PSNR 3D head (dB)",
    "ssim3d_head": "SSIM 3D head",
    "nrmse3d_head": "NRMSE 3D head",
    "band_db": "removed band (dB)",
    "band_corr": "removed band, correlation",
    "piqe": "PIQE",
    "niqe": "NIQE",
    "dice": "DSC",
}
DECIMALS = {
    "psnr": 2,
    "psnr3d": 2,
    "psnr_head": 2,
    "psnr3d_head": 2,
    "band_db": 1,
    "band_corr": 3,
    "piqe": 1,
    "niqe": 2,
}


def read(name: str) -> dict[str, Any]:
    """The record of that file name."""
    return dict(json.loads((RESULTS / name).read_text(encoding="utf-8")))


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a Markdown table, numbers to the right."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return ["| " + " | ".join(line) + " |" for line in lines]


def wrapped(lines: Sequence[str], width: int = 120) -> list[str]:
    """The lines of a page, sentences broken at `width` characters; tables, titles and pictures stay as they are.

    >>> wrapped(["- one two three", "| a | b and c |"], width=10)
    ['- one two', '  three', '| a | b and c |']
    """
    broken = []
    for line in lines:
        indent = "  " if line.startswith("- ") else ""
        kept = len(line) <= width or line.startswith(("|", "#", "!", "<"))
        fits = textwrap.wrap(line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
        broken += [line] if kept else fits
    return broken


def contents(lines: Sequence[str]) -> list[str]:
    """A list of links to a page's sections.

    >>> contents(["## One: a `b`", "text", "### Two", "## Three, 2^3"])
    ['- [One: a `b`](#one-a-b)', '- [Three, 2^3](#three-23)']
    """
    titles = [line.removeprefix("## ") for line in lines if line.startswith("## ")]
    return [f"- [{title}](#{re.sub('[^a-z0-9_ -]', '', title.lower()).replace(' ', '-')})" for title in titles]


def number(value: float | str | None, metric: str, sign: bool = False) -> str:
    """A metric's value with its decimals; nothing where there is none."""
    if value is None or math.isnan(float(value)):
        return ""
    return f"{float(value):{'+' if sign else ''}.{DECIMALS.get(metric, 4)}f}"


def mean_cell(found: dict[str, Any] | None, metric: str, scans: int) -> str:
    """`mean ± SD` of a row of eval.py's, with the count where not all scans have a value."""
    if found is None:
        return ""
    mean, deviation = number(found["mean"], metric), number(found["deviation"], metric)
    return f"{mean} ± {deviation}" + ("" if found["subjects"] == scans else f" (n = {found['subjects']})")


def added(config: dict[str, Any]) -> str:
    """Which rows were measured later than the others, where any were."""
    later = config.get("added")
    return f" All rows but {', '.join(later['rows'])} were measured on {later['to'][:10]}." if later else ""


def circumstances(record: dict[str, Any]) -> str:
    """When, on what and by which version."""
    device, version = record["device"], record["versions"]["mdcsrn_tf"]
    cores = "1 core" if device["cores"] == 1 else f"{device['cores']} cores"
    return f"{record['started'][:10]}, {device['processor']}, {cores}, mdcsrn_tf {version}."
