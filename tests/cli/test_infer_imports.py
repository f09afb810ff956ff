"""What `mdcsrn-infer` loads in a process of its own: of TensorFlow, Keras and what that loads, only what is needed."""

import subprocess
import sys

import keras
import numpy as np
import pytest
from infer_helpers import ROOT, data_of, lively, write_pair, write_tiny_model

from mdcsrn_tf.inference.volume import super_resolve_volume
from mdcsrn_tf.models.files import ModelCard, load_model, save_model
from mdcsrn_tf.scans.normalisation import Normalisation


def stranger(path):
    """A network that no graph knows, in a file."""
    inputs = keras.Input((None, None, None, 1))
    x = keras.layers.Activation("tanh")(keras.layers.Conv3D(4, 3, padding="same")(inputs))
    model = lively(keras.Model(inputs, keras.layers.Conv3D(1, 3, padding="same")(x), name="stranger"))
    save_model(path, model, ModelCard("stranger", "0", "linear", ("LR", "AP"), (2, 2), 16, 3, "moving"))
    return path


PROGRAM = """
import sys
from mdcsrn_tf.cli.infer import main
assert main() == 0
known = ("tensorflow", "keras", "sklearn", "matplotlib", "cv2", "openvino")
print(*[name for name in known if sys.modules.get(name) is not None])
print(sys.modules["keras"].config.backend() if "keras" in sys.modules else "")
"""


def command(*flags):
    """What `mdcsrn-infer` has loaded in the end, and Keras's backend, in a process of its own."""
    arguments = [sys.executable, "-c", PROGRAM, *map(str, flags), "--force", "--quiet"]
    done = subprocess.run(arguments, check=True, cwd=ROOT, capture_output=True, text=True, timeout=300)
    loaded, backend = done.stdout.splitlines()
    return loaded.split(), backend


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    return write_pair(tmp_path_factory.mktemp("scan"), (24, 26, 20))[1]


@pytest.mark.parametrize("bn", ["batch", "moving"])
def test_a_command_by_openvino_loads_no_tensorflow_and_one_by_tensorflow_no_keras(scan, tmp_path, bn):
    model = write_tiny_model(tmp_path / "tiny.keras", tile=16)
    flags = [f"--input={scan}", f"--model={model}", f"--bn={bn}"]
    assert command(*flags, f"--output={tmp_path}/a.nii.gz", "--engine=openvino") == (["openvino"], "")
    assert command(*flags, f"--output={tmp_path}/b.nii.gz") == (["tensorflow"], "")
    ours, theirs = data_of(tmp_path / "a.nii.gz"), data_of(tmp_path / "b.nii.gz")
    np.testing.assert_allclose(ours, theirs, atol=1e-4 * np.abs(theirs).max())
    assert np.abs(ours - data_of(scan)).max() > 0.01 * np.abs(theirs).max(), "the network must do something"


@pytest.mark.parametrize("engine", ["openvino", "tensorflow"])
def test_a_network_that_no_graph_knows_is_run_by_way_of_keras_without_what_that_does_not_need(scan, tmp_path, engine):
    model, output = stranger(tmp_path / "stranger.keras"), tmp_path / "sr.nii.gz"
    found = command(f"--input={scan}", f"--model={model}", f"--output={output}", f"--engine={engine}")
    assert found == (["tensorflow", "keras", *(["openvino"] if engine == "openvino" else [])], "tensorflow")
    volume = np.random.default_rng(0).standard_normal((8, 8, 8)).astype(np.float32)
    norm = Normalisation.from_low_res(volume)
    expected = norm.undo(load_model(model)[0](norm.apply(volume)[None, ..., None], training=False).numpy()[0, ..., 0])
    result = super_resolve_volume(model, volume, engine=engine, tile=8, margin=0)
    np.testing.assert_allclose(result, expected, atol=1e-4 * np.abs(expected).max())
