"""The mean of a network's results of several mirror images of a scan: `--ensemble`."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from mdcsrn_tf.errors import UserError
from mdcsrn_tf.inference.settings import Settings
from mdcsrn_tf.inference.volume import Progress, Result, run

if TYPE_CHECKING:
    from mdcsrn_tf.inference.engines import Engine


def mirrors(ensemble: int) -> list[tuple[int, ...]]:
    """The axes to turn over in each of an ensemble's 1, 2, 4 or 8 passes: all mirror images along the first axes.

    >>> mirrors(4)
    [(), (0,), (1,), (0, 1)]
    """
    if ensemble not in (1, 2, 4, 8):
        raise UserError(f"ensemble {ensemble!r} must be 1, 2, 4 or 8: so many mirror images there are.")
    axes = range((1, 2, 4, 8).index(ensemble))  # also for NumPy's integers
    return [turned for count in range(len(axes) + 1) for turned in combinations(axes, count)]


def mirrored_too(engine: Engine, low_res: np.ndarray, settings: Settings, on_progress: Progress | None) -> Result:
    """The network's result; with an ensemble, its mean with those of the volume's mirror images, turned back."""
    ways = mirrors(settings.ensemble)

    def part(k: int) -> Progress | None:
        return on_progress and (lambda done, total: on_progress(k * total + done, len(ways) * total))

    first = run(engine, low_res, settings, part(0))
    tiles, total = first.tiles, first.data
    for k, axes in enumerate(ways[1:], start=1):
        result = run(engine, np.ascontiguousarray(np.flip(low_res, axes)), settings, part(k))
        tiles, total = tiles + result.tiles, total + np.flip(result.data, axes)
    return replace(first, data=total / len(ways), tiles=tiles)
