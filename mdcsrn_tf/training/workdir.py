"""What must not be lost in a working folder."""

from __future__ import annotations

from pathlib import Path

from mdcsrn_tf.errors import UserError
from mdcsrn_tf.training.checkpoints import CheckpointFolder

_WRITTEN_LATE = ("run.json", "curves.png")  # when metrics.csv has long been begun


def check_workdir(workdir: Path, phase: str) -> None:
    """UserError where a phase that begins at its first step would replace models or records that are not its own.

    A run that is killed before its first checkpoint leaves metrics.csv, which it begins with, and perhaps the best
    model so far: it may begin again. A finished phase's models without its checkpoints, and what another program
    wrote, it may not replace.
    """
    if CheckpointFolder(workdir / "checkpoints" / phase, 1).paths():
        return
    begun = (workdir / "metrics.csv").exists()
    best, last = (workdir / f"{kept}_{phase}.keras" for kept in ("best", "last"))
    lost = last if last.exists() else best if best.exists() and not begun else None
    if lost:
        raise UserError(
            f"{lost} would be replaced by a new run, as there is no checkpoint to go on from; move it away, or take "
            "another --workdir."
        )
    if not begun:
        for name in _WRITTEN_LATE:
            if (workdir / name).exists():
                raise UserError(f"{workdir / name} is no training run's and would be replaced; take another --workdir.")
