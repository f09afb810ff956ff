"""The head mask on volumes made by hand, where the truth is known, and on a real crop."""

from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from mdcsrn_tf.scans import head
from mdcsrn_tf.scans.head import bounding_box, head_mask, thinning_step, tissue_level

CROP = np.load(Path(__file__).parents[1] / "golden" / "eval_scans.npz")["sub07_crop"].astype(np.float32)
SHAPE = (60, 64, 56)


def distance(shape=SHAPE):
    """From the middle, in voxels."""
    return np.sqrt(sum((g - (s - 1) / 2) ** 2 for g, s in zip(np.indices(shape), shape, strict=True)))


def whole_head(air_noise=0.0, fat=400.0, brain=200.0, fluid=20.0, seed=0):
    """Bright fat around a dark skull around a brain with dark ventricles, in Rician air; and its true mask."""
    radius = distance()
    head = np.zeros(SHAPE)
    for limit, value in ((25, fat), (22, 10.0), (20, brain), (6, fluid)):
        head[radius <= limit] = value
    noise = np.random.default_rng(seed).normal(0, air_noise, (2, *SHAPE))
    return np.hypot(head + noise[0], noise[1]).astype(np.float32), radius <= 25


def dice(one, two):
    return 2 * np.count_nonzero(one & two) / (np.count_nonzero(one) + np.count_nonzero(two))


@pytest.mark.parametrize(
    "contrast",
    [
        {"fat": 400.0, "brain": 200.0, "fluid": 20.0},  # T1w
        {"fat": 150.0, "brain": 200.0, "fluid": 900.0},  # T2w
        {"fat": 250.0, "brain": 200.0, "fluid": 5.0},  # FLAIR
    ],
)
@pytest.mark.parametrize("air_noise", [0.0, 8.0, 20.0])
def test_a_whole_head_is_found_with_skull_and_ventricles_in_any_contrast_and_noise(contrast, air_noise):
    volume, truth = whole_head(air_noise, **contrast)
    found = head_mask(volume)
    assert dice(found, truth) > 0.97
    assert found[distance() < 24].all()  # no hole


def test_a_stripped_brain_is_found_with_its_open_sulcus():
    brain = np.where(distance() <= 20, 300.0, 0.0)
    brain[29:31, :, 40:] = 0.0  # a fold two voxels wide, open to the air
    found = head_mask(brain)
    assert dice(found, distance() <= 20) > 0.97 and found[29:31, 32, 40:44].all()


def test_specks_in_the_air_are_left_out():
    volume, truth = whole_head(5.0)
    volume[2:5, 2:5, 2:5] = 500.0
    assert not head_mask(volume)[:8, :8, :8].any()
    assert dice(head_mask(volume), truth) > 0.97


@pytest.mark.parametrize("scale", [1e-4, 1.0, 3e4])
def test_neither_scale_nor_empty_borders_change_it(scale):
    mask = head_mask(CROP)
    wide = np.pad(CROP * np.float32(scale), [(9, 20), (0, 30), (12, 3)])
    inside = tuple(slice(before, before + size) for before, size in zip((9, 0, 12), CROP.shape, strict=True))
    assert tissue_level(wide) == pytest.approx(scale * tissue_level(CROP), rel=1e-3)
    assert np.mean(head_mask(wide)[inside] != mask) < 0.01
    assert np.count_nonzero(head_mask(wide)) < 1.01 * np.count_nonzero(mask)


def test_a_real_stripped_brain_is_what_is_not_zero():
    assert 0.5 < (CROP > 0).mean() < 0.98
    assert dice(head_mask(CROP), ndimage.binary_fill_holes(CROP > 0)) > 0.98


def test_thick_slices_are_closed_by_millimetres():
    volume, truth = whole_head(5.0)
    found = head_mask(volume[:, :, ::4], (1.0, 1.0, 4.0))
    assert dice(found, truth[:, :, ::4]) > 0.95


def test_a_piece_of_tissue_and_a_flat_volume_are_all_head():
    tissue = np.random.default_rng(0).normal(200, 15, (24, 24, 24)).astype(np.float32)
    assert head_mask(tissue).all()
    assert head_mask(np.full((5, 6, 7), 3.0)).all() and head_mask(np.zeros((5, 6, 7))).all()
    assert tissue_level(np.zeros(9)) == 0.0


def test_the_box_is_the_smallest_and_stays_in_the_array():
    mask = np.zeros((10, 12, 14), bool)
    mask[4:7, 0:3, 13] = True
    assert bounding_box(mask) == (slice(4, 7), slice(0, 3), slice(13, 14))
    assert bounding_box(mask, 2) == (slice(2, 9), slice(0, 5), slice(11, 14))
    assert bounding_box(np.zeros((4, 5), bool), 1) == (slice(0, 4), slice(0, 5))


def test_thinning_sees_every_slice_of_a_wide_volume_of_few(monkeypatch):
    monkeypatch.setattr(head, "SAMPLES", 256)
    volume = np.zeros((16, 16, 6), np.float32)
    volume[:, :, 1:] = 100.0  # the first slice, all that every sixth voxel would see, is empty
    assert tissue_level(volume) == 100.0
    assert [thinning_step(size) for size in (255, 511, 512, 6 * 256, 7 * 256)] == [1, 1, 3, 7, 9]
