"""The architecture table: what each network is, counted on the network itself, beside what the papers print."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from mdcsrn_tf.models import build_generator
from mdcsrn_tf.papers import PRESETS, published_ops, published_parameters

if TYPE_CHECKING:
    import keras

OPS_REMARK = (
    "The papers' #ops is 4.06 times their #parm in every row: it does not measure work. "
    "MACs/voxel counts the multiplications and additions of the convolutions."
)


@dataclass(frozen=True)
class ArchitectureRow:
    """One preset, counted and published."""

    preset: str
    parameters: int
    published_millions: dict[str, str]  # table -> as printed
    rounds_to: dict[str, bool]  # table -> whether our count, so rounded, prints the same
    receptive_field_radius: int
    macs_per_voxel: int
    published_million_ops: float | None


def architecture_rows() -> list[ArchitectureRow]:
    """Build every preset's network and count."""
    return [_row(name) for name in PRESETS]


def _row(name: str) -> ArchitectureRow:
    model = build_generator(PRESETS[name].network)
    parameters = trainable_parameters(model)
    published = published_parameters(name)
    return ArchitectureRow(
        name,
        parameters,
        published,
        {table: rounds_to(parameters, printed) for table, printed in published.items()},
        receptive_field_radius(model),
        macs_per_voxel(model),
        published_ops(name),
    )


def trainable_parameters(model: keras.Model) -> int:
    """The parameters that training changes: what the papers count."""
    return sum(math.prod(weight.shape) for weight in model.trainable_weights)


def rounds_to(parameters: int, printed: str) -> bool:
    """Whether the count in millions prints as `printed` at the same number of decimals."""
    decimals = len(printed.partition(".")[2])
    return f"{parameters / 1e6:.{decimals}f}" == printed


def receptive_field_radius(model: keras.Model) -> int:
    """How far, in voxels, an output voxel sees: the longest chain of kernel radii through the graph."""
    radius = {id(model.inputs[0]): 0}
    for layer in model.layers[1:]:  # all but the input
        sources = layer.input if isinstance(layer.input, list) else [layer.input]
        radius[id(layer.output)] = max(radius[id(source)] for source in sources) + _kernel_radius(layer)
    return radius[id(model.outputs[0])]


def macs_per_voxel(model: keras.Model) -> int:
    """Multiply-accumulates of all convolutions for one voxel of a same-size network."""
    return sum(math.prod(layer.kernel.shape) for layer in model.layers if hasattr(layer, "kernel_size"))


def _kernel_radius(layer: keras.layers.Layer) -> int:
    return (max(layer.kernel_size) - 1) // 2 if hasattr(layer, "kernel_size") else 0


def format_table(rows: list[ArchitectureRow]) -> str:
    """The table as Markdown, with the remarks that belong to it."""
    lines = [
        "| preset | published (M) | ours | rounds to it | receptive-field radius | MACs/voxel | papers' #ops (M) |",
        "|---|---|---:|---|---:|---:|---:|",
    ]
    lines += [_format_row(row) for row in rows]
    return "\n".join([*lines, "", *_remarks(rows)])


def to_json(rows: list[ArchitectureRow]) -> str:
    """The rows and the remarks as JSON text."""
    content = {"rows": [asdict(row) for row in rows], "remarks": _remarks(rows)}
    return json.dumps(content, indent=2) + "\n"


def _format_row(row: ArchitectureRow) -> str:
    ops = "" if row.published_million_ops is None else f"{row.published_million_ops:.3f}"
    printed = " / ".join(dict.fromkeys(row.published_millions.values()))
    agrees = "yes" if all(row.rounds_to.values()) else _tables_that_agree(row)
    return (
        f"| {row.preset} | {printed} | {row.parameters:,} | {agrees} | {row.receptive_field_radius} "
        f"| {row.macs_per_voxel:,} | {ops} |"
    )


def _tables_that_agree(row: ArchitectureRow) -> str:
    agreeing = [table for table, agrees in row.rounds_to.items() if agrees]
    return f"yes ({', '.join(agreeing)})" if agreeing else "no"


def _remarks(rows: list[ArchitectureRow]) -> list[str]:
    """What a reader of the table has to know: one remark for the ops, one for every count that differs."""
    return [OPS_REMARK, *(_remark(row) for row in rows if not all(row.rounds_to.values()))]


def _remark(row: ArchitectureRow) -> str:
    printed = ", ".join(f"{table} prints {value}" for table, value in row.published_millions.items())
    if any(row.rounds_to.values()):
        return f"{row.preset}: the papers' tables contradict each other ({printed}); ours is {row.parameters:,}."
    finest = max(row.published_millions.values(), key=len)
    apart = abs(row.parameters / 1e6 / float(finest) - 1.0)
    return f"{row.preset}: {printed}; ours is {row.parameters:,}, {apart:.2%} from {finest}."
