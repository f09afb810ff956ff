"""What every command shares: its own flags, one sentence for a mistake, an exit code."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable, Sequence

from absl import flags

from mdcsrn_tf.errors import UserError

# A command defines its flags in a FlagValues of its own, never in absl's global one, so that two commands
# can live in one process (tests, notebooks) and no library code can read a flag.
DefineFlags = Callable[[flags.FlagValues], None]
Main = Callable[[flags.FlagValues], int | None]


def run_command(
    name: str,
    description: str,
    define_flags: DefineFlags,
    main: Main,
    argv: Sequence[str] | None = None,
) -> int:
    """Parse `argv` (default: the process's arguments), call `main`, and return the process's exit code."""
    values = flags.FlagValues()
    define_flags(values)
    arguments = list(sys.argv[1:] if argv is None else argv)
    if any(argument in ("--help", "-help", "-h", "--helpfull") for argument in arguments):
        print(_help_text(name, description, values))
        return 0
    try:
        unparsed = values([name, *arguments])[1:]
        if unparsed:
            raise UserError(f"{name} takes only --flags, but was given {unparsed[0]!r}; see {name} --help.")
        return main(values) or 0
    except flags.Error as error:
        return _fail(name, f"{_one_line(error)}; see {name} --help.")
    except UserError as error:
        return _fail(name, _one_line(error))
    except KeyboardInterrupt:
        return _fail(name, "interrupted.", code=130)


def _fail(name: str, sentence: str, code: int = 1) -> int:
    print(f"{name}: error: {sentence}", file=sys.stderr)
    return code


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _help_text(name: str, description: str, values: flags.FlagValues) -> str:
    lines = [description.strip(), "", f"usage: {name} [flags]", ""]
    for flag in sorted((values[key] for key in values), key=lambda flag: flag.name):
        default = "" if flag.default_as_str is None else f" (default: {flag.default_as_str.strip(chr(39))})"
        lines.append(f"  --{flag.name}{default}")
        lines += textwrap.wrap(" ".join((flag.help or "").split()), 92, initial_indent=" " * 6,
                               subsequent_indent=" " * 6)
    return "\n".join(lines)
