"""The SavedModel: two signatures that give what mdcsrn-infer gives, with nothing but TensorFlow."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from functools import cache
from importlib.util import find_spec

import numpy as np
import pytest
import tensorflow as tf
from infer_helpers import TINY_RADIUS, hr_volume, write_tiny_model, write_tiny_small_grid

from mdcsrn_tf.cli.export import main
from mdcsrn_tf.errors import UserError
from mdcsrn_tf.inference.export import statistics
from mdcsrn_tf.inference.volume import super_resolve_volume
from mdcsrn_tf.scans import head
from mdcsrn_tf.scans.kspace import degrade
from mdcsrn_tf.scans.normalisation import ABOVE_MEAN, RULES, TISSUE_LEVEL, Normalisation

INTERPOLATIONS = {"batch": "linear", "moving": "sinc"}  # which decides how volumes go on beyond their borders


@pytest.fixture(scope="module")
def export(tmp_path_factory):
    """The tiny network and its export by the kind of its statistics, made once."""

    @cache
    def made(bn):
        folder = tmp_path_factory.mktemp("export")
        model = write_tiny_model(folder / "tiny.keras", interpolation=INTERPOLATIONS[bn])
        assert main([f"--model={model}", f"--output={folder}/saved", f"--bn={bn}"]) == 0
        return model, folder / "saved", bn

    return made


@pytest.fixture(scope="module", params=INTERPOLATIONS)
def exported(request, export):
    return export(request.param)


@pytest.fixture(scope="module")
def served(exported):
    """The signatures of the export, loaded once."""
    loaded = tf.saved_model.load(str(exported[1]))
    return lambda name: loaded.signatures[name]


def low_res(shape, seed=1):
    return degrade(hr_volume(shape, seed), (2, 2), (0, 1)).astype(np.float32)


def close(result, expected):
    return np.abs(result - expected).max() <= 1e-4 * np.abs(expected).max()


@pytest.mark.parametrize("shape", [(30, 26, 21), (18, 18, 18), (37, 5, 19)])
def test_super_resolve_is_what_infer_gives(exported, served, shape):
    model, _, bn = exported
    volume = low_res(shape)
    result = served("super_resolve")(volume=tf.constant(volume))["volume"].numpy()
    assert result.dtype == np.float32 and result.shape == shape
    assert close(result, super_resolve_volume(model, volume, bn=bn))


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("offset", [0.0, -300.0], ids=["magnitude", "signed"])
def test_the_graph_normalises_as_numpy_does(rule, offset):
    volume = low_res((20, 22, 19)) + offset
    mean, deviation = statistics(tf.constant(volume), rule)
    expected = Normalisation.from_low_res(volume, rule)
    assert (float(mean), float(deviation)) == pytest.approx((expected.mean, expected.std), rel=1e-5)


@pytest.mark.parametrize("below", [1, 2])
def test_the_graph_lets_as_much_ring_as_numpy_does(below):
    volume = low_res((28, 26, 24))  # one voxel of 17,472 may
    volume[0, 0, :below] = -volume.max()
    mean, _ = statistics(tf.constant(volume), TISSUE_LEVEL)
    expected = [Normalisation.from_low_res(volume, rule).mean for rule in (TISSUE_LEVEL, ABOVE_MEAN)]
    assert float(mean) == pytest.approx(expected[0], rel=1e-5)
    assert (expected[0] == expected[1]) == (below == 2)


@pytest.mark.parametrize("in_graph", [False, True])
def test_the_graph_thins_large_volumes_as_numpy_does(monkeypatch, in_graph):
    monkeypatch.setattr(head, "SAMPLES", 256)
    # 16 x 16 x 6 voxels are 6 times the samples: every sixth voxel would be of the first slice alone.
    volume = np.linspace(1, 2, 16 * 16 * 6, dtype=np.float32).reshape(16, 16, 6) * np.arange(1, 7, dtype=np.float32)
    of_graph = tf.function(
        lambda given: statistics(given, TISSUE_LEVEL), input_signature=[tf.TensorSpec([None] * 3)], autograph=False
    )
    mean, deviation = of_graph(tf.constant(volume)) if in_graph else statistics(tf.constant(volume), TISSUE_LEVEL)
    expected = Normalisation.from_low_res(volume, TISSUE_LEVEL)
    assert (float(mean), float(deviation)) == pytest.approx((expected.mean, expected.std), rel=1e-5)
    assert expected.mean == pytest.approx(np.median(volume[volume >= expected.mean / 2]), rel=0.05)


def test_serving_default_takes_a_batch_of_normalised_tiles(exported, served):
    model, _, bn = exported
    volumes = [low_res((24, 24, 24), seed) for seed in (1, 2)]
    norms = [Normalisation.from_low_res(volume) for volume in volumes]
    tiles = np.stack([n.apply(v) for n, v in zip(norms, volumes, strict=True)])[..., None]
    result = served("serving_default")(tiles=tf.constant(tiles))["tiles"].numpy()
    for one, norm, volume in zip(result, norms, volumes, strict=True):
        # A single tile with no margin: the engine sees the very same cube.
        expected = super_resolve_volume(model, volume, bn=bn, tile=24, margin=0)
        assert close(norm.undo(one[..., 0]), expected)


@pytest.mark.parametrize("engine", ["tensorflow", "openvino"])
def test_infer_runs_the_folder_too(exported, engine):
    model, folder, bn = exported
    volume = low_res((30, 26, 21))
    assert close(super_resolve_volume(folder, volume, engine=engine), super_resolve_volume(model, volume, bn=bn))


@pytest.fixture(scope="module")
def exported_small_grid(tmp_path_factory):
    folder = tmp_path_factory.mktemp("small-grid")
    model = write_tiny_small_grid(folder / "fast.keras")
    assert main([f"--model={model}", f"--output={folder}/saved"]) == 0
    return model, folder / "saved"


def test_a_network_on_the_small_grid_is_served_whole_as_infer_gives_it(exported_small_grid):
    model, folder = exported_small_grid
    volume = low_res((27, 14, 21))  # the last tiles are moved back, to the others' grid
    serve = tf.saved_model.load(str(folder)).signatures["super_resolve"]
    assert close(serve(volume=tf.constant(volume))["volume"].numpy(), super_resolve_volume(model, volume))


@pytest.mark.parametrize("engine", ["tensorflow", "openvino"])
def test_exports_on_the_small_grid_run_seamlessly_and_refuse_odd_tiles(exported_small_grid, engine):
    model, folder = exported_small_grid
    volume = low_res((27, 14, 21))
    expected = super_resolve_volume(model, volume, seamless=True)
    assert close(super_resolve_volume(folder, volume, engine=engine, seamless=True), expected)
    with pytest.raises(UserError, match=r"fast/b4u4k16 takes tiles whose edges are multiples of 2, not 15\^3"):
        super_resolve_volume(folder, volume, engine=engine, tile=15)


def test_openvino_runs_the_keras_file_rounds_little_in_bfloat16_and_reports_to_nobody(exported, monkeypatch):
    model, _, bn = exported
    reports = []  # as it sends wherever openvino_telemetry, which comes with it, can be imported
    if find_spec("openvino_telemetry"):
        backend = "openvino_telemetry.backend.backend_ga4.GA4Backend.send"
        monkeypatch.setattr(backend, lambda _, message: reports.append(message))
    volume = low_res((30, 26, 21))
    expected = super_resolve_volume(model, volume, bn=bn)
    assert close(super_resolve_volume(model, volume, bn=bn, engine="openvino"), expected)
    rounded = super_resolve_volume(model, volume, bn=bn, engine="openvino", precision="bfloat16")
    assert np.std(rounded - expected) < 0.03 * np.std(expected)
    assert not reports


def test_metadata(exported):
    _, folder, bn = exported
    metadata = json.loads((folder / "assets.extra" / "mdcsrn.json").read_text())
    card = json.loads(metadata["card"])
    assert (card["preset"], card["bn"], card["axes"]) == ("tiny", bn, ["LR", "AP"])
    assert card["normalisation"] and card["interpolation"] == INTERPOLATIONS[bn]
    assert metadata["receptive_field_radius"] == TINY_RADIUS
    assert set(metadata["versions"]) == {"mdcsrn_tf", "tensorflow", "keras"}


def test_a_constant_volume_is_refused_by_the_graph(served):
    with pytest.raises(tf.errors.InvalidArgumentError, match="constant value"):
        served("super_resolve")(volume=tf.ones([9, 9, 9]))


ALONE = """
import gc, sys
gc.disable()  # what is loaded is no garbage: half the time
OTHERS = ("mdcsrn_tf", "data_prep", "nibabel", "scipy", "openvino", "sklearn", "matplotlib", "cv2")
class Forbid:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in OTHERS:
            raise ImportError(name + " must not be needed")
