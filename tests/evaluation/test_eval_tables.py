"""Statistics, subjects and tables, by hand."""

import math
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from scipy import stats

from mdcsrn_tf.errors import UserError
from mdcsrn_tf.evaluation.formats import cell_text, csv_text, markdown
from mdcsrn_tf.evaluation.plan import Conventions, Method, Plan
from mdcsrn_tf.evaluation.results import collect
from mdcsrn_tf.evaluation.scene import plane_axis
from mdcsrn_tf.evaluation.statistics import compare, compare_all, summarise
from mdcsrn_tf.evaluation.subjects import fine_detail, match_subjects, subject_name
from mdcsrn_tf.evaluation.tables import Cell, beside_paper, find_ours, our_table
from mdcsrn_tf.metrics.slices import eight_bit, foreground_share, slice_axis
from mdcsrn_tf.metrics.spectra import radial_power, ring_centres
from mdcsrn_tf.papers import TABLES


def test_means_and_deviations():
    found = summarise([1.0, 2.0, math.nan, 6.0], Conventions())
    assert (found.mean, found.subjects) == (3.0, 3)
    assert found.deviation == pytest.approx(math.sqrt(7))
    assert summarise([1.0, 2.0, 6.0], Conventions(deviation="population")).deviation == pytest.approx(math.sqrt(14 / 3))
    assert math.isnan(summarise([2.0], Conventions()).deviation)
    assert summarise([], Conventions()).subjects == 0
    assert summarise([math.inf, 3.0], Conventions()).mean == math.inf


def test_paired_comparison_equals_scipy():
    random = np.random.default_rng(3)
    one = random.normal(30, 2, 12)
    two = one - random.normal(0.5, 0.3, 12)
    found = compare("psnr", "a", "b", list(one), list(two), Conventions())
    assert found.difference == pytest.approx(np.mean(one - two))
    assert found.p_value == pytest.approx(stats.wilcoxon(one, two).pvalue)
    reference = stats.bootstrap((one - two,), np.mean, n_resamples=20_000, method="percentile", rng=random)
    assert found.low == pytest.approx(reference.confidence_interval.low, abs=0.02)
    assert found.high == pytest.approx(reference.confidence_interval.high, abs=0.02)
    assert compare("psnr", "a", "b", list(one), list(two), Conventions()) == found  # the same draws every time


def test_equal_methods_have_no_p_value():
    assert math.isnan(compare("psnr", "a", "b", [1.0, 2.0], [1.0, 2.0], Conventions()).p_value)


def test_only_common_subjects_are_compared():
    common = {f"s{k}": float(k) for k in range(6)}
    one = {name: value + 1 for name, value in common.items()}
    values = {"a": {"psnr": one | {"s8": 9.0}}, "b": {"psnr": common | {"s9": 5.0}}}
    (found,) = compare_all(values, ["psnr"], Conventions())
    assert (found.subjects, found.difference) == (6, 1.0)


@pytest.mark.parametrize(
    ("name", "subject"),
    [
        ("sub-01_T1w.nii.gz", "sub-01_T1w"),
        ("sub-01_desc-sr_T1w.nii", "sub-01_T1w"),
        ("sub-01_ses-2_rec-x_T2w.mgz", "sub-01_ses-2_T2w"),
        ("scan7_sr.nii.gz", "scan7"),
        ("scan7-LR.nii.gz", "scan7"),
        ("scan7_srgan.nii.gz", "scan7_srgan"),
    ],
)
def test_subjects_are_recognised_by_name(name, subject):
    assert subject_name(Path(name)) == subject


def test_files_named_alike_are_told_apart_by_folders_wherever_a_list_leads(tmp_path):
    for folder in ("lists/low", "high"):
        (tmp_path / folder).mkdir(parents=True)
        nib.save(nib.Nifti1Image(np.zeros((2, 2, 2), np.float32), np.eye(4)), tmp_path / folder / "T1.nii")
    scans = tmp_path / "lists" / "scans.txt"
    scans.write_text("low/T1.nii\n../high/T1.nii\n")
    complete, left_out = match_subjects(scans, None, {})
    assert sorted(subject.name for subject in complete) == ["high", "lists"] and left_out == []


