"""Load TensorFlow without the half screen of greetings that it prints before its log level takes effect."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager


def load_tensorflow_quietly() -> None:
    """Import TensorFlow and look for devices; what it prints is shown only if that fails."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    with without_library_chatter():
        import tensorflow

        tensorflow.config.list_physical_devices()


@contextmanager
def without_library_chatter() -> Iterator[None]:
    """Keep what libraries print to standard error while they are loaded, and show it only if that fails."""
    sys.stderr.flush()
    with tempfile.TemporaryFile() as kept:
        shown = os.dup(2)
        os.dup2(kept.fileno(), 2)
        try:
            yield
        except BaseException:
            kept.seek(0)
            os.write(shown, kept.read())
            raise
        finally:
            os.dup2(shown, 2)
            os.close(shown)
