"""The architecture table: what each network is, ours among them, counted on itself, beside what the papers print."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

from mdcsrn_tf.models import build_critic, build_generator
from mdcsrn_tf.models.sizes import macs_per_voxel, receptive_field_radius
from mdcsrn_tf.papers import (
    PRESETS,
    field94t,
    published_exact_parameters,
    published_ops,
    published_parameters,
)
from mdcsrn_tf.papers.config import NetworkConfig
from mdcsrn_tf.papers.networks2d import (
    DiscriminatorConfig,
    LedigDiscriminatorConfig,
    ReleasedDiscriminatorConfig,
    SliceNetworkConfig,
)

if TYPE_CHECKING:
    import keras

OPS_REMARK = (
    "M's #ops is 4.01 to 4.08 times its #parm: it does not measure work. "
    "MACs/voxel counts the multiplications and additions of the convolutions, for a voxel (or pixel) of the input."
)
RADIUS_REMARK = (
    "A network that halves its image has no one receptive field: what an output pixel sees depends on where it lies."
)
OURS_REMARK = "Those named fast/ are ours: no paper has them, and no figure is published."
FOREST_REMARK = "7t/rfsr is no network: a random forest of 200 trees, at most 15 deep; its paper prints no size."
# P's letters are the panels of its Fig. 13; none of these counts is published.
DISCRIMINATORS: dict[str, tuple[DiscriminatorConfig, int, int]] = {
    "7t discriminator (b)": (field94t.B, 64, 1),
    "7t discriminator (d)": (field94t.D, 64, 1),
    "7t discriminator (f)": (field94t.F, 64, 1),
    "7t discriminator (h)": (field94t.H, 64, 1),
    "srgan2d discriminator (Model 1)": (ReleasedDiscriminatorConfig(), 512, 1),
    "srgan2d discriminator (Model 2)": (ReleasedDiscriminatorConfig(), 512, 3),
    "srgan2d discriminator (Ledig's, 96 px)": (LedigDiscriminatorConfig(), 96, 1),
}


@dataclass(frozen=True)
class ArchitectureRow:
    """One network, counted and published."""

    preset: str
    parameters: int
    receptive_field_radius: int | None
    macs_per_voxel: int
    published_millions: dict[str, str] = field(default_factory=dict)  # table -> as printed
    rounds_to: dict[str, bool] = field(default_factory=dict)  # table -> whether our count, so rounded, prints the same
    published_million_ops: float | None = None
    published_exact: int | None = None


def architecture_rows() -> list[ArchitectureRow]:
    """Build every preset's network, and the slice networks' discriminators, and count."""
    counted = lru_cache(_count_generator)  # several presets share a network
    rows = [_row(name, *counted(preset.network)) for name, preset in PRESETS.items()]
    return rows + [_row(name, *_count_critic(*what)) for name, what in DISCRIMINATORS.items()]


def _count_generator(network: NetworkConfig | SliceNetworkConfig) -> tuple[int, int | None, int]:
    """Parameters, radius of the receptive field, and MACs per voxel."""
    model = build_generator(network)
    return trainable_parameters(model), receptive_field_radius(model), macs_per_voxel(model)


def _count_critic(config: DiscriminatorConfig, side: int, channels: int) -> tuple[int, None, int]:
    model = build_critic(config, side, channels)
    return trainable_parameters(model), None, macs_per_voxel(model)


def _row(name: str, parameters: int, radius: int | None, macs: int) -> ArchitectureRow:
    published = published_parameters(name)
    return ArchitectureRow(
        name,
        parameters,
        radius,
        macs,
        published,
        {table: rounds_to(parameters, printed) for table, printed in published.items()},
        published_ops(name),
        published_exact_parameters(name),
    )


def trainable_parameters(model: keras.Model) -> int:
    """The parameters that training changes: what the papers count."""
    return sum(math.prod(weight.shape) for weight in model.trainable_weights)


def rounds_to(parameters: int, printed: str) -> bool:
    """Whether the count in millions prints as `printed` at the same number of decimals."""
    decimals = len(printed.partition(".")[2])
    return f"{parameters / 1e6:.{decimals}f}" == printed


def format_table(rows: list[ArchitectureRow]) -> str:
    """The table as Markdown, with the remarks that belong to it."""
    lines = [
        "| preset | published (M, or in full) | ours | agrees | receptive-field radius | MACs/voxel | #ops (M) |",
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
    if row.published_exact is not None:
        printed = f"{row.published_exact:,}"
    radius = "" if row.receptive_field_radius is None else row.receptive_field_radius
    return (
        f"| {row.preset} | {printed} | {row.parameters:,} | {_agreement(row)} | {radius} "
        f"| {row.macs_per_voxel:,} | {ops} |"
    )


def _agreement(row: ArchitectureRow) -> str:
    if row.published_exact is not None:
        return "yes, exactly" if row.parameters == row.published_exact else "no"
    if all(row.rounds_to.values()):
        return "yes" if row.rounds_to else ""
    agreeing = [table for table, agrees in row.rounds_to.items() if agrees]
    return f"yes ({', '.join(agreeing)})" if agreeing else "no"


def _remarks(rows: list[ArchitectureRow]) -> list[str]:
    """What a reader of the table has to know, and one remark for every rounded count that differs."""
    differing = [_remark(row) for row in rows if not all(row.rounds_to.values())]
    return [OPS_REMARK, RADIUS_REMARK, FOREST_REMARK, OURS_REMARK, *differing]


def _remark(row: ArchitectureRow) -> str:
    printed = ", ".join(f"{table} prints {value}" for table, value in row.published_millions.items())
    if any(row.rounds_to.values()):
        return f"{row.preset}: the papers' tables contradict each other ({printed}); ours is {row.parameters:,}."
    finest = max(row.published_millions.values(), key=len)
    apart = abs(row.parameters / 1e6 / float(finest) - 1.0)
    return f"{row.preset}: {printed}; ours is {row.parameters:,}, {apart:.2%} from {finest}."
