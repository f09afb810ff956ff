"""docs/results.md is what its generator makes of the committed records."""

import doctest
import json
from statistics import fmean

import pytest

from benchmarks import networks_readme, pages, results_doc, side_by_side, volume_before
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


def test_pages_are_broken_into_lines_and_begin_with_links_to_their_sections():
    found = doctest.testmod(pages)
    assert found.attempted and not found.failed
    long = [
        line for line in results_doc.page().splitlines() if len(line) > 120 and not line.startswith(("|", "#", "!"))
    ]
    assert all(line.startswith("- [") for line in long)  # links


def test_the_readme_says_how_long_a_volume_takes_as_its_record_does():
    record = pages.read("volume_before_256.json")
    rows = [line for line in volume_before.readme_lines(record) if line.startswith("| ")]
    (default,), (int8,) = (record["results"]["runs"][f"default, {how}"] for how in ("float32, after", "int8, fast"))
    for run, name in ((default, "mdcsrn-b4u4k12 |"), (int8, "fast-b4u4k16 `--engine=openvino --precision=int8` |")):
        cells = f"{run['seconds']:.0f} | {run['cpu_seconds']:.0f} | {run['peak_gb']:.1f}"
        assert f"| {name} {cells} |" in rows


def test_every_cell_of_the_readmes_table_is_the_mean_of_its_scans():
    record = json.loads((results_doc.RESULTS / "networks.json").read_text())
    values, splits = record["results"]["values"], record["config"]["splits"]
    rows = [line.strip("| ").split(" | ") for line in networks_readme.readme_lines(record) if line.startswith("| ")]
    head, _, *rows = rows
    used = [scans for scans in splits.values() if scans]
    assert len(head) == 2 * len(used)  # after the empty first cell
    spelled = {shown: name for name, shown in networks_readme.SHOWN.items()}
    assert spelled.keys() <= {name for name, *_ in rows}
    for shown, *cells in rows:
        name = spelled.get(shown, shown)
        for k, scans in enumerate(used):
            for cell, suffix in zip(cells[2 * k : 2 * k + 2], ("_head", ""), strict=True):
                found = [[values[name][metric + suffix][scan] for scan in scans] for metric in ("psnr", "ssim")]
                psnr, ssim = map(fmean, found)
                assert cell == f"{psnr:.2f} / {ssim:.4f}"


def values_of(record):
    return json.loads((results_doc.RESULTS / record).read_text())["results"]["values"]


def test_the_default_network_beats_every_interpolation_inside_the_head():
    values = values_of("networks.json")
    network = values[list_models()[0]]
    for interpolation in ("nn", "linear", "bicubic", "sinc", "sinc-dark"):
        for metric in ("psnr_head", "ssim_head"):
            for scan, value in network[metric].items():
                assert value > values[interpolation][metric][scan], (interpolation, metric, scan)


def test_every_row_has_its_checks_and_its_bands():
    record = json.loads((results_doc.RESULTS / "networks.json").read_text())
    results, scans = record["results"], {scan for split in record["config"]["splits"].values() for scan in split}
    for name in record["data"]["models"]:
        assert set(results["checks"][name]) == scans == set(results["values"][name]["psnr_head"])
        for scan in scans:
            found = results["checks"][name][scan]
            assert max(map(abs, found["shift_voxels"])) < 0.05 and found["checkerboard_db"] < 6
            assert {"near_db", "near_corr", "far_db", "far_corr"} <= set(results["bands"][scan][name])


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
    def rows(name):
        results = json.loads((results_doc.RESULTS / name).read_text())["results"]
        return {row["contender"]: row for row in results.get("contenders") or results["rows"]}

    ours = "tensorflow-mixed_bfloat16"
    for kind in ("l1", "critic", "generator"):
        found = rows(f"train_step_{kind}.json")
        assert side_by_side.share_of(list(found.values()), ours) <= 1.0  # of PyTorch in its fastest form
    step, volume = rows("train_step_l1.json"), rows("infer_volume.json")
    assert step[ours]["ratio"] <= 0.80 * step["torch-bfloat16-system"]["ratio"]  # of PyTorch as it comes
    assert step[ours]["peak_gib"] * 2**30 <= 3.5e9
    for name, limit in (("tensorflow-bfloat16", 0.80), ("openvino-bfloat16", 0.55), ("openvino-int8", 0.40)):
        assert volume[name]["ratio"] <= limit * volume["torch-bfloat16-system"]["ratio"]
        assert side_by_side.share_of(list(volume.values()), name) <= (0.60 if name == "openvino-int8" else 0.90)


def test_the_fastest_form_of_pytorch_is_what_counts():
    rows = [
        {"contender": "torch-bfloat16-contiguous", "ratio": 0.8},
        {"contender": "torch-bfloat16-system", "ratio": 1.5},
        {"contender": "ours", "ratio": 0.6},
    ]
    assert side_by_side.best_of_torch(rows) == ("torch-bfloat16-contiguous", 0.8)
    assert side_by_side.share_of(rows, "ours") == pytest.approx(0.75)
    assert side_by_side.share_of(rows[1:], "ours") == pytest.approx(0.6)  # then the reference is the fastest


def test_a_step_has_settled_when_two_in_a_row_were_no_faster(monkeypatch):
    now, taken = 0.0, []

    def step():
        nonlocal now
        taken.append(seconds[len(taken)])
        now += taken[-1]

    monkeypatch.setattr(side_by_side.time, "perf_counter", lambda: now)
    seconds = [9.0, 5.0, 4.99, 3.0, 3.1, 2.99, 1.0]
    side_by_side.settle(step)
    assert taken == seconds[:6]  # 4.99 is not 2 % under 5, nor 2.99 under 3


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
