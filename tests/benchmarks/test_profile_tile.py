"""docs/performance.md: the committed page is the generator's, and its cells are its record's medians."""

from collections import defaultdict
from types import SimpleNamespace

import pytest

from benchmarks import pages, profile_tile
from benchmarks.profile_child import COPIES, KINDS, NORMALISATION, timed


def test_the_page_is_generated():
    assert profile_tile.PAGE.read_text(encoding="utf-8") == profile_tile.page(pages.read(profile_tile.RECORD))


def test_a_line_is_of_medians_and_a_kind_of_work_that_is_not_there_is_nothing():
    turns = [{"whole": whole, "parts": {"convolutions": whole / 2, "copies": 0.25}} for whole in (3.0, 1.0, 2.0)]
    row = {"code": "after", "preset": "fast/b4u4k16", "precision": "float32", "rounds": turns}
    assert profile_tile.cells(row, before=4.0) == [
        "after, fast/b4u4k16, float32",
        "2.00",
        "0.50",
        "1.000",
        "0.000",
        "0.250",
        "0.000",
        "0.000",
    ]


@pytest.mark.parametrize(("plain", "kind"), [(True, COPIES), (False, NORMALISATION)])
def test_what_only_moves_feature_maps_counts_as_copies(plain, kind):
    parts = defaultdict(float)
    run = timed(len, KINDS["join"], parts)
    assert run([SimpleNamespace(is_plain=True), SimpleNamespace(is_plain=plain)]) == 2
    assert list(parts) == [kind] and parts[kind] > 0


def test_the_kinds_are_operations_of_the_inference():
    from mdcsrn_tf.inference.kernels import Kernels

    assert all(hasattr(Kernels, name) for name in KINDS)
