"""report.html in a real headless Chromium: complete, without a network, by keyboard and on a phone."""

import io
import re

import nibabel as nib
import numpy as np
import pytest
from browser import browser
from eval_helpers import CROP, make_scans, run_eval, write_scan
from PIL import Image


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """Two subjects, two interpolations, and a folder of results that stands for a network."""
    scans, output = make_scans(tmp_path_factory.mktemp("hr"), 2), tmp_path_factory.mktemp("out")
    results = tmp_path_factory.mktemp("sr")
    for path in scans.iterdir():
        write_scan(results / path.name, 0.9 * nib.load(path).get_fdata())
    flags = [f"--hr={scans}", f"--sr=network={results}", f"--output={output}", "--baselines=nn,sinc"]
    code, _, err = run_eval(*flags, "--metrics=psnr,ssim,psnr_head,band_db")
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
    assert {"nn", "sinc", "network"} <= set(heads) and "original" not in heads  # of which nothing is measured here
    complete = "return [...document.images].every(i => i.complete && i.naturalWidth > 0 && i.alt)"
    assert page.run(complete) is True
    assert page.run("return document.querySelectorAll('figure').length") >= 5


def test_the_table_says_which_way_is_better_and_which_is_best(page):
    heads = page.run("return [...document.querySelectorAll('table thead th')].map(e => e.textContent)")
    assert {"PSNR (dB) ↑", "SSIM ↑", "removed band (dB) → 0"} <= set(heads)
    column = heads.index("SSIM ↑") + 1
    cells = f"[...document.querySelectorAll('table tbody tr')].map(r => r.children[{column - 1}])"
    values = page.run(f"return {cells}.map(c => parseFloat(c.textContent))")
    bold = page.run(f"return {cells}.map(c => c.querySelector('b') !== null)")
    assert bold == [value == max(v for v in values if v is not None) for value in values]
    fits = "const t = document.querySelector('.scroll'); return t.scrollWidth <= t.clientWidth"
    assert page.run(fits) is True


def test_it_says_when_and_by_which_command(page):
    made = page.run("return document.querySelector('.made').textContent")
    assert re.search(r"Made 20\d\d-\d\d-\d\dT", made) and "mdcsrn_tf" in made


def status(page):
    return page.run("return document.getElementById('status').textContent")


def test_it_opens_on_the_network(page):
    assert status(page).startswith("sinc left, network right, border at 50 %, axial slice")


def test_the_slider_wipes_by_keyboard(page):
    page.press("#wipe", "home")
    only_right = pixels(page)
    page.press("#wipe", "end")
    only_left = pixels(page)
    assert status(page).startswith("sinc left, network right, border at 100 %")
    assert np.abs(only_left - only_right).mean() > 1  # two different images
    page.press("#wipe", *["left"] * 50)
    assert page.run("return document.getElementById('wipe').value") == "50"
    valuetext = page.run("return document.getElementById('wipe').getAttribute('aria-valuetext')")
    assert valuetext == "50 % sinc, 50 % network"
    half, middle = pixels(page), only_left.shape[1] // 2
    np.testing.assert_allclose(half[:, 80 : middle - 20], only_left[:, 80 : middle - 20], atol=2)
    np.testing.assert_allclose(half[:, middle + 20 : -80], only_right[:, middle + 20 : -80], atol=2)


def test_the_thumb_lies_under_the_line(page):
    boxes = "const [t, l] = ['wipe', 'edge'].map(n => document.getElementById(n).getBoundingClientRect());"
    for key, share in (("home", 0), ("end", 1)):
        page.press("#wipe", key)
        track, line = page.run(boxes + "return [[t.left, t.width, t.top], [l.left + l.width / 2, l.bottom]]")
        thumb = track[0] + 9 + share * (track[1] - 18)
        assert abs(thumb - line[0]) < 2 and 0 <= track[2] - line[1] < 20
    page.press("#wipe", *["left"] * 50)


