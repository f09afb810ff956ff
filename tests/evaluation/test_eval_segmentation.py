"""Overlap of segmentations: built in, by a command, of finished label maps; Ma's score by a command."""

import json
import re
import sys

import nibabel as nib
import numpy as np
import pytest
from eval_helpers import AFFINE, CROP, make_scans, run_eval, write_scan

from mdcsrn_tf.errors import UserError
from mdcsrn_tf.evaluation.labels import segment, three_tissues, whole_labels
from mdcsrn_tf.evaluation.measure import run_command_line
from mdcsrn_tf.scans.volumes import read_volume


def balls(bias):
    """Three nested tissues of known brightness under a smooth bias field, with noise; their labels."""
    grid = np.stack(np.meshgrid(*(np.linspace(-1, 1, 40),) * 3, indexing="ij"))
    radius = np.sqrt((grid**2).sum(axis=0))
    labels = np.select([radius < 0.35, radius < 0.6, radius < 0.85], [1, 3, 2], 0)
    field = np.exp(bias * grid[0])
    noise = np.random.default_rng(0).normal(0, 2, radius.shape)
    return (np.array([0, 60, 120, 180.0])[labels] * field + noise * (labels > 0)).clip(0), labels


def test_the_built_in_segmenter_finds_three_tissues_under_a_bias_field(tmp_path):
    image, truth = balls(bias=0.2)
    found, _, _ = three_tissues(read_volume(write_scan(tmp_path / "scan.nii.gz", image)))
    assert (found == truth).mean() > 0.95


def test_the_built_in_segmenter_works_at_one_millimetre(tmp_path):
    image, truth = balls(bias=0.0)
    scan = read_volume(write_scan(tmp_path / "scan.nii.gz", image, np.diag([0.5, 0.5, 2.0, 1])))
    labels, _, affine = three_tissues(scan)
    assert labels.shape == (20, 20, 80)
    np.testing.assert_allclose(np.sqrt((affine[:3, :3] ** 2).sum(axis=0)), 1.0)
    # Voxel (5, 5, 40) of the millimetre grid lies at (5, 5, 40) mm: at voxel (10, 10, 20) of the scan.
    assert labels[5, 5, 40] == truth[10, 10, 20]


def test_journal_table_3_with_the_built_in_segmenter(tmp_path):
    scans, output = tmp_path / "hr", tmp_path / "out"
    # With a background, as a skull-stripped scan has.
    write_scan(scans / "sub-00_T1w.nii.gz", np.pad(CROP, ((20, 20), (20, 20), (4, 4))))
    flags = [f"--hr={scans}", f"--output={output}", "--table=journal3", "--segmenter=builtin"]
    code, out, err = run_eval(*flags, "--baselines=bicubic,nn", "--nofigures")
    assert code == 0, err
    methods = json.loads((output / "run.json").read_text())["results"]["methods"]
    assert 0.2 < methods["nn"]["dice"]["mean"] < methods["bicubic"]["dice"]["mean"] < 1
    assert "0.8100 ± 0.1070 →" in out
    assert nib.load(output / "segmentations" / "bicubic" / "sub-00_T1w.nii.gz").shape == (120, 136, 24)


THRESHOLD = """
import sys, nibabel as nib, numpy as np
scan = nib.load(sys.argv[1])
nib.save(nib.Nifti1Image((scan.get_fdata() > 120).astype(np.uint8) * 7, scan.affine), sys.argv[2])
"""


