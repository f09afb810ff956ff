"""A recipe that is started without what it needs says how it is meant, and no traceback."""

import subprocess
import sys

import pytest
from infer_helpers import ROOT

SCRIPTS = (
    *("lessons", "mean_of_models", "jax_slices/patches", "jax_slices/to_keras"),
    *("jax_volumes/carry_scans", "jax_volumes/training_data", "jax_volumes/to_keras"),
)


@pytest.mark.parametrize("script", SCRIPTS)
def test_without_arguments_it_says_how_it_is_started(script):
    path = f"recipes/{script}.py"
    done = subprocess.run([sys.executable, path], check=False, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert f"python {path} " in done.stderr
