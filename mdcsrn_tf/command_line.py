"""What every command shares: its own flags, one sentence for a mistake, an exit code."""

from __future__ import annotations

import logging
import os
import re
import sys
import textwrap
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field

from absl import flags

from mdcsrn_tf import __version__
from mdcsrn_tf.errors import UserError, is_out_of_memory
from mdcsrn_tf.streams import forgiving_streams

# A command defines its flags in a FlagValues of its own, never in absl's global one, so that two commands
# can live in one process (tests, notebooks) and no library code can read a flag.
DefineFlags = Callable[[flags.FlagValues], None]
Main = Callable[[flags.FlagValues], int | None]
_ABSLS_WORDS = "; repeat this option to specify a list of values"
Headings = Mapping[str, str]  # in --help: the first flag of a group, and the group's title


_own_process: ContextVar[bool] = ContextVar("own_process", default=False)
_NO_CACHE = "writable cache directory"  # what Matplotlib misses where neither home nor temporary folder is writable


@dataclass(frozen=True)
class Command:
    """A command or sub-command, ready for `run_command`."""

    description: str
    define_flags: DefineFlags
    main: Main
    headings: Headings = field(default_factory=dict)
    places: str = ""  # of --help's first line: the words before the flags


def run_command(
    name: str,
    description: str,
    define_flags: DefineFlags,
    main: Main,
    argv: Sequence[str] | None = None,
    headings: Headings | None = None,
    own_process: bool | None = None,
    places: str = "",
) -> int:
    """Parse `argv` (default: the process's arguments), call `main`, and return the process's exit code.

    `own_process`: whether the command is all that its process is for; by default, where it takes that one's arguments.
    `places`: what --help says of words before the flags, of a command that takes them out of `argv` itself.
    """
    before = _own_process.set(argv is None if own_process is None else own_process)
    try:
        with forgiving_streams():
            return _run(name, Command(description, define_flags, main, headings or {}, places), argv)
    finally:
        _own_process.reset(before)


def in_own_process() -> bool:
    """Whether a command runs that was started as one, and was not called by another program, as by a notebook."""
    return _own_process.get()


def _run(name: str, command: Command, argv: Sequence[str] | None) -> int:
    values = flags.FlagValues()
    command.define_flags(values)
    arguments = [_at_home(argument) for argument in (sys.argv[1:] if argv is None else argv)]
    if any(argument in ("--help", "-help", "-h", "--helpfull") for argument in arguments):
        print(_help_text(name, command, values))
        return 0
    if "--version" in arguments:
        print(f"{name} {__version__}")
        return 0
    if "--completion" in arguments:
        print(_completion(name, values))
        return 0
    if in_own_process():  # fonts, LaTeX and screens that the user sets Matplotlib for are other programs'
        os.environ.update(MPLBACKEND="agg", MATPLOTLIBRC=os.devnull)
    with warnings.catch_warnings():
        if not sys.warnoptions:  # what libraries find worth a warning, our commands say in a sentence or not at all
            warnings.simplefilter("ignore")
            logging.getLogger("matplotlib").setLevel(logging.ERROR)  # where its cache lies is nobody's concern
        return _call(name, values, command.main, arguments)


def _at_home(argument: str) -> str:
    """The argument with its user's home for a ~ at the beginning of a flag's path, where no shell has put it.

    Else the result of `--output=~/results` would lie in a new folder called ~, for somebody to remove one day.
    """
    home = os.path.expanduser("~")  # noqa: PTH111 (pathlib raises where there is no home)
    return re.sub(r"(?<=[=,])~(?=[/,]|$)", lambda _: home, argument) if argument.startswith("-") else argument


def _call(name: str, values: flags.FlagValues, main: Main, arguments: list[str]) -> int:
    try:
        unparsed = values([name, *arguments])[1:]
        if unparsed:
            raise UserError(f"{name} takes only --flags, but was given {unparsed[0]!r}; see {name} --help.")
        _refuse_empty(values)
        return main(values) or 0
    except flags.Error as error:
        return _fail(name, f"{_one_line(error)}; see {name} --help.")
    except Exception as error:
        sentence = sentence_of(error)
        if sentence is None:
            raise
        return _fail(name, sentence)
    except KeyboardInterrupt:
        return _fail(name, "interrupted.", code=130)


def _refuse_empty(values: flags.FlagValues) -> None:
    """UserError for a text that was given as nothing, which an unset shell variable does: it would be passed over."""
    for name in values:
        if values[name].present and values[name].default is None and values[name].value == "":
            raise UserError(f"--{name} is given without a value; give it one, or leave it out.")


def sentence_of(error: Exception) -> str | None:
    """What to tell the user of an error that is theirs or the system's; None for a bug, which needs its traceback."""
    if isinstance(error, UserError):
        return _one_line(error)
    if is_out_of_memory(error):
        return "the memory does not suffice; free some, or ask for less at a time."
    if isinstance(error, OSError) and (error.errno is not None or _NO_CACHE in str(error)):
        return _system_sentence(error)
    return None  # an OSError without a number is a bug, or a library's own


def _system_sentence(error: OSError) -> str:
    what = f"{error.filename}: " if error.filename else ""
    reason = _one_line(Exception(error.strerror or str(error)))
    if "temporary directory" in reason or _NO_CACHE in reason:
        return "No temporary folder can be written to; name one by the environment variable TMPDIR."
    return f"{what}{reason}; check the path, its rights and the space there."


def warn(name: str, sentences: Iterable[str]) -> None:
    """Tell of what is doubtful and stops nothing, a line each."""
    for sentence in sentences:
        print(f"{name}: warning: {sentence}", file=sys.stderr)


def _fail(name: str, sentence: str, code: int = 1) -> int:
    print(f"{name}: error: {sentence}", file=sys.stderr)
    return code


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _completion(name: str, values: flags.FlagValues) -> str:
    """What bash needs to complete the command's flags, and files behind them: eval "$(mdcsrn-infer --completion)"."""
    own = [values[key] for key in values if key == values[key].name]
    words = [f"--{flag.name}" if flag.boolean else f"--{flag.name}=" for flag in own]
    return f"complete -o default -o nospace -W '{' '.join([*words, '--help', '--version'])}' {name}"


def _help_text(name: str, command: Command, values: flags.FlagValues) -> str:
    lines = [
        command.description.strip(),
        "",
        f"usage: {name} {command.places}[flags]   ({name} --version prints the version)",
        "",
    ]
    # In the order in which they were defined, the everyday ones first; absl lists one with a short name twice.
    for flag in (values[key] for key in values if key == values[key].name):
        if flag.name in command.headings:
            lines += [*([""] if lines[-1] else []), f"{command.headings[flag.name]}:"]
        given = (flag.default_as_str or "").strip("'")
        default = "" if given in ("", "[]") else f" (default: {given})"
        short = f"-{flag.short_name}, " if flag.short_name else ""
        lines.append(f"  {short}--{flag.name}{default}")
        text = " ".join((flag.help or "").split()).replace(_ABSLS_WORDS, " May be given several times.")
        lines += textwrap.wrap(text, 92, initial_indent=" " * 6, subsequent_indent=" " * 6)
    return "\n".join(lines)
