"""The field phantom: each of its parts by hand, and its files as pairs."""

import nibabel as nib
import numpy as np
import pytest

from data_prep import field_phantom
from data_prep.field_phantom import FieldSettings, high_field, low_field, shading
from data_prep.phantom import make_phantom

PLAIN = {"factor": 1, "exponent": 1.0, "shading": 0.0, "noise": 0.0}


def rng():
    return np.random.default_rng(4)


def test_the_high_field_runs_from_the_low_to_the_high_percentile():
    scan = np.random.default_rng(0).gamma(2, 100, (20, 20, 20))
    bottom, top = np.percentile(scan, [0.1, 99.9])
    np.testing.assert_allclose(high_field(scan), ((scan - bottom) / (top - bottom)).clip(0, 1), atol=1e-6)


def test_each_part_alone():
    high = high_field(make_phantom((16, 18, 20), 1))
    np.testing.assert_allclose(low_field(high, FieldSettings(**PLAIN), rng()), high, atol=1e-6)
    bent = low_field(high, FieldSettings(**{**PLAIN, "exponent": 1.4}), rng())
    np.testing.assert_allclose(bent, high**1.4, atol=1e-6)
    small = low_field(high, FieldSettings(**{**PLAIN, "factor": 2}), rng())
    spectrum = np.fft.fftshift(np.fft.fftn(high))[4:12, 4:14, 5:15]  # the centre, both Nyquist samples of even sizes
    assert small.shape == (8, 9, 10)
    assert np.corrcoef(small.ravel(), np.abs(np.fft.ifftn(np.fft.ifftshift(spectrum[:, :9]))).ravel())[0, 1] > 0.99
    noisy = low_field(np.zeros((40, 40, 40), np.float32), FieldSettings(**{**PLAIN, "noise": 0.02}), rng())
    assert noisy.mean() == pytest.approx(0.02 * np.sqrt(np.pi / 2), rel=0.02)  # Rayleigh where there is no signal
    bright = low_field(np.ones((40, 40, 40), np.float32), FieldSettings(**{**PLAIN, "noise": 0.02}), rng())
    assert bright.std() == pytest.approx(0.02, rel=0.02)


def test_shading_is_a_bounded_quadratic():
    field = shading((11, 13, 15), 0.2, rng())
    assert np.abs(field - 1).max() == pytest.approx(0.2, rel=1e-5)
    for axis in range(3):
        third = np.diff(field.astype(np.float64), n=3, axis=axis)
        second = np.diff(field.astype(np.float64), n=2, axis=axis)
        assert np.abs(third).max() < 1e-5 and np.abs(second).max() > 1e-4


def test_files_are_seeded_and_lie_on_one_another(tmp_path):
    scan = nib.Nifti1Image(make_phantom((18, 20, 16), 2), np.diag([-1.0, 1.2, 0.9, 1.0]))
    nib.save(scan, tmp_path / "sub-01_T1w.nii.gz")
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        asked = [f"--input={tmp_path / 'sub-01_T1w.nii.gz'}", f"--output={tmp_path / name}", f"--seed={seed}"]
        assert field_phantom.main(asked) == 0
    low, again, other = (nib.load(tmp_path / name / "low" / "sub-01_T1w.nii.gz") for name in "abc")
    high = nib.load(tmp_path / "a" / "high" / "sub-01_T1w.nii.gz")
    np.testing.assert_array_equal(low.get_fdata(), again.get_fdata())
    assert np.abs(low.get_fdata() - other.get_fdata()).max() > 0.01
    assert low.shape == (9, 10, 8) and nib.aff2axcodes(low.affine) == ("R", "A", "S")
    np.testing.assert_allclose(low.affine[:3, 3], high.affine[:3, 3])
    np.testing.assert_allclose(high.get_fdata()[::-1], high_field(scan.get_fdata()), atol=1e-6)  # stored running left
    assert np.corrcoef(low.get_fdata().ravel(), high.get_fdata()[::2, ::2, ::2].ravel())[0, 1] > 0.9


def test_scans_named_alike_stay_in_their_folders(tmp_path):
    people = (1, "M\udcfcller")  # and a name that is no UTF-8
    for number, person in enumerate(people):
        (tmp_path / "scans" / str(person)).mkdir(parents=True)
        scan = nib.Nifti1Image(make_phantom((8, 9, 10), number), np.eye(4))
        nib.save(scan, tmp_path / "scans" / str(person) / "T1w.nii.gz")
    assert field_phantom.main([f"--input={tmp_path / 'scans'}", f"--output={tmp_path / 'out'}"]) == 0
    for kind in ("low", "high"):
        one, two = (nib.load(tmp_path / "out" / kind / str(person) / "T1w.nii.gz").get_fdata() for person in people)
        assert np.abs(one - two).max() > 0.01


def test_phantoms_need_no_scans(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(field_phantom, "_PHANTOM_SHAPE", (16, 16, 16))
    assert field_phantom.main([f"--output={tmp_path}", "--phantoms=2"]) == 0
    assert len(list(tmp_path.glob("*/phantom-000*.nii.gz"))) == 4
    assert field_phantom.main([f"--output={tmp_path}"]) == 1
    assert "either --input or --phantoms" in capsys.readouterr().err
