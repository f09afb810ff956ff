"""Which network super-resolves a scan: the one that is named, else the first bundled one made for such scans."""

from __future__ import annotations

from pathlib import Path

from mdcsrn_tf.inference.decision import decide, misfits
from mdcsrn_tf.inference.fitting import fitting
from mdcsrn_tf.inference.settings import ScanSettings
from mdcsrn_tf.inference.sight import Sight
from mdcsrn_tf.models.files import read_card
from mdcsrn_tf.weights import find_model, list_models


def choose_model(sight: Sight, wanted: ScanSettings, name: str | None = None) -> Path:
    """The file or folder of the network that `name` names, or of the first bundled one that was made for such scans.

    Where none was, it is the default network: the user is then told what of the scan does not suit it.
    """
    if name:
        return find_model(name)
    for bundled in list_models():
        path = find_model(bundled)
        card = read_card(path)
        # A network on slices was trained on two scans of each person: only the user can say that this is wanted.
        # One whose card does not say what it was tested on is there to be compared with.
        if card.planes or not card.tested:
            continue
        seen = fitting(sight, wanted, card)
        if not misfits(seen, decide(seen, wanted, card), card):
            return path
    return find_model(None)
