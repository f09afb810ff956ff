"""Checkpoints: one file each, written whole or not at all, the last few kept.

A checkpoint is a flat table of named arrays (every variable of both networks and both optimizers) and a
JSON text (the step, the best metric, the settings), in one `.npz`, so one rename makes it appear.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mdcsrn_tf.errors import UserError
from mdcsrn_tf.files import remove, remove_abandoned, replace_when_done
from mdcsrn_tf.npz import load_npz

META = "meta.json"


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint file holds."""

    path: Path
    arrays: dict[str, np.ndarray]
    meta: dict[str, Any]


class CheckpointFolder:
    """The checkpoints of one phase, named by their step."""

    def __init__(self, folder: Path, keep: int):
        self.folder = Path(folder)
        self.keep = max(keep, 1)

    def save(self, step: int, arrays: Mapping[str, np.ndarray], meta: Mapping[str, Any]) -> Path:
        """Write the checkpoint of `step`, then drop those beyond the last `keep`."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"step-{step:09d}.npz"
        text = np.frombuffer(json.dumps(meta, sort_keys=True).encode(), np.uint8)
        with replace_when_done(path) as partial, partial.open("wb") as stream:
            np.savez(stream, **{META: text}, **arrays)  # type: ignore[arg-type]
        for old in self.paths()[: -self.keep]:
            remove(old)
        return path

    def paths(self) -> list[Path]:
        """The checkpoint files, oldest first."""
        return sorted(self.folder.glob("step-*.npz"))

    def latest(self) -> Checkpoint | None:
        """The newest checkpoint, or None if there is none yet."""
        paths = self.paths()
        return load_checkpoint(paths[-1]) if paths else None

    def clear_partial(self) -> None:
        """Remove what a killed run left half written."""
        remove_abandoned(self.folder)


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint file."""
    try:
        arrays = load_npz(path)
        meta = json.loads(arrays.pop(META).tobytes())
        if not isinstance(meta, dict):
            raise ValueError("its settings are no table")
    except (OSError, ValueError, KeyError, RecursionError) as error:
        raise UserError(f"The checkpoint {path} is damaged ({error}); remove it to use the one before.") from error
    return Checkpoint(path, arrays, meta)
