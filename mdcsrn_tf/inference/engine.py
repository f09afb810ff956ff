"""What every engine is: a network ready to run, whatever runs it; and what an exported folder says of its network."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mdcsrn_tf.inference import room
from mdcsrn_tf.inference.settings import ApplyColumn, ApplyTiles
from mdcsrn_tf.inference.tiling import PerAxis, per_axis
from mdcsrn_tf.models.files import ModelCard, card_of

if TYPE_CHECKING:
    from mdcsrn_tf.inference.sliding import SlidingNetwork

_KEPT_APPLIERS = 4  # scans of many shapes ask for tiles of many


class Engine:
    """A network ready to run; `applier` gives the function for one tile size and batch."""

    multiple: int = 1  # of which the sides of what it takes must be multiples

    def __init__(self, card: ModelCard, bn: str, radius: int | None):
        self.card = card
        self.bn = bn
        self.radius = radius  # of the receptive field, or a bound of it; None: it is not known
        self.feature_channels: int | None = None  # of all feature maps together; None: not known
        self.overhead = 0  # bytes that it takes beside them
        self.sliding: SlidingNetwork | None = None  # what runs columns slab by slab; None: it has only tiles
        self._appliers: dict[tuple[tuple[int, ...], int], Any] = {}

    def applier(self, tile: PerAxis, batch: int) -> ApplyTiles:
        """The function from a batch of tiles to a batch of tiles; built once for each shape."""
        return self._kept((per_axis(tile), batch), self._build)

    def column_applier(self, column: PerAxis) -> ApplyColumn:
        """The same for one column at a time, which slides through the network; where `sliding` is not None."""
        assert self.sliding is not None
        return self._kept((per_axis(column), 0), self.sliding.applier)

    def _kept(self, key: tuple[tuple[int, ...], int], build: Callable) -> Any:
        if key not in self._appliers:
            if len(self._appliers) >= _KEPT_APPLIERS:
                self._appliers.pop(next(iter(self._appliers)))
            self._appliers[key] = build(*key)
        return self._appliers[key]

    def forget(self) -> None:
        """Free what was built."""
        self._appliers.clear()

    def runs_on_processor(self) -> bool:
        """Whether the tiles take the system's memory, and not a GPU's."""
        return room.runs_on_processor()

    def _build(self, tile: tuple[int, ...], batch: int) -> ApplyTiles:
        raise NotImplementedError


def read_metadata(path: Path) -> tuple[ModelCard, dict[str, Any]]:
    """The card and the other metadata of an exported folder."""
    from mdcsrn_tf.inference.export import load_metadata

    metadata = load_metadata(path)
    return card_of(path, metadata["card"]), metadata
