"""What `mdcsrn-infer` loads in a process of its own: of TensorFlow, Keras and what that loads, only what is needed."""

import subprocess
import sys

import keras
import numpy as np
import pytest
from infer_helpers import ROOT, data_of, lively, write_pair, write_tiny_model

from mdcsrn_tf.models.files import ModelCard, save_model


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
def test_a_command_loads_no_keras(scan, tmp_path, bn):
    model = write_tiny_model(tmp_path / "tiny.keras", tile=16)
    flags = [f"--input={scan}", f"--model={model}", f"--bn={bn}", f"--output={tmp_path}/a.nii.gz"]
    assert command(*flags) == (["tensorflow"], "")
    assert np.isfinite(data_of(tmp_path / "a.nii.gz")).all()


def test_a_network_that_no_graph_knows_is_run_by_way_of_keras_without_what_that_does_not_need(scan, tmp_path):
    model, output = stranger(tmp_path / "stranger.keras"), tmp_path / "sr.nii.gz"
    found = command(f"--input={scan}", f"--model={model}", f"--output={output}")
    assert found == (["tensorflow", "keras"], "tensorflow")
