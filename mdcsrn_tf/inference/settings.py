"""How a network is run on a volume."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

ApplyTiles = Callable[[np.ndarray], np.ndarray]  # float32 [batch, tile, tile, tile] to the same


@dataclass(frozen=True)
class Settings:
    """How to run a network; what is None is taken from its model card."""

    tile: int | None = None
    margin: int | None = None
    bn: str | None = None  # "batch": J's train mode, each tile's own statistics; "moving": the trained ones
    seamless: bool = False  # moving statistics, and a margin that makes the result independent of the tiling
    batch_tiles: int = 1
    precision: str = "float32"
    device: str = "auto"
    engine: str = "tensorflow"
    # Of slice networks alone: "axial", "coronal", "sagittal", "mean3", or "card": as it was trained.
    plane: str | None = None
    stride: int | None = None  # between tiles that are averaged
    merge: str | None = None  # "core": side by side; "mean": averaged


@dataclass(frozen=True)
class Result:
    """A super-resolved volume, and how it came about."""

    data: np.ndarray
    tile: int
    margin: int
    bn: str
    tiles: int  # of a slice network: slices
    seam_figure: float | None
    fallback_tiles: tuple[int, ...] = ()  # tile sizes for which the memory did not suffice
