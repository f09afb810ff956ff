"""What the commands that write shards do with finished ones, and what they say at the end."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

from tqdm import tqdm

from data_prep.shard_folder import ShardFolder

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


def summary(command: str, output: str, done: dict[str, Entry], skipped: list[Entry]) -> int:
    """Say how many there are and what is missing; the exit code."""
    pairs = sum(entry["pairs"] for entry in done.values())
    print(f"{command}: {len(done)} shards with {pairs} pairs in {output}", file=sys.stderr)
    for entry in skipped:
        print(f"{command}: error: skipped {entry['scan']}: {entry['error']}", file=sys.stderr)
    return 1 if skipped else 0
