"""The trained networks that come with the package: each `NAME.keras`, its model card inside."""

from __future__ import annotations

import difflib
import os
from pathlib import Path

from mdcsrn_tf.errors import UserError

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


def find_model(name: str | os.PathLike[str] | None = None, folder: Path = _FOLDER) -> Path:
    """The file or SavedModel folder that `name` stands for: a bundled network or a path; None: the default."""
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
