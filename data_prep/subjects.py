"""Name the scans of a run: one identifier a scan, one a subject, and the split it belongs to."""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from data_prep.splits import assign_splits
from mdcsrn_tf.errors import UserError
from mdcsrn_tf.scans.volumes import VOLUME_SUFFIXES, find_volumes

# BIDS, OASIS-1 to -3 (sessions are ..._MR1) and IXI write the subject into their names.
_SUBJECT = re.compile(r"sub-[A-Za-z0-9]+|OAS\d_\d+|OAS[234]\d+|IXI\d+")
VARIANTS = ("original", "brain", "inverted")  # kinds of data_prep.variants: what the names it writes end with
_VARIANT = re.compile(rf"_({'|'.join(VARIANTS)})$")


@dataclass(frozen=True)
class Scan:
    """One scan of a run; `source` is relative to the input, or `phantom:SEED`."""

    name: str
    subject: str
    split: str
    source: str


def list_scans(source: Path, split: str, seed: int) -> tuple[Scan, ...]:
    """The scans below `source` (file, folder, BIDS tree or list file) that a split wants."""
    paths = find_volumes(source)
    root = Path(os.path.commonpath([path.absolute().parent for path in paths]))
    relative = [path.absolute().relative_to(root).as_posix() for path in paths]
    subjects = [subject_of(path) for path in relative]
    splits = assign_splits(subjects, split, seed)
    if not splits:
        raise UserError(f"--split={split} leaves no scan of {source}; check it.")
    names = _names(relative, subjects)
    base = source.absolute() if source.is_dir() else source.absolute().parent
    return tuple(
        Scan(name, subject, splits[subject], os.path.relpath(path.absolute(), base))
        for name, subject, path in zip(names, subjects, paths, strict=True)
        if subject in splits
    )


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

    A BIDS, OASIS or IXI identifier if there is one; else the first folder (as HCP's 100307/T1w/...); else the
    file's own name, without what mdcsrn-variants adds to it.
    """
    match = _SUBJECT.search(relative)
    if match:
        return match.group()
    first, *rest = relative.split("/")
    return first if rest else _VARIANT.sub("", stem_of(first))


def stem_of(name: str) -> str:
    """A file name without the suffixes of volumes."""
    lower = name.lower()
    for suffix in sorted(VOLUME_SUFFIXES, key=len, reverse=True):
        if lower.endswith(suffix):
            return name[: -len(suffix)]
    return name


def _names(relative: list[str], subjects: list[str]) -> list[str]:
    """Unique file-system-safe names, short where that is enough."""
    stems = [stem_of(path.rsplit("/", 1)[-1]) for path in relative]
    named = [
        stem if stem.startswith(subject) else f"{subject}_{stem}"
        for stem, subject in zip(stems, subjects, strict=True)
    ]
    named = [re.sub(r"[^A-Za-z0-9._-]+", "-", name) for name in named]
    counts = Counter(name.lower() for name in named)
    return [
        name if counts[name.lower()] == 1 else f"{name}-{hashlib.sha256(path.encode()).hexdigest()[:8]}"
        for name, path in zip(named, relative, strict=True)
    ]
