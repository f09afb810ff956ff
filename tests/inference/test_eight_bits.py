"""Convolutions of whole numbers: their numbers by hand, their results by NumPy, and what they cost on real scans."""

import json
import os
import subprocess
import sys
from types import SimpleNamespace

import keras
import numpy as np
import openvino
import pytest
from infer_helpers import ROOT, data_of, lively, write_pair, write_tiny_model
from scipy.ndimage import correlate

from mdcsrn_tf import weights
from mdcsrn_tf.cli.infer import main as infer
from mdcsrn_tf.errors import UserError
from mdcsrn_tf.inference import settings as known
from mdcsrn_tf.inference.eight_bits import in_eight_bits, of_convolution
from mdcsrn_tf.inference.engines import load_engine
from mdcsrn_tf.inference.export import export
from mdcsrn_tf.inference.openvino_model import model_of
from mdcsrn_tf.inference.settings import Settings
from mdcsrn_tf.models.graph import Layer
from mdcsrn_tf.models.graph_of_file import load_graph
from mdcsrn_tf.models.graph_of_keras import graph_of
from mdcsrn_tf.scans.kspace import degrade
from mdcsrn_tf.scans.normalisation import by_tissue_level
from mdcsrn_tf.scans.volumes import read_volume

BUNDLED = [name for name in weights.list_models() if name != "fsrcnn3d"]


def test_a_convolutions_numbers_by_hand():
    # ELUs of 0 +- 10 and of -1 +- 5: from -1 to 10, and to 4; weights of up to 2.5 and 4. So sqrt(10 2.5) = 5 and
    # sqrt(4 4) = 4 large, in units of sqrt(10 / 2.5) 5 = 10 and sqrt(4 / 4) 5 = 5: from -0.1 to 1 and from -0.2 to 0.8.
    norm = Layer("norm", "BatchNormalization", weights={"gamma": np.array([-1, 0.5]), "beta": np.array([0.0, -1])})
    kernel = np.zeros((3, 3, 3, 2, 1))
    kernel[0, 0, 0, :, 0], kernel[2, 1, 0, :, 0] = (2.5, 4), (-1, 0.1)
    found = of_convolution(Layer("conv", "Conv3D", weights={"kernel": kernel}), norm)
    np.testing.assert_allclose(found.units, [10, 5], rtol=1e-6)
    # Weights of 25, 20, -10 and 0.5, in steps of 25 / 127.
    np.testing.assert_allclose(found.scale, [25 / 127], rtol=1e-6)
    assert found.kernel.dtype == np.int8 and found.kernel[0, 0, 0, :, 0].tolist() == [127, 102]
    assert found.kernel[2, 1, 0, :, 0].tolist() == [-51, 3] and np.count_nonzero(found.kernel) == 4
    # 255 steps from below -0.2 (the second channel's ELU ends at 1 - exp(-6) below) to 1: 43 below, 212 above.
    assert found.low == pytest.approx(-43 / 212) and found.high == pytest.approx(1)


def test_channels_and_kernels_of_zeros_stay_zero():
    norm = Layer("norm", "BatchNormalization", weights={"gamma": np.zeros(2), "beta": np.zeros(2)})
    found = of_convolution(Layer("conv", "Conv3D", weights={"kernel": np.zeros((3, 3, 3, 2, 4))}), norm)
    assert not found.kernel.any() and np.isfinite(found.units).all() and (found.units > 0).all()
    assert np.isfinite(found.scale).all() and np.isfinite([found.low, found.high]).all()


def one_convolution():
    """A network of one convolution that reads a normalised ELU, as Keras and as a graph."""
    keras.utils.set_random_seed(7)  # of others a value may lie on the edge between two steps
    inputs = keras.Input((None, None, None, 1))
    x = keras.layers.Conv3D(3, 3, padding="same")(inputs)
    x = keras.layers.Activation("elu")(keras.layers.BatchNormalization(epsilon=1e-3)(x))
    model = lively(keras.Model(inputs, keras.layers.Conv3D(1, 3, padding="same")(x)), seed=5)
    return model, graph_of(model)


