"""What the commands that write shards do with finished ones, and what they say at the end."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

from tqdm import tqdm

from data_prep.shard_folder import ShardFolder
from mdcsrn_tf.command_line import warn

Entry = dict[str, Any]


def collect(
    results: Iterable[Entry], folder: ShardFolder, done: dict[str, Entry], *, command: str, total: int, quiet: bool
) -> list[Entry]:
    """Note each finished shard in the folder and in `done`; return the entries of what was skipped."""
    skipped = []
    bar = tqdm(results, total=total + len(done), initial=len(done), unit="scan", disable=quiet or None)
    for entry in bar:
        if "error" in entry:
            bar.write(f"{command}: skipped: {entry['error']}", file=sys.stderr)
            skipped.append(entry)
        else:
            folder.add(entry)
            done[entry["scan"]] = entry
    return skipped


def copies(entries: Iterable[Entry]) -> list[str]:
    """A sentence for each two shards of different splits whose sources are the same to the byte."""
    sources: dict[str, list[Entry]] = {}
    for entry in entries:
        sources.setdefault(entry["source_sha256"], []).append(entry)
    return [
        f"{one['scan']} ({one['split']}) and {other['scan']} ({other['split']}) are one scan under two names: what is "
        "measured on it means nothing. Take one of them out, and start anew."
        for one, *others in sources.values()
        for other in others
        if one["split"] != other["split"]
    ]


def complete(command: str, output: str, done: dict[str, Entry]) -> int:
    """Say that nothing is to be done, and what is wrong with it all the same; the exit code."""
    print(f"{command}: {output} is complete; nothing to do.", file=sys.stderr)
    _warn(command, done)
    return 0


def summary(command: str, output: str, done: dict[str, Entry], skipped: list[Entry]) -> int:
    """Say how many there are and what is missing; the exit code."""
    pairs = sum(entry["pairs"] for entry in done.values())
    print(f"{command}: {len(done)} shards with {pairs} pairs in {output}", file=sys.stderr)
    _warn(command, done)
    for entry in skipped:
        print(f"{command}: error: skipped {entry['scan']}: {entry['error']}", file=sys.stderr)
    return 1 if skipped else 0


def _warn(command: str, done: dict[str, Entry]) -> None:
    doubts = (f"{entry['source']}: {remark}" for entry in done.values() for remark in entry.get("remarks", ()))
    warn(command, [*copies(done.values()), *doubts])