sys.meta_path.insert(0, Forbid())
import numpy as np, tensorflow as tf
serve = tf.saved_model.load(sys.argv[1]).signatures["super_resolve"]
np.save("out.npy", serve(volume=tf.constant(np.load("in.npy")))["volume"].numpy())
from tensorflow.python.tools import saved_model_cli
sys.argv = ["saved_model_cli", "show", "--dir", sys.argv[1], "--all"]
saved_model_cli.main()
"""


def test_with_nothing_but_tensorflow_it_is_run_and_shown(export, tmp_path):
    model, folder, _ = export("batch")
    volume = low_res((30, 26, 21))
    np.save(tmp_path / "in.npy", volume)
    command = [sys.executable, "-c", ALONE, str(folder)]
    done = subprocess.run(command, check=True, cwd=tmp_path, timeout=300, capture_output=True, text=True)
    assert close(np.load(tmp_path / "out.npy"), super_resolve_volume(model, volume))
    for words in (
        "signature_def['serving_default']",
        "signature_def['super_resolve']",
        "shape: (-1, -1, -1, -1, 1)",
        "shape: (-1, -1, -1)",
        "inputs['volume']",
        "outputs['tiles']",
    ):
        assert words in done.stdout


def test_nothing_but_an_export_is_replaced(exported, tmp_path, capsys):
    model, folder, bn = exported
    (tmp_path / "papers").mkdir()
    (tmp_path / "papers" / "thesis.txt").write_text("years of work")
    for target, word in ((tmp_path / "papers", "no export of ours"), (folder, "--overwrite")):
        assert main([f"--model={model}", f"--output={target}"]) == 1
        assert word in capsys.readouterr().err
    assert main([f"--model={model}", f"--output={tmp_path}/papers", "--overwrite"]) == 1
    assert (tmp_path / "papers" / "thesis.txt").exists()
    # An export that somebody has put something into, as TensorFlow Serving's requests to warm up with.
    for place in ("notes.txt", "assets.extra/tf_serving_warmup_requests", "assets/words.txt", "variables/old.index"):
        (folder / place).write_text("mine")
        assert main([f"--model={model}", f"--output={folder}", "--overwrite"]) == 1
        assert (folder / place).read_text() == "mine"
        (folder / place).unlink()
    stranger = tmp_path / "stranger"  # a SavedModel, but not ours
    stranger.mkdir()
    shutil.copy(folder / "saved_model.pb", stranger)
    assert main([f"--model={model}", f"--output={stranger}", "--overwrite"]) == 1
    assert (stranger / "saved_model.pb").exists()
    capsys.readouterr()
    assert main([f"--model={model}", f"--output={folder}", f"--bn={bn}", "--overwrite"]) == 0
    assert capsys.readouterr().out == f"mdcsrn-export: {model.stem} -> {folder}\n"
    for flags in (["--output="], [f"--model={tmp_path}/none.keras", f"--output={tmp_path}/x"], ["--bn=group"]):
        assert main(flags) == 1
    assert main([f"--model={folder}", f"--output={tmp_path}/x"]) == 1
    (tmp_path / "file").write_text("")
    assert main([f"--model={model}", f"--output={tmp_path}/file/x"]) == 1
    assert not (tmp_path / "x").exists()
