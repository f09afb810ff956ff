"""The state of an output folder: what was asked, what is done, and the manifest that ends a run.

While a run goes on, `.progress` holds the settings and one small file for each finished shard, each written
after its shard; a run killed at any moment leaves a prefix of that order. The manifest then takes its place.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from data_prep.splits import SPLITS
from mdcsrn_tf.errors import UserError
from mdcsrn_tf.files import remove, remove_abandoned, replace_when_done, sha256_of
from mdcsrn_tf.locks import LOCK_NAME

FORMAT = 1
# What a second run reads of a shard's entry.
_ENTRY = {
    "scan": str,
    "pairs": int,
    "shard": str,
    "shard_bytes": int,
    "shard_sha256": str,
    "source_bytes": int,
    "source_sha256": str,
}


class ShardFolder:
    """An output folder of mdcsrn-shards."""

    def __init__(self, path: Path):
        self.path = path
        self.manifest_path = path / "manifest.json"
        self._progress = path / ".progress"

    def refuse_file(self) -> None:
        """UserError if the path is a file's."""
        if self.path.is_file():
            raise UserError(f"{self.path} is a file; name a folder for the shards.")

    def open(self, settings: dict[str, Any], *, overwrite: bool) -> None:
        """Claim the folder for these settings; UserError if it is another's, or holds other settings."""
        self.refuse_file()
        found = self._settings()
        if found is None and self.path.is_dir() and not all(map(self._says_nothing, self.path.iterdir())):
            raise UserError(f"{self.path} holds other files; name a new folder for the shards.")
        if found is not None and found != settings:
            if not overwrite and (self.manifest_path.exists() or self.finished()):
                raise UserError(
                    f"{self.path} holds shards of other settings ({_difference(found, settings)}); "
                    "choose another folder, or --overwrite to replace them."
                )
            self._clear(found)
        self._tidy()
        if self._settings() is None:
            self._progress.mkdir(parents=True, exist_ok=True)
            _write_json(self._progress / "settings.json", settings)

    def finished(self) -> dict[str, dict[str, Any]]:
        """The entries, by scan, whose shards are there in full (of an unfinished run: by checksum)."""
        manifest = self._load(self.manifest_path, _is_manifest)
        if manifest is not None:
            return {entry["scan"]: entry for entry in manifest["shards"] if self._size(entry) == entry["shard_bytes"]}
        entries = [self._load(path, _is_entry) for path in sorted(self._progress.glob("scan-*.json"))]
        return {
            entry["scan"]: entry
            for entry in entries
            if entry
            and self._size(entry) == entry["shard_bytes"]
            and sha256_of(self.path / entry["shard"]) == entry["shard_sha256"]
        }

    def add(self, entry: dict[str, Any]) -> None:
        """Note a finished shard."""
        _write_json(self._progress / f"scan-{entry['scan']}.json", entry)

    def finish(
        self, settings: dict[str, Any], shards: Iterable[dict], skipped: Iterable[dict], form: int = FORMAT
    ) -> None:
        """Write the manifest and forget the progress; `form` is the records' (shards.records)."""
        shards = list(shards)
        gone = [entry["shard"] for entry in shards if self._size(entry) != entry["shard_bytes"]]
        if gone:
            raise UserError(
                f"{len(gone)} of the shards in {self.path} vanished while others were made ({gone[0]} first); leave "
                "the folder alone and run the same command again."
            )
        manifest = {
            "format": form,
            "settings": settings,
            "shards": sorted(shards, key=lambda entry: entry["scan"]),
            "skipped": sorted(skipped, key=lambda entry: entry["scan"]),
        }
        _write_json(self.manifest_path, manifest)
        remove(self._progress)
        self._tidy()

    def is_finished(self) -> bool:
        """Whether a manifest says that nothing remains."""
        manifest = self._load(self.manifest_path, _is_manifest)
        return manifest is not None and not manifest["skipped"]

    def _tidy(self) -> None:
        """Remove what killed runs were writing."""
        for folder in (self.path, self._progress, *(self.path / split for split in SPLITS)):
            remove_abandoned(folder)

    def _settings(self) -> dict[str, Any] | None:
        manifest = self._load(self.manifest_path, _is_manifest)
        return manifest["settings"] if manifest else self._load(self._progress / "settings.json", _is_table)

    def _size(self, entry: dict[str, Any]) -> int:
        try:
            return (self.path / entry["shard"]).stat().st_size
        except OSError:
            return -1

    def _says_nothing(self, path: Path) -> bool:
        """Whether it may lie in the folder of a run that was killed before it noted its settings, or as it cleared."""
        names = [inside.name for inside in path.iterdir()] if path.is_dir() and not path.is_symlink() else None
        if path == self._progress:
            return names is not None and all(name.startswith((".partial-", "scan-")) for name in names)
        return path.name == LOCK_NAME or path.name.startswith(".partial-") or (path.name in SPLITS and names == [])

    def _clear(self, settings: dict[str, Any]) -> None:
        """Remove what a run of those settings wrote, and nothing else; killed at any moment, it can be repeated."""
        _write_json(self._progress / "settings.json", settings)
        remove(self.manifest_path)
        for split in SPLITS:
            for shard in (self.path / split).glob("*.tfrecord"):
                remove(shard)
        remove(self._progress)

    def _load(self, path: Path, fits: Callable[[Any], bool]) -> dict[str, Any] | None:
        """The JSON at that path, None where there is none; UserError where it is damaged or does not fit."""
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if not fits(content):
                raise ValueError("it is none of ours")
            return content
        except FileNotFoundError:
            return None
        except (OSError, ValueError, RecursionError) as error:
            raise UserError(f"{path} cannot be read ({error}); remove the folder {self.path}.") from error


def _is_table(content: Any) -> bool:
    return isinstance(content, dict)


def _is_entry(content: Any) -> bool:
    return _is_table(content) and all(isinstance(content.get(key), kind) for key, kind in _ENTRY.items())


def _is_manifest(content: Any) -> bool:
    """Whether what a second run needs is there, and of its type."""
    return (
        _is_table(content)
        and _is_table(content.get("settings"))
        and all(isinstance(content.get(key), list) for key in ("shards", "skipped"))
        and all(map(_is_entry, content["shards"]))
        and all(_is_table(entry) and isinstance(entry.get("scan"), str) for entry in content["skipped"])
    )


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with replace_when_done(path) as partial:
        partial.write_text(json.dumps(content, indent=1, sort_keys=True) + os.linesep, encoding="utf-8")


def _difference(found: dict[str, Any], wanted: dict[str, Any]) -> str:
    for key in sorted({*found, *wanted} - {"scans"}):
        if found.get(key) != wanted.get(key):
            return f"{key} was {found.get(key)}, now {wanted.get(key)}"
    return "the scans or their splits have changed"
