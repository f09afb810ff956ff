"""What a run says: metrics.csv, TensorBoard scalars and pictures, and a line of progress."""

from __future__ import annotations

import csv
import io
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mdcsrn_tf.errors import UserError
from mdcsrn_tf.files import replace_when_done

# Of every row; between them stand the metrics of the recipe's objectives.
FIRST_COLUMNS = ("phase", "step", "kind", "learning_rate")
LAST_COLUMNS = ("mse", "psnr", "input_psnr")
# What the line of progress shows of them, and how it calls them.
SHOWN = {"loss": "loss", "earth_mover": "EM", "penalty": "penalty", "psnr": "PSNR"}
SECONDS_BETWEEN_LINES = 10.0


class MetricsTable:
    """metrics.csv: a row per interval and per validation, all phases in one file."""

    def __init__(self, path: Path, metrics: Sequence[str] = ()):
        self.path = path
        self.columns = (*FIRST_COLUMNS, *metrics, *LAST_COLUMNS)

    def rows(self) -> list[dict[str, str]]:
        """The complete rows on disk; a line that a killed run left unfinished is no row."""
        if not self.path.is_file():
            return []
        try:
            with self.path.open(newline="", encoding="utf-8") as stream:
                rows = list(csv.DictReader(stream))
            kept = [row for row in rows if None not in row.values() and row["kind"] in ("train", "validation")]
            for row in kept:
                _ = int(row["step"]), row["phase"]
        except (OSError, ValueError, KeyError, csv.Error) as error:
            raise UserError(f"{self.path} is damaged ({error}); move it away, a new one will be begun.") from error
        return kept

    def rewind(self, phase: str, step: int) -> None:
        """Drop the rows of `phase` that a run resumed at `step` writes again.

        Those are the ones after `step`, that of step 0 where it begins there, and a second validation at `step`, which
        only the end of a phase writes.
        """
        kept, seen = [], set()
        for row in self.rows():
            at = (row["step"], row["kind"])
            if row["phase"] != phase:
                kept.append(row)
            elif step > 0 and int(row["step"]) <= step and at not in seen:
                kept.append(row)
                seen.add(at)
        # Another phase's rows may have columns of their own.
        self.columns = tuple(dict.fromkeys([*self.columns, *(name for row in kept for name in row)]))
        with replace_when_done(self.path) as partial, partial.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, self.columns, extrasaction="ignore")
            writer.writeheader()
            writer.writerows(kept)

    def append(self, row: Mapping[str, Any]) -> None:
        """Add one row, in a single write."""
        text = io.StringIO()
        csv.DictWriter(text, self.columns, restval="", extrasaction="ignore").writerow(row)
        with self.path.open("a", newline="", encoding="utf-8") as stream:
            stream.write(text.getvalue())


class TrainingLog:
    """Writes the metrics of one phase wherever a person looks for them, if it `writes`; prints them if it `shows`."""

    def __init__(
        self,
        workdir: Path,
        phase: str,
        step: int,
        total: int,
        batch_size: int,
        metrics: Sequence[str] = (),
        writes: bool = True,
        shows: bool = True,
    ):
        self.phase, self.total, self.writes, self.shows = phase, total, writes, shows
        self._table = MetricsTable(workdir / "metrics.csv", metrics)
        self._bar: Any = None
        self._board: Any = None
        self._batch_size = batch_size
        self._begun = (time.monotonic(), step)
        self._printed = 0.0
        if writes:
            self._open(workdir, step)

    def train(self, step: int, metrics: Mapping[str, float]) -> None:
        """The means of an interval's metrics."""
        self._record(step, "train", metrics)
        self._show(step, metrics)

    def validation(self, step: int, metrics: Mapping[str, float]) -> None:
        """One validation's metrics: always a line of their own."""
        self._record(step, "validation", metrics)
        numbers = ", ".join(f"{name} {value:.6g}" for name, value in metrics.items())
        self.say(f"{self.phase} step {step}: validation {numbers}")

    def picture(self, step: int, path: Path) -> None:
        """Put the PNG at `path` on the board."""
        import tensorflow as tf

        with self._board.as_default():
            pixels = tf.io.decode_png(path.read_bytes(), channels=3)
            tf.summary.image(f"{self.phase}/patches", pixels[tf.newaxis], step=step)

    def advance(self, step: int) -> None:
        """Move the bar to `step`."""
        if self._bar is not None:
            self._bar.update(step - self._bar.n)

    def say(self, text: str) -> None:
        """Print a line without breaking the bar."""
        if self._bar is not None:
            self._bar.write(text, file=sys.stderr)
        elif self.shows:
            print(text, file=sys.stderr, flush=True)

    def close(self) -> None:
        """Flush everything."""
        if self._bar is not None:
            self._bar.close()
        if self._board is not None:
            self._board.close()

    def _open(self, workdir: Path, step: int) -> None:
        import tensorflow as tf
        from tqdm import tqdm

        workdir.mkdir(parents=True, exist_ok=True)
        self._table.rewind(self.phase, step)
        self._board = tf.summary.create_file_writer(str(workdir / "tensorboard" / self.phase))
        if self.shows and sys.stderr.isatty():
            self._bar = tqdm(total=self.total, initial=step, unit="step", desc=self.phase, dynamic_ncols=True)

    def _record(self, step: int, kind: str, metrics: Mapping[str, float]) -> None:
        if not self.writes:
            return
        import tensorflow as tf

        self._table.append({"phase": self.phase, "step": step, "kind": kind, **metrics})
        with self._board.as_default():
            for name, value in metrics.items():
                tf.summary.scalar(f"{kind}/{name}", value, step=step)

    def _show(self, step: int, metrics: Mapping[str, float]) -> None:
        rate = (step - self._begun[1]) / max(time.monotonic() - self._begun[0], 1e-9)
        shown = {SHOWN[name]: f"{metrics[name]:.4g}" for name in SHOWN if name in metrics}
        shown["patches/s"] = f"{rate * self._batch_size:.2f}"
        if self._bar is not None:
            self._bar.set_postfix(shown, refresh=True)
        elif time.monotonic() - self._printed > SECONDS_BETWEEN_LINES:
            self._printed = time.monotonic()
            left = _clock((self.total - step) / max(rate, 1e-9))
            numbers = ", ".join(f"{name} {value}" for name, value in shown.items())
            self.say(f"{self.phase} step {step}/{self.total}: {numbers}, {left} left")


class Window:
    """Gathers the metrics of the steps since the last flush, without waiting for the device."""

    def __init__(self) -> None:
        self._pending: list[tuple[int, Mapping[str, Any]]] = []

    def add(self, step: int, metrics: Mapping[str, Any]) -> None:
        """Keep the (possibly still computing) metrics of a step."""
        self._pending.append((step, metrics))

    def flush(self) -> tuple[dict[str, float], tuple[str, int] | None]:
        """The mean of each metric, and the first (name, step) that is not finite."""
        values: dict[str, list[float]] = {}
        bad = None
        for step, metrics in self._pending:
            for name, tensor in metrics.items():
                value = float(tensor)
                values.setdefault(name, []).append(value)
                if bad is None and not np.isfinite(value):
                    bad = (name, step)
        self._pending.clear()
        return {name: mean(numbers) for name, numbers in values.items()}, bad


def mean(numbers: Iterable[float]) -> float:
    """The mean in float64."""
    return float(np.mean(list(numbers), dtype=np.float64))


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}"
