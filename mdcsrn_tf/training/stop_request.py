"""A polite end: SIGTERM and Ctrl-C are noted, and the loop stops after the step it is in."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from types import FrameType, TracebackType

# While TensorFlow waits for other workers it takes SIGTERM itself and lets no Python run, in whatever thread. So the
# signal is held back, and this looks from outside whether it has been left lying.
_WATCHDOG = """
import os, signal, sys, time
pid, patience, since = int(sys.argv[1]), float(sys.argv[2]), None
while os.getppid() == pid:
    with open(f"/proc/{pid}/status") as status:
        fields = dict(line.split(":", 1) for line in status)
    pending = (int(fields["ShdPnd"], 16) | int(fields["SigPnd"], 16)) >> (signal.SIGTERM - 1) & 1
    since = (since or time.monotonic()) if pending else None
    if since and time.monotonic() - since > patience:
        print("mdcsrn-train: SIGTERM came while waiting for other workers; the last checkpoint is whole.", flush=True)
        os.kill(pid, signal.SIGKILL)
    time.sleep(0.5)
"""


def end_when_stuck(patience: float = 30.0) -> None:
    """Block SIGTERM until `StopRequest.fetch` takes it; this process is killed if that takes over `patience` seconds.

    For one of several workers, which waits inside TensorFlow for the others, perhaps for ever. To be called before
    TensorFlow is loaded: its threads inherit which signals are blocked.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    subprocess.Popen([sys.executable, "-I", "-S", "-c", _WATCHDOG, str(os.getpid()), str(patience)])


class StopRequest:
    """Within it, the first SIGTERM or SIGINT sets `signal`; a second one acts as it always did."""

    def __init__(self) -> None:
        self.signal: int | None = None
        self._before: dict[int, object] = {}

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._give_back()

    def fetch(self) -> None:
        """Note a SIGTERM that was held back, if there is one."""
        if signal.SIGTERM in signal.sigpending() and signal.sigtimedwait({signal.SIGTERM}, 0):
            self.signal = signal.SIGTERM

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self.signal = number
        self._give_back()

    def _give_back(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        self._before.clear()
