"""degraded.json: by which settings each scan of a folder was degraded, so that no run takes one kind for another."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mdcsrn_tf.errors import UserError
from mdcsrn_tf.run_record import write_json

NAME = "degraded.json"


class DegradeRecord:
    """The settings of every scan that mdcsrn-degrade wrote into one folder."""

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        """Read what earlier runs left in `folder`; `settings` are this run's."""
        self.folder, self.settings = folder, dict(settings)
        self._scans = self._read()

    def refuse_others(self, there: Sequence[Path]) -> None:
        """UserError if one of the scans that are there already came of other settings; unknown ones pass."""
        for path in there:
            found = self._scans.get(self._key(path))
            differing = sorted(name for name in self.settings if found and found.get(name) != self.settings[name])
            if found and differing:
                was = ", ".join(f"{name} {found.get(name)}" for name in differing)
                asked = ", ".join(f"{name} {self.settings[name]}" for name in differing)
                raise UserError(
                    f"{path} is there already, but was made with {was}, not with {asked}; "
                    "name another folder, or replace it with --overwrite."
                )

    def add(self, path: Path) -> None:
        """Note that `path` now holds a scan by this run's settings; called once it is there."""
        self._scans = {**self._read(), self._key(path): self.settings}  # another run may write here as well
        write_json(self.folder / NAME, self._scans)

    def _key(self, path: Path) -> str:
        return path.relative_to(self.folder).as_posix()

    def _read(self) -> dict[str, Any]:
        path = self.folder / NAME
        if not path.is_file():
            return {}
        try:
            scans = json.loads(path.read_text(encoding="utf-8"))
            if not all(isinstance(found, dict) for found in scans.values()):
                raise ValueError("not a list of scans with their settings")
        except (OSError, ValueError, AttributeError) as error:
            raise UserError(f"{path} cannot be read ({error}); delete it, or name another folder.") from error
        return scans
