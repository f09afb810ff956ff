"""`mdcsrn-eval`: which of its sub-commands is meant; `scans` where none is named."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from mdcsrn_tf.cli import eval_others, eval_scans
from mdcsrn_tf.command_line import Command, run_command

COMMANDS = {
    "scans": Command(eval_scans.DESCRIPTION, eval_scans.define_flags, eval_scans.evaluate, eval_scans.HEADINGS),
    "tables": Command(eval_others.TABLES_TEXT, eval_others.define_tables_flags, eval_others.print_tables),
    "labels": Command(eval_others.LABELS_TEXT, eval_others.define_labels_flags, eval_others.compare_labels),
    "fit-niqe": Command(eval_others.NIQE_TEXT, eval_others.define_niqe_flags, eval_others.fit_niqe),
    "architectures": Command(
        eval_others.ARCHITECTURES_TEXT, eval_others.define_architectures_flags, eval_others.print_architectures
    ),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the sub-command; returns its exit code."""
    name, rest = chosen(sys.argv[1:] if argv is None else argv)
    if name not in COMMANDS:
        known = ", ".join(COMMANDS)
        print(f"mdcsrn-eval: error: there is no sub-command {name!r}; there are {known}.", file=sys.stderr)
        return 1
    command = COMMANDS[name]
    title = "mdcsrn-eval" if name == "scans" else f"mdcsrn-eval {name}"
    own = argv is None
    return run_command(title, command.description, command.define_flags, command.main, rest, command.headings, own)


def chosen(arguments: Sequence[str]) -> tuple[str, list[str]]:
    """The sub-command's name and its flags; flags from before there were sub-commands tell which one is meant.

    >>> chosen(["labels", "--labels=a"])
    ('labels', ['--labels=a'])
    >>> chosen(["--table=architectures", "--json=x"])
    ('architectures', ['--json=x'])
    >>> chosen(["--fit_niqe=model.npz", "--hr=scans"])
    ('fit-niqe', ['--output=model.npz', '--hr=scans'])
    """
    rest = list(arguments)
    if rest and not rest[0].startswith("-"):
        return rest[0], rest[1:]
    if "--table=architectures" in rest:
        return "architectures", [flag for flag in rest if flag != "--table=architectures"]
    if any(flag.partition("=")[0] == "--fit_niqe" for flag in rest):
        return "fit-niqe", [f"--output{flag[10:]}" if flag.startswith("--fit_niqe") else flag for flag in rest]
    if any(flag.partition("=")[0] in ("--labels", "--reference_labels") for flag in rest):
        return "labels", rest
    return "scans", rest
