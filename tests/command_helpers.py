"""Our commands as an installation has them, called in this process: TensorFlow's start is paid once, not by each."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata


def call(command: list[str]) -> int:
    """The exit code of `mdcsrn-...` with its flags, by the entry point that the installed package names."""
    (entry,) = metadata.entry_points(group="console_scripts", name=command[0])
    return entry.load()(command[1:])


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Within it this process can write no more than `size` bytes to a file: how a full disk looks to the writer."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
