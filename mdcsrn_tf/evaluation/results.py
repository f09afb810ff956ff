"""All subjects' records as one table of ours: what the papers' tables are compared with."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from mdcsrn_tf.evaluation.job import decoded
from mdcsrn_tf.evaluation.plan import METRICS, Method, Plan
from mdcsrn_tf.evaluation.statistics import FEWEST_PAIRS, Paired, Summary, compare_all, summarise


@dataclass(frozen=True)
class Row:
    """One method over all subjects."""

    method: Method
    metrics: dict[str, Summary]
    seconds: Summary
    device: str = ""
    missing: dict[str, str] = field(default_factory=dict)  # metric -> why a subject has none

    @property
    def figures(self) -> dict[str, Summary]:
        """Metrics and time together: everything that has a mean."""
        return {**self.metrics, "seconds": self.seconds} if self.seconds.subjects else dict(self.metrics)


@dataclass(frozen=True)
class Results:
    """One evaluation's outcome."""

    plan: Plan
    subjects: tuple[str, ...]
    rows: tuple[Row, ...]
    values: dict[str, dict[str, dict[str, float]]]  # method -> metric -> subject -> value
    paired: tuple[Paired, ...]
    left_out: tuple[str, ...]  # a sentence each
    remarks: tuple[str, ...] = ()

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics of the plan in the order of the tables."""
        return tuple(metric for metric in METRICS if metric in self.plan.metrics)

    def row(self, name: str) -> Row | None:
        """The row of that method, if it was evaluated."""
        return next((row for row in self.rows if row.method.name == name), None)


def collect(plan: Plan, records: Sequence[dict[str, Any]], left_out: Sequence[str]) -> Results:
    """Average the records over subjects and compare the methods."""
    records = sorted(records, key=lambda record: record["subject"])
    values: dict[str, dict[str, dict[str, float]]] = {}
    for method in plan.methods:
        found = {record["subject"]: record["methods"][method.name] for record in records}
        columns = {
            metric: {s: decoded(entry["values"][metric]) for s, entry in found.items() if metric in entry["values"]}
            for metric in plan.metrics
        }
        values[method.name] = {metric: column for metric, column in columns.items() if column}
    rows = tuple(_row(method, plan, records, values[method.name]) for method in plan.methods)
    metrics = [metric for metric in METRICS if metric in plan.metrics]
    return Results(
        plan,
        tuple(record["subject"] for record in records),
        rows,
        values,
        tuple(compare_all(values, metrics, plan.conventions)),
        tuple(left_out),
        (*_remarks(rows, len(records)), *_doubts(records)),
    )


def _row(method: Method, plan: Plan, records: Sequence[dict[str, Any]], values: dict[str, dict[str, float]]) -> Row:
    entries = [record["methods"][method.name] for record in records]
    seconds = [decoded(entry["seconds"]) for entry in entries]
    devices = sorted({_device(entry["device"]) for entry in entries if entry.get("device")})
    missing: dict[str, str] = {}
    for entry in entries:
        missing |= entry["missing"]
    return Row(
        method,
        {m: summarise(list(found.values()), plan.conventions) for m, found in values.items()},
        summarise(seconds, plan.conventions),
        "; ".join(devices),
        missing,
    )


def _device(device: dict[str, Any]) -> str:
    if device.get("gpus"):
        return ", ".join(device["gpus"])
    return f"{device.get('processor') or device.get('system')}, {device.get('cores')} cores"


def _doubts(records: Sequence[dict[str, Any]]) -> list[str]:
    """What is doubtful about the scans' headers: axes go by them."""
    return [
        f"{record['subject']}, {name}: {remark}"
        for record in records
        for name, remarks in record.get("doubts", {}).items()
        for remark in remarks
    ]


def _remarks(rows: Sequence[Row], subjects: int) -> list[str]:
    """What a reader must know about empty or partial cells, each once."""
    remarks: dict[str, None] = {}
    for row in rows:
        for metric in [*row.metrics, *row.missing]:
            having = row.metrics[metric].subjects if metric in row.metrics else 0
            why = row.missing.get(metric, f"{row.method.name} has none for the others")
            if having == 0:
                remarks[f"{metric}: {why}."] = None
            elif having < subjects:
                remarks[f"{metric}: {having} of {subjects} subjects have a value; of another: {why}."] = None
    if len(rows) > 1 and subjects < FEWEST_PAIRS:
        remarks[f"Methods are compared pair by pair from {FEWEST_PAIRS} subjects on; here are {subjects}."] = None
    if any(math.isinf(summary.mean) for row in rows for summary in row.metrics.values()):
        remarks["inf: the images are identical."] = None
    return list(remarks)
