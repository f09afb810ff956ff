"""Whether XLA can compile here."""

from __future__ import annotations

import sys
from functools import lru_cache

from mdcsrn_tf.errors import first_line


@lru_cache(maxsize=1)
def xla_works() -> bool:
    """Try it on a small function; where it fails, say so once: the same is then computed without it, more slowly."""
    import tensorflow as tf

    try:
        tf.function(lambda x: x + 1.0, jit_compile=True)(tf.zeros([2]))
    except Exception as error:  # what is missing has a name of its own on each platform
        print(f"warning: XLA cannot compile here ({first_line(error)}); going on without it.", file=sys.stderr)
        return False
    return True
