"""`mdcsrn-bids`: mdcsrn-infer by the arguments of a BIDS App."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from absl import flags

from mdcsrn_tf.cli import infer
from mdcsrn_tf.command_line import run_command
from mdcsrn_tf.errors import UserError

NAME = "mdcsrn-bids"
DESCRIPTION = "Super-resolve the anatomical scans of a BIDS dataset, or of some of its subjects, as BIDS derivatives."
PLACES = "BIDS_FOLDER OUTPUT_FOLDER participant "
_HELP = {
    "input": "Not here: BIDS_FOLDER, the first word, is a BIDS dataset or a subject's folder.",
    "output": "Not here: OUTPUT_FOLDER, the second word, is the folder of the derivatives.",
    "participant_label": "The subjects, as --participant-label 01 02 (default: all).",
}
_LABELS = ("--participant-label", "--participant_label")


def define_flags(values: flags.FlagValues) -> None:
    """Those of mdcsrn-infer, with what is said otherwise here."""
    infer.define_flags(values)
    for name, text in _HELP.items():
        values[name].help = text


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    places, labels, others = _parted(arguments)

    def run(values: flags.FlagValues) -> int | None:
        if len(places) != 3 or places[2] != "participant":
            raise UserError(f"{NAME} takes BIDS_FOLDER OUTPUT_FOLDER participant, and was given {' '.join(places)!r}.")
        for name in ("input", "output"):
            if values[name].value is not None:
                raise UserError(f"{NAME} takes its folders by their places; leave out --{name}.")
        subjects = None if labels is None else ",".join(labels)
        given = {"input": places[0], "output": places[1], "participant_label": subjects}
        for flag, value in given.items():
            values[flag].value = value
        return infer.run(values, NAME)

    return run_command(NAME, DESCRIPTION, define_flags, run, others, infer.HEADINGS, argv is None, PLACES)


def _parted(arguments: Sequence[str]) -> tuple[list[str], list[str] | None, list[str]]:
    """The three places, the subjects' labels (all words behind their flag; None without it), and everything else.

    >>> _parted(["raw", "out", "participant", "--model", "fsrcnn3d", "--qc", "--participant-label", "01", "02"])
    (['raw', 'out', 'participant'], ['01', '02'], ['--model', 'fsrcnn3d', '--qc'])
    """
    places: list[str] = []
    labels: list[str] | None = None
    others: list[str] = []
    into = places
    rest = iter(arguments)
    for argument in rest:
        name, equals, value = argument.partition("=")
        if name in _LABELS:
            into = labels = [*(labels or []), *([value] if equals else [])]
        elif argument.startswith("-"):
            into = places
            others.append(argument)
            if not equals and _takes_a_value(name):  # which follows, as BIDS Apps' values do
                others += [following for following in (next(rest, None),) if following is not None]
        else:
            into.append(argument)
    return places, labels, others


def _takes_a_value(name: str) -> bool:
    """Whether a flag of mdcsrn-infer needs more than its name."""
    values = flags.FlagValues()
    infer.define_flags(values)
    bare = name.lstrip("-").replace("-", "_")
    return bare in values and not values[bare].boolean
