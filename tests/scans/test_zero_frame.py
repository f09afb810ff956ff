"""Frames of zeros around a picture: found, taken off and put back; a mask's air is none."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from mdcsrn_tf.scans.volume import Volume, new_header
from mdcsrn_tf.scans.zero_frame import ZeroFrame, zero_frame

PICTURE = 1 + np.random.default_rng(0).random((18, 20, 22)).astype(np.float32)
ENDS = ((3, 0), (0, 5), (1, 2))


def test_a_frame_is_found_and_comes_back():
    framed = np.pad(PICTURE, ENDS)
    found = zero_frame([framed])
    assert found == ZeroFrame((3, 0, 1), (0, 5, 2))
    np.testing.assert_array_equal(found.inside(framed), PICTURE)
    np.testing.assert_array_equal(found.around(PICTURE), framed)
    doubled = PICTURE.repeat(2, axis=1)
    np.testing.assert_array_equal(found.around(doubled, (1, 2, 1)), framed.repeat(2, axis=1))
    np.testing.assert_array_equal(found.inside(framed.repeat(2, axis=1), (1, 2, 1)), doubled)


def test_a_voxel_stays_where_it_was_in_the_world():
    affine = np.array([[0.0, -2, 0, 5], [1, 0, 0, 6], [0, 0, 3, 7], [0, 0, 0, 1]])
    whole = Volume(np.pad(PICTURE, ENDS), affine, Path("a.nii"), new_header(affine), np.dtype(np.float32))
    inner = zero_frame([whole.data]).volume(whole)
    np.testing.assert_allclose(inner.affine @ [1, 2, 3, 1], affine @ [4, 2, 4, 1])
    assert inner.data[1, 2, 3] == whole.data[4, 2, 4]


def ball():
    places = np.indices((24, 24, 24)) - 11.5
    return np.pad((np.linalg.norm(places, axis=0) < 12).astype(np.float32), 6)


@pytest.mark.parametrize(
    "volumes",
    [
        [PICTURE],
        [ball()],  # a head in the air of a mask: its first planes are nearly empty
        [np.zeros((20, 20, 20))],
        [np.pad(PICTURE[:8], ((4, 4), (0, 0), (0, 0)))],  # too little would be left
        [np.pad(PICTURE, ((2, 2), (0, 0), (0, 0))), np.ones((22, 20, 22))],  # not in both volumes
    ],
)
def test_what_is_no_frame(volumes):
    frame = zero_frame(volumes)
    assert not frame and frame == ZeroFrame()
    assert frame.inside(volumes[0]) is volumes[0] and frame.around(volumes[0]) is volumes[0]


def test_many_volumes_take_the_memory_of_a_few():
    volumes = [np.pad(PICTURE, ENDS)] * 40
    tracemalloc.start()
    assert zero_frame(volumes) == zero_frame(volumes[:1])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2 * volumes[0].nbytes
