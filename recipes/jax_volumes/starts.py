"""Weights that a run of `train.py` starts from: a run's, a bundled model's, or those of a shallower network."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np

BESIDE = ("card", "probe_input", "probe_output")  # what a run's file holds beside its weights


def load_weights(model: keras.Model, path: Path) -> None:
    """Weights of a run's .npz, or of a model file of the project, by path.

    Those of a shallower network may start a deeper one, which gives the same image: what is new stays as it is, and
    the output does not read it yet. A network that has no place for all of them is another one.
    """
    if path.suffix == ".keras":
        from mdcsrn_tf.models.files import load_model

        found = {variable.path: np.asarray(variable.value) for variable in load_model(path)[0].variables}
    else:
        with np.load(path) as archive:
            found = {name: array for name, array in archive.items() if name not in BESIDE}
    without = sorted(found.keys() - {variable.path for variable in model.variables})
    if without or not found:
        raise SystemExit(f"{path} holds weights of another network ({', '.join(without[:3]) or 'none'}).")
    for variable in model.variables:
        if variable.path in found:
            variable.assign(deepened(found[variable.path], variable.shape))


def deepened(kernel: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The kernel with zeros for what a deeper network feeds into it last: [..., inputs, outputs]."""
    if kernel.ndim < 2:
        return kernel
    missing = shape[-2] - kernel.shape[-2]
    return np.pad(kernel, [(0, 0)] * (kernel.ndim - 2) + [(0, missing), (0, 0)])
