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

    record = {
        "config": {"model": "M", "factors": [2], "slab": 48},
        "results": {"test": {"s": {"box 2": case(22.0), "kspace 2": case(20.5)}}, "development": {}},
        "started": "2026-01-02T03:04:05",
        "device": {"processor": "P", "cores": 2},
        "versions": {"mdcsrn_tf": "0"},
    }
    text = thick_slices.section(record)
    assert "| s | 20.00 / 21.00 / 22.00 | 20.00 / 21.00 / 20.50 |" in text
    assert "in the mean: +0.25 dB on test scans; above it in 1 of 2 cases." in text  # +1.0 and -0.5
    assert "Development" not in text
