"""What is inside a `.keras` file: checked before Keras reads it, and kept readable for older Keras releases."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mdcsrn_tf.errors import UserError, brief

CARD_MEMBER = "mdcsrn_model_card.json"
_CONFIG, _METADATA = "config.json", "metadata.json"

# Fields that Keras has begun to write since 3.9, at the values at which they change nothing. An older release refuses
# a field it does not know, whatever its value.
NEWCOMERS: dict[str, dict[str, Any]] = {
    "BatchNormalization": {"renorm": False, "renorm_clipping": None, "renorm_momentum": 0.99},
    "InputLayer": {"ragged": False},
    "Conv2DTranspose": {"output_padding": None},
    "Conv3DTranspose": {"output_padding": None},
    "*Initializer": {"input_axes": None, "output_axes": None},
}

# Keras takes classes and functions from the module that a file names: only from these, which hold no programs.
_MODULES = ("keras.layers", "keras.initializers", "keras.regularizers", "keras.constraints", "mdcsrn_tf")
_CONTAINERS = {"Functional", "Sequential", "DTypePolicy", "__keras_tensor__", "__tuple__"}
_PROGRAMS = {"Lambda", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer"}

# Far above what any network for volumes needs: a file with more than this is made to fill the memory.
_LARGEST = {"filters": 4096, "units": 4096, "kernel_size": 31, "strides": 31}
_CARD_BYTES, _TEXT_BYTES, _RATIO = 1 << 20, 1 << 25, 20


def read_member(path: str | os.PathLike[str], name: str) -> bytes:
    """A text member of the archive; UserError where it is larger than any such text."""
    limit = _CARD_BYTES if name == CARD_MEMBER else _TEXT_BYTES
    with zipfile.ZipFile(path) as archive:
        if archive.getinfo(name).file_size > limit:
            raise UserError(f"{path}: its {name} is larger than {limit >> 20} MiB: this is no model; copy it again.")
        return archive.read(name)


def make_portable(path: Path) -> None:
    """Rewrite a file that Keras has just written, for older releases too, and the same bytes at any time.

    Fields that they do not know are dropped at their defaults, and so is the date.
    """
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members[_CONFIG] = json.dumps(without_newcomers(json.loads(members[_CONFIG]))).encode()
    metadata = json.loads(members[_METADATA])
    metadata.pop("date_saved", None)
    members[_METADATA] = json.dumps(metadata).encode()
    write_members(path, members)


def write_members(path: Path, members: dict[str, bytes]) -> None:
    """The archive of these members, uncompressed as Keras writes them, without times."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content)


def without_newcomers(value: Any) -> Any:
    """A Keras configuration without the fields of NEWCOMERS that stand at their defaults."""
    if isinstance(value, list):
        return [without_newcomers(item) for item in value]
    if not isinstance(value, dict):
        return value
    slim = {key: without_newcomers(item) for key, item in value.items()}
    if isinstance(slim.get("config"), dict):
        kind = "*Initializer" if slim.get("module") == "keras.initializers" else slim.get("class_name")
        droppable = NEWCOMERS.get(str(kind), {})
        slim["config"] = {
            key: item for key, item in slim["config"].items() if key not in droppable or item != droppable[key]
        }
    return slim


def check_archive(path: str | os.PathLike[str]) -> None:
    """Refuse, by a sentence, a file that is not just layers and weights, before Keras reads any of it."""
    try:
        _check(path)
    except UserError:
        raise
    except Exception as error:  # what the parsers make of damaged bytes has no common type
        raise UserError(f"{path} is damaged ({brief(error)}); copy it again.") from error


def _check(path: str | os.PathLike[str]) -> None:
    with zipfile.ZipFile(path) as archive:
        inflated, size = sum(member.file_size for member in archive.infolist()), Path(path).stat().st_size
    if inflated > _RATIO * size + _TEXT_BYTES:
        raise UserError(f"{path} would grow from {size} to {inflated} bytes: this is no model; copy it again.")
    config = json.loads(read_member(path, _CONFIG))
    for item in _objects(config):
        _check_object(path, item)


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    """Every serialised object in a Keras configuration."""
    if isinstance(value, dict):
        if "class_name" in value:
            yield value
        for item in value.values():
            yield from _objects(item)
    elif isinstance(value, list):
        for item in value:
            yield from _objects(item)


def _check_object(path: str | os.PathLike[str], item: dict[str, Any]) -> None:
    name, module = str(item["class_name"]), str(item.get("module"))
    ours = any(module == known or module.startswith(f"{known}.") for known in _MODULES)
    if name in _PROGRAMS or not (ours or name in _CONTAINERS):
        raise UserError(f"{path} holds a {name}, which is no plain Keras layer; export the network without it.")
    config = item.get("config")
    for field, largest in _LARGEST.items():
        numbers = config.get(field) if isinstance(config, dict) else None
        for number in numbers if isinstance(numbers, list) else [numbers]:
            if number is not None and not (isinstance(number, int) and 0 < number <= largest):
                raise UserError(f"{path}: a layer's {field} is {number!r}, which no network here has; copy it again.")
