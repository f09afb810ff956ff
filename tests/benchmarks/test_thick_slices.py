"""Thick slices beside interpolation: what is measured of a case, and the table that is made of it."""

import numpy as np
import pytest

from benchmarks import thick_slices


def test_touching_slices_are_means_of_their_thin_ones(monkeypatch):
    monkeypatch.setattr(thick_slices, "run", lambda engine, image, settings: type("Result", (), {"data": image}))
    truth = np.zeros((4, 4, 12), np.float32)
    truth[..., 4] = 4.0
    images = thick_slices.restored(truth, 4, "box", engine=None)
    # The slice around index 4 weighs it with a quarter; cubic interpolation passes through that sample.
    assert images["cubic"][0, 0, 4] == pytest.approx(1.0, abs=1e-6)
    assert np.array_equal(images["network"], images["sinc"])


def test_the_table_counts_the_cases_that_are_better():
    def case(network):
        return {"cubic": 20.0, "sinc": 21.0, "network": network}

    between = {"linear": 19.0, "sinc": 20.5, "network": 21.5}
    record = {
        "config": {"model": "M", "factors": [2], "slab": 48, "between": [2.4]},
        "results": {
            "test": {"s": {"box 2": case(22.0), "kspace 2": case(20.5), "drawn 2.4": between}},
            "development": {},
        },
        "started": "2026-01-02T03:04:05",
        "device": {"processor": "P", "cores": 2},
        "versions": {"mdcsrn_tf": "0"},
    }
    text = thick_slices.section(record)
    assert "| s | 20.00 / 21.00 / 22.00 | 20.00 / 21.00 / 20.50 |" in text
    assert "in the mean: +0.25 dB on test scans; above it in 1 of 2 cases." in text  # +1.0 and -0.5
    assert "Development" not in text
    assert "| s | 19.00 / 20.50 / 21.50 |" in text and "+2.50 dB (+2.50 at least); over sinc +1.00 dB" in text


def test_slices_of_any_thickness_are_drawn_between_their_middles():
    truth = np.random.default_rng(0).normal(size=(2, 3, 12)).astype(np.float32)
    linear, sinc = thick_slices.drawn(truth, 2.4)  # five slices
    # The first slice's box reaches from the first voxel's edge to 1.2 voxels on from its middle.
    first = (truth[..., 0] + 0.7 * truth[..., 1]) / 1.7
    np.testing.assert_allclose(linear[..., 0], first, atol=1e-6)
    np.testing.assert_allclose(sinc[..., 0], first, atol=1e-6)
    assert linear.shape == truth.shape
    slope = linear[..., 1] - linear[..., 0]  # the second slice lies at 2.4
    np.testing.assert_allclose(linear[..., 2] - linear[..., 1], slope, atol=1e-5)
