"""The trained networks that come with the package: each `NAME.keras`, its model card inside."""

from __future__ import annotations

import difflib
import os
from pathlib import Path

from mdcsrn_tf.errors import UserError
from mdcsrn_tf.models.files import read_card

_FOLDER = Path(__file__).parent
# One line: the name of the network that is used when none is named. Without it, the first by name.
_DEFAULT = "default.txt"


def list_models(folder: Path = _FOLDER) -> list[str]:
    """The names of the bundled networks, the default one first."""
    names = sorted(path.stem for path in folder.glob("*.keras") if not path.name.startswith("."))
    default = folder / _DEFAULT
    if default.is_file():
        first = default.read_text(encoding="utf-8").strip()
        names.sort(key=lambda name: name != first)
    return names


def describe(name: str, folder: Path = _FOLDER) -> str:
    """The line of a bundled network's card: what it is, what it takes, how it was trained and how it did."""
    card = read_card(folder / f"{name}.keras")
    phase, step, validation = (card.notes.get(key) for key in ("phase", "step", "validation"))
    factor, axes = "x".join(map(str, card.factor)), ",".join(card.axes)
    line = f"{name}: {card.preset}, {card.interpolation} inputs, {factor} {axes}"
    if step:
        line += f"; {card.notes.get('recipe')} recipe, {phase} phase, step {step}"
    if validation and "psnr" in validation:
        line += f"; validation {validation['psnr']:.2f} dB, its input {validation['input_psnr']:.2f}"
    return line


def find_model(name: str | os.PathLike[str] | None = None, folder: Path = _FOLDER) -> Path:
    """The file or SavedModel folder that `name` stands for: a bundled network or a path; None: the default."""
    if name is not None and Path(name).name != str(name) and Path(name).exists():
        return Path(name)  # no bundled network has such a name: their folder, which may be closed, is not looked into
    names = list_models(folder)
    if name is None or not str(name):
        if not names:
            raise UserError("No network comes with this installation; name one with --model=FILE.keras.")
        return folder / f"{names[0]}.keras"
    if str(name) in names:
        return folder / f"{name}.keras"
    if Path(name).exists():
        return Path(name)
    near = difflib.get_close_matches(str(name), names, n=3, cutoff=0.4) or names
    known = f"; bundled are {', '.join(near)}" if near else ""
    raise UserError(f"There is no model {name}: neither a file or folder nor a bundled network{known}.")