def test_the_plane_is_the_degraded_one():
    assert slice_axis((0, 1)) == 2 and slice_axis((1, 2)) == 0 and slice_axis((2,)) == 1
    turned = np.array([[0.0, 0, 1, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]])  # i -> AP, j -> IS, k -> LR
    assert plane_axis("axial", (0, 2), turned) == 1 and plane_axis("sagittal", (0, 2), turned) == 2
    assert plane_axis("auto", (0, 2), turned) == 1 and plane_axis("0", (0, 2), turned) == 0
    with pytest.raises(UserError, match="--plane is auto"):
        plane_axis("diagonal", (0, 1), np.eye(4))


def test_foreground_and_eight_bit():
    volume = np.zeros((2, 2, 3))
    volume[:, :, 1], volume[0, 0, 2] = 100.0, 4.0
    np.testing.assert_array_equal(foreground_share(volume, 2, 0.05), [0, 1, 0])
    np.testing.assert_array_equal(foreground_share(volume, 2, 0.03), [0, 1, 0.25])
    np.testing.assert_array_equal(eight_bit(np.array([-5.0, 0, 50, 100, 130]), 100.0), [0, 0, 128, 255, 255])


def test_a_wave_is_found_in_its_ring():
    x = np.arange(96)
    volume = np.cos(2 * np.pi * 0.25 * x)[:, None, None] * np.ones((96, 80, 4))
    power = radial_power(volume, 2, np.arange(4), bins=20)
    assert ring_centres(20)[np.argmax(power)] == pytest.approx(0.5, abs=0.03)  # 0.25 cycles a voxel is half of Nyquist


def test_fine_detail_tells_a_blurred_image():
    random = np.random.default_rng(0).normal(size=(32, 32, 8))
    spectrum = np.fft.fft(random, axis=0)
    spectrum[8:25] = 0
    assert fine_detail(random, (0,)) > 0.3 and fine_detail(np.fft.ifft(spectrum, axis=0).real, (0,)) < 1e-12


def results(methods, values, metrics=("psnr", "ssim"), missing=None):
    plan = Plan(tuple(methods), tuple(metrics))
    entry = {"seconds": None, "device": None, "missing": missing or {}}
    records = []
    for subject in ("s1", "s2"):
        found = {method.name: {**entry, "values": values[method.name][subject]} for method in methods}
        records.append({"subject": subject, "methods": found})
    return collect(plan, records, ["s3 is left out: torn."])


def test_our_means_stand_beside_the_papers():
    mine = Method("mine", "model", "mine.keras", "journal/b8u4k12", False, 486_000, 9)
    methods = [Method("bicubic", "baseline", "cubic"), mine]
    values = {
        "bicubic": {"s1": {"psnr": 29.0, "ssim": 0.8}, "s2": {"psnr": 31.0, "ssim": 0.9}},
        "mine": {"s1": {"psnr": 36.0, "ssim": 0.9}, "s2": {"psnr": "inf", "ssim": 1.0}},
    }
    table = beside_paper(TABLES["journal2"], results(methods, values))
    row = next(row for row in table.rows if row.published_as == "Bicubic")
    assert (row.cells["psnr"].published, row.cells["psnr"].ours) == (30.30, 30.0)
    assert row.cells["psnr"].difference == pytest.approx(-0.30)
    assert row.cells["psnr"].ours_deviation == pytest.approx(math.sqrt(2))
    mine = next(row for row in table.rows if row.published_as == "b8u4k12")
    assert mine.ours_as == "mine" and mine.cells["psnr"].ours == math.inf and mine.cells["psnr"].difference is None
    assert mine.cells["parameters"].published == pytest.approx(490_000) and mine.cells["parameters"].ours == 486_000
    text = markdown(table)
    assert "30.30 ± 0.82 → 30.00 ± 1.41 (-0.30)" in text and "0.49M → 0.486M (-0.004M)" in text
    assert "- s3 is left out: torn." in text and "HCP, 111 test subjects" in text
    header, *lines = csv_text(table).splitlines()
    assert len(lines) == len(table.rows) and {line.count(",") for line in lines} == {header.count(",")}


