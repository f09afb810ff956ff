"""Which two scans belong together: a low- and a high-resolution scan of one person in one frame of reference.

DICOM says both (PatientID, and FrameOfReferenceUID: scans between which nobody got up share their coordinates). Of
other files the person is `data_prep.subjects.subject_of` the path, and the frame is unknown: coordinates are believed.
People are called person-0001 and so on in everything that is written; who is who is told on the terminal alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from data_prep.splits import assign_splits
from data_prep.subjects import subject_of
from mdcsrn_tf.errors import UserError
from mdcsrn_tf.names import digest_of
from mdcsrn_tf.scans.dicom_kinds import is_dicom
from mdcsrn_tf.scans.dicom_series import is_meant
from mdcsrn_tf.scans.find import (
    PAIR_SUFFIXES,
    VOLUME_SUFFIXES,
    below_common_folder,
    find_volumes,
    stem_of,
)

_NAMED = 8  # of the scans that are left out


@dataclass(frozen=True)
class Series:
    """One scan and what tells whose it is; nothing of this is ever written."""

    path: Path
    uid: str | None  # of the series, where a DICOM folder is meant
    patient: str
    frame: str  # of reference; "": unknown
    description: str

    @property
    def label(self) -> str:
        """For a sentence on the terminal: one folder may hold everybody's series, all described alike."""
        return f"{self.path} ({self.patient}, {self.description})" if self.uid else str(self.path)


@dataclass(frozen=True)
class Partners:
    """Which scans were brought together, and what became of the others."""

    pairs: list[tuple[Series, Series]]
    problems: list[str]  # a sentence for each low-resolution scan that has no partner or more than one
    unclaimed: list[Series]  # high-resolution scans that are in no pair, and of which no problem speaks

    @property
    def sentences(self) -> list[str]:
        """What is left out, and why, for the terminal."""
        said = [f"error: {problem}" for problem in self.problems]
        if self.unclaimed:
            more = len(self.unclaimed) - _NAMED
            named = ", ".join(high.label for high in self.unclaimed[:_NAMED])
            said.append(
                f"left out, since no low-resolution scan goes with it: {named}{f' and {more} more' if more > 0 else ''}"
            )
        return said


@dataclass(frozen=True)
class ScanPair:
    """Two scans of one person; `name` and `subject` tell nothing of who it is."""

    name: str
    subject: str
    split: str
    low: Series
    high: Series


def find_series(root: Path, wanted: str | None = None) -> list[Series]:
    """Every scan below `root`; `wanted` keeps those whose series UID it is, or whose description or name has it."""
    paths = find_volumes(root)
    series: list[Series] = []
    for path, relative in zip(paths, below_common_folder(paths), strict=True):
        if path.is_dir():
            series += _dicom_series(path, relative)
        else:
            series.append(_series_of_slice(path) if _is_slice(path) else _file(path, relative))
    kept = [one for one in dict.fromkeys(series) if wanted is None or is_meant(wanted, one.uid, one.description)]
    if not kept:
        found = ", ".join(sorted({one.description for one in series})[:8])
        raise UserError(f"{root} holds no series {wanted!r}; there are {found}.")
    return kept


def pair_series(lows: Sequence[Series], highs: Sequence[Series], *, assume_same_frame: bool = False) -> Partners:
    """Who belongs together; UserError for a scan that is on both sides."""
    both = next((low for low in lows if (low.path, low.uid) in {(high.path, high.uid) for high in highs}), None)
    if both is not None:
        raise UserError(f"{both.label} is in --low and in --high; choose by --low_series and --high_series.")
    if len(lows) == len(highs) == 1 and not (lows[0].uid and highs[0].uid):
        # Two scans were named, of which one says nothing of its person: the user says that they belong together.
        return Partners([(lows[0], highs[0])], [], [])
    by_high: dict[Series, list[Series]] = {}
    problems, told = [], set()
    for low in lows:
        partners, problem = _partners(low, highs, assume_same_frame)
        told |= {*partners}
        if problem:
            problems.append(problem)
        else:
            by_high.setdefault(partners[0], []).append(low)
    for high, several in by_high.items():
        if len(several) > 1:
            problems.append(
                f"{high.label} has {len(several)} low-resolution scans, {_labels(several)}; choose by --low_series."
            )
    pairs = [(several[0], high) for high, several in by_high.items() if len(several) == 1]
    return Partners(pairs, problems, [high for high in highs if high not in told])


def name_pairs(pairs: Sequence[tuple[Series, Series]], split: str, seed: int) -> tuple[ScanPair, ...]:
    """The pairs that a split wants, each under a number; people are numbered by a hash, not by name or place."""
    splits = assign_splits([low.patient for low, _ in pairs], split, seed)
    if not splits:
        raise UserError(f"--split={split} leaves no pair of scans; check it.")
    ranked = sorted({low.patient for low, _ in pairs}, key=digest_of)
    numbers = {patient: number for number, patient in enumerate(ranked, start=1)}
    named: list[ScanPair] = []
    for low, high in sorted(pairs, key=lambda pair: (numbers[pair[0].patient], pair[0].path, pair[0].description)):
        if low.patient in splits:
            person = f"person-{numbers[low.patient]:04d}"
            earlier = sum(1 for pair in named if pair.subject == person)
            name = f"{person}-{earlier + 1}" if earlier else person
            named.append(ScanPair(name, person, splits[low.patient], low, high))
    return tuple(named)


def _partners(low: Series, highs: Iterable[Series], assume_same_frame: bool) -> tuple[list[Series], str]:
    """The partner; or those that come into question, and a sentence why none of them is it."""
    of_person = [high for high in highs if high.patient == low.patient]
    if not of_person:
        return [], f"{low.label} has no high-resolution scan of the same person; check --low and --high."
    partners = [high for high in of_person if assume_same_frame or _one_frame(low, high)]
    if not partners:
        return of_person, (
            f"{low.label} and {_labels(of_person)} have different frames of reference: the person may have moved "
            "between them; say --assume_same_frame, best with --register=rigid."
        )
    if len(partners) > 1:
        several = f"{low.label} has {len(partners)} high-resolution scans, {_labels(partners)}"
        return partners, f"{several}; choose by --high_series."
    return partners, ""


def _one_frame(low: Series, high: Series) -> bool:
    return not low.frame or not high.frame or low.frame == high.frame


def _labels(series: Iterable[Series]) -> str:
    return " and ".join(one.label for one in series)


def _dicom_series(folder: Path, relative: str) -> list[Series]:
    from mdcsrn_tf.scans.dicom import slices_by_series

    found = []
    for uid, slices in slices_by_series(folder, headers_alone=True).items():
        first = slices[0]
        patient = str(first.get("PatientID", "")).strip() or subject_of(f"{relative}/x")
        frame = str(first.get("FrameOfReferenceUID", "")).strip()
        found.append(Series(folder, uid, patient, frame, str(first.get("SeriesDescription", "")).strip() or uid))
    return found


def _is_slice(path: Path) -> bool:
    return not path.name.lower().endswith((*VOLUME_SUFFIXES, *PAIR_SUFFIXES)) and is_dicom(path)


def _series_of_slice(file: Path) -> Series:
    """The series that a slice stands for, or that an enhanced file holds."""
    from mdcsrn_tf.scans.dicom import series_uid_of

    uid = series_uid_of(file)
    return next(one for one in _dicom_series(file.parent, file.parent.name) if one.uid == uid)


def _file(path: Path, relative: str) -> Series:
    return Series(path, None, subject_of(relative), "", stem_of(path.name))
