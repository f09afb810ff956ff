"""Slices cut, tiled and stitched: literal tables, and networks whose result NumPy or SciPy gives directly."""

import numpy as np
import pytest
from scipy.ndimage import uniform_filter

from mdcsrn_tf.errors import UserError
from mdcsrn_tf.inference.slices import SliceTiling, stack, super_resolve_planes, windows


def spans(length, **options):
    return [(span.start, span.keep_from, span.keep_to) for span in windows(length, SliceTiling(**options))]


def test_windows_of_both_readings_of_the_paper():
    # Text: 64 pixels, 4 cropped, every 20 pixels, averaged. The last one ends with the slice.
    averaged = spans(100, tile=64, crop=4, stride=20, merge="mean")
    assert averaged == [(-4, 0, 56), (16, 20, 76), (36, 40, 96), (40, 44, 100)]
    # Figures: what is kept lies side by side.
    assert spans(112, tile=64, crop=4) == [(-4, 0, 56), (52, 56, 112)]
    assert spans(100, tile=64, crop=4) == [(-4, 0, 56), (40, 56, 100)]
    assert spans(30, tile=64, crop=4, stride=20, merge="mean") == [(-4, 0, 30)]
    assert spans(77) == [(0, 0, 77)]


def volume(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize(
    "tiling",
    [
        SliceTiling(),
        SliceTiling(multiple=8),
        SliceTiling(tile=8, crop=2),
        SliceTiling(tile=8, crop=1, stride=3, merge="mean", batch=4),
        SliceTiling(tile=16, crop=0, stride=16, merge="mean", multiple=16),
    ],
)
@pytest.mark.parametrize("axes", [(0,), (2,), (0, 1, 2)])
def test_a_pointwise_network_gives_the_same_however_it_is_cut(tiling, axes):
    scan, seen = volume(7, 12, 19), []

    def apply(tiles):
        seen.append(tiles.shape)
        return 2 * tiles + 1

    np.testing.assert_allclose(super_resolve_planes(apply, scan, axes, tiling), 2 * scan + 1, rtol=1e-5, atol=1e-5)
    assert all(shape[0] == tiling.batch for shape in seen)
    assert not any(side % tiling.multiple for shape in seen for side in shape[1:3])


def test_a_filter_whose_reach_is_the_crop_equals_scipys():
    scan = volume(5, 23, 18)

    def apply(tiles):
        return uniform_filter(tiles, size=(1, 5, 5, 1), mode="mirror")

    expected = uniform_filter(scan, size=(1, 5, 5), mode="mirror")
    for merge, stride in (("core", 0), ("mean", 3)):
        tiling = SliceTiling(tile=10, crop=2, stride=stride, merge=merge)
        np.testing.assert_allclose(super_resolve_planes(apply, scan, (0,), tiling), expected, atol=1e-5)


def test_overlapping_results_are_averaged():
    scan = np.zeros((1, 4, 6), np.float32)
    numbers = iter(range(100))

    def apply(tiles):
        return np.full((*tiles.shape[:3], 1), float(next(numbers)), np.float32)

    found = super_resolve_planes(apply, scan, (0,), SliceTiling(tile=4, stride=2, merge="mean"))
    np.testing.assert_array_equal(found[0], [[0, 0, 0.5, 0.5, 1, 1]] * 4)


def test_neighbours_are_channels_in_their_order_and_the_last_slice_is_repeated():
    slices = np.arange(4.0)[:, np.newaxis, np.newaxis] * np.ones((4, 2, 3))
    assert stack(slices, 2, 3)[0, 0].tolist() == [1, 2, 3]
    assert stack(slices, 0, 3)[0, 0].tolist() == [0, 0, 1]
    assert stack(slices, 3, 3)[0, 0].tolist() == [2, 3, 3]
    assert stack(slices, 3, 1)[0, 0].tolist() == [3]
    upper = super_resolve_planes(lambda tiles: tiles[..., 2:], slices.astype(np.float32), (0,), SliceTiling(channels=3))
    assert upper[:, 0, 0].tolist() == [1, 2, 3, 3]


def test_of_three_slices_out_the_middle_one_is_kept():
    scan = volume(3, 4, 5)

    def apply(tiles):
        return np.concatenate([tiles - 9, tiles, tiles + 9], axis=-1)

    np.testing.assert_array_equal(super_resolve_planes(apply, scan, (1,), SliceTiling()), scan)


@pytest.mark.parametrize(
    ("tiling", "sentence"),
    [
        (SliceTiling(tile=60, crop=4, multiple=64), "multiples of 64 pixels, not 60: take 64"),
        (SliceTiling(tile=8, crop=4), "keeps no core"),
        (SliceTiling(tile=64, crop=4, stride=57, merge="mean"), "stride of 57 leaves gaps .* take 1 to 56"),
        (SliceTiling(tile=64, crop=4, merge="mean"), "stride of 0 leaves gaps or goes nowhere"),
    ],
)
def test_tiles_that_cannot_be_cut_are_refused(tiling, sentence):
    with pytest.raises(UserError, match=sentence):
        super_resolve_planes(lambda tiles: tiles, volume(2, 9, 9), (0,), tiling)
