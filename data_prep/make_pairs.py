"""mdcsrn-pairs: two scans of each person, low- and high-resolution, to TFRecord shards of slices that belong together.

Slices are matched by patient, frame of reference, orientation and position, or one scan is laid onto the other's grid
(--match=volume, with or without --register). Who is who is told here alone: shards and manifest know numbers.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from absl import flags

from data_prep.pair_job import PairJob, PairSettings, run_pair, source_checksum
from data_prep.registration import CONTROL_MM, KINDS, simpleitk
from data_prep.scan_pairs import ScanPair, Series, find_series, name_pairs, pair_series
from data_prep.shard_folder import ShardFolder
from data_prep.shard_progress import collect, complete, summary
from data_prep.slice_pairs import MATCHES, MatchSettings
from data_prep.workers import run_local
from mdcsrn_tf.command_line import run_command
from mdcsrn_tf.errors import UserError
from mdcsrn_tf.files import sha256_of
from mdcsrn_tf.locks import only_run_in
from mdcsrn_tf.run_record import RunRecord
from mdcsrn_tf.scans.normalisation import PAIR_RULES, RULES
from mdcsrn_tf.scans.stack import PLANES, acquired_plane
from mdcsrn_tf.workers import available_cores

_COMMAND = "mdcsrn-pairs"
_FORMAT = 2  # of the manifest and its records: arrays with channels
_HEADINGS = {
    "low": "Everyday",
    "match": "How scans are brought together",
    "plane": "What makes a pair",
    "patch": "What is cut from the pairs",
    "workers": "How it is run",
}


def define_flags(values: flags.FlagValues) -> None:
    """The flags of mdcsrn-pairs, the everyday ones first."""
    own: dict[str, Any] = {"flag_values": values}
    _define_scans(own)
    _define_matching(own)
    _define_pairs(own)
    _define_patches(own)
    _define_running(own)


def _define_scans(own: dict[str, Any]) -> None:
    """What is read and written, and who comes into which split."""
    text = flags.DEFINE_string
    text("low", None, "Low-resolution scans: folder of DICOM series or volumes, list (.txt) or one scan.", **own)
    text("high", None, "High-resolution scans of the same people.", **own)
    text("low_series", None, "Which series of --low: its UID, or a part of its description or name.", **own)
    text("high_series", None, "Which series of --high.", **own)
    text("output", None, "Folder of the shards and manifest.json.", **own)
    text(
        "split",
        "0.7,0.1,0.1,0.1",
        "train,validation,evaluation,test as fractions or as numbers of people, or a .tsv file with the columns "
        "subject and split.",
        **own,
    )
    flags.DEFINE_bool("overwrite", False, "Replace shards of other settings.", **own)


def _define_matching(own: dict[str, Any]) -> None:
    """How the slices or volumes of two scans are brought together."""
    choice, switch = flags.DEFINE_enum, flags.DEFINE_bool
    choice(
        "match",
        "nearest",
        MATCHES,
        "nearest: slices in order, each at most once, at most half the thick spacing apart; paper: the thick-slice "
        "paper's code, greedy in a window of 10; volume: the low-resolution scan is resampled onto the other's grid.",
        **own,
    )
    choice("register", "none", KINDS, "With --match=volume: find the movement between the scans first.", **own)
    switch("n4", False, "Take the shading out of both scans first.", **own)
    flags.DEFINE_float(
        "control_mm",
        CONTROL_MM,
        "Distance of the B-spline's control points; about 2 for a specimen.",
        lower_bound=0.1,
        **own,
    )
    switch("assume_same_frame", False, "Pair scans whose frames of reference differ, too.", **own)


def _define_pairs(own: dict[str, Any]) -> None:
    """Which slices make a pair."""
    choice = flags.DEFINE_enum
    flags.DEFINE_string(
        "plane",
        "acquired",
        "acquired (the low-resolution scan's own), axial, coronal, sagittal; with --match=volume also several, as in "
        "axial,coronal, or all.",
        **own,
    )
    choice("stack", "1", ("1", "3"), "Low-resolution slices a pair; 3: with both neighbours.", **own)
    choice("targets", "1", ("1", "3"), "High-resolution slices a pair; 3: with both neighbours.", **own)
    choice(
        "normalisation",
        "zscore_each_image",
        [*PAIR_RULES, *RULES],
        "Each scan by its own statistics, or both by the low-resolution one's.",
        **own,
    )


def _define_patches(own: dict[str, Any]) -> None:
    """What is cut from the pairs."""
    number = flags.DEFINE_integer
    number("patch", 64, "Edge of the square patches, pixels.", lower_bound=4, **own)
    number(
        "patches_per_subject",
        300,
        "Patches of a pair of scans and epoch; 0: one from each pair of slices.",
        lower_bound=0,
        **own,
    )
    number("epochs_of_patches", 1, "How often training scans are drawn from anew.", lower_bound=1, **own)
    flags.DEFINE_float(
        "min_foreground",
        0.25,
        "Part of a patch that has to be brighter than the scan's mean; the papers: 0.",
        lower_bound=0,
        upper_bound=1,
        **own,
    )
    number("seed", 0, "Decides the split, the patches and the search.", lower_bound=0, **own)


def _define_running(own: dict[str, Any]) -> None:
    """How the command runs."""
    flags.DEFINE_integer("workers", 0, "Processes; 0: one a core.", lower_bound=0, **own)
    flags.DEFINE_bool("quiet", False, "No progress bar.", **own)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; its exit code."""
    return run_command(_COMMAND, __doc__ or "", define_flags, _run, argv, _HEADINGS)


