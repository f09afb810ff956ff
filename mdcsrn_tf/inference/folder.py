"""A run over many scans: what is finished is passed over, a bad scan stops no other, and all is said in the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from mdcsrn_tf.errors import UserError
from mdcsrn_tf.inference import provenance
from mdcsrn_tf.inference.choice import choose_steps
from mdcsrn_tf.inference.engines import load_engine, read_any_card
from mdcsrn_tf.inference.job import draw_finished, process
from mdcsrn_tf.inference.opened import Opened, open_scan
from mdcsrn_tf.inference.outputs import Job, refuse_pictures_of_others
from mdcsrn_tf.inference.overlap import has_ample_room, overlapped
from mdcsrn_tf.inference.settings import ScanSettings, Settings
from mdcsrn_tf.inference.volume import Progress
from mdcsrn_tf.weights import find_model

if TYPE_CHECKING:
    from mdcsrn_tf.inference.engines import Engine


class Console(Protocol):
    """Who tells the user."""

    def say(self, line: str) -> None:
        """A line of the log."""

    def failed(self, error: Exception) -> str:
        """A scan that failed; the sentence that says why."""

    def scan(self, name: str, place: int, count: int) -> AbstractContextManager[Progress]:
        """The progress of one scan."""


class Noting:
    """Nobody is told anything yet: the warnings are kept, for who calls from Python."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def say(self, line: str) -> None:
        """A warning's sentence, with its scan's name, is kept."""
        if line.startswith("warning: "):
            self.warnings.append(line.removeprefix("warning: "))

    def failed(self, error: Exception) -> str:
        """The sentence alone."""
        return str(error)

    @contextmanager
    def scan(self, name: str, place: int, count: int) -> Iterator[Progress]:
        """No progress."""
        yield lambda done, total: None


@dataclass
class Run:
    """What a run is asked to do; `model` empty: chosen for each scan."""

    model: str | None
    settings: Settings
    wanted: ScanSettings
    overwrite: bool
    before_network: Callable[[str], None] = lambda engine: None  # told which engine is about to be loaded
    _broken: Exception | None = field(default=None, init=False)  # why no scan can be done: the network cannot be loaded

    def load(self, model: Path) -> Engine:
        """The engine for a model file."""
        self.before_network(self.settings.engine)
        try:
            return load_engine(model, self.settings)
        except UserError as error:
            self._broken = error
            raise

    def over(self, jobs: list[Job], console: Console) -> list[tuple[Job, str]]:
        """Every scan by itself; those that failed, and why. One scan alone raises its error."""
        if self.model:  # a file that is no network is refused now, not after hours of reading scans
            read_any_card(find_model(self.model))
        if self.wanted.qc:
            refuse_pictures_of_others(jobs)
        todo, pictures, failed = self._todo(jobs, console)
        planned = [(job, False) for job in todo] + [(job, True) for job in pictures]
        places = {job.target: place for place, (job, _) in enumerate(planned)}

        def note(one: tuple[Job, bool], error: Exception) -> None:
            if len(jobs) == 1 or error is self._broken:
                raise error
            failed.append((one[0], console.failed(error)))

        def compute(one: tuple[Job, bool], scan: Opened) -> Callable[[], None] | None:
            with console.scan(one[0].title, places[one[0].target], len(planned)) as on_progress:
                return self._do(*one, scan, console, on_progress)

        def read(one: tuple[Job, bool]) -> Opened:
            return open_scan(one[0], self.wanted)

        def wait() -> None:
            console.say("interrupted; the scan that is being read, or written, is still gone through with")

        overlapped(planned, read, compute, note, lambda scan: has_ample_room(scan.nbytes), wait)
        return failed

    def _do(
        self, job: Job, picture_alone: bool, scan: Opened, console: Console, on_progress: Progress
    ) -> Callable[[], None]:
        """What is to be written, as a function that writes it."""
        steps = choose_steps(scan.sight, self.wanted, self.model)
        if not picture_alone:
            return process(job, scan, steps, self.load, self.settings, self._asked(), console.say, on_progress)

        def draw() -> None:
            draw_finished(job, scan, steps[-1].model, self.wanted)
            console.say(f"{job.title} -> {job.picture.name}")

        return draw

    def _todo(self, jobs: list[Job], console: Console) -> tuple[list[Job], list[Job], list[tuple[Job, str]]]:
        """The scans that have no result as it is asked for now, the results that lack only their picture, and those
        that are there otherwise than they are asked for: left as they are, they fail."""
        todo, pictures, others = [], [], []
        for job in jobs:
            if self.overwrite or not job.target.exists():
                todo.append(job)
                continue
            found = self._difference(job)
            if found and len(jobs) == 1:
                raise UserError(f"{found}; --overwrite replaces it.")
            if found:
                others.append((job, console.failed(UserError(f"{found}; remove it, or replace all by --overwrite."))))
            elif self.wanted.qc and not job.picture.exists():
                pictures.append(job)
        finished = len(jobs) - len(todo) - len(others)
        if finished:
            console.say(f"{finished} of {len(jobs)} scans are finished already")
        return todo, pictures, others

    def _asked(self) -> dict[str, Any]:
        """What decides the results besides their scans."""
        return provenance.request(find_model(self.model) if self.model else None, self.settings, self.wanted)

    def _difference(self, job: Job) -> str | None:
        found = provenance.differences(job, self._asked())
        if found is None:
            return f"{job.target} is there already, and nothing says how it was made"
        if found:
            return f"{job.target} is there already, but {'; '.join(found)}"
        return None
