"""mdcsrn-variants: the brain is found, and what is written is the scan as it is, stripped, and inverted."""

import subprocess
import sys

import nibabel as nib
import numpy as np
import pytest
from scipy import stats

from data_prep import variants
from data_prep.brain import brain_mask
from data_prep.subjects import list_scans, subject_of
from mdcsrn_tf.errors import UserError

SPACING = (1.5, 1.2, 2.0)
BRAIN_MM, SKULL_MM, SCALP_MM = 64, 69, 73


def head(seed=0):
    """A brain of two tissues and noise, in a dark skull and a bright scalp, with two nerves through the skull."""
    rng = np.random.default_rng(seed)
    shape = [int(2 * 80 / mm) for mm in SPACING]
    x, y, z = ((np.arange(n) - n / 2) * mm for n, mm in zip(shape, SPACING, strict=True))
    x, y, z = np.meshgrid(x, y, z, indexing="ij")
    radius = np.sqrt(x**2 + y**2 + z**2)
    scan = np.where(radius < SCALP_MM, 220.0, 0.0)
    scan[radius < SKULL_MM] = 10
    brain = radius < BRAIN_MM
    scan[brain] = np.where(np.sin(x / 6) * np.sin(y / 6) * np.sin(z / 6) > 0, 150, 110)[brain]
    for side in (-20, 20):
        nerve = ((x - side) ** 2 + z**2 < 2.5**2) & (y > 0) & (radius < SCALP_MM)
        scan[nerve & ~brain] = 130
    scan += rng.normal(0, 4, shape)
    return np.maximum(np.abs(scan), 1).astype(np.float32), brain


def test_the_mask_is_the_brain():
    scan, brain = head()
    mask = brain_mask(scan, SPACING)
    assert 2 * (mask & brain).sum() / (mask.sum() + brain.sum()) > 0.95
    assert not mask[scan > 200].any()


def test_the_mask_does_not_depend_on_the_unit():
    scan, _ = head()
    np.testing.assert_array_equal(brain_mask(scan, SPACING), brain_mask(scan * 64, SPACING))


def test_a_solid_block_is_no_brain():
    block = np.random.default_rng(0).normal(100, 5, (90, 90, 90)).astype(np.float32)
    block[:5] = 0
    with pytest.raises(UserError, match="No brain"):
        brain_mask(block, (2.0, 2.0, 2.0))


def test_inverting_reverses_the_order_and_leaves_the_outside_black():
    scan, brain = head(1)
    found = variants.inverted(scan, brain)
    assert found.min() == 0 and not found[~brain].any()
    usual = brain & (scan < np.percentile(scan[brain], 99))
    assert stats.spearmanr(scan[usual], found[usual]).statistic == pytest.approx(-1)
    assert np.ptp(found[usual] + scan[usual]) < 1e-3  # a straight line: no contrast is lost


@pytest.fixture
def folder(tmp_path):
    affine = np.diag([-SPACING[0], SPACING[1], SPACING[2], 1.0])
    for name, seed in (("sub-a", 0), ("sub-b", 1)):
        image = nib.Nifti1Image(head(seed)[0].astype(np.int16), affine)
        (tmp_path / "scans").mkdir(exist_ok=True)
        nib.save(image, tmp_path / "scans" / f"{name}_T1w.nii.gz")
    return tmp_path


def run(folder, *flags):
    command = [sys.executable, "-m", "data_prep.variants", f"--input={folder}/scans", f"--output={folder}/out", *flags]
    return subprocess.run([*command, "--quiet"], capture_output=True, text=True, check=False)


def test_the_command_writes_every_kind_and_subjects_stay_together(folder):
    done = run(folder)
    assert done.returncode == 0, done.stderr
    names = sorted(path.name for path in (folder / "out").glob("*.nii.gz"))
    expected = [f"{sub}_T1w_{kind}.nii.gz" for sub in ("sub-a", "sub-b") for kind in ("brain", "inverted", "original")]
    assert names == expected
    before = nib.load(folder / "scans" / "sub-a_T1w.nii.gz")
    as_it_is, brain, inverted = (
        nib.load(folder / "out" / f"sub-a_T1w_{kind}.nii.gz") for kind in ("original", "brain", "inverted")
    )
    for image in (as_it_is, brain, inverted):
        np.testing.assert_array_equal(image.affine, before.affine)
    np.testing.assert_array_equal(as_it_is.get_fdata(), before.get_fdata())
    inside = brain.get_fdata() != 0
    np.testing.assert_array_equal(brain.get_fdata()[inside], before.get_fdata()[inside])
    assert 0.1 < inside.mean() < 0.4 and not inverted.get_fdata()[~inside].any()
    splits = {(scan.subject, scan.split) for scan in list_scans(folder / "out", "1,1", 0)}
    assert len(splits) == 2


