"""Scans that are coarse along three axes: what is kept of one, which networks see it, and the table."""

import numpy as np
import pytest

from benchmarks import three_axes


def test_an_eighth_of_the_samples_is_kept_and_the_third_network_sees_the_seconds_result(monkeypatch):
    monkeypatch.setattr(three_axes, "run", lambda engine, image, settings: type("Result", (), {"data": engine(image)}))
    truth = np.random.default_rng(0).normal(100, 20, (16, 12, 8)).astype(np.float32)
    engines = (lambda image: image + 1, lambda image: image * 2, lambda image: image + 3)
    found = three_axes.restored(truth, slice(4, 12), engines)
    power = np.abs(np.fft.fftshift(np.fft.fftn(three_axes.degrade(truth, (2, 2, 2), (0, 1, 2), "sinc"))))
    kept = power > 1e-3 * power.max()
    # 8, 6 and 4 samples; an even number leaves half of its outermost on either side.
    assert [int(kept.any(axis=others).sum()) for others in ((1, 2), (0, 2), (0, 1))] == [9, 7, 5]
    np.testing.assert_allclose(found["network"], found["sinc"] + 1)
    np.testing.assert_allclose(found["two"], found["sinc"] * 2 + 3)
    assert found["sinc"].shape == (8, 12, 8)


def test_the_page_counts_the_scans_that_are_better():
    def case(network):
        return {"cubic": 20.0, "sinc": 21.0, "two": 21.5, "network": network}

    record = {
        "config": {"model": "M", "two": ["A", "B"], "slab": 24},
        "results": {"test": {"s": case(22.0), "t": case(20.5)}, "development": {}},
        "started": "2026-01-02T03:04:05",
        "device": {"processor": "P", "cores": 2},
        "versions": {"mdcsrn_tf": "0"},
    }
    text = three_axes.section(record)
    assert "| s | 20.00 | 21.00 | 21.50 | 22.00 |" in text
    assert "+0.25 dB on test scans; above both interpolations in 1 of 2 scans, by -0.50 dB at least." in text
    assert "Development" not in text
    assert three_axes.gains_over_sinc(record["results"].items()) == {"test": [pytest.approx(1), pytest.approx(-0.5)]}