def by_numpy(model, graph, volume):
    """The same in float64 and whole numbers, one voxel's neighbourhood at a time."""
    (first, norm, last) = (layer for layer in model.layers if layer.weights)
    kernel, bias = map(np.asarray, first.weights)
    maps = np.stack([correlate(volume, kernel[..., 0, c], mode="constant") + bias[c] for c in range(3)])
    gamma, beta, mean, variance = (np.asarray(w, np.float64).reshape(-1, 1, 1, 1) for w in norm.weights)
    maps = gamma * (maps - mean) / np.sqrt(variance + 1e-3) + beta
    maps = np.where(maps > 0, maps, np.expm1(np.minimum(maps, 0)))
    (numbers,) = in_eight_bits(graph).values()
    step = (numbers.high - numbers.low) / 255
    whole = np.rint(np.clip(maps / numbers.units.reshape(-1, 1, 1, 1), numbers.low, numbers.high) / step)
    total = sum(correlate(whole[c], numbers.kernel[..., c, 0].astype(float), mode="constant") for c in range(3))
    return total * step * numbers.scale[0] + np.asarray(last.weights[1])[0]


def test_what_openvino_gives_is_the_sum_of_whole_numbers():
    (model, graph), rng = one_convolution(), np.random.default_rng(2)
    volume = 2 * rng.standard_normal((12, 10, 14))
    built = model_of(graph, "moving", in_eight_bits(graph))
    built.reshape([1, 1, 12, 10, 14])
    compiled = openvino.compile_model(built, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    found, expected = compiled(volume[None, None].astype(np.float32))[0][0, 0], by_numpy(model, graph, volume)
    np.testing.assert_allclose(found, expected, atol=1e-6 * np.abs(expected).max())
    exact = np.asarray(model(volume[None, ..., None].astype(np.float32)))[0, ..., 0]
    assert 1e-4 < np.abs(found - exact).max() / np.abs(exact).max() < 0.02, "eight bits are not float32, but near"


def kinds_of_convolutions(graph):
    """What OpenVINO computes the network's convolutions in."""
    model = model_of(graph, "moving", in_eight_bits(graph))
    model.reshape([1, 1, 16, 16, 16])
    compiled = openvino.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "bf16"})
    told = [node.get_rt_info() for node in compiled.get_runtime_model().get_ops()]
    told = [{key: str(info[key].astype(str)) for key in ("layerType", "runtimePrecision")} for info in told]
    return [info["runtimePrecision"] for info in told if info["layerType"] == "Convolution"]


@pytest.mark.parametrize("name", BUNDLED)
def test_all_wide_convolutions_of_bundled_networks_but_the_first_are_of_whole_numbers(name):
    graph, _ = load_graph(weights.find_model(name))
    wide = [layer for layer in graph.layers if layer.kind == "Conv3D" and not layer.is_pointwise]
    kinds = kinds_of_convolutions(graph)
    assert sum(kind in ("u8", "i8") for kind in kinds) == len(wide) - 1 >= 8


def gain(name, crop, precision):
    """dB over sinc, of a real scan that is degraded 2x2."""
    high = read_volume(ROOT / "tests" / "golden" / f"{crop}.nii.gz").data
    low = degrade(high, (2, 2), (0, 1), "sinc")
    level = by_tissue_level(low)
    high, low = level.apply(high), level.apply(low)
    engine = load_engine(name, Settings(engine="openvino", precision=precision))
    found = engine.applier(low.shape, 1)(low[np.newaxis])[0]
    return 10 * np.log10(((low - high) ** 2).mean() / ((found - high) ** 2).mean())


@pytest.mark.parametrize("crop", ["real_crop_head", "real_crop_t2w", "real_crop_flair"])
@pytest.mark.parametrize("name", ["mdcsrn-b4u4k12", "fast-b4u4k16"])
def test_a_real_scan_loses_next_to_nothing(name, crop):
    exact = gain(name, crop, "float32")
    assert exact > 0.3
    assert gain(name, crop, "int8") == pytest.approx(exact, abs=0.02)


