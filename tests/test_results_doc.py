"""docs/results.md is what its generator makes of the committed records."""

import json

from benchmarks import results_doc

CATALOGUE = {  # PSNR of the published reference pipeline for scans 01 to 08, as the data's description gives it
    "nn": [36.46, 28.02, 28.48, 31.17, 25.83, 33.70, 26.88, 26.09],
    "linear": [40.02, 32.02, 31.93, 34.58, 30.92, 37.05, 30.79, 29.29],
    "bicubic": [41.25, 33.50, 33.01, 35.67, 32.72, 37.99, 31.95, 30.42],
    "sinc": [41.78, 34.07, 33.45, 36.13, 33.32, 38.23, 32.27, 30.79],
}


def test_the_page_is_generated():
    assert results_doc.PAGE.read_text(encoding="utf-8") == results_doc.page()


def test_the_eight_scans_agree_with_their_catalogue():
    # The catalogue cropped sizes to multiples of 4, and 0.15 dB is its own margin. Cropping makes no difference but for
    # scan 06, whose 211 rows are odd: its nearest neighbours fall elsewhere (tests of data_prep compare it cropped).
    values = json.loads((results_doc.RESULTS / "baselines.json").read_text())["results"]["values"]
    for method, expected in CATALOGUE.items():
        found = list(values[method]["psnr"].values())
        assert len(found) == 8
        assert max(abs(a - b) for k, (a, b) in enumerate(zip(found, expected, strict=True)) if k != 5) <= 0.15


def test_speed_is_within_the_limits():
    found = json.loads((results_doc.RESULTS / "evaluate.json").read_text())["results"]
    assert found["slices: psnr, ssim, nrmse"]["best_s"] <= 12 and found["command"]["wall_s"] <= 12
    assert found["piqe, one slice"]["best_s"] + found["niqe, one slice"]["best_s"] <= 0.25


def test_the_page_has_a_table_of_every_metric():
    text = results_doc.page()
    for title in ("PSNR (dB)", "SSIM", "NRMSE", "PIQE"):
        assert f"### {title}, scan by scan" in text
