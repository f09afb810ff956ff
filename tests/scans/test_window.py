"""A scanner's window over k-space: told from what anatomy does there, and taken back."""

import json
from pathlib import Path

import numpy as np
import pytest

from mdcsrn_tf.scans import window as limits
from mdcsrn_tf.scans.kspace import acquire, interpolate
from mdcsrn_tf.scans.volumes import read_volume
from mdcsrn_tf.scans.window import (
    NATURAL_DB,
    PATTERNS_DB,
    Window,
    shows_ellipse,
    weakened_within,
    window_of,
    windows_of,
    without_window,
)

TESTS = Path(__file__).parents[1]
DEMO = TESTS.parent / "demo" / "hr.nii.gz"  # a whole head
SCANS = (DEMO, *(TESTS / "golden" / f"real_crop{kind}.nii.gz" for kind in ("", "_t2w", "_head")))


def small(path):
    """A scan's small matrix."""
    return acquire(read_volume(path).data.astype(np.float32), (2, 2), (0, 1))


def weighted(samples, axis, amplitude):
    """By Fourier's transform; `amplitude` is a function of the share of the highest frequency."""
    size = samples.shape[axis]
    factors = amplitude(np.abs(np.fft.fftfreq(size, 0.5)))
    spectrum = np.fft.fft(samples, axis=axis) * factors.reshape([-1 if place == axis else 1 for place in range(3)])
    return np.abs(np.fft.ifft(spectrum, axis=axis))


def hamming(share):
    return 0.54 + 0.46 * np.cos(np.pi * share)


def hann(share):
    return 0.5 + 0.5 * np.cos(np.pi * share)


def fermi(share):
    return 1 / (1 + np.exp((share - 0.9) / 0.05))


def tukey(share):
    return 0.5 + 0.5 * np.cos(np.pi * np.clip(2 * share - 1, 0, 1))


def bell(share):
    return np.exp(-(share**2))


def test_the_mean_of_two_windows_by_hand():
    """The gains are averaged; what was weighted by less than 0.08 grows by 12.5 at most."""
    window = Window((np.ones_like, lambda u: 1 - u), (0.25, 0.75))
    np.testing.assert_allclose(window.gain([0.0, 0.5, 1.0]), [1, 0.25 + 0.75 * 2, 0.25 + 0.75 * 12.5])
    assert window.edge_db == pytest.approx(20 * np.log10(9.625))


def test_an_ellipse_of_kspace_is_told_from_windows():
    samples, both = small(DEMO), {0: 1.0, 1: 1.0}
    u, v = (np.abs(np.fft.fftfreq(size, 0.5)) for size in samples.shape[:2])
    inside = (u[:, None] ** 2 + v**2 <= 1)[..., None]
    ellipse = np.abs(np.fft.ifft2(np.fft.fft2(samples, axes=(0, 1)) * inside, axes=(0, 1)))
    filtered = weighted(weighted(samples, 0, hamming), 1, hamming)
    assert [shows_ellipse(image, both) for image in (samples, filtered, ellipse)] == [False, False, True]
    assert not shows_ellipse(ellipse, {0: 1.0})
    # Hann's leaves so little at the corners that they seem empty, and within k-space tells that it is none.
    faded = weighted(weighted(samples, 0, hann), 1, hann)
    assert [sorted(windows_of(image, both)) for image in (samples, filtered, faded, ellipse)] == [
        [],
        [0, 1],
        [0, 1],
        [],
    ]


@pytest.mark.parametrize(
    ("amplitude", "weakened"),
    [(np.ones_like, False), (fermi, False), (hamming, True), (hann, True), (bell, True)],
)
def test_what_fades_the_outermost_alone_out_leaves_the_rest(amplitude, weakened):
    samples = small(DEMO)
    given = weighted(weighted(samples, 0, amplitude), 1, amplitude)
    assert weakened_within(given, {0: 1.0, 1: 1.0}) is weakened


def test_an_edge_that_faded_out_is_told_from_one_that_was_never_measured():
    samples = small(DEMO)
    measured = {0: 0.87, 1: 0.87}  # seemingly: beyond, Tukey's window leaves less than a sixth of an amplitude
    faded = weighted(weighted(samples, 0, tukey), 1, tukey)
    empty = weighted(weighted(samples, 0, lambda share: share <= 0.87), 1, lambda share: share <= 0.87)
    assert weakened_within(faded, measured) and not weakened_within(empty, measured)


def test_few_samples_tell_no_window():
    samples = weighted(small(DEMO), 0, hamming)
    assert window_of(samples, 0) and window_of(samples[20:44], 0) is None


@pytest.mark.parametrize("path", SCANS, ids=lambda path: path.name)
@pytest.mark.parametrize("axis", [0, 1])
def test_a_scan_without_a_window_shows_none(path, axis):
    assert window_of(small(path), axis) is None


@pytest.mark.parametrize(("amplitude", "left"), [(hamming, 0.4), (bell, 0.5)])
def test_what_a_window_took_comes_back(amplitude, left):
    """Of its error no more than that part is left."""
    samples = small(DEMO)
    given = weighted(weighted(samples, 0, amplitude), 1, amplitude)
    back = given
    for axis in (0, 1):
        window = window_of(given, axis)
        back = without_window(back, axis, window)
    assert off(back, samples) < left * off(given, samples)


def test_a_zero_filled_scan_shows_the_window_of_its_samples():
    samples = weighted(small(DEMO), 0, bell)
    filled = interpolate(samples, read_volume(DEMO).data.shape, (2, 2), (0, 1), "sinc")
    here, there = window_of(samples, 0), window_of(filled, 0, 0.5)
    assert there.edge_db == pytest.approx(here.edge_db, abs=0.7)
    back = without_window(filled, 0, there, 0.5)
    spectrum = np.abs(np.fft.rfft(back, axis=0)).sum(axis=(1, 2))
    measured = len(samples) // 2 + 1
    assert spectrum[measured:].sum() < 0.01 * spectrum[:measured].sum(), "but for what magnitudes add, nothing beyond"


def test_signed_scans_keep_their_signs():
    window, image = Window((bell,), (1.0,)), small(DEMO)
    signed = image - image.mean()
    back = without_window(signed, 0, window)
    assert (back < 0).mean() > 0.2
    np.testing.assert_allclose(without_window(signed + 3, 0, window), back + 3, atol=1e-3)


def off(image, expected):
    return float(np.sqrt(np.mean((image - expected) ** 2)))


def test_what_a_scan_is_compared_with_is_on_record():
    record = json.loads((TESTS.parent / "benchmarks" / "results" / "window_law.json").read_text())["results"]
    assert list(NATURAL_DB) == record["mean_db"]
    assert [list(pattern) for pattern in PATTERNS_DB] == record["patterns_db"]
    assert record["most_told_db"] < limits._TOLD_DB, "no training scan would be taken for a filtered one"
    inner, cliff = record["inner_db"], record["cliff_db"]
    faint, strong = ("none", "Fermi"), ("Tukey", "Gauss", "Hamming", "Hann")
    assert max(inner[name][1] for name in faint) < limits._LITTLE_DB < min(inner[name][0] for name in strong)
    assert inner["ellipse"][1] < limits._TOO_MUCH_DB < inner["Hann"][0]
    assert (
        max(cliff[name][1] for name in cliff if name not in ("ellipse", "Hann"))
        < limits._CLIFF_DB
        < cliff["ellipse"][0]
    )
