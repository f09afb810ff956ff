"""Tiling: literal tables, a partition for any shape, and no off-by-one with identity and shift models."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mdcsrn_tf.errors import UserError
from mdcsrn_tf.inference.tiling import (
    Span,
    check_tile,
    cut,
    even_tiles,
    seam_figure,
    seams_of,
    size_text,
    spans_of,
    tiles_of,
    whole,
)
from mdcsrn_tf.scans.kspace import mirrored


@pytest.mark.parametrize(
    ("length", "tile", "margin", "table"),
    [
        (320, 70, 3, [(-3, 0, 64), (61, 64, 128), (125, 128, 192), (189, 192, 256), (253, 256, 320)]),
        (256, 70, 3, [(-3, 0, 64), (61, 64, 128), (125, 128, 192), (189, 192, 256)]),
        (64, 70, 3, [(-3, 0, 64)]),
        (65, 70, 3, [(-3, 0, 64), (-2, 64, 65)]),
        (10, 70, 3, [(-3, 0, 10)]),
        (1, 3, 1, [(-1, 0, 1)]),
        (5, 3, 1, [(-1, 0, 1), (0, 1, 2), (1, 2, 3), (2, 3, 4), (3, 4, 5)]),
        (7, 4, 0, [(0, 0, 4), (3, 4, 7)]),
        (130, 70, 17, [(-17, 0, 36), (19, 36, 72), (55, 72, 108), (77, 108, 130)]),
    ],
)
def test_spans_table(length, tile, margin, table):
    assert spans_of(length, tile, margin) == [Span(*row) for row in table]


def test_the_papers_volume_is_a_hundred_tiles():
    tiles = tiles_of((320, 320, 256), 70, 3)
    assert len(tiles) == 100
    assert tiles[1].kept == (slice(0, 64), slice(0, 64), slice(64, 128))
    assert tiles[1].core == (slice(3, 67),) * 3


def test_mirroring_table():
    assert mirrored(np.arange(-5, 9), 4).tolist() == [1, 2, 3, 2, 1, 0, 1, 2, 3, 2, 1, 0, 1, 2]
    assert mirrored(np.arange(-3, 4), 1).tolist() == [0] * 7


@given(length=st.integers(2, 40), before=st.integers(0, 90), after=st.integers(0, 90))
@settings(max_examples=200, deadline=None)
def test_mirroring_is_numpys_reflection(length, before, after):
    row = np.arange(length) ** 2
    expected = np.pad(row, (before, after), mode="reflect")
    np.testing.assert_array_equal(row[mirrored(np.arange(-before, length + after), length)], expected)


geometry = st.integers(0, 20).flatmap(
    lambda margin: st.tuples(st.integers(2 * margin + 1, 2 * margin + 60), st.just(margin))
)


@given(length=st.integers(1, 200), pair=geometry)
@settings(max_examples=500, deadline=None)
def test_kept_spans_partition_every_axis(length, pair):
    tile, margin = pair
    spans = spans_of(length, tile, margin)
    assert [v for span in spans for v in range(span.keep_from, span.keep_to)] == list(range(length))
    for span in spans:
        inside = (span.keep_from - span.start, tile - (span.keep_to - span.start))
        assert min(inside) >= margin, "a kept voxel lies in the margin"
        assert span.start >= -margin


@given(length=st.integers(1, 200), core=st.integers(1, 30), margin=st.integers(0, 20), multiple=st.integers(1, 4))
@settings(max_examples=300, deadline=None)
def test_tiles_begin_on_one_grid_where_that_is_asked_and_partition_every_axis(length, core, margin, multiple):
    tile = core * multiple + 2 * margin
    spans = spans_of(length, tile, margin, multiple)
    assert [v for span in spans for v in range(span.keep_from, span.keep_to)] == list(range(length))
    for span in spans:
        assert (span.start + margin) % multiple == 0
        assert min(span.keep_from - span.start, span.start + tile - span.keep_to) >= margin


@given(length=st.integers(1, 400), margin=st.integers(0, 40), core=st.integers(1, 100), multiple=st.integers(1, 4))
@settings(max_examples=300, deadline=None)
def test_even_tiles_are_as_few_as_full_ones_and_no_core_is_moved_back_far(length, margin, core, multiple):
    (tile,) = even_tiles((length,), core + 2 * margin, margin, multiple)
    even = len(spans_of(length, tile, margin, multiple))
    assert even <= len(spans_of(length, core + 2 * margin, margin))
    assert (tile - 2 * margin) % 8 == 0 == (tile - 2 * margin) % multiple
    assert tile - 2 * margin < -(-length // -(-length // core)) + 8 * multiple


def test_even_tiles_by_hand():
    # Cores of at most 68: four of 64; five of 64; one of 20, in eights 24.
    assert even_tiles((256, 320, 20), 102, 17) == (64 + 34, 64 + 34, 24 + 34)


@given(shape=st.tuples(*[st.integers(1, 200)] * 3), tile=st.integers(41, 90), margin=st.integers(0, 20))
@settings(max_examples=40, deadline=None)
def test_kept_cores_partition_every_volume(shape, tile, margin):
    written = np.zeros(shape, np.uint8)
    for where in tiles_of(shape, tile, margin):
        written[where.kept] += 1
        assert [s.stop - s.start for s in where.kept] == [s.stop - s.start for s in where.core]
    assert written.min() == written.max() == 1


def ramp(shape):
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


def through_tiles(volume, tile, margin, model):
    result = np.full(volume.shape, np.nan, np.float32)
    for where in tiles_of(volume.shape, tile, margin):
        result[where.kept] = model(cut(volume, where, tile))[where.core]
    return result


@given(shape=st.tuples(*[st.integers(1, 30)] * 3), pair=st.sampled_from([(8, 3), (5, 0), (7, 2), (31, 3), (40, 19)]))
@settings(max_examples=60, deadline=None)
def test_an_identity_model_returns_a_ramp_exactly(shape, pair):
    volume = ramp(shape)
    np.testing.assert_array_equal(through_tiles(volume, *pair, lambda tile: tile), volume)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("shift", [-2, -1, 1, 2])
@pytest.mark.parametrize("shape", [(23, 9, 14), (3, 30, 8)])
def test_a_shifting_model_shifts_the_whole_volume(axis, shift, shape):
    volume = ramp(shape)
    padded = np.pad(volume, 2, mode="reflect")
    expected = np.roll(padded, shift, axis)[2:-2, 2:-2, 2:-2]
    shifted = through_tiles(volume, 9, 2, lambda tile: np.roll(tile, shift, axis))
    np.testing.assert_array_equal(shifted, expected)


def test_cut_is_contiguous_and_no_view():
    volume = ramp((6, 6, 6))
    tile = cut(volume, tiles_of((6, 6, 6), 6, 0)[0], 6)
    assert tile.flags.c_contiguous
    assert not np.shares_memory(tile, volume)


def test_whole_is_the_reflected_volume():
    volume = ramp((5, 6, 7))
    np.testing.assert_array_equal(whole(volume, 3), np.pad(volume, 3, mode="reflect"))


def test_a_tile_reads_what_was_put_around_the_volume():
    around = ramp((11, 12, 13))  # a volume of 5 x 6 x 7 with three voxels more on every side
    (only,) = tiles_of((5, 6, 7), 15, 4)
    expected = np.pad(around, ((1, 3), (1, 2), (1, 1)), mode="reflect")
    np.testing.assert_array_equal(cut(around, only, 15, 3), expected)


@pytest.mark.parametrize(("tile", "margin"), [(6, 3), (0, 0), (5, -1), (-4, 0), (70, 35)])
def test_a_pair_without_a_core_gets_a_sentence(tile, margin):
    with pytest.raises(UserError, match=r"tile of|margin"):
        spans_of(100, tile, margin)


def test_an_empty_volume_gets_a_sentence():
    with pytest.raises(UserError, match="no voxels"):
        tiles_of((4, 0, 4), 3, 1)


def test_seam_positions_table():
    assert seams_of((130, 64, 128), 70, 17) == [[36, 72, 108], [36], [36, 72, 108]]
    assert seams_of((320, 64, 1), 70, 3) == [[64, 128, 192, 256], [], []]


def test_seam_figure_is_one_on_a_ramp_and_counts_a_step():
    grid = np.indices((20, 20, 20)).sum(0).astype(np.float32)
    assert seam_figure(grid, 10, 0) == pytest.approx(1.0)
    stepped = grid.copy()
    stepped[10:] += 2.0  # the gradient across this one of three borders is 3, elsewhere 1
    assert seam_figure(stepped, 10, 0) == pytest.approx((3 + 1 + 1) / 3)
    assert seam_figure(grid, 26, 3) is None


def test_a_tile_and_a_margin_of_each_axis():
    tiles = tiles_of((4, 10, 9), (3, 8, 9), (1, 2, 0))
    # Slices with their neighbours, rows in three cores of four, columns whole.
    assert len(tiles) == 4 * 3 * 1
    assert tiles[0].spans == (Span(-1, 0, 1), Span(-2, 0, 4), Span(0, 0, 9))
    assert tiles[-1].spans == (Span(2, 3, 4), Span(4, 8, 10), Span(0, 0, 9))
    volume = np.random.default_rng(0).standard_normal((4, 10, 9))
    result = np.full(volume.shape, np.nan)
    for where in tiles:
        piece = cut(volume, where, (3, 8, 9))
        assert piece.shape == (3, 8, 9)
        result[where.kept] = piece[where.core]
    np.testing.assert_array_equal(result, volume)
    assert seams_of(volume.shape, (3, 8, 9), (1, 2, 0)) == [[1, 2, 3], [4, 8], []]
    assert (size_text(70), size_text((3, 8, 9))) == ("70^3", "3 x 8 x 9")


@pytest.mark.parametrize(
    ("tile", "margin", "words"),
    [
        ((3, 8, 2), (1, 2, 1), "tile of 2 voxels with a margin of 1"),
        (2, (0, 0, 1), "margin of 1"),
        ((3, 8), 0, "one for each of 3 axes"),
    ],
)
def test_what_keeps_no_core_along_one_axis_is_refused(tile, margin, words):
    with pytest.raises(UserError, match=words):
        check_tile(tile, margin)
        tiles_of((4, 10, 9), tile, margin)
