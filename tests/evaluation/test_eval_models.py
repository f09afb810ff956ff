"""Evaluating a network: one that starts as linear interpolation scores what linear interpolation scores."""

import json

import nibabel as nib
import numpy as np
import pytest
from eval_helpers import make_scans, run_eval, write_scan

from mdcsrn_tf.models import build_generator, start_as_identity
from mdcsrn_tf.models.files import ModelCard, save_model
from mdcsrn_tf.papers import get_preset
from mdcsrn_tf.papers.config import MdcsrnConfig
from mdcsrn_tf.scans import kspace

PRESET = "journal/b4u4k8"
SMALL = MdcsrnConfig(blocks=1, units=1, growth=4, compress_first=True, bottleneck=True, use_bias=True)


def identity(config):
    model = build_generator(config)
    start_as_identity(model, config)
    return model


def save_by_moving(path, model, interpolation):
    card = ModelCard(PRESET, "0.1.0", interpolation, ("LR", "AP"), (2, 2), tile=32, margin=3, bn="moving")
    return save_model(path, model, card)


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("networks")
    save_by_moving(folder / "first.keras", identity(get_preset(PRESET).network), "linear")
    save_by_moving(folder / "first-gan.keras", identity(SMALL), "sinc")
    save_by_moving(folder / "small.keras", identity(SMALL), "linear")
    return folder


def test_an_identity_network_scores_as_its_interpolation(networks, tmp_path):
    scans, output = make_scans(tmp_path / "hr", 1), tmp_path / "out"
    models = f"--models={networks / 'first.keras'},{networks / 'first-gan.keras'}"
    flags = [f"--hr={scans}", models, "--baselines=linear,sinc", f"--output={output}", "--nofigures"]
    code, out, err = run_eval(*flags, "--table=journal1")
    assert code == 0, err
    rows = json.loads((output / "run.json").read_text())["results"]["methods"]
    for network, interpolation in (("first", "linear"), ("first-gan", "sinc")):
        for metric in ("psnr", "ssim", "nrmse"):
            assert rows[network][metric]["mean"] == pytest.approx(rows[interpolation][metric]["mean"], rel=1e-4)
        assert rows[network]["seconds"]["mean"] > 0 and rows[network]["device"]
    table = {row["published_as"]: row for row in json.loads((output / "journal1.json").read_text())["rows"]}
    ours = table["b4u4k8"]
    assert ours["ours_as"] == "first"  # the GAN is a row of its own
    assert round(ours["cells"]["parameters"]["ours"] / 1e6, 2) == 0.10
    assert ours["cells"]["macs"]["ours"] > 50_000
    assert "0.10M → 0.102737M" in out


@pytest.mark.parametrize("grid", ["same", "small"])
def test_low_resolution_scans_that_are_given_are_what_the_network_gets(grid, networks, tmp_path):
    scans = make_scans(tmp_path / "hr", 1)
    data = nib.load(scans / "sub-00_T1w.nii.gz").get_fdata().astype(np.float32)
    small = kspace.acquire(data, (2, 2), (0, 1))
    low, affine = small, kspace.small_affine(np.eye(4), (2, 2), (0, 1))
    if grid == "same":
        low, affine = kspace.interpolate(small, data.shape, (2, 2), (0, 1), "linear"), np.eye(4)
    write_scan(tmp_path / "lr" / "sub-00_T1w.nii.gz", low, affine)
    flags = [f"--hr={scans}", f"--models={networks / 'small.keras'}", "--baselines=linear", "--nofigures"]
    code, _, err = run_eval(*flags, f"--lr={tmp_path / 'lr'}", f"--output={tmp_path / 'out'}")
    assert code == 0, err
    rows = json.loads((tmp_path / "out" / "run.json").read_text())["results"]["methods"]
    assert rows["small"]["psnr"]["mean"] == pytest.approx(rows["lr"]["psnr"]["mean"], rel=1e-4)
    assert rows["lr"]["psnr"]["mean"] == pytest.approx(rows["linear"]["psnr"]["mean"], rel=1e-6)


def test_a_scan_stored_with_swapped_axes_scores_the_same(tmp_path):
    """A network is not symmetric: without turning the scan as its training scans were, the scores would differ."""
    model = identity(SMALL)
    stem = model.get_layer("stem")
    kernel, bias = stem.get_weights()
    kernel[2, 1, 1, 0, 0] = 0.5  # the output gains half of the right-hand neighbour
    stem.set_weights([kernel, bias])
    save_by_moving(tmp_path / "skewed.keras", model, "linear")
    scans = make_scans(tmp_path / "ras", 1)
    data = nib.load(scans / "sub-00_T1w.nii.gz").get_fdata().astype(np.float32)
    write_scan(tmp_path / "swapped" / "sub-00_T1w.nii.gz", data.transpose(1, 0, 2), np.eye(4)[:, [1, 0, 2, 3]])
    scores = []
    for folder in (scans, tmp_path / "swapped"):
        output = tmp_path / f"out_{folder.name}"
        flags = [f"--hr={folder}", f"--models={tmp_path / 'skewed.keras'}", "--baselines=linear", "--nofigures"]
        code, _, err = run_eval(*flags, "--axes=LR,AP", f"--output={output}")
        assert code == 0, err
        scores.append(json.loads((output / "run.json").read_text())["results"]["methods"])
    for metric in ("psnr", "ssim", "nrmse"):
        assert scores[0]["skewed"][metric]["mean"] == pytest.approx(scores[1]["skewed"][metric]["mean"], rel=1e-5)