def test_any_segmenter_can_be_run(tmp_path):
    script = tmp_path / "a segmenter.py"
    script.write_text(THRESHOLD)
    command = f"{sys.executable} '{script}' {{in}} {{out}}"
    scans, output = make_scans(tmp_path / "hr", 1), tmp_path / "out"
    flags = [f"--hr={scans}", f"--output={output}", "--metrics=dice,jaccard", "--baselines=linear", "--nofigures"]
    code, _, err = run_eval(*flags, f"--segmenter={command}")
    assert code == 0, err
    row = json.loads((output / "run.json").read_text())["results"]["methods"]["linear"]
    one = nib.load(output / "segmentations" / "original" / "sub-00_T1w.nii.gz").get_fdata() == 7
    two = nib.load(output / "segmentations" / "linear" / "sub-00_T1w.nii.gz").get_fdata() == 7
    np.testing.assert_array_equal(one, CROP > 120)
    assert row["dice"]["mean"] == pytest.approx(2 * (one & two).sum() / (one.sum() + two.sum()))
    assert row["jaccard"]["mean"] == pytest.approx((one & two).sum() / (one | two).sum())


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        ("segment {in}", "a command that holds {in} and {out}"),
        ("/no/such/program {in} {out}", "/no/such/program cannot be started"),
        ("false {in} {out}", "false failed with exit code 1"),
        ("true {in} {out}", "wrote no file at {out}"),
        ("true {in} '{out}", "--segmenter: true {in} '{out} is no command line (No closing quotation)"),
    ],
)
def test_a_failing_segmenter_is_named(command, sentence, tmp_path):
    scans = make_scans(tmp_path / "hr", 1)
    flags = [f"--hr={scans}", f"--output={tmp_path / 'out'}", "--metrics=dice", "--baselines=nn", "--nofigures"]
    code, _, err = run_eval(*flags, f"--segmenter={command}")
    assert code == 1 and sentence in err and "Traceback" not in err


def test_finished_label_maps_are_compared(tmp_path):
    one, two = np.zeros((6, 6, 6)), np.zeros((6, 6, 6))
    one[:2], one[3:], two[:3], two[3:] = 1, 2, 1, 2
    for number, pair in enumerate([(one, one), (one, two)]):
        for folder, labels in zip(("ref", "sr"), pair, strict=True):
            write_scan(tmp_path / folder / f"sub-{number}.nii.gz", labels)
    write_scan(tmp_path / "ref" / "sub-9.nii.gz", one)
    code, out, err = run_eval(
        f"--reference_labels={tmp_path / 'ref'}", f"--labels={tmp_path / 'sr'}", f"--output={tmp_path / 'out'}"
    )
    assert code == 1 and "sub-9 is left out: it has no scan in --labels." in err
    # Label 1: 72 and 108 voxels, 72 in common; label 2 alike.
    assert re.search(r"\| sub-1 \| 0\.9000 \| 0\.8333 \|", out) and "| sub-0 | 1.0000 | 1.0000 |" in out
    assert re.search(r"mean of 2 subjects \| 0\.9500 ± 0\.0707", out)
    assert re.search(r"\| label 1 \| 0\.9000 ± 0\.1414", out)
    assert (tmp_path / "out" / "overlap.csv").is_file()
    flags = [f"--reference_labels={tmp_path / 'ref' / 'sub-0.nii.gz'}", f"--labels={tmp_path / 'sr' / 'sub-0.nii.gz'}"]
    assert run_eval(*flags, f"--output={tmp_path / 'out'}")[0] == 0  # the run's own table
    (tmp_path / "out" / "overlap.csv").write_text("mine")
    code, _, err = run_eval(*flags, f"--output={tmp_path / 'out'}")
    assert code == 1 and "overlap.csv is no table of label maps and would be replaced" in err
    assert (tmp_path / "out" / "overlap.csv").read_text() == "mine"


def test_no_label_scores_zero_and_counts_and_none_in_both_maps_counts_in_no_mean(tmp_path):
    some, none = np.zeros((6, 6, 6)), np.zeros((6, 6, 6))
    some[:2] = 1
    for name, pair in {"same": (some, some), "lost": (some, none), "made": (none, some), "bare": (none, none)}.items():
        for folder, labels in zip(("ref", "sr"), pair, strict=True):
            write_scan(tmp_path / folder / f"{name}.nii.gz", labels)
    code, out, err = run_eval(f"--reference_labels={tmp_path / 'ref'}", f"--labels={tmp_path / 'sr'}")
    assert "| lost | 0.0000 | 0.0000 |" in out and "| made | 0.0000 | 0.0000 |" in out
    assert "| mean of 3 subjects | 0.3333" in out and "| label 1 | 0.3333" in out
    assert code == 1 and err.count("\n") == 1 and "bare is left out: neither label map holds a label." in err