def test_a_voxel_is_shown_where_it_lies_in_every_plane(page, report):
    """The picture of each plane is the original's slice: up is superior or front, the patient's right on the left."""
    page.run("document.getElementById('left').value = 3; return draw()")
    kept = np.load(report.parent / "pictures" / "sub-00_T1w" / "original.npz")["head"]
    expected = {
        "2": kept[::-1, ::-1, kept.shape[2] // 2].T,
        "1": kept[::-1, kept.shape[1] // 2, ::-1].T,
        "0": kept[kept.shape[0] // 2, :, ::-1].T,
    }
    letters = {"2": "RLAP", "1": "RLSI", "0": "PASI"}
    for plane, picture in expected.items():
        page.run(f"document.getElementById('plane').value = {plane}; return choosePlane()")
        found = page.run(
            "const c = document.getElementById('over'), d = c.getContext('2d').getImageData(0, 0, c.width, "
            "c.height).data;return [c.width, c.height, [...d].filter((_, k) => k % 4 === 0)]"
        )
        shown = np.array(found[2]).reshape(found[1], found[0])
        np.testing.assert_array_equal(shown, picture)
        sides = "return ['left', 'right', 'top', 'bottom'].map(n => document.getElementById('at-' + n).textContent)"
        assert "".join(page.run(sides)) == letters[plane]
    page.open(report)


def test_slices_and_subjects_are_chosen_by_keyboard(page):
    data = "return document.getElementById('over').toDataURL()"
    before = page.run(data)
    page.press("#slice", "right")
    page.run("return draw()")
    assert page.run(data) != before
    page.press("#left", "down")
    assert "network, axial slice" in page.run("return draw().then(() => document.getElementById('over').ariaLabel)")
    before = page.run(data)
    page.press("#subject", "down")
    page.run("return draw()")
    assert page.run("return document.getElementById('subject').selectedOptions[0].textContent") == "sub-01_T1w"
    assert page.run(data) != before


def test_the_tab_key_reaches_every_control(page, report):
    page.open(report)
    reached = []
    for _ in range(8):
        page.tab()
        reached.append(page.run("return document.activeElement.id || document.activeElement.className"))
    assert [name for name in reached if name != "scroll"][:6] == ["subject", "left", "right", "plane", "wipe", "slice"]
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
    write_scan(tmp_path / "hr" / "@@heads:json@@ onload=alert(1) <b>&$^$_T1w.nii.gz", CROP)
    odd = tmp_path / "sr" / "<!--<script>alert(1)"
    marks = tmp_path / "sr" / "@@heads:json@@"
    for folder in (odd, marks):
        write_scan(folder / "@@heads:json@@ onload=alert(1) <b>&$^$_T1w.nii.gz", CROP + 1)
    folders = f"--sr={odd},a$^$={marks},@@figures:html@@={marks}"
    code, _, err = run_eval(f"--hr={tmp_path / 'hr'}", folders, "--baselines=", f"--output={tmp_path / 'out'}")
    assert code == 0, err
    with browser() as session:
        session.open(tmp_path / "out" / "report.html")
        assert session.run("return document.querySelectorAll('section').length") == 4
        names = session.run("return [...document.getElementById('left').options].map(o => o.textContent)")
        assert names == ["<!--<script>alert(1)", "a$^$", "@@figures:html@@", "original"]
        assert session.run("return document.querySelectorAll('[onload], [onerror]').length") == 0
        assert session.run("return document.getElementById('over').width") > 0
        assert [m for m in session.messages() if m["level"] == "SEVERE"] == []


def test_no_other_script_runs_in_it(report, tmp_path):
    """Even if a name slipped through, the page's policy allows its own script alone."""
    tampered = tmp_path / "report.html"
    tampered.write_text(report.read_text().replace("</main>", "<script>document.title = 'run'</script></main>"))
    with browser() as session:
        session.open(tampered)
        assert session.run("return document.title").startswith("Super-resolution")
