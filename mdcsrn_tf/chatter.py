"""Load TensorFlow without the half screen of greetings that it prints before its log level takes effect."""

from __future__ import annotations

import gc
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import IO

_NVIDIA_DRIVER = Path("/proc/driver/nvidia")


@dataclass
class Chatter:
    """What is being kept back; it is printed after all where `wanted` is set."""

    wanted: bool = False


def load_tensorflow_quietly(own_process: bool = False) -> None:
    """Import TensorFlow and look for devices, if that is still to be done.

    What it prints is shown only if that fails, or if there is a GPU that TensorFlow cannot use: it says why. A command,
    in a process of its own, starts sooner: what stays to the end anyway is not searched for garbage.
    """
    if "tensorflow" in sys.modules:
        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    with without_library_chatter() as chatter, _nothing_searched_for_garbage() if own_process else nullcontext():
        import tensorflow

        gpus = tensorflow.config.list_physical_devices("GPU")
        chatter.wanted = _NVIDIA_DRIVER.exists() and not gpus


@contextmanager
def _nothing_searched_for_garbage() -> Iterator[None]:
    """What is made within it, and was before, is kept; a process that had switched the search off finds it so."""
    searched = gc.isenabled()
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        if searched:
            gc.enable()


def _scratch() -> IO[bytes]:
    """A file for this process alone, in memory where the system has such: no temporary folder may be writable."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("chatter"), "w+b")
    return tempfile.TemporaryFile()


@contextmanager
def without_library_chatter() -> Iterator[Chatter]:
    """Keep what libraries print to standard error while they are loaded; show it if that fails, or on request."""
    sys.stderr.flush()
    chatter = Chatter()
    with _scratch() as kept:
        shown = os.dup(2)
        os.dup2(kept.fileno(), 2)
        try:
            yield chatter
        except BaseException:
            chatter.wanted = True
            raise
        finally:
            if chatter.wanted:
                kept.seek(0)
                os.write(shown, kept.read())
            os.dup2(shown, 2)
            os.close(shown)
