"""How XLA compiles in the tests; and their order.

A file goes to one process whole, so those that take longest have to begin first. Else one process is left with a
minute's work while the other has none. `make test` keeps this order.
"""

import gc
from importlib.metadata import version

import pytest

from mdcsrn_tf.chatter import shorten_compilation

# What a command does for itself: XLA compiles in less time, here and in the processes that tests start. That its
# results are the same is for tests/cli/test_infer_command.py to say.
shorten_compilation(version("tensorflow"))

LONGEST_FIRST = (
    "training/test_slice_training.py",
    "training/test_train_workers.py",
    "training/test_train_run.py",
    "training/test_train_smoke.py",
    "training/test_train_loop.py",
    "inference/test_fused.py",
    "cli/test_eval_command.py",
    "docs/test_readme.py",
    "docs/test_demo.py",
    "cli/test_scan_matrix_default.py",
    "training/test_frugal.py",
    "models/test_slice_networks.py",
    "training/test_pairs_smoke.py",
    "models/test_models.py",
    "training/test_train_steps.py",
    "inference/test_export.py",
    "cli/test_disks.py",
    "docs/test_reproduction.py",
    "evaluation/test_eval_models.py",
    "inference/test_room.py",
    "test_new_family.py",
)


def pytest_collection_modifyitems(items):
    def place(item):
        file = item.nodeid.partition("::")[0].removeprefix("tests/")
        return LONGEST_FIRST.index(file) if file in LONGEST_FIRST else len(LONGEST_FIRST)

    items.sort(key=place)


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """Search for garbage less often, and not among what stays to the end: it took a tenth of the time of the tests.

    Nor while TensorFlow and the tests are imported, of which a third was that search.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.set_threshold(5000, 10, 10)
        gc.enable()
