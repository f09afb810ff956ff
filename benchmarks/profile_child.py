"""One contender's turn of `profile_tile.py`: a network over one tile, by the code of the folder that is named.

    python benchmarks/profile_child.py FOLDER PRESET PRECISION EDGE

Prints JSON: seconds of a core for the whole graph, and, run operation by operation, for each kind of work. One thread,
in the process's own time: what else the machine does costs nothing but cache.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

CONVOLUTIONS, NORMALISATION, COPIES, OUTPUT = "convolutions", "normalisation", "copies", "output"
KINDS = {"convolve": CONVOLUTIONS, "total": NORMALISATION, "join": NORMALISATION, "dot": OUTPUT, "spread": OUTPUT}


def main() -> None:
    """Measure and print."""
    folder, preset, precision, edge = sys.argv[1:]
    for name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS"):
        os.environ[name] = "1"
    sys.path.insert(0, folder)
    import numpy as np
    import tensorflow as tf

    from mdcsrn_tf.inference.fused import FusedNetwork
    from mdcsrn_tf.inference.memory import keep_freed_memory
    from mdcsrn_tf.models import build_generator
    from mdcsrn_tf.models.files import with_precision
    from mdcsrn_tf.papers import get_preset

    keep_freed_memory()
    model = with_precision(build_generator(get_preset(preset).network), "float32")
    network = FusedNetwork(model, "moving", precision)
    shape = (1, int(edge), int(edge), int(edge), 1)
    tile = tf.constant(np.random.default_rng(0).standard_normal(shape).astype(np.float32))
    graph = tf.function(network, autograph=False)
    whole, parts = seconds(lambda: graph(tile)), defaultdict[str, float](float)
    for name, kind in KINDS.items():
        if hasattr(network.kernels, name):
            setattr(network.kernels, name, timed(getattr(network.kernels, name), kind, parts))

    def anew() -> None:
        parts.clear()
        network(tile)

    stepwise = seconds(anew)
    print(json.dumps({"whole": whole, "parts": {**parts, "rest": stepwise - sum(parts.values())}}))


def seconds(run: Callable[[], Any]) -> float:
    """Of a core, the second time: the first compiles."""
    run()
    started = time.process_time()
    run()
    return time.process_time() - started


def timed(function: Callable[..., Any], kind: str, parts: dict[str, float]) -> Callable[..., Any]:
    """The same function, its time added to its kind of work."""

    def run(*arguments: Any) -> Any:
        started = time.process_time()
        result = function(*arguments)
        changes_nothing = kind == NORMALISATION and all(getattr(one, "is_plain", True) for one in arguments[0])
        parts[COPIES if changes_nothing else kind] += time.process_time() - started
        return result

    return run


if __name__ == "__main__":
    main()