@pytest.mark.parametrize("name", TABLES)
def test_every_table_prints_every_published_row(name):
    table = beside_paper(TABLES[name], results([Method("nn", "baseline", "nearest")], {"nn": {"s1": {}, "s2": {}}}))
    assert [row.published_as for row in table.rows if row.published_as] == [row.method for row in TABLES[name].rows]
    assert set(TABLES[name].metrics) <= set(table.columns)
    text = markdown(table)
    for row in TABLES[name].rows:
        for mean, _ in row.metrics.values():
            assert f"{mean:.2f}" in text or f"{mean:.4f}" in text or f"{mean:.3g}" in text


def test_every_published_row_can_be_found():
    """Each of the papers' methods has something of ours that would stand beside it."""
    plain = {"nn", "bicubic", "original", "lr"}
    for table in TABLES.values():
        for row in table.rows:
            methods = [Method(name, "baseline") for name in plain]
            methods += [Method("m", "model", preset=row.preset, gan=row.gan)] if row.preset else []
            values = {m.name: {"s1": {"psnr": 1.0}, "s2": {"psnr": 1.0}} for m in methods}
            assert find_ours(row, results(methods, values)) is not None, (table.name, row.method)


def test_an_original_of_which_nothing_is_measured_has_no_row():
    """PSNR is the error against it, so that of an evaluation without perceptual scores its row would be empty."""
    methods = [Method("nn", "baseline"), Method("original", "original")]
    psnr, piqe = {"nn": {"psnr": 1.0}, "original": {}}, {"nn": {"piqe": 1.0}, "original": {"piqe": 2.0}}
    measured = {name: {"s1": values, "s2": values} for name, values in psnr.items()}
    found = results(methods, measured, metrics=("psnr",))
    assert [row.ours_as for row in our_table(found).rows] == ["nn"]
    assert [row.ours_as for row in beside_paper(TABLES["penn3"], found).rows if row.ours_as] == ["nn"]
    measured = {name: {"s1": values, "s2": values} for name, values in piqe.items()}
    found = results(methods, measured, metrics=("piqe",))
    assert [row.ours_as for row in our_table(found).rows] == ["nn", "original"]


def test_a_gan_is_not_taken_for_its_l1_sibling():
    methods = [Method("g", "model", preset="journal/b8u4k12", gan=True)]
    found = results(methods, {"g": {"s1": {"psnr": 1.0}, "s2": {"psnr": 1.0}}})
    rows = {row.method: find_ours(row, found) for row in TABLES["journal2"].rows}
    assert rows["b8u4k12"] is None and rows["mDCSRN-GAN b8u4"].method.name == "g"


def test_partial_columns_are_admitted():
    methods = [Method("nn", "baseline", "nearest")]
    found = results(methods, {"nn": {"s1": {"psnr": 1.0}, "s2": {}}}, missing={"ssim": "no window fits"})
    text = markdown(our_table(found))
    assert "psnr: 1 of 2 subjects have a value; of another: nn has none for the others." in text
    assert "ssim: no window fits." in text


def test_conventions_are_parsed_and_checked():
    found = Conventions.parse("data_range=span, nrmse=mean,fidelity_share=0,bootstrap=100")
    assert (found.data_range, found.nrmse, found.fidelity_share, found.bootstrap) == ("span", "mean", 0.0, 100)
    volume = np.array([2.0, 10.0])
    assert [Conventions.parse(f"data_range={r}").range_of(volume) for r in ("max", "span", "4")] == [10.0, 8.0, 4.0]


@pytest.mark.parametrize(
    "wrong",
    [
        *("data_range=auto", "data_range=0", "data_range=nan", "bootstrap=0", "seed=-1", "foreground_level=nan"),
        *("eight_bit_percentile=200", "fidelity_share=2", "penn_ssim_range=0"),
    ],
)
def test_a_convention_that_no_figure_could_follow_is_refused(wrong):
    name, _, value = wrong.partition("=")
    with pytest.raises(UserError, match=f"--conventions: {name}.* is a number from .* to .*, not {value}"):
        Conventions.parse(wrong)


def test_published_counts_keep_the_papers_digits():
    assert cell_text("parameters", Cell(200_000.0, None, 199_616.0, printed="0.200M")).startswith("0.200M → 0.1996")
    assert cell_text("parameters", Cell(100_000.0, printed="0.10M")) == "0.10M → ?"
