"""The networks' section from a record made by hand, and the comparison pictures from a volume made by hand."""

from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from benchmarks import comparison, network_checks, networks_page, networks_readme
from benchmarks.networks import keep_other_rows, paired, pictured

SCANS = [f"sub-{k}_{'T1w' if k % 2 else 'T2w'}" for k in range(1, 8)]


def record():
    """Seven scans in two splits; `net` is 1.5 dB above sinc on T1w and 0.5 on T2w, the GAN 1 dB below that."""
    gains = {"sinc": 0.0, "sinc-dark": 0.0, "net": 0.5, "net-gan": -0.5}
    values = {name: {} for name in gains}
    for name, gain in gains.items():
        better = 1.0 if name.startswith("net") else 0.0
        psnr = {scan: 30 + k + gain + better * scan.endswith("T1w") for k, scan in enumerate(SCANS)}
        ssim = dict.fromkeys(SCANS, 0.9 + 0.01 * gain)
        values[name] = {"psnr": psnr, "ssim": ssim, "nrmse": ssim, "band_db": {SCANS[0]: -3.0}}
        values[name] |= {"psnr_head": psnr, "ssim_head": ssim, "nrmse_head": ssim}
    values["original"] = {"piqe": dict.fromkeys(SCANS, 30.0)}
    values["bicubic"] = {"psnr_head": dict.fromkeys(SCANS, 29.0)}
    values["net"] |= {"piqe": dict.fromkeys(SCANS, 45.0)}
    values["net-gan"] |= {"piqe": dict.fromkeys(SCANS[:5], 33.0) | dict.fromkeys(SCANS[5:], 60.0)}
    splits = {"test": SCANS[:6], "development": SCANS[6:]}
    check = {"shift_voxels": [0.0, -0.02, 0.0], "measured_error": 0.004, "checkerboard_db": 1.0, "tiles_db": 0.5}
    own = {"net": {"self_check_db": 0.7}}
    bands = {"near_db": -1.0, "near_corr": 0.8, "far_db": -9.0, "far_corr": 0.1}
    card = {"preset": "journal/b4u4k12", "notes": {"step": 4800, "recipe": "quick", "changed": ["batch_size=2"]}}
    results = {
        "subjects": SCANS,
        "values": values,
        "paired": paired(values, splits, ["net", "net-gan"]),
        "checks": {name: dict.fromkeys(SCANS, check | own.get(name, {})) for name in gains},
        "bands": {scan: {"net": bands} for scan in SCANS},
        "pictures": ["compare_sub-1_T1w.png"],
        "infer_seconds": {"net": 70.0},
    }
    config = {
        "metrics": [*values["net"], "piqe"],
        "axes": "LR,AP",
        "splits": splits,
        "precision": "bfloat16",
        "niqe_block": 48,
    }
    device = {"processor": "CPU", "cores": 2}
    return {
        "config": config,
        "data": {"models": {"net": card, "net-gan": {"preset": "journal/b4u4k12", "notes": {}}}},
        "results": results,
        "started": "2026-01-01",
        "device": device,
        "versions": {"mdcsrn_tf": "0"},
    }


