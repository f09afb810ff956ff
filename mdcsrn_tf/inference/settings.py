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
