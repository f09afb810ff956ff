"""Command: evaluate super-resolved scans and regenerate the papers' tables."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from absl import flags

from mdcsrn_tf.command_line import run_command
from mdcsrn_tf.errors import UserError
from mdcsrn_tf.files import replace_when_done

DESCRIPTION = "Evaluate super-resolved scans slice by slice and print the papers' tables beside ours."
TABLES = ("architectures",)


def define_flags(values: flags.FlagValues) -> None:
    """The command's flags."""
    flags.DEFINE_enum("table", None, TABLES, "The paper's table to print beside ours.", flag_values=values)
    flags.DEFINE_string("json", None, "Also write the table as JSON to this file.", flag_values=values)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    return run_command("mdcsrn-eval", DESCRIPTION, define_flags, _run, argv)


def _run(values: flags.FlagValues) -> int:
    if values.table == "architectures":
        return _architectures(values)
    raise UserError("Nothing to do: give --table=architectures.")


def _architectures(values: flags.FlagValues) -> int:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    from mdcsrn_tf import architectures

    rows = architectures.architecture_rows()
    print(architectures.format_table(rows))
    if values.json:
        with replace_when_done(Path(values.json)) as partial:
            partial.write_text(architectures.to_json(rows), encoding="utf-8")
    return 0
