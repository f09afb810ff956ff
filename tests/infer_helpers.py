"""A tiny network with lively weights, and scans to run it on."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np

from data_prep.phantom import make_phantom
from mdcsrn_tf.papers.config import MdcsrnConfig, SmallGridConfig
from mdcsrn_tf.scans.kspace import acquire, degrade, small_affine

ROOT = Path(__file__).resolve().parents[1]
TINY = MdcsrnConfig(blocks=2, units=2, growth=4, compress_first=True, bottleneck=True, use_bias=True)
TINY_RADIUS = 5  # stem 1 + 2 blocks of 2 units
OBLIQUE = np.array([[0.9, 0.1, -0.05, -20.0], [-0.1, 1.1, 0.08, 5.0], [0.05, -0.07, 1.0, 7.0], [0, 0, 0, 1]])


def lively(model, seed=0):
    """Give every weight a value of its own: a fresh network's normalisations, biases and zeros do nothing."""
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        value = np.asarray(weight)
        if value.ndim == 1 or not value.any():
            value = value + 0.2 * rng.standard_normal(value.shape).astype(np.float32)
        weight.assign(np.abs(value) + 0.3 if "variance" in weight.name else value)
    return model


def write_tiny_small_grid(path):
    """A tiny network on the small grid, whose tiles must be even, in a file."""
    import keras

    from mdcsrn_tf.models import build_generator
    from mdcsrn_tf.models.files import ModelCard, save_model

    keras.utils.set_random_seed(1)
    model = lively(build_generator(SmallGridConfig(MdcsrnConfig(1, 1, 2, False, False, False))), seed=4)
    save_model(path, model, ModelCard("fast/b4u4k16", "0", "linear", ("LR", "AP"), (2, 2), 16, 3, "moving"))
    return path


def tiny_model(seed=0):
    import keras

    from mdcsrn_tf.models import build_generator

    keras.utils.set_random_seed(seed)
    return lively(build_generator(TINY), seed)


def write_tiny_model(path, tile=24, margin=3, interpolation="linear", seed=0, **card):
    from mdcsrn_tf.models.files import ModelCard, save_model

    values = {"axes": ("LR", "AP"), "factor": (2, 2), "tile": tile, "margin": margin, "bn": "batch", **card}
    save_model(path, tiny_model(seed), ModelCard("tiny", "0", interpolation, **values))
    return path


def hr_volume(shape=(32, 36, 28), seed=1):
    return make_phantom(shape, seed).astype(np.float32)


def write_scan(path, data, affine=OBLIQUE, dtype=np.float32):
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(np.asarray(data).astype(dtype), affine), path)
    return path


def write_pair(folder, shape=(32, 36, 28), affine=OBLIQUE, method="linear", seed=1):
    """hr, lr on its grid, and the small matrix, degraded along array axes 0 and 1."""
    high = hr_volume(shape, seed)
    small = acquire(high, (2, 2), (0, 1))
    return (
        write_scan(folder / "hr.nii.gz", high, affine),
        write_scan(folder / "lr.nii.gz", degrade(high, (2, 2), (0, 1), method), affine),
        write_scan(folder / "small.nii.gz", small, small_affine(affine, (2, 2), (0, 1))),
    )


def infer(*flags):
    """The command in this process; its exit code."""
    from mdcsrn_tf.cli.infer import main

    return main([str(flag) for flag in flags])


def spawn(script, *flags, **options):
    """The command as a user runs it."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(ROOT / script), *map(str, flags)]
    return subprocess.run(command, check=False, capture_output=True, text=True, env=environment, timeout=120, **options)


def data_of(path):
    return np.asarray(nib.load(path).dataobj)
