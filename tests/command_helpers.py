"""Our commands as an installation has them, called in this process: TensorFlow's start is paid once, not by each."""

from importlib import metadata


def call(command: list[str]) -> int:
    """The exit code of `mdcsrn-...` with its flags, by the entry point that the installed package names."""
    (entry,) = metadata.entry_points(group="console_scripts", name=command[0])
    return entry.load()(command[1:])
