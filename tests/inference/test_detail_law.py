"""How much detail an original has, told by its coarser scan: against Fourier sums, known signs and a real original."""

from pathlib import Path

import numpy as np
import pytest
from test_detail import beyond

from mdcsrn_tf.inference.detail_law import Signs, power_beyond, signs_of
from mdcsrn_tf.scans.head import head_mask
from mdcsrn_tf.scans.kspace import acquire
from mdcsrn_tf.scans.volumes import read_volume

ROOT = Path(__file__).resolve().parents[2]


def shares_of_power(volume):
    """The power of every cosine of a volume, a share of its mean square each, by Fourier transform of mirror images."""
    twice = np.pad(volume.astype(np.float64), [(0, n) for n in volume.shape], mode="symmetric")
    power = np.abs(np.fft.fftn(twice) / twice.size) ** 2
    cycles = [np.round(np.abs(np.fft.fftfreq(2 * n, 1 / (2 * n)))).astype(int) for n in volume.shape]
    folded = np.zeros([n + 1 for n in volume.shape])
    np.add.at(folded, np.ix_(*cycles), power)
    return folded[:-1, :-1, :-1]  # the last one is zero: a mirrored axis has no Nyquist frequency


@pytest.mark.parametrize(("axes", "full"), [((0, 1), 2), ((1, 2), 0), ((2, 0), 1)])
def test_signs_are_those_of_fourier_sums(axes, full):
    # Bright everywhere, so that all of it is inside; more power at the ends of some axes than of others.
    volume = np.random.default_rng(5).normal(100, 1, (16, 24, 40))
    volume[1::2] += 0.7
    volume[:, ::2] += 0.5
    volume[:, :, 2::4] -= 0.3
    power = np.moveaxis(shares_of_power(volume), (*axes, full), (0, 1, 2))
    first, second, third = power.shape
    assert power.sum() == pytest.approx(np.mean(volume**2), rel=1e-9)
    in_edge = np.ones((first, second), bool)
    in_edge[: first * 7 // 8, : second * 7 // 8] = False
    edge = power[in_edge].sum() / in_edge.mean()
    corner = power[first * 7 // 8 :, second * 7 // 8 :].sum() * 64
    fine = {16: (slice(8, 12), slice(14, 16)), 24: (slice(12, 18), slice(22, 24)), 40: (slice(20, 30), slice(36, 40))}
    near, far = (power[:, :, part].sum() * third / (part.stop - part.start) for part in fine[third])
    found = signs_of(volume.astype(np.float32), (1.0, 1.0, 1.0), axes)
    assert found.edge == pytest.approx(edge, rel=1e-3)
    assert found.corner_db == pytest.approx(10 * np.log10(corner / edge), abs=5e-3)
    assert found.fall_db == pytest.approx(10 * np.log10(near / far), abs=5e-3)


def test_the_law_by_hand():
    expected = 2.0 * 10 ** ((3.26 - 0.624 * 3 - 0.294 * 4) / 10)
    assert power_beyond(Signs(edge=2.0, corner_db=-3.0, fall_db=4.0)) == pytest.approx(expected, rel=1e-12)
    # An axis that was interpolated falls by any number of decibels.
    steep = 2.0 * 10 ** ((3.26 - 0.624 * 3 - 0.294 * 9) / 10)
    assert power_beyond(Signs(edge=2.0, corner_db=-3.0, fall_db=60.0)) == pytest.approx(steep, rel=1e-12)


def test_an_original_that_the_law_was_not_fitted_to_has_the_power_it_says():
    high = read_volume(ROOT / "demo" / "hr.nii.gz").data.astype(np.float32)
    detail = beyond(high, (0, 1), (2, 2))[head_mask(high)]
    told = power_beyond(signs_of(acquire(high, (2, 2), (0, 1)), (2.0, 2.0, 1.0), (0, 1)))
    assert 10 * np.log10(told / np.mean(detail**2)) == pytest.approx(0, abs=0.5)
