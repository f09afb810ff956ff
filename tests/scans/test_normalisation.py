import numpy as np
import pytest

from data_prep.phantom import make_phantom
from mdcsrn_tf.errors import UserError
from mdcsrn_tf.scans.normalisation import RULES, Normalisation, as_magnitudes, magnitude_level
from mdcsrn_tf.scans.volumes import read_volume

TISSUE = "tissue_level"


@pytest.fixture(scope="module")
def crop():
    """A real crop, air at one side."""
    return read_volume("tests/golden/real_crop.nii.gz").data


def test_the_level_is_that_of_the_middle_tissue_and_darkness_lies_at_minus_two_and_a_half():
    scan = np.concatenate([np.zeros(500), np.full(100, 30.0), np.full(300, 80.0), np.full(100, 90.0)])
    normalisation = Normalisation.from_low_res(scan, TISSUE)  # 30 is under half of the level, so 80 is the median
    assert (normalisation.mean, normalisation.std) == (80.0, 32.0)
    np.testing.assert_allclose(normalisation.apply(np.array([0.0, 80.0, 160.0])), [-2.5, 0, 2.5])
    np.testing.assert_allclose(normalisation.undo(normalisation.apply(scan)), scan, atol=1e-4)


@pytest.mark.parametrize("air", [8, 40, 64])
def test_padding_changes_nothing(crop, air):
    padded = np.pad(crop, air)
    before, after = Normalisation.from_low_res(crop, TISSUE), Normalisation.from_low_res(padded, TISSUE)
    assert after.mean == pytest.approx(before.mean, rel=0.01)
    # The papers' rule depends on the air: that is why there is another.
    papers = [Normalisation.from_low_res(image) for image in (crop, padded)]
    assert abs(papers[1].mean / papers[0].mean - 1) > 0.02


def test_a_part_of_a_head_lies_where_the_head_lies():
    head = make_phantom((96, 96, 96), seed=3)
    whole = Normalisation.from_low_res(head, TISSUE).mean
    for corner in ((8, 8, 8), (24, 24, 24), (32, 16, 24)):
        part = head[tuple(slice(start, start + 56) for start in corner)]
        assert Normalisation.from_low_res(part, TISSUE).mean == pytest.approx(whole, rel=0.25)


def test_noise_in_the_air_does_not_count(crop):
    noise = np.abs(np.random.default_rng(0).normal(0, 0.03 * crop.max(), (80, 80, 80))).astype(np.float32)
    noise[8 : 8 + crop.shape[0], 8 : 8 + crop.shape[1], 8 : 8 + crop.shape[2]] = crop
    assert Normalisation.from_low_res(noise, TISSUE).mean == pytest.approx(
        Normalisation.from_low_res(crop, TISSUE).mean, rel=0.02
    )


def test_units_do_not_matter(crop):
    one, other = Normalisation.from_low_res(crop, TISSUE), Normalisation.from_low_res(crop * 37, TISSUE)
    np.testing.assert_allclose(one.apply(crop), other.apply(crop * 37), atol=1e-4)


@pytest.mark.parametrize("change", [lambda scan: scan - 0.9 * scan.max(), lambda scan: -scan])
def test_an_image_without_darkness_at_zero_falls_under_the_papers_rule(crop, change):
    assert Normalisation.from_low_res(change(crop), TISSUE) == Normalisation.from_low_res(change(crop))


@pytest.mark.parametrize("rule", RULES)
def test_a_constant_image_is_refused(rule):
    with pytest.raises(UserError, match="one constant value"):
        Normalisation.from_low_res(np.ones((4, 4, 4), np.float32), rule)


def test_the_name_on_old_cards_is_the_papers_rule(crop):
    assert Normalisation.from_low_res(crop, "zscore-foreground") == Normalisation.from_low_res(crop)


@pytest.mark.parametrize(("below", "rule"), [(3, "tissue_level"), (30, "zscore_of_voxels_above_mean")])
def test_what_rings_in_a_voxel_in_ten_thousand_leaves_it_a_magnitude_image(crop, below, rule):
    rung = crop.astype(np.float64)
    level = Normalisation.from_low_res(rung, TISSUE).mean
    rung.ravel()[: below * rung.size // 100_000] = -0.6 * level
    expected = Normalisation.from_low_res(rung, rule).mean if rule != TISSUE else level
    assert Normalisation.from_low_res(rung, TISSUE).mean == pytest.approx(expected, rel=1e-4)


def test_what_was_fitted_beside_a_mask_makes_no_signed_image_of_a_scan_that_is_none(crop):
    fitted = crop.copy()
    fitted[30:33] = -crop.max()
    assert magnitude_level(crop) and magnitude_level(fitted) is None
    mended = as_magnitudes(fitted, np.maximum(crop, 0))
    level = magnitude_level(mended)
    assert level and mended.min() == pytest.approx(-0.4 * level, rel=0.01)
    np.testing.assert_array_equal(mended[fitted >= 0], fitted[fitted >= 0])
    assert as_magnitudes(fitted, fitted) is fitted and as_magnitudes(crop, crop) is crop
