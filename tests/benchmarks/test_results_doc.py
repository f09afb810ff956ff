"""docs/results.md is what its generator makes of the committed records."""

import json

from benchmarks import results_doc
from mdcsrn_tf.weights import list_models

CATALOGUE = {  # PSNR of the published reference pipeline for scans 01 to 08, as the data's description gives it
    "nn": [36.46, 28.02, 28.48, 31.17, 25.83, 33.70, 26.88, 26.09],
    "linear": [40.02, 32.02, 31.93, 34.58, 30.92, 37.05, 30.79, 29.29],
    "bicubic": [41.25, 33.50, 33.01, 35.67, 32.72, 37.99, 31.95, 30.42],
    "sinc": [41.78, 34.07, 33.45, 36.13, 33.32, 38.23, 32.27, 30.79],
}


def test_the_page_is_generated():
    assert results_doc.PAGE.read_text(encoding="utf-8") == results_doc.page()


def test_the_readmes_results_are_generated():
    text = results_doc.README.read_text(encoding="utf-8")
    assert results_doc.readme(text) == text


def test_every_cell_of_the_readmes_table_is_its_own_scans():
    values = json.loads((results_doc.RESULTS / "networks.json").read_text())["results"]["values"]
    rows = [line.strip("| ").split(" | ") for line in results_doc.readme_scores() if line.startswith("| ")]
    head, _, *rows = rows
    for name, *cells in rows:
        for scan, cell in zip(head[-2:], cells, strict=True):
            assert cell == f"{values[name]['psnr'][scan]:.2f} / {values[name]['ssim'][scan]:.4f}"


def values_of(record):
    return json.loads((results_doc.RESULTS / record).read_text())["results"]["values"]


def test_the_default_network_beats_every_interpolation_on_scans_it_was_not_trained_on():
    values = values_of("networks.json")
    network = values[list_models()[0]]
    assert set(network["psnr"]) == {"sub-07_T1w", "sub-08_T2w"}
    for interpolation in ("nn", "linear", "bicubic", "sinc"):
        for metric in ("psnr", "ssim"):
            for scan, value in network[metric].items():
                assert value > values[interpolation][metric][scan]


def test_the_default_network_keeps_its_distance_to_interpolation():
    # What has been reached and shall not be lost; 0.8 and 1.1 dB on 07 are still to be reached.
    rows = {name: row["psnr"] for name, row in values_of("networks.json").items() if "psnr" in row}
    network = rows[list_models()[0]]
    for scan, over_sinc, over_bicubic in (("sub-07_T1w", 0.65, 0.95), ("sub-08_T2w", 1.3, 1.7)):
        assert network[scan] >= rows["sinc"][scan] + over_sinc
        assert network[scan] >= rows["bicubic"][scan] + over_bicubic


def test_the_default_way_is_the_best_or_as_good_as_the_readme_says():
    values, name = values_of("networks.json"), list_models()[0]
    mean = {way: sum(values[way]["psnr"].values()) for way in values if way.startswith(name)}
    assert mean[name] >= max(mean.values()) - 0.02  # two scans, 0.01 dB each


def test_every_bundled_network_is_in_the_record_in_every_way():
    values = values_of("networks.json")
    for name in list_models():
        assert {name, *(f"{name} {way}" for way in ("paper", "seamless", "consistent"))} <= set(values)


def test_the_gain_is_no_shift_and_no_blur():
    results = json.loads((results_doc.RESULTS / "default_network.json").read_text())["results"]
    assert len(results["scans"]) == 2
    for values in results["scans"].values():
        assert max(map(abs, values["shift_voxels"]["network"])) < 0.05
        assert values["spectrum_distance_db"]["network"] < values["spectrum_distance_db"]["sinc"]
        assert values["wrong_share"]["network"] < min(1, values["wrong_share"]["sinc"])
        assert values["same_bytes_twice"]
    assert results["all_scans"]["results"] == results["all_scans"]["scans"] == 8


def test_steps_and_volumes_keep_their_distance_to_pytorch():
    def row(name, contender, rows="contenders"):
        found = json.loads((results_doc.RESULTS / name).read_text())["results"][rows]
        return next(row for row in found if row["contender"] == contender)

    ours = "tensorflow-mixed_bfloat16"
    assert row("train_step_l1.json", ours)["ratio"] <= 0.80
    assert row("train_step_l1.json", ours)["peak_gib"] <= 4.0
    assert row("train_step_critic.json", ours)["ratio"] <= 1.0
    assert row("train_step_generator.json", ours)["ratio"] <= 1.0
    assert row("infer_volume.json", "tensorflow-bfloat16", "rows")["ratio"] <= 0.80
    assert row("infer_volume.json", "openvino-bfloat16", "rows")["ratio"] <= 0.55


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
    for title in ("PSNR (dB)", "SSIM", "NRMSE", "PIQE", "NIQE"):
        assert f"### {title}, scan by scan" in text