def test_rows_measured_later_stand_beside_the_others():
    older, now = record(), record()
    now["config"] = {**now["config"], "metrics": ["psnr"]}
    for name in ("net", "net-gan"):
        now["results"]["values"].pop(name)
    now["results"]["values"] |= {"new": older["results"]["values"]["net"], "sinc": {"psnr": dict.fromkeys(SCANS, 1.0)}}
    now["results"]["checks"] = {"new": older["results"]["checks"]["net"]}
    now["results"] |= {"methods": {"new": {}}, "infer_seconds": {"new": 3.0}, "pictures": []}
    now["results"]["bands"] = {scan: {"new": {"near_db": -2.0}} for scan in SCANS}
    now["data"] = {"models": {"new": {"preset": "fast/b4u4k16", "notes": {}}}}
    older["results"]["methods"], older["command"] = {"net": {}}, ["networks.py"]
    found = SimpleNamespace(**now)
    assert keep_other_rows(found, older) == ["net", "net-gan", "new"]
    values = found.results["values"]
    assert values["net"] == older["results"]["values"]["net"] and values["sinc"]["psnr"][SCANS[0]] == 1.0
    assert found.results["infer_seconds"] == {"net": 70.0}
    assert found.results["bands"][SCANS[0]]["new"] == {"near_db": -2.0} and "net" in found.results["bands"][SCANS[0]]
    assert found.results["pictures"] == ["compare_sub-1_T1w.png"]
    assert found.config["added"]["rows"] == ["new"] and found.config["metrics"] == older["config"]["metrics"]
    assert "All rows but new were measured on 2026-01-01." in networks_page.section(vars(found))
    older["config"]["added"] = {"rows": ["net"], "to": "2025-12-24", "by": ["networks.py"]}  # net was a late row itself
    keep_other_rows(found, older)
    assert "All rows but net, new were measured on 2025-12-24." in networks_page.section(vars(found))
    found.config["niqe_block"] = 96
    with pytest.raises(SystemExit, match="measured otherwise"):
        keep_other_rows(found, older)


def rows(text, heading):
    """The table below a line that begins so, as lists of cells."""
    lines = text[text.index(heading) :].splitlines()
    start = next(k for k, line in enumerate(lines) if line.startswith("|"))
    table = []
    for line in lines[start:]:
        if not line.startswith("|"):
            return table
        table.append([cell.strip() for cell in line.strip("|").split("|")])
    return table


def test_splits_and_contrasts_have_their_own_means():
    text = networks_page.section(record())
    inside = {row[0]: row[1:] for row in rows(text, "Inside the head, mean over 6")}
    assert inside["net"][0] == f"{np.mean([30 + k + 0.5 + (k % 2 == 0) for k in range(6)]):.2f}"
    gains = {row[0]: row[1:] for row in rows(text, "Gain over zero-filled sinc")}
    head = next(line for line in text[text.index("Gain over zero-filled sinc") :].splitlines() if line.startswith("|"))
    assert head.endswith("| **all 3 T1w** | **all 3 T2w** | **all 6** |")
    assert gains["net"][-3:] == ["+1.50 / +0.0050", "+0.50 / +0.0050", "+1.00 / +0.0050"]
    assert gains["net-gan"][-3] == "+0.50 / -0.0050"
    assert "### Test scans" in text and "### Development scans" in text and "sub-7_T1w" in text


def test_intervals_are_over_scans_and_only_where_there_are_enough():
    found = record()["results"]["paired"]
    assert {pair["split"] for pair in found} == {"test"} and {pair["subjects"] for pair in found} == {6}
    gan = next(p for p in found if (p["first"], p["second"], p["metric"]) == ("net-gan", "net", "psnr_head"))
    assert gan["difference"] == pytest.approx(-1.0) and gan["low"] == pytest.approx(-1.0)


def test_checks_bands_and_pictures_are_shown():
    text = networks_page.section(record())
    assert ["net", "0.02", "0.0040", "1.0", "0.5", "+0.70 (+0.70)"] in rows(text, "### Checks")
    assert ["net", "-1.0", "0.800", "-9.0", "0.100"] in rows(text, "### Bands")
    assert "(images/compare_sub-1_T1w.png)" in text and "`net` 10." in text
    beside = {row[0]: row[1:] for row in rows(text, "### Beside the papers")}
    assert beside["net"][:2] == ["journal/b4u4k12", "4,800 x 2"] and beside["net"][3].startswith("J: 36.08")
    assert beside["net-gan"][3] == ""  # the papers' GAN has eight blocks


def test_a_way_of_inference_is_a_row_of_its_own_but_no_network():
    given = record()
    values = given["results"]["values"]
    values["net ensemble"] = {
        metric: {scan: value + 0.25 for scan, value in found.items()} for metric, found in values["net"].items()
    }
    text = networks_page.section(given)
    gains = rows(text, "Gain over zero-filled sinc")
    assert [row[0] for row in gains[2:]] == ["net", "net-gan", "net ensemble"]
    assert gains[-1][-1].startswith("+1.25 / ")
    assert "The price of net ensemble" not in text


