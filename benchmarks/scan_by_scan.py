"""What benchmarks share that measure one scan after the other: their command line, the loop, and the end."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import pages
from benchmarks.data_helpers import scans_beginning
from mdcsrn_tf.run_record import RunRecord


def parser_of(description: str | None, model: str | None = None) -> argparse.ArgumentParser:
    """Which scans, and by which network: `model` if none is named; without one that is no question."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--test", default="", help="beginnings of names, kept apart from all choices")
    parser.add_argument("--development", default="", help="beginnings of names, looked at while choosing")
    if model:
        parser.add_argument("--model", default=model)
    return parser


def tables(results: dict[str, Any], head: list[str], cells: Callable[[Any], list[str]]) -> list[str]:
    """A table of each split's scans for the page: `head` over the cells of what was found of a scan."""
    lines: list[str] = []
    for split, scans in results.items():
        if scans:
            rows = [[scan, *cells(found)] for scan, found in scans.items()]
            lines += [f"### {split.capitalize()} scans", "", *pages.table(["", *head], rows), ""]
    return lines


def measure(arguments: argparse.Namespace, examine: Callable[[Path], Any], record: RunRecord, results: Path) -> None:
    """Every scan, a line for each; then the record, and docs/results.md anew."""
    for split in ("test", "development"):
        beginnings = getattr(arguments, split)
        record.results[split] = {}
        for path in scans_beginning(arguments.data, beginnings) if beginnings else []:
            found = examine(path)
            record.results[split][path.name.split(".")[0]] = found
            print(path.name, found, flush=True)
    record.write(results, folders_kept=False)
    from benchmarks import results_doc

    results_doc.main()
