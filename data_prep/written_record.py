"""Of what and by which settings each scan of a folder was made, so that no run takes one for another."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from mdcsrn_tf.errors import UserError
from mdcsrn_tf.locks import alone_in
from mdcsrn_tf.run_record import write_json
from mdcsrn_tf.scans.find import sha256_of_scan

_SOURCE = "source_sha256"  # beside the settings; records of older versions lack it


class WrittenRecord:
    """The settings and the source of every scan that a command wrote into one folder."""

    def __init__(self, path: Path, settings: Mapping[str, Any]) -> None:
        """Read what earlier runs left in `path`, a JSON file in that folder; `settings` are this run's."""
        self.path, self.settings = path, dict(settings)
        self._scans = self._read()

    def refuse_others(self, there: Sequence[tuple[Path, Path]]) -> None:
        """UserError if a scan (the second of a pair) that is there already came of other settings, or of another file
        than the first of the pair is now; unknown ones pass."""
        checksum = lru_cache(maxsize=1)(sha256_of_scan)  # several may have come of one
        for source, path in there:
            found = self._scans.get(self._key(path))
            differing = sorted(name for name in self.settings if found and found.get(name) != self.settings[name])
            if found and differing:
                was = ", ".join(f"{name} {found.get(name)}" for name in differing)
                asked = ", ".join(f"{name} {self.settings[name]}" for name in differing)
                raise UserError(
                    f"{path} is there already, but was made with {was}, not with {asked}; "
                    "name another folder, or replace it with --overwrite."
                )
            if found and found.get(_SOURCE) and found[_SOURCE] != checksum(source):
                raise UserError(
                    f"{path} is there already, but was made of another {source.name} than there is now; remove it to "
                    "have it made anew, or name another folder."
                )

    def add(self, path: Path, source_sha256: str) -> None:
        """Note that `path` now holds that source by this run's settings; called once it is there."""
        made = {**self.settings, _SOURCE: source_sha256}
        with alone_in(self.path.parent):  # another run may write here as well
            self._scans = {**self._read(), self._key(path): made}
            write_json(self.path, self._scans)

    def _key(self, path: Path) -> str:
        return path.relative_to(self.path.parent).as_posix()

    def _read(self) -> dict[str, Any]:
        if not self.path.is_file():
            return {}
        try:
            scans = json.loads(self.path.read_text(encoding="utf-8"))
            if not all(isinstance(found, dict) for found in scans.values()):
                raise ValueError("not a list of scans with their settings")
        except (OSError, ValueError, AttributeError) as error:
            raise UserError(f"{self.path} cannot be read ({error}); delete it, or name another folder.") from error
        return scans