def _run(values: flags.FlagValues) -> int:
    for flag in ("low", "high", "output"):
        if values[flag].value is None:
            raise UserError(f"--{flag} is missing: name a folder.")
    if values.match == "volume" or values.n4:
        simpleitk()
    partners = pair_series(
        find_series(Path(values.low), values.low_series),
        find_series(Path(values.high), values.high_series),
        assume_same_frame=values.assume_same_frame,
    )
    if not partners.pairs:
        raise UserError(f"no pair of scans in --low={values.low} and --high={values.high}: {partners.problems[0]}")
    for sentence in partners.sentences:  # first: a split may ask for just the people that are missing
        print(f"{_COMMAND}: {sentence}", file=sys.stderr)
    pairs = name_pairs(partners.pairs, values.split, values.seed)
    settings = _settings(values, pairs)
    for pair in pairs:
        print(f"{_COMMAND}: {pair.name} ({pair.split}): {pair.low.label} and {pair.high.label}", file=sys.stderr)
    folder = ShardFolder(Path(values.output))
    folder.refuse_file()
    with only_run_in(folder.path):
        return max(_fill(folder, settings, pairs, values), 1 if partners.problems else 0)


def _fill(folder: ShardFolder, settings: PairSettings, pairs: tuple[ScanPair, ...], values: flags.FlagValues) -> int:
    """Make the shards that are missing in the folder, and the manifest."""
    asked = {**settings.for_manifest(), "scans": [_anonymous(pair) for pair in pairs]}
    # The command itself may name a patient's folder: the record has the settings.
    record = RunRecord.begin({"settings": settings, "workers": values.workers}, command=[_COMMAND])
    folder.open(asked, overwrite=values.overwrite)
    done = _unchanged(folder.finished(), pairs)
    missing = [pair for pair in pairs if pair.name not in done]
    if not missing and folder.is_finished():
        return complete(_COMMAND, values.output, done)
    jobs = [PairJob(pair, settings, str(folder.path.absolute())) for pair in missing]
    results = run_local(run_pair, jobs, values.workers or available_cores())
    skipped = collect(results, folder, done, command=_COMMAND, total=len(jobs), quiet=values.quiet)
    if not done:
        raise UserError(f"none of the {len(pairs)} pairs could be made; the first: {skipped[0]['error']}")
    # A sentence names files, and files may be called after patients: it stays on the terminal.
    unnamed = [{**entry, "error": "could not be paired; the command said why"} for entry in skipped]
    folder.finish(asked, done.values(), unnamed, _FORMAT)
    record.data = {"manifest_sha256": sha256_of(folder.manifest_path)}
    record.results = {"shards_made": len(missing) - len(skipped), "shards": len(done), "skipped": len(skipped)}
    record.write(folder.path / "run.json")
    _say_findings(done)
    return summary(_COMMAND, values.output, done, skipped)