def test_without_vnni_which_adds_pairs_in_sixteen_bits_it_comes_out_the_same():
    program = "import test_eight_bits as t; print(t.gain('fast-b4u4k16', 'real_crop_head', 'int8'))"
    paths = os.pathsep.join(map(str, (ROOT, ROOT / "tests", ROOT / "tests" / "inference")))
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": paths, "ONEDNN_MAX_CPU_ISA": "AVX512_CORE"},
        check=True,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert float(done.stdout) == pytest.approx(gain("fast-b4u4k16", "real_crop_head", "int8"), abs=0.002)


@pytest.mark.parametrize("bn", ["batch", "moving"])
def test_the_command_says_so_in_its_sidecar_and_comes_near_float32(tmp_path, bn):
    scan, model = write_pair(tmp_path)[1], write_tiny_model(tmp_path / "tiny.keras")
    flags = [f"--input={scan}", f"--model={model}", f"--bn={bn}", "--engine=openvino", "--force", "--quiet"]
    for precision in ("float32", "int8"):
        assert infer([*flags, f"--output={tmp_path}/{precision}.nii.gz", f"--precision={precision}"]) == 0
    asked = json.loads((tmp_path / "int8.json").read_text())["Request"]
    assert (asked["engine"], asked["precision"]) == ("openvino", "int8")
    exact, rounded, given = (data_of(tmp_path / f"{name}.nii.gz") for name in ("float32", "int8", "lr"))
    assert 0 < np.abs(rounded - exact).max() < 0.05 * np.abs(exact - given).max()


@pytest.mark.parametrize(
    ("model", "engine", "sentence"),
    [
        ("mdcsrn-b4u4k12", "tensorflow", "add --engine=openvino"),
        ("fsrcnn3d", "openvino", "fsrcnn3d.keras has no convolutions whose values its file bounds"),
    ],
)
def test_what_cannot_be_in_eight_bits_is_refused_in_a_sentence(tmp_path, capsys, model, engine, sentence):
    scan = write_pair(tmp_path)[1]
    flags = [f"--input={scan}", f"--output={tmp_path}/sr.nii.gz", f"--model={model}", f"--engine={engine}"]
    assert infer([*flags, "--precision=int8", "--force"]) == 1
    told = capsys.readouterr().err
    assert sentence in told and "Traceback" not in told and not (tmp_path / "sr.nii.gz").exists()


@pytest.mark.parametrize("setting", [{"precision": "float16"}, {"engine": "torch"}, {"device": "tpu"}])
def test_from_python_too_an_unknown_way_of_running_is_refused(setting):
    ((name, value),) = setting.items()
    with pytest.raises(UserError, match=f"--{name}={value} is none of"):
        load_engine(None, Settings(**setting))


def test_what_an_engine_would_pass_over_is_refused():
    with pytest.raises(UserError, match="tensorfloat32 is for GPUs"):
        load_engine(None, Settings(engine="openvino", precision="tensorfloat32"))


def test_an_export_is_refused_with_the_remedy(tmp_path):
    model = write_tiny_model(tmp_path / "tiny.keras", bn="moving")
    export(model, tmp_path / "saved", "moving", whole_volumes=False)
    with pytest.raises(UserError, match=r"saved is an export, .* name the \.keras file"):
        load_engine(tmp_path / "saved", Settings(engine="openvino", precision="int8"))


def test_the_command_offers_what_the_library_knows():
    from absl import flags

    from mdcsrn_tf.cli.infer import define_flags

    define_flags(values := flags.FlagValues())
    offered = SimpleNamespace(**{name: values[name].parser.enum_values for name in ("precision", "engine", "device")})
    assert (offered.precision, offered.engine, offered.device) == tuple(
        list(names) for names in (known.PRECISIONS, known.ENGINES, known.DEVICES)
    )