def test_the_first_network_and_whatever_is_sharp_is_drawn_unless_others_are_named():
    rows = ("net", "net-gan", "small", "net ensemble", "net-gan consistency", "small auto", "small auto+consistency")
    finished = {row: row.replace(" ", "-") for row in rows}
    drawn = pictured(finished, ["net.keras", "net-gan", "small"], SimpleNamespace(picture_models=""))
    assert drawn == {"net": "net", "net-gan": "net-gan", "small auto": "small-auto"}
    assert pictured(finished, ["net"], SimpleNamespace(picture_models="folder/small.keras")) == {"small": "small"}


def test_the_price_of_a_gan_is_told_scan_by_scan():
    text = networks_page.section(record())
    assert "nearer on 5 and 0 of 7 scans" in text
    prices = {row[0]: row[1:] for row in rows(text, "### The price of net-gan")}
    assert prices["sub-1_T1w"] == ["-1.00", "+1.50", "-3.0", "-3.0", "15.0, 3.0: yes", ""]
    assert prices["sub-7_T1w"][4] == "15.0, 30.0: no"


def test_so_is_that_of_detail_as_strong_as_an_originals():
    given = record()
    given["results"]["values"]["net auto"] = given["results"]["values"]["net-gan"]
    text = networks_page.section(given)
    prices = {row[0]: row[1:] for row in rows(text, "### The price of net auto")}
    assert prices["sub-2_T2w"][:2] == ["-1.00", "+1.50"] and "`net auto` beside `net`" in text


def test_the_readme_shows_the_head_first_and_few_ways_of_inference():
    given = record()
    given["results"]["values"]["net auto"] = given["results"]["values"]["net"]
    lines = networks_readme.readme_lines(given)
    head = next(line for line in lines if line.startswith("|"))
    assert head.index("test (6 scans), inside the head") < head.index("test, all voxels")
    assert [line.split(" | ")[0].strip("| ") for line in lines if line.startswith("| net")] == ["net", "net-gan"]


def phantom():
    x, y, _ = np.indices((96, 112, 12))
    distance = np.hypot(x - 47.5, y - 55.5)
    head = np.where(distance < 46, 100.0, 0.0)
    head[40:50, 50:60] = 200.0  # a vessel
    return head.astype(np.float32)


def test_a_comparison_has_a_column_a_method_and_shows_the_vessel(tmp_path):
    high = phantom()
    comparison.save(tmp_path / "picture.png", high, [1.0, 1.0, 1.0], {"net": high, "gan": high})
    pixels = np.asarray(Image.open(tmp_path / "picture.png"))
    column = (pixels.shape[1] + comparison.GAP) // 5
    vessel = [np.count_nonzero(pixels[:, k * column : (k + 1) * column].min(axis=2) > 250) for k in range(5)]
    assert vessel[4] == pytest.approx(vessel[2], rel=0.1) and 1000 < vessel[4] < 100_000
    # What differs from the original has colour; the networks here do not.
    below = pixels[-150 - comparison.HEADING : -comparison.HEADING]
    assert below[:, :column].max() > 100 and below[:, 2 * column : 3 * column].max() < 60


def test_a_shifted_patterned_image_is_found_out():
    random = np.random.default_rng(0)
    high = phantom() + random.normal(0, 2, (96, 112, 12)).astype(np.float32)
    mask = high > 50
    right = network_checks.check(high, high, mask)
    assert max(map(abs, right["shift_voxels"])) <= 0.02 and right["measured_error"] < 0.01
    stripes = high + np.where(np.arange(96) % 2, 2.0, -2.0)[:, None, None]
    wrong = network_checks.check(high, np.roll(stripes, 1, axis=1).astype(np.float32), mask)
    assert wrong["shift_voxels"][1] == pytest.approx(-1, abs=0.1)
    noisy = (stripes + random.normal(0, 1, high.shape)).astype(np.float32)
    assert network_checks.check(high, noisy, mask)["checkerboard_db"] > 10
