"""The rhythm of the knots between an interpolation's pieces: on lines whose knots are known."""

import numpy as np
import pytest
import scipy.interpolate

from mdcsrn_tf.scans.knots import likely_steps

RNG = np.random.default_rng(4)


def lines(step, size=160, count=80):
    """Random samples at `step`, drawn linearly."""
    samples = np.arange(int(size / step) + 2) * step
    return np.stack([np.interp(np.arange(size), samples, RNG.normal(size=len(samples))) for _ in range(count)])


@pytest.mark.parametrize("step", [1.4, 1.55, 1.9, 2.0, 2.3, 3.0, 3.7, 5.2])
def test_the_step_is_among_the_likely_ones(step):
    found = likely_steps(lines(step), "linear", 1.3, 6.5)
    assert min(abs(np.array(found) - step)) < 0.01 * step


@pytest.mark.parametrize("step", [1.4, 1.75, 2.0, 2.6, 3.4])
def test_cubic_samples_have_a_rhythm_too(step):
    samples = np.arange(int(160 / step) + 4) * step - step
    cubic = scipy.interpolate.CubicSpline(samples, RNG.normal(size=(80, len(samples))), axis=1)(np.arange(160))
    assert min(abs(np.array(likely_steps(cubic, "cubic", 1.3, 6.5)) - step)) < 0.01 * step


def test_only_steps_that_are_asked_for_are_named():
    found = likely_steps(lines(2.3), "linear", 1.8, 2.6)
    assert found and all(1.8 <= step <= 2.6 for step in found)


def test_lines_that_were_not_interpolated_have_no_rhythm():
    walks = np.cumsum(RNG.normal(size=(80, 160)), axis=1)
    for method in ("linear", "cubic"):
        assert likely_steps(walks, method, 1.3, 6.5) == []
        assert likely_steps(np.ones((5, 40)), method, 1.3, 6.5) == []
