"""The field study's measures on images whose answers are known, and its table."""

import numpy as np
import pytest

from benchmarks import field_study
from benchmarks.field_study import best_curve, measured, per_pixel, regression
from mdcsrn_tf.models.forest import features


@pytest.fixture
def pair():
    rng = np.random.default_rng(0)
    high = rng.standard_normal((24, 20, 3))
    return {"low": np.cbrt(high), "high": high, "head": np.abs(high) < 1.5, "std": 0.2}


def test_psnr_energy_and_correlation(pair):
    off = measured(lambda pair: pair["high"] + 0.5, {"a": pair})["a"]
    assert off["psnr"] == pytest.approx(20.0)  # 0.5 deviations of 0.2 are a tenth of the range
    assert off["high_correlation"] == pytest.approx(1) and off["mid_energy"] == pytest.approx(1)
    half = measured(lambda pair: -0.5 * pair["high"], {"a": pair})["a"]
    assert half["mid_energy"] == pytest.approx(0.25) and half["high_correlation"] == pytest.approx(-1)


def test_the_best_curve_takes_a_curve_back(pair):
    assert measured(best_curve, {"a": pair})["a"]["psnr"] > 100  # the truth is the cube of the input


def test_a_regression_finds_what_is_linear_in_the_features(pair):
    samples = features(pair["low"][:, :, 0])
    weights = np.linspace(-1, 1, 25)
    predict = regression(samples, samples @ weights + 0.3)
    np.testing.assert_allclose(predict(samples), samples @ weights + 0.3, atol=1e-5)
    result = per_pixel(predict, integers=False)(pair)
    np.testing.assert_allclose(
        result[:, :, 1] - pair["low"][:, :, 1],
        (features(pair["low"][:, :, 1]) @ weights + 0.3).reshape(24, 20),
        atol=1e-4,
    )


def test_the_table_stands_between_its_marks(tmp_path, monkeypatch):
    page = tmp_path / "page.md"
    page.write_text(f"before\n{field_study.BEGIN}\nold\n{field_study.END}\nafter\n")
    monkeypatch.setattr(field_study, "PAGE", page)
    value = {"psnr": 23.456, "mid_energy": 0.5, "mid_correlation": 0.9, "high_energy": 0.1, "high_correlation": 0.2}
    field_study.write_table(
        {
            "started": "2026-01-02T00:00:00",
            "device": {"processor": "p", "cores": 1},
            "versions": {"mdcsrn_tf": "1"},
            "config": {"pixels": 5, "trees": 6, "steps": 7, "batch": 8, "slices": 9},
            "results": {"scans": ["sub-07"], "rows": {"input": {"sub-07": value}}},
        }
    )
    text = page.read_text()
    assert "| input | 23.46, 0.50 / 0.90, 0.10 / 0.20 |" in text and "old" not in text
    assert text.startswith("before\n") and text.endswith("\nafter\n") and "6 trees" in text