def _unchanged(done: dict[str, dict[str, Any]], pairs: tuple[ScanPair, ...]) -> dict[str, dict[str, Any]]:
    for pair in pairs:
        if pair.name in done and done[pair.name]["source_sha256"] != source_checksum(pair):
            raise UserError(
                f"{pair.low.path} or {pair.high.path} is not what the shard {pair.name} was made of; put it back, or "
                "remove the output folder and start anew."
            )
    return done


def _settings(values: flags.FlagValues, pairs: Sequence[ScanPair]) -> PairSettings:
    match = MatchSettings(
        match=values.match,
        register=values.register,
        n4=values.n4,
        control_mm=values.control_mm,
        planes=_planes(values.plane, [pair.low for pair in pairs], one_grid=values.match == "volume"),
        stack=int(values.stack),
        targets=int(values.targets),
        seed=values.seed,
    )
    return PairSettings(
        match,
        patch=values.patch,
        patches_per_subject=values.patches_per_subject,
        epochs_of_patches=values.epochs_of_patches,
        seed=values.seed,
        normalisation=values.normalisation,
        min_foreground=values.min_foreground,
    )


def _planes(text: str, lows: Sequence[Series], *, one_grid: bool) -> tuple[str, ...]:
    """The planes that --plane names; `acquired` is that of the low-resolution scans."""
    if text == "acquired":
        return (_acquired(lows, one_grid=one_grid),)
    if text == "all":
        return ("axial", "coronal", "sagittal")
    planes = tuple(name.strip() for name in text.split(","))
    if not set(planes) <= set(PLANES) or len(set(planes)) != len(planes):
        raise UserError(f"--plane={text} names no planes; give acquired, all, or some of axial,coronal,sagittal.")
    return planes


def _acquired(lows: Sequence[Series], *, one_grid: bool) -> str:
    """The plane of those scans that can be read; of volumes, which have slices of every plane, the first one's."""
    planes: dict[str, Series] = {}
    failures = []
    for low in lows:
        try:
            planes.setdefault(acquired_plane(low.path, low.uid), low)
        except UserError as error:
            failures.append(error)  # said again, with its name, where the pair is made
    if not planes:
        raise failures[0]
    (plane, first), *others = planes.items()
    if others and not one_grid:
        raise UserError(
            f"{first.label} has {plane} slices, {others[0][1].label} {others[0][0]} ones; give each plane a run and a "
            "network of its own, or name --plane."
        )
    return plane


def _anonymous(pair: ScanPair) -> dict[str, str]:
    """What the manifest may say of a pair."""
    return {key: value for key, value in asdict(pair).items() if key in ("name", "subject", "split")}


def _say_findings(done: dict[str, dict[str, Any]]) -> None:
    for name, entry in sorted(done.items()):
        for sentence in _findings(entry):
            print(f"{_COMMAND}: {name}: {sentence}", file=sys.stderr)


def _findings(entry: dict[str, Any]) -> Iterator[str]:
    """What the user should know of a finished pair."""
    if entry.get("unmatched_low_slices"):
        yield f"no partner for the low-resolution slices {_listed(entry['unmatched_low_slices'])}"
    if entry.get("low_slices_at_gaps"):
        yield f"a neighbour is missing of the low-resolution slices {_listed(entry['low_slices_at_gaps'])}; left out"
    if entry.get("resampled_in_plane"):
        yield "the low-resolution slices were brought to the other's pixels"
    low, high = (entry.get(f"{kind}_slices", {}).get("spacing_mm") for kind in ("low", "high"))
    if low is None:
        low, high = (math.prod(entry[f"{kind}_voxel_mm"]) for kind in ("low", "high"))
    if low < 0.9 * high:
        yield "warning: the low-resolution scan is the finer one; are --low and --high exchanged?"
    for kind in ("low", "high"):
        for remark in entry.get(f"{kind}_remarks", ()):
            yield f"warning: the {kind}-resolution scan: {remark}"


def _listed(slices: Sequence[int]) -> str:
    return ", ".join(map(str, slices))


if __name__ == "__main__":
    sys.exit(main())
