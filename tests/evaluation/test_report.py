"""report.html in a real headless Chromium: complete, without a network, by keyboard and on a phone."""

import io
import re

import numpy as np
import pytest
from browser import browser
from eval_helpers import CROP, make_scans, run_eval, write_scan
from PIL import Image


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    scans, output = make_scans(tmp_path_factory.mktemp("hr"), 2), tmp_path_factory.mktemp("out")
    code, _, err = run_eval(f"--hr={scans}", f"--output={output}", "--metrics=psnr,ssim", "--baselines=nn,sinc")
    assert code == 0, err
    return output / "report.html"


@pytest.fixture(scope="module")
def page(report):
    with browser() as session:
        session.open(report)
        yield session


def pixels(page):
    """What is on the stage, as a person sees it."""
    page.run("document.getElementById('stage').scrollIntoView({block: 'start'})")
    shot = np.asarray(Image.open(io.BytesIO(page.screenshot())).convert("L"), dtype=float)
    box = page.run(
        "const b = document.getElementById('stage').getBoundingClientRect();"
        "return [b.top, b.bottom, b.left, b.right].map(x => Math.round(x * devicePixelRatio))"
    )
    top, bottom, left, right = (max(0, value) for value in box)
    return shot[top : min(bottom, shot.shape[0]), left:right]


def test_it_is_one_file_that_asks_for_nothing(report, page):
    text = report.read_text()
    assert not re.search(r"""(src|href)=["'](?!data:)""", text) and "@@" not in text
    assert "@import" not in text and "fetch(" not in text
    asked = "return performance.getEntriesByType('resource').filter(r => !r.name.startsWith('data:')).length"
    assert page.run(asked) == 0
    assert [m for m in page.messages() if m["level"] == "SEVERE"] == []


def test_tables_and_figures_are_there(page):
    assert page.run("return document.querySelectorAll('table').length") >= 1
    heads = page.run("return [...document.querySelectorAll('table th[scope=row]')].map(e => e.textContent)")
    assert {"nn", "sinc", "original"} <= set(heads)
    complete = "return [...document.images].every(i => i.complete && i.naturalWidth > 0 && i.alt)"
    assert page.run(complete) is True
    assert page.run("return document.querySelectorAll('figure').length") >= 5


def test_the_slider_wipes_by_keyboard(page):
    page.press("#wipe", "home")
    only_right = pixels(page)
    page.press("#wipe", "end")
    only_left = pixels(page)
    status = page.run("return document.getElementById('status').textContent")
    assert status == "nn left, original right, border at 100 %"
    assert np.abs(only_left - only_right).mean() > 1  # two different images
    page.press("#wipe", *["left"] * 50)
    assert page.run("return document.getElementById('wipe').value") == "50"
    assert "50 % nn, 50 % original" in page.run("return document.getElementById('wipe').getAttribute('aria-valuetext')")
    half, middle = pixels(page), only_left.shape[1] // 2
    np.testing.assert_allclose(half[:, : middle - 6], only_left[:, : middle - 6], atol=2)
    np.testing.assert_allclose(half[:, middle + 6 :], only_right[:, middle + 6 :], atol=2)


def test_images_and_subjects_are_chosen_by_keyboard(page):
    page.press("#left", "down")
    assert page.run("return document.getElementById('over').alt") == "sinc slice"
    before = page.run("return document.getElementById('under').src")
    page.press("#subject", "down")
    assert page.run("return document.getElementById('subject').selectedOptions[0].textContent") == "sub-01_T1w"
    assert page.run("return document.getElementById('under').src") != before


def test_the_tab_key_reaches_every_control(page, report):
    page.open(report)
    reached = []
    for _ in range(6):
        page.tab()
        reached.append(page.run("return document.activeElement.id || document.activeElement.className"))
    assert [name for name in reached if name != "scroll"][:4] == ["subject", "left", "right", "wipe"]
    assert "scroll" in reached  # wide tables can be scrolled without a mouse


def test_it_is_readable_on_a_phone(report):
    with browser() as phone:
        phone.phone(390, 844)
        phone.open(report)
        assert phone.run("return document.documentElement.scrollWidth") <= 390
        assert phone.run("return parseFloat(getComputedStyle(document.body).fontSize)") >= 16
        heights = "return [...document.querySelectorAll('select, #wipe')].map(e => e.getBoundingClientRect().height)"
        assert min(phone.run(heights)) >= 32


def test_names_cannot_break_the_page(tmp_path):
    write_scan(tmp_path / "hr" / "<b>&_T1w.nii.gz", CROP)
    odd = tmp_path / "sr" / "<!--<script>alert(1)"
    write_scan(odd / "<b>&_T1w.nii.gz", CROP + 1)
    code, _, err = run_eval(f"--hr={tmp_path / 'hr'}", f"--sr={odd}", "--baselines=", f"--output={tmp_path / 'out'}")
    assert code == 0, err
    with browser() as session:
        session.open(tmp_path / "out" / "report.html")
        assert session.run("return document.querySelectorAll('section').length") == 4
        assert session.run("return document.getElementById('left').options[0].textContent").startswith("<!--<script>")
        assert session.run("return document.getElementById('over').naturalWidth") > 0
