"""Load TensorFlow without the half screen of greetings that it prints before its log level takes effect."""

from __future__ import annotations

import gc
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from mdcsrn_tf.errors import UserError, first_line

_NVIDIA_DRIVER = Path("/proc/driver/nvidia")
_NOT_NEEDED = ("sklearn", "matplotlib", "cv2")  # which Keras imports wherever they are installed
_SHORTER, _TRIED_WITH = "xla_cpu_use_fusion_emitters", "2.21."


@dataclass
class Chatter:
    """What is being kept back; it is printed after all where `wanted` is set."""

    wanted: bool = False


_left_out: set[str] = set()  # what a command's process has not loaded with TensorFlow, and may need later


def load_tensorflow_quietly(own_process: bool = False, with_keras: bool = True) -> None:
    """Import TensorFlow and look for devices, if that is still to be done.

    What it prints is shown only if that fails, or if there is a GPU, not hidden by the user, that TensorFlow cannot
    use: it says why. A command, in a process of its own, starts sooner: what stays to the end anyway is not searched
    for garbage, Keras does without what it would only draw or wrap with, and XLA takes the shorter way to the same
    code. There, `with_keras=False` leaves Keras out, which TensorFlow else imports, until `load_keras_quietly` is
    called. UserError where the process is another's, and has Keras on JAX or PyTorch.
    """
    if "tensorflow" not in sys.modules:
        _load_tensorflow(own_process, with_keras)
    if not own_process:
        _refuse_other_backends()


def load_keras_quietly() -> None:
    """Import Keras where a command's process has left it out, as it would have been imported with TensorFlow.

    Anywhere else whoever needs it imports it.
    """
    if "keras" not in _left_out:
        return
    _left_out.remove("keras")
    with without_library_chatter(), _nothing_searched_for_garbage(), as_if_not_installed(*_NOT_NEEDED):
        import keras  # noqa: F401


def _refuse_other_backends() -> None:
    try:
        import keras
    except ImportError as error:  # JAX or PyTorch is asked for and not installed, for instance
        raise UserError(
            f"Keras cannot be imported ({first_line(error)}); if its backend is another than TensorFlow here, set "
            "KERAS_BACKEND=tensorflow before Python starts."
        ) from error
    if keras.config.backend() != "tensorflow":
        raise UserError(
            f"Keras runs on {keras.config.backend()} here, and these networks on TensorFlow; set "
            "KERAS_BACKEND=tensorflow before Python starts."
        )


def _load_tensorflow(own_process: bool, with_keras: bool) -> None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    if own_process:
        # Whatever the user's other programs run Keras on, and whatever ~/.keras/keras.json sets for them: there is no
        # such folder, nor can one be made.
        os.environ["KERAS_BACKEND"], os.environ["KERAS_HOME"] = "tensorflow", f"{os.devnull}/keras"
    with ExitStack() as loading:
        chatter = loading.enter_context(without_library_chatter())
        if own_process:
            loading.enter_context(_nothing_searched_for_garbage())
            loading.enter_context(as_if_not_installed(*_NOT_NEEDED))
        if own_process and not with_keras and "keras" not in sys.modules:
            loading.enter_context(as_if_not_installed("keras"))
            _left_out.add("keras")
        import tensorflow

        gpus = tensorflow.config.list_physical_devices("GPU")
        hidden = os.environ.get("CUDA_VISIBLE_DEVICES", "0") in ("", "-1")
        chatter.wanted = _NVIDIA_DRIVER.exists() and not gpus and not hidden
    if own_process:
        shorten_compilation(tensorflow.__version__)


@contextmanager
def as_if_not_installed(*packages: str) -> Iterator[None]:
    """Within it, an import of these fails, as it does where they are missing; those loaded already stay."""
    hidden = [name for name in packages if name not in sys.modules]
    for name in hidden:
        sys.modules[name] = None  # type: ignore[assignment]  # "there is no such module"
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


def shorten_compilation(version: str) -> None:
    """Let XLA compile for processors by its older way: the same results to the bit, in less time.

    A flag that XLA does not know ends the process, so only where this was tried. Where the user's flags are the name of
    a file that holds them, they stay as they are.
    """
    flags = os.environ.get("XLA_FLAGS", "").strip()
    if version.startswith(_TRIED_WITH) and _SHORTER not in flags and flags[:1] in ("", "-"):
        os.environ["XLA_FLAGS"] = f"{flags} --{_SHORTER}=false".strip()


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
