"""The slice papers' tables from folders of results, by the command; scans and results are arrays of this file."""

import json

import nibabel as nib
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from mdcsrn_tf.cli.eval import main as evaluate
from mdcsrn_tf.evaluation.methods import folder_method, model_methods
from mdcsrn_tf.inference import engines
from mdcsrn_tf.inference.settings import Settings
from mdcsrn_tf.metrics.zscores import zscore_scores
from mdcsrn_tf.models import build_generator
from mdcsrn_tf.models.files import ModelCard, save_model
from mdcsrn_tf.papers import get_preset


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("slices")
    for number in range(2):
        truth = 100 + 40 * gaussian_filter(np.random.default_rng(number).normal(size=(16, 18, 14)), 1) / 0.13
        for name, image in (("hr", truth), ("lr", gaussian_filter(truth, 1)), ("sr", gaussian_filter(truth, 0.5))):
            (root / name).mkdir(exist_ok=True)
            nib.save(nib.Nifti1Image(image.astype(np.float32), np.eye(4)), root / name / f"sub-{number}.nii.gz")
    return root


def table(folders, tmp_path, name, *more):
    asked = [
        f"--hr={folders / 'hr'}",
        f"--lr={folders / 'lr'}",
        f"--table={name}",
        f"--output={tmp_path / 'out'}",
        f"--json={tmp_path / 'table.json'}",
        "--baselines=",
        "--plane=axial",
        "--nofigures",
        "--quiet",
        "--conventions=fidelity_share=0,bootstrap=10",
        *more,
    ]
    assert evaluate(asked) == 0
    return json.loads((tmp_path / "table.json").read_text())


def test_penn3_stands_beside_ours_with_its_own_figures(folders, tmp_path):
    found = table(folders, tmp_path, "penn3", f"--sr=7t/unet7={folders / 'sr'}")
    row = next(row for row in found["rows"] if row["published_as"] == "U-net Gen 7")
    assert row["ours_as"] == "7t/unet7"
    assert row["cells"]["psnr_penn"]["published"] == 67.55
    assert {"psnr", "ssim", "nrmse", "psnr_head"} <= row["cells"].keys(), "sane figures stand beside the paper's"
    assert row["cells"]["psnr"]["published"] is None and row["cells"]["psnr"]["ours"] > 0
    assert row["cells"]["parameters"]["published"] == 1_829_025
    assert "| 1.829025M → ? |" in (tmp_path / "out" / "penn3.md").read_text(), "to the digit"
    expected = []
    for number in range(2):
        pair = [nib.load(folders / name / f"sub-{number}.nii.gz").get_fdata() for name in ("hr", "sr")]
        expected.append(zscore_scores(*pair, 2, ssim_range=2.0)["psnr_penn"].mean())
    assert row["cells"]["psnr_penn"]["ours"] == pytest.approx(np.mean(expected), rel=1e-5)
    ours = json.loads((tmp_path / "out" / "results.json").read_text())["rows"][0]["cells"]
    assert {"psnr", "ssim", "nrmse", "psnr_penn"} <= ours.keys(), "sane figures stand beside the paper's"
    assert any("48.13 dB" in remark for remark in found["remarks"])


def test_srgan2d1_says_that_its_columns_are_in_different_units(folders, tmp_path):
    found = table(folders, tmp_path, "srgan2d1", f"--sr=srgan2d/model1-gan={folders / 'sr'}")
    row = next(row for row in found["rows"] if row["published_as"] == "SRGAN (Model 1)")
    errors = [
        np.square(np.subtract(*(nib.load(folders / n / f"sub-{k}.nii.gz").get_fdata() for n in ("hr", "sr")))).mean()
        for k in range(2)
    ]
    assert row["cells"]["mse"]["ours"] == pytest.approx(np.mean(errors), rel=1e-4)
    assert row["cells"]["mse"]["published"] == 4.73e7
    assert any("different units" in remark for remark in found["remarks"])


def test_a_preset_that_trains_by_a_gan_alone_needs_no_suffix():
    assert [folder_method(name).gan for name in ("7t/unet7", "7t/fcn1", "srgan2d/model1", "srgan2d/model1-gan")] == [
        True,
        False,
        False,
        True,
    ]
    assert folder_method("srgan2d/model1-gan").preset == "srgan2d/model1"


@pytest.mark.parametrize(
    ("weights", "name", "preset"),
    [
        (("standard",), "best_gan", "7t/dcgan1"),
        (("standard", "unknown"), "best_gan-unknown-vgg", None),
        (("random",), "best_gan-random-features", None),
        ((), "best_gan", "7t/dcgan1"),
    ],
)
def test_only_the_standard_feature_weights_stand_in_a_papers_row(weights, name, preset, tmp_path):
    card = ModelCard(
        "7t/dcgan1",
        "0",
        "linear",
        planes=("axial",),
        notes={"phase": "gan", "features": [{"features": "vgg16", "weights": kind} for kind in weights]},
    )
    save_model(tmp_path / "best_gan.keras", build_generator(get_preset("7t/dcgan1").network), card)
    (method,) = model_methods([str(tmp_path / "best_gan.keras")])
    assert (method.name, method.preset, method.gan, method.parameters) == (name, preset, True, 6_885)


@pytest.mark.parametrize(("phase", "gan"), [({"phase": "l1"}, False), ({}, True)])
def test_a_name_makes_a_gan_only_where_the_card_does_not_say(phase, gan, tmp_path):
    path = tmp_path / "michigan.keras"
    card = ModelCard("7t/dcgan1", "0", "linear", planes=("axial",), notes=phase)
    save_model(path, build_generator(get_preset("7t/dcgan1").network), card)
    assert [method.gan for method in model_methods([str(path)])] == [gan]


@pytest.mark.parametrize(
    ("asked", "row", "running"),
    [
        ("", "", Settings()),
        ("@bfloat16", "-bfloat16", Settings(precision="bfloat16")),
        ("@openvino", "-openvino", Settings(engine="openvino")),
        ("@int8", "-openvino-int8", Settings(engine="openvino", precision="int8")),
    ],
)
def test_the_row_of_another_engine_or_precision_says_so(asked, row, running, monkeypatch, tmp_path):
    monkeypatch.setattr(engines, "read_any_card", lambda path: ModelCard("fsrcnn3d", "0", "sinc"))
    path = tmp_path / "@mine@bfloat16.keras"  # no name of a file is taken apart
    path.touch()
    (method,) = model_methods([f"{path}{asked}"])
    assert (method.name, method.source, method.running) == (f"@mine@bfloat16{row}", str(path), running)
