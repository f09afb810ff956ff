"""Name the scans of a run: one identifier a scan, one a subject, and the split it belongs to."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from data_prep.splits import assign_splits, wanted_splits
from mdcsrn_tf.errors import UserError
from mdcsrn_tf.names import digest_of, fitting_name
from mdcsrn_tf.scans.find import below_common_folder, each_series, stem_of, without_results
from mdcsrn_tf.scans.volumes import find_volumes

# BIDS, OASIS-1 to -3 (sessions are ..._MR1), IXI and ADNI write the subject into their names.
_SUBJECT = re.compile(r"sub-[A-Za-z0-9]+|OAS\d_\d+|OAS[234]\d+|IXI\d+|(?<!\d)\d{3}_S_\d{4,5}(?!\d)")
# HCP's 100307_3T_T1w_MPR1, ABIDE's 0050952_..., NKI's A00008326_...: a number of a person before what was measured.
# Eight digits alone may be a date.
_LEADING_SUBJECT = re.compile(r"([A-Za-z]{1,3}\d{4,10}|\d{5,7})(?=[_-])")
_NAMED = 5  # subjects in one sentence
_ROOM = "." * 24  # for what is put around a scan's name
# Kinds of data_prep.variants: what the names it writes end with.
VARIANTS = ("original", "brain", "inverted", "ap-is", "lr-is")
_VARIANT = re.compile(rf"_({'|'.join(VARIANTS)})$")


@dataclass(frozen=True)
class Scan:
    """One scan of a run; `source` is relative to the input, or `phantom:SEED`."""

    name: str
    subject: str
    split: str
    source: str


def list_scans(
    source: Path,
    split: str,
    seed: int,
    tell: Callable[[str], None] = lambda sentence: None,
    *,
    series: str | None = None,
) -> tuple[Scan, ...]:
    """The scans below `source` (file, folder, BIDS tree or list file) that a split wants; of others `tell` hears.

    series: of DICOM folders those with that UID or description, of files those with that in their name.
    """
    found = find_volumes(source)
    scans = without_results(found, source)
    if len(scans) < len(found):
        tell(f"{len(found) - len(scans)} of {len(found)} files are results of mdcsrn-infer and left out.")
    _refuse_twins(scans)
    paths, relative = (scans, below_common_folder(scans)) if series is None else _chosen(scans, series, source)
    subjects = [subject_of(path) for path in relative]
    splits = assign_splits(subjects, split, seed)
    if not splits:
        raise UserError(f"--split={split} leaves no scan of {source}; check it.")
    empty = [name for name in wanted_splits(split) if name not in splits.values()]
    if empty:
        tell(f"--split={split} leaves nobody for {' and '.join(empty)}.")
    left_out = sorted(set(subjects) - set(splits))
    if left_out:
        tell(f"{len(left_out)} of {len(set(subjects))} subjects are in no split and left out: {_shortened(left_out)}.")
    names = _names(relative, subjects)
    base = source.absolute() if source.is_dir() else source.absolute().parent
    return tuple(
        Scan(name, subject, splits[subject], os.path.relpath(path.absolute(), base))
        for name, subject, path in zip(names, subjects, paths, strict=True)
        if subject in splits
    )


def _chosen(scans: list[Path], series: str, source: Path) -> tuple[list[Path], list[str]]:
    """The scans that `series` means, and where they lie: a folder with several series is their subject's."""
    chosen = each_series(scans, source, series)
    whole = set(scans)
    places = dict(zip(scans, below_common_folder(scans), strict=True))
    paths = [path for path, _ in chosen]
    return paths, [places[path] if path in whole else f"{places[path.parent]}/{name}" for path, name in chosen]


def _shortened(names: list[str]) -> str:
    return ", ".join(names if len(names) <= _NAMED else [*names[:_NAMED], "..."])


def _refuse_twins(paths: Iterable[Path]) -> None:
    """UserError where one file is there under two names: it might go into two splits."""
    seen: dict[str, Path] = {}
    for path in paths:
        first = seen.setdefault(os.path.realpath(path), path)
        if first is not path:
            raise UserError(f"{first} and {path} are one file; leave one out, or it may be learned from and tested on.")


def phantom_scans(count: int, split: str, seed: int) -> tuple[Scan, ...]:
    """`count` synthetic subjects, each of its own seed."""
    if count < 1:
        raise UserError(f"--phantoms={count} must be at least 1.")
    names = [f"phantom-{number:04d}" for number in range(1, count + 1)]
    splits = assign_splits(names, split, seed)
    return tuple(
        Scan(name, name, splits[name], f"phantom:{seed * 1_000_003 + number}")
        for number, name in enumerate(names)
        if name in splits
    )


def subject_of(relative: str) -> str:
    """The subject of a scan, from its path below the common folder.

    A BIDS, OASIS, IXI or ADNI identifier if there is one; else the first folder (as HCP's 100307/T1w/...); else
    the number that the file's name begins with (100307_3T_T1w_MPR1 and ..._MPR2 are one person's); else the
    name itself, without what mdcsrn-variants adds to it.

    >>> subject_of("sub-01/anat/sub-01_T1w.nii.gz"), subject_of("100307/T1w/T1w.nii.gz")
    ('sub-01', '100307')
    """
    match = _SUBJECT.search(relative)
    if match:
        return match.group()
    first, *rest = relative.split("/")
    if rest:
        return first
    leading = _LEADING_SUBJECT.match(first)
    return leading.group() if leading else _VARIANT.sub("", stem_of(first))


def lookalikes(scans: Iterable[Scan]) -> list[str]:
    """A sentence for each two subjects of different splits whose names suggest one person.

    They do where both begin with the same part that holds a digit (`patient12_a`, `patient12_b`), unless all
    subjects do: that is the study's name.
    """
    splits = {scan.subject: scan.split for scan in scans}
    parts = {subject: re.split(r"[_.\s-]+", subject) for subject in splits}
    shared = sum(1 for _ in takewhile(lambda words: len(set(words)) == 1, zip(*parts.values(), strict=False)))
    groups: dict[str, list[str]] = {}
    for subject, words in parts.items():
        if len(words) > shared + 1 and any(letter.isdigit() for letter in words[shared]):
            groups.setdefault(words[shared], []).append(subject)
    return [
        f"{one} ({splits[one]}) and {other} ({splits[other]}) may be one person: both names begin with {word}; if they "
        "are, give --split a table that keeps them together."
        for word, (one, *others) in sorted(groups.items())
        for other in [other for other in others if splits[other] != splits[one]][:1]
    ]


def _names(relative: list[str], subjects: list[str]) -> list[str]:
    """Unique file-system-safe names, short where that is enough."""
    stems = [stem_of(path.rsplit("/", 1)[-1]) for path in relative]
    named = [
        stem if stem.startswith(subject) else f"{subject}_{stem}" for stem, subject in zip(stems, subjects, strict=True)
    ]
    named = [re.sub(r"[^A-Za-z0-9._-]+", "-", name) for name in named]
    counts = Counter(name.lower() for name in named)
    return [
        # Shards and the notes on them are called by these names.
        fitting_name(name if counts[name.lower()] == 1 else f"{name}-{digest_of(path).hex()[:8]}", _ROOM)[: -len(_ROOM)]
        for name, path in zip(named, relative, strict=True)
    ]
