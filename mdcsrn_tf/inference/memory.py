"""How the process asks the system for memory."""

from __future__ import annotations

import ctypes
import sys

# mallopt's parameters, from glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -2, -3, -8


def keep_freed_memory() -> bool:
    """Let freed memory stay with the process, for the next feature map; whether that could be arranged.

    glibc maps every tensor of more than 32 MB anew and unmaps it when freed, so that the system has to clear
    each of its pages again: up to half of the time of a tile. The peak does not change, the tensors of one
    tile being as large as those of the next. Call it before TensorFlow, or OpenVINO, starts its threads.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    settings = ((_M_ARENA_MAX, 1), (_M_MMAP_THRESHOLD, 1 << 30), (_M_TRIM_THRESHOLD, 2**31 - 1), (_M_TOP_PAD, 1 << 26))
    return all(mallopt(parameter, value) == 1 for parameter, value in settings)
