"""Subjects to train / validation / evaluation / test: never one subject in two of them."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

from mdcsrn_tf.errors import UserError
from mdcsrn_tf.names import digest_of

# J section 4.1: for training, for choosing checkpoints, for choosing hyper-parameters, for the final figures.
SPLITS = ("train", "validation", "evaluation", "test")
_NAMES_BY_LENGTH = {1: SPLITS[:1], 2: SPLITS[:2], 3: ("train", "validation", "test"), 4: SPLITS}
_TABLES = (".tsv", ".csv")
_SUBJECT_COLUMNS = ("subject", "participant_id")


def assign_splits(subjects: Iterable[str], split: str, seed: int) -> dict[str, str]:
    """The split of each subject, from fractions ("0.8,0.1,0.1"), counts ("780,111,111,111") or a TSV's path.

    Subjects are ranked by a hash of seed and identifier, so that neither the order nor the place of the files
    matters. Subjects beyond the counts, or not in the TSV, are left out of the answer.

    >>> assign_splits(["a", "b", "c"], "1,1,1,0", seed=0)
    {'a': 'train', 'c': 'validation', 'b': 'evaluation'}
    """
    unique = sorted(set(subjects))
    if split.lower().endswith(_TABLES):
        return _from_table(unique, Path(split))
    numbers = _numbers(split)
    names = _NAMES_BY_LENGTH[len(numbers)]
    counts = _counts(numbers, len(unique), split)
    ranked = sorted(unique, key=lambda subject: digest_of(f"{seed}:{subject}"))
    places = [name for name, count in zip(names, counts, strict=True) for _ in range(count)]
    return dict(zip(ranked, places, strict=False))


def wanted_splits(split: str) -> list[str]:
    """The splits that fractions or counts give a share; of a table nothing is known before it is read.

    >>> wanted_splits("0.6,0.4"), wanted_splits("1,0,2")
    (['train', 'validation'], ['train', 'test'])
    """
    if split.lower().endswith(_TABLES):
        return []
    numbers = _numbers(split)
    return [name for name, share in zip(_NAMES_BY_LENGTH[len(numbers)], numbers, strict=True) if share]


def _numbers(split: str) -> list[float]:
    try:
        numbers = [float(part) for part in split.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) not in _NAMES_BY_LENGTH or not all(0 <= number < 1e9 for number in numbers) or not sum(numbers):
        raise UserError(
            f"--split={split} is none of: one to four fractions such as 0.7,0.1,0.1,0.1, counts such as "
            "780,111,111,111, or a .tsv file with the columns subject and split."
        )
    return numbers


def _counts(numbers: list[float], subjects: int, split: str) -> list[int]:
    if "." not in split and sum(numbers) > 1:
        if sum(numbers) > subjects:
            raise UserError(f"--split={split} asks for {sum(numbers):.0f} subjects, but there are {subjects}.")
        return [int(number) for number in numbers]
    if abs(sum(numbers) - 1) > 1e-3:
        raise UserError(f"--split={split}: the fractions add up to {sum(numbers):g}; let them add up to 1.")
    return _apportioned(numbers, subjects)


def _apportioned(fractions: list[float], subjects: int) -> list[int]:
    """Whole numbers near the fractions; each part wanted gets one subject before any gets a second."""
    counts = [0] * len(fractions)
    for _ in range(subjects):
        # The part that lags furthest behind; an empty one first, the earlier of equals.
        lag = [
            (fraction > 0 and count == 0, fraction * subjects - count)
            for fraction, count in zip(fractions, counts, strict=True)
        ]
        counts[lag.index(max(lag))] += 1
    return counts


def _from_table(subjects: list[str], path: Path) -> dict[str, str]:
    rows = _rows(path)
    column = next((name for name in _SUBJECT_COLUMNS if rows and name in rows[0]), None)
    if column is None or "split" not in rows[0]:
        raise UserError(f"{path} needs a header line with the columns subject and split, and a line a subject.")
    table: dict[str, str] = {}
    for row in rows:
        subject, name = (row[column] or "").strip(), (row["split"] or "").strip()
        if name not in SPLITS:
            raise UserError(f"{path} gives {subject} the split {name!r}; choose among {', '.join(SPLITS)}.")
        if table.setdefault(subject, name) != name:
            raise UserError(f"{path} puts {subject} into both {table[subject]} and {name}; choose one.")
    assigned = {subject: table[subject] for subject in subjects if subject in table}
    if not assigned:
        raise UserError(f"{path} names none of the subjects found, such as {subjects[0]}; check the identifiers.")
    return assigned


def _rows(path: Path) -> list[dict[str, str]]:
    delimiter = "," if path.suffix.lower() == ".csv" else "\t"
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            return list(csv.DictReader(stream, delimiter=delimiter))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} cannot be read as a table ({error}); check the path.") from error
