"""Whether a scan's slices have pixels of the size that a network on slices learned from.

Such a network learned from low-resolution scans on the grid of the high-resolution ones. Which grid that was no scan
can say: the network's card does.
"""

from __future__ import annotations

from collections.abc import Sequence

from mdcsrn_tf.inference.words import millimetres
from mdcsrn_tf.models.files import ModelCard
from mdcsrn_tf.scans.stack import PLANES

PIXELS = "pixel_mm"  # in a card's notes: the smallest and the largest of the training slices
_AXES = ("LR", "AP", "IS")
_ALIKE = 1.25
MEAN_OF_THREE = "mean3"


def asked_planes(plane: str | None, card: ModelCard) -> tuple[str, ...]:
    """The planes that a scan is cut in: as `--plane` asks, else as the network was trained; none for volumes."""
    if plane in (None, "card") or not card.planes:
        return card.planes
    return tuple(PLANES) if plane == MEAN_OF_THREE else (str(plane),)


def other_pixels(names: Sequence[str], sizes: Sequence[float], card: ModelCard) -> tuple[str, ...]:
    """A warning where pixels of `sizes` (mm, along axes called `names`) are not what the network learned from."""
    known = card.notes.get(PIXELS)
    if not known:
        return ()
    through = {_AXES[PLANES[plane]] for plane in card.planes}
    pixels = [size for name, size in zip(names, sizes, strict=True) if len(through) > 1 or name not in through]
    least, most = known
    if least <= _ALIKE * min(pixels) and max(pixels) <= _ALIKE * most:
        return ()
    remedy = (
        "bring the scan to those by --grid=small, --axes and --factor" if max(pixels) > most else "expect less of it"
    )
    return (
        f"the slices have pixels of {millimetres(pixels)} mm, and the network learned on {millimetres(known)} mm: "
        f"{remedy}.",
    )