@pytest.mark.parametrize("kind, order, voxel", [("ap-is", (0, 2, 1), (1, 3, 2)), ("lr-is", (2, 1, 0), (3, 2, 1))])
def test_turned_scans_lie_on_another_side_with_their_voxels_as_they_were(tmp_path, kind, order, voxel):
    data = np.arange(2 * 3 * 4, dtype=np.float32).reshape(2, 3, 4)
    affine = np.diag([-1.0, 2, 3, 1])  # stored from right to left: L, A, S
    affine[:3, 3] = 10, -20, 5
    nib.save(nib.Nifti1Image(data, affine), tmp_path / "sub-1_T1w.nii.gz")
    list(variants.write_variants(tmp_path / "sub-1_T1w.nii.gz", tmp_path / "out" / "sub-1_T1w.nii.gz", [kind]))
    image = nib.load(tmp_path / "out" / f"sub-1_T1w_{kind}.nii.gz")
    np.testing.assert_array_equal(image.get_fdata(), data[::-1].transpose(order))
    np.testing.assert_array_equal(image.header.get_zooms(), voxel)
    assert nib.aff2axcodes(image.affine) == ("R", "A", "S")


def test_what_is_there_is_replaced_only_where_it_is_asked_for(tmp_path, capsys):
    scan, output = tmp_path / "in" / "sub-1_T1w.nii.gz", tmp_path / "out"
    flags = [f"--input={scan.parent}", f"--output={output}", "--kinds=original,ap-is"]
    scan.parent.mkdir()
    nib.save(nib.Nifti1Image(np.arange(24, dtype=np.float32).reshape(2, 3, 4), np.eye(4)), scan)
    assert variants.main(flags) == 0 and "2 of 2 variants written\n" in capsys.readouterr().err
    original, turned = (output / f"sub-1_T1w_{kind}.nii.gz" for kind in ("original", "ap-is"))
    turned.unlink()  # as a run that was killed leaves it
    original.write_bytes(b"mine")
    assert variants.main(flags) == 0 and turned.is_file() and original.read_bytes() == b"mine"
    assert "1 of 2 variants written; 1 were there already, --overwrite replaces them" in capsys.readouterr().err
    nib.save(nib.Nifti1Image(np.arange(24, dtype=np.float32).reshape(4, 3, 2), np.eye(4)), scan)
    assert variants.main(flags) == 1
    assert "was made of another sub-1_T1w.nii.gz than there is now" in capsys.readouterr().err
    assert nib.load(turned).shape == (2, 4, 3)
    assert variants.main([*flags, "--overwrite"]) == 0
    assert nib.load(original).shape == (4, 3, 2) and nib.load(turned).shape == (4, 2, 3)


@pytest.mark.parametrize(
    "stem, subject",
    [("patient1_T1", "patient1_T1"), ("sub-01_T1w", "sub-01"), ("OAS1_0001_MR1", "OAS1_0001"), ("brain", "brain")],
)
def test_variants_are_the_same_subject_whatever_the_names_are(stem, subject):
    assert {subject_of(f"{stem}_{kind}.nii.gz") for kind in variants.VARIANTS} == {subject}
    assert subject_of(f"{stem}.nii.gz") == subject


def test_a_scan_without_a_brain_is_named_and_stops_no_other(folder):
    noise = np.random.default_rng(0).normal(100, 5, (90, 90, 90)).astype(np.float32)
    bare = nib.Nifti1Image(noise, None)
    bare.header.set_zooms((2, 2, 2))
    nib.save(bare, folder / "scans" / "sub-0_T1w.nii.gz")
    done = run(folder)
    assert done.returncode == 1
    assert "sub-0_T1w.nii.gz: No brain was found" in done.stderr and "Traceback" not in done.stderr
    assert done.stderr.count("sub-0_T1w.nii.gz: its header does not say where it lies") == 1
    names = {path.name for path in (folder / "out").glob("*.nii.gz")}
    assert len(names) == 7 and "sub-0_T1w_original.nii.gz" in names


@pytest.mark.parametrize(
    "flags, text",
    [
        (["--kinds=brain,flair"], "--kinds=brain,flair must be some of original, brain, inverted, ap-is, lr-is"),
        (["--kinds="], "must be some of"),
        (["--input=nowhere"], "nowhere does not exist"),
        (["--output="], "--output"),
        (["--output=brain.nii.gz"], "is a file; name a folder"),
        (["--input={0}/mine/T1.nii", "--output={0}/mine"], "mine/T1.nii; name another folder"),
    ],
)
def test_mistakes_are_told_in_a_sentence(folder, flags, text):
    (folder / "mine").mkdir()
    for name in ("T1.nii", "T1_brain.nii.gz"):  # a brain that another program cut out, and that is not to be replaced
        nib.save(nib.Nifti1Image(np.ones((4, 4, 4)), np.eye(4)), folder / "mine" / name)
    done = run(folder, *(flag.format(folder) for flag in flags))
    assert done.returncode == 1
    assert text in done.stderr and "Traceback" not in done.stderr
    assert len(list((folder / "mine").iterdir())) == 2
