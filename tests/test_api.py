"""The public functions: files, images and arrays in, the same kind out, and nothing heavy before it is needed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from infer_helpers import ROOT, data_of, infer, write_tiny_model

import mdcsrn_tf as m
from mdcsrn_tf.errors import UserError
from mdcsrn_tf.scans import kspace

CROP = Path(__file__).parent / "golden" / "real_crop.nii.gz"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_tiny_model(tmp_path_factory.mktemp("model") / "tiny.keras", tile=40, interpolation="sinc")


def test_importing_is_quick_and_shows_the_public_names():
    code = (
        "import time, sys; start = time.process_time(); import mdcsrn_tf as m\n"
        "assert time.process_time() - start < 0.3\n"
        "assert {'super_resolve', 'load_model', 'list_models', 'degrade', 'evaluate'} <= set(dir(m))\n"
        "m.list_models(), m.super_resolve, m.degrade\n"
        "assert not {'tensorflow', 'keras'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
    with pytest.raises(AttributeError, match="no attribute 'superresolve'"):
        _ = m.superresolve


def test_a_file_an_image_and_an_array_give_the_same_as_the_command(model, tmp_path):
    """Stored with its first axis from right to left, which an array alone cannot say."""
    image = nib.load(CROP)
    image = nib.Nifti1Image(image.get_fdata(dtype=np.float32)[::-1], image.affine @ np.diag([-1, 1, 1, 1]))
    low = m.degrade(image)
    assert isinstance(low, nib.Nifti1Image) and low.shape == image.shape
    expected = kspace.degrade(image.get_fdata(dtype=np.float32), (2, 2), (0, 1), "sinc")
    np.testing.assert_array_equal(low.get_fdata(dtype=np.float32), expected)

    nib.save(low, tmp_path / "low.nii.gz")
    assert infer("-i", tmp_path / "low.nii.gz", "-o", tmp_path / "a.nii.gz", f"--model={model}", "--quiet") == 0
    wanted = data_of(tmp_path / "a.nii.gz")
    written = m.super_resolve(tmp_path / "low.nii.gz", tmp_path / "b.nii.gz", model=model)
    assert written == tmp_path / "b.nii.gz" and written.read_bytes() == (tmp_path / "a.nii.gz").read_bytes()
    assert (tmp_path / "b.json").is_file()
    of_image = m.super_resolve(low, model=model)
    assert type(of_image) is nib.Nifti1Image
    np.testing.assert_array_equal(of_image.get_fdata(dtype=np.float32), wanted)
    np.testing.assert_array_equal(of_image.affine, low.affine)
    of_array = m.super_resolve(low.get_fdata(dtype=np.float32), model=model, affine=low.affine)
    np.testing.assert_array_equal(of_array, wanted)
    with pytest.warns(UserWarning, match=r"taken as RAS\+"):
        other = m.super_resolve(low.get_fdata(dtype=np.float32), model=model)
    assert np.abs(other - wanted).max() > 0.1


def test_a_small_matrix_grows_and_its_affine_with_it(model):
    image = nib.load(CROP)
    small = m.degrade(image, interpolation=None, axes=("LR", "AP"), factor=(2, 2))
    assert small.shape == (32, 32, 48)
    result = m.super_resolve(small, model=model)
    assert result.shape == image.shape
    np.testing.assert_allclose(result.affine, image.affine, atol=1e-6)


def test_what_a_scan_does_not_tell_of_its_detail_is_a_warning(model):
    noise = np.random.default_rng(2).normal(100, 10, (32, 32, 24)).astype(np.float32)
    asked = {"affine": np.diag([2.0, 2.0, 1.0, 1.0]), "grid": "small", "axes": "LR,AP", "factor": 2, "model": model}
    with pytest.warns(UserWarning, match="its outer k-space is mostly noise, so that it does not tell"):
        result = m.super_resolve(noise, detail="auto", **asked)
    np.testing.assert_array_equal(result, m.super_resolve(noise, **asked))


def test_what_the_command_warns_of_is_a_warning_of_a_file_and_of_an_image(model, tmp_path, capsys):
    """A picture of noise: of full resolution, which only force super-resolves; and its header says nothing."""
    noise = np.random.default_rng(2).normal(100, 10, (32, 32, 24)).astype(np.float32)
    scan = tmp_path / "noise.nii"
    nib.save(nib.Nifti1Image(noise, None), scan)
    assert infer("-i", scan, "-o", tmp_path / "a.nii", f"--model={model}", "--force") == 0
    said = [line for line in capsys.readouterr().err.splitlines() if "warning: " in line]
    told = [line.partition("warning: noise.nii: ")[2] for line in said]
    assert len(told) >= 2 and any("does not say where it lies" in line for line in told)
    assert any("the scan seems to be of full resolution" in line for line in told)
    for given, output in ((scan, tmp_path / "b.nii"), (nib.load(scan), None)):
        with pytest.warns(UserWarning) as caught:
            m.super_resolve(given, output, model=model, force=True)
        ours = [one for one in caught if one.category is UserWarning]
        assert [str(one.message).rpartition("noise.nii: ")[2] for one in ours] == told
        assert {one.filename for one in ours} == {__file__}
    with pytest.raises(UserError, match="full resolution"), pytest.warns(UserWarning, match="does not say where"):
        m.super_resolve(scan, tmp_path / "c.nii", model=model)


def test_evaluate_measures_what_skimage_does():
    from skimage.metrics import peak_signal_noise_ratio

    high = nib.load(CROP)
    low = m.degrade(high, interpolation="linear")
    found = m.evaluate(high, low)
    one, two = high.get_fdata(dtype=np.float32), low.get_fdata(dtype=np.float32)
    assert found["psnr3d"] == pytest.approx(peak_signal_noise_ratio(one, two, data_range=one.max()), abs=1e-3)
    assert {"psnr", "ssim", "nrmse"} <= set(found)
    with pytest.raises(UserError, match="not on one grid"):
        m.evaluate(high, m.degrade(high, interpolation=None))


def test_evaluate_of_a_few_slices_gives_what_can_be_measured():
    """Eight thick slices hold no 3D window of SSIM, which is not given."""
    slab = nib.load(CROP).slicer[:, :, :8]
    bare = nib.Nifti1Image(slab.get_fdata(), None)
    with pytest.warns(UserWarning, match="the image: its header does not say where it lies"):
        assert m.evaluate(bare, bare)["psnr3d"] == np.inf
    found = m.evaluate(slab, nib.Nifti1Image(slab.get_fdata() * 1.01, slab.affine))
    assert "ssim3d" not in found and {"psnr", "ssim", "psnr3d", "psnr3d_head", "nrmse3d"} <= found.keys()


def test_evaluate_takes_one_degraded_axis_and_three():
    high = nib.load(CROP).slicer[:, :, :8]
    low = m.degrade(high, axes="LR")
    assert m.evaluate(high, low, axes="LR")["psnr3d"] == pytest.approx(m.evaluate(high, low)["psnr3d"])
    with pytest.raises(UserError, match="all three axes are degraded"):
        m.evaluate(high, low, axes="LR,AP,IS")


def test_mistakes_are_told(tmp_path):
    with pytest.raises(UserError, match="needs the name of the file"):
        m.super_resolve(CROP)
    with pytest.raises(TypeError, match="takes no tiles"):
        m.super_resolve(nib.load(CROP), tiles=3)
    with pytest.raises(UserError, match="has shape 4x4; give a 3-D volume"):
        m.super_resolve(np.zeros((4, 4)), affine=np.eye(4))
    for scan in (np.ones((4, 4, 4), complex), nib.Nifti1Image(np.ones((4, 4, 4), np.complex64), np.eye(4)), None):
        with pytest.raises(UserError, match=r"of type (complex|object).*one real number a voxel"):
            m.degrade(scan, affine=None if isinstance(scan, nib.Nifti1Image) else np.eye(4))


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ({"grid": "Small"}, "--grid=Small is none of auto, same, small"),
        ({"bn": "trained"}, "--bn=trained is none of batch, moving"),
        ({"plane": "axal"}, "--plane=axal is none of axial, coronal, sagittal, mean3, card"),
        ({"merge": "sum"}, "--merge=sum is none of core, mean"),
        ({"dtype": "int16"}, "--dtype=int16 is none of float32, same"),
        ({"batch_tiles": 0}, "--batch_tiles=0 is no number of tiles"),
        ({"volume": 1}, "has no volume 1; --volume takes all or a number up to 0"),
        ({"volume": "²"}, "has no volume ²"),
    ],
)
def test_what_a_setting_cannot_be_is_not_passed_over(tmp_path, setting, sentence):
    with pytest.raises(UserError, match=sentence):
        m.super_resolve(CROP, tmp_path / "sr.nii.gz", model="fsrcnn3d", **setting)


def test_an_affine_or_an_output_that_means_nothing_is_not_passed_over(tmp_path):
    for scan, output in ((CROP, tmp_path / "a.nii"), (nib.load(CROP), None)):
        for function in (m.super_resolve, m.degrade):
            with pytest.raises(TypeError, match="An affine is for an array"):
                function(scan, output, affine=np.eye(4))
    for function in (m.super_resolve, m.degrade):
        with pytest.raises(UserError, match="An output file is for a scan that is a file"):
            function(nib.load(CROP), tmp_path / "a.nii")


def test_degrading_does_not_replace_its_scan(tmp_path):
    scan, link = tmp_path / "scan.nii", tmp_path / "link.nii"
    scan.write_bytes(b"measured once")
    link.symlink_to(scan)
    for output in (scan, link):
        with pytest.raises(UserError, match=f"{output.name} is the scan itself"):
            m.degrade(scan, output)
    assert scan.read_bytes() == b"measured once"


def test_the_folder_of_a_degraded_scan_is_made(tmp_path):
    written = m.degrade(CROP, tmp_path / "new" / "low.nii.gz")
    assert written == tmp_path / "new" / "low.nii.gz" and nib.load(written).shape == nib.load(CROP).shape


def test_axes_and_factors_may_be_arrays():
    crop = nib.load(CROP)
    found = m.degrade(crop, axes=np.array([0, 2]), factor=np.array([2, 4])).get_fdata(dtype=np.float32)
    np.testing.assert_array_equal(found, m.degrade(crop, axes="0,2", factor="2,4").get_fdata(dtype=np.float32))


@pytest.mark.parametrize(
    "setting",
    [
        {"dtype": "same"},
        {"qc": True},
        {"self_check": True},
        {"volume": "0"},
        {"series": "1.2"},
        {"keep_header_text": True},
    ],
)
def test_what_only_files_have_is_refused_of_others(setting):
    with pytest.raises(TypeError, match=f"takes {next(iter(setting))} only where the scan is a file"):
        m.super_resolve(nib.load(CROP), **setting)


def test_seams_to_be_marked_ask_for_the_picture_that_they_are_marked_in(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(
        "mdcsrn_tf.inference.folder.Run.over", lambda run, jobs, console: asked.append(run.wanted.qc) or []
    )
    for settings in ({}, {"qc_seams": True}):
        m.super_resolve(CROP, tmp_path / "sr.nii.gz", **settings)
    assert asked == [False, True]


def test_nan_of_an_array_is_refused_where_that_is_wanted():
    data = nib.load(CROP).get_fdata(dtype=np.float32)
    data[0, 0, 0] = np.nan
    with pytest.raises(UserError, match="holds NaN"):
        m.super_resolve(data, affine=np.eye(4), nan=None)


def test_the_scans_of_a_folder_that_failed_are_named(tmp_path, monkeypatch):
    for name in ("a.nii", "b.nii", "c.nii"):
        (tmp_path / name).write_bytes(b"no scan")

    def over(run, jobs, console):
        return [(job, "it is no scan") for job in jobs[1:]]

    monkeypatch.setattr("mdcsrn_tf.inference.folder.Run.over", over)
    with pytest.raises(UserError, match=r"2 of 3 scans failed.*b\.nii \(it is no scan\); c\.nii"):
        m.super_resolve(tmp_path, tmp_path / "out")


def test_the_script_for_python_runs(model, tmp_path, capsys):
    from demo import from_python

    measured = from_python.main([f"--scan={CROP}", f"--model={model}", f"--output={tmp_path}"])
    assert measured["sinc"]["psnr"] > measured["network"]["psnr"]  # an untrained network
    assert {path.name for path in tmp_path.iterdir()} == {"from_python.nii.gz", "low.nii.gz", "sr.nii.gz", "sr.json"}
    assert "PSNR" in capsys.readouterr().out