def test_a_segmenter_may_find_nothing(tmp_path):
    scan = read_volume(write_scan(tmp_path / "scan.nii.gz", CROP))
    none = write_scan(tmp_path / "none.nii.gz", 0 * CROP)
    assert not segment(f"sh -c 'cp {none} $0' {{out}} {{in}}", scan, tmp_path / "labels.nii.gz").any()
    assert not read_volume(tmp_path / "labels.nii.gz", flat=True).data.any()


def test_label_maps_of_another_grid_are_refused(tmp_path):
    write_scan(tmp_path / "a.nii.gz", CROP > 100)
    write_scan(tmp_path / "b.nii.gz", CROP > 100, AFFINE * 2)
    code, _, err = run_eval(f"--reference_labels={tmp_path / 'a.nii.gz'}", f"--labels={tmp_path / 'b.nii.gz'}")
    assert code == 1 and "have different affines" in err


MA = """
import sys
from pathlib import Path
import numpy as np
from PIL import Image
for path in sorted(Path(sys.argv[1]).glob("*.png")):
    print(np.asarray(Image.open(path)).mean() / 50)
"""


def test_mas_score_and_pi_come_from_a_command(tmp_path):
    script = tmp_path / "ma.py"
    script.write_text(MA)
    # Two slices of 192 x 192: enough for NIQE and so for PI.
    write_scan(tmp_path / "hr" / "sub-1.nii.gz", np.tile(CROP, (3, 2, 1))[:192, :192, :6])
    flags = [f"--hr={tmp_path / 'hr'}", f"--output={tmp_path / 'out'}", "--baselines=linear", "--nofigures"]
    code, _, err = run_eval(*flags, "--metrics=niqe,ma,pi", f"--ma_command={sys.executable} {script} {{in}}")
    assert code == 0, err
    row = json.loads((tmp_path / "out" / "run.json").read_text())["results"]["methods"]["linear"]
    assert row["pi"]["mean"] == pytest.approx((10 - row["ma"]["mean"] + row["niqe"]["mean"]) / 2)
    code, _, err = run_eval(*flags, "--metrics=ma", "--ma_command=echo {in} one")
    assert code == 1 and "printed something that is no number" in err


def test_only_the_named_places_of_a_command_are_filled_in():
    words = run_command_line("echo {in}/x.png {} {0} ${y} {in.z} {", {"in": "/a b"}, "--ma_command")
    assert words == "/a b/x.png {} {0} ${y} {in.z} {\n"


def test_scores_without_a_reference(tmp_path):
    """J Table 4: low- and high-resolution scans of two sessions, on two grids."""
    write_scan(tmp_path / "lr" / "sub-1_lr.nii.gz", CROP[:70, :90])
    write_scan(tmp_path / "hr" / "sub-1_hr.nii.gz", CROP)
    flags = [f"--lr={tmp_path / 'lr'}", f"--hr={tmp_path / 'hr'}", "--table=journal4", "--metrics=piqe,niqe"]
    code, out, err = run_eval(*flags, f"--output={tmp_path / 'out'}", "--nofigures")
    assert code == 0, err
    values = json.loads((tmp_path / "out" / "run.json").read_text())["results"]["values"]
    assert set(values) == {"lr", "original"} and values["lr"]["piqe"] != values["original"]["piqe"]
    assert "Low resolution" in out and "Full resolution" in out


@pytest.mark.parametrize(("value", "sentence"), [(0.5, "not whole numbers"), (2**24, "beyond 16,777,215")])
def test_what_is_no_label_is_refused_not_rounded(value, sentence):
    with pytest.raises(UserError, match=f"map.nii .*{sentence}"):
        whole_labels(np.array([0, 1, value], np.float32), "map.nii")
    np.testing.assert_array_equal(whole_labels(np.array([-2, 1 + 1e-5, 2**24 - 1], np.float32), ""), [-2, 1, 2**24 - 1])
