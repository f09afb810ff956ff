"""run.json: what was run, on what, with which versions, and what came of it.

Every command and benchmark leaves one, so that a table can be generated from records and never typed.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import math
import os
import platform
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from mdcsrn_tf.files import replace_when_done
from mdcsrn_tf.workers import available_cores

LIBRARIES = ("tensorflow", "keras", "numpy", "scipy", "nibabel", "scikit-image", "torch", "openvino")


@dataclass
class RunRecord:
    """One run; `begin` fills the circumstances, the caller fills `results`, `write` adds the wall time."""

    command: list[str]
    config: dict[str, Any]
    data: dict[str, Any]
    versions: dict[str, str]
    device: dict[str, Any]
    started: str
    wall_seconds: float = 0.0
    results: dict[str, Any] = field(default_factory=dict)
    _clock: float = field(default_factory=time.monotonic, repr=False)

    @classmethod
    def begin(
        cls, config: Any = None, data: Mapping[str, Any] | None = None, command: Sequence[str] | None = None
    ) -> RunRecord:
        """Start the clock. `config` may be a mapping or a dataclass; `data` names the input and its hash."""
        return cls(
            command=list(sys.argv if command is None else command),
            config=plain(config or {}),
            data=plain(data or {}),
            versions=versions(),
            device=device(),
            started=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        )

    def write(self, path: str | os.PathLike[str], *, folders_kept: bool = True) -> None:
        """Write the record whole or not at all; a record for publication keeps no folder of this machine."""
        self.wall_seconds = round(time.monotonic() - self._clock, 3)
        content = plain({key: value for key, value in vars(self).items() if not key.startswith("_")})
        write_json(path, content if folders_kept else _without_folders(content))


def write_json(path: str | os.PathLike[str], content: Any) -> None:
    """Write strict JSON (NaN becomes null) atomically, making the folder if need be."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with replace_when_done(path) as partial:
        text = json.dumps(plain(content), indent=2, ensure_ascii=False, allow_nan=False)
        # A name's bytes that are no UTF-8 are spelled out, which is JSON's own way.
        partial.write_text(text + "\n", encoding="utf-8", errors="backslashreplace")


def plain(value: Any) -> Any:
    """`value` in JSON's own types: dataclasses, paths, NumPy and TensorFlow scalars are all turned."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in (sorted(value) if isinstance(value, (set, frozenset)) else value)]
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if hasattr(value, "numpy"):
        value = value.numpy()
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return str(value)


def versions() -> dict[str, str]:
    """Python's version, ours, and those of the libraries that are installed (none gets imported)."""
    from mdcsrn_tf import __version__

    found = {"python": platform.python_version(), "mdcsrn_tf": __version__}
    for library in LIBRARIES:
        try:
            found[library] = metadata.version(library)
        except metadata.PackageNotFoundError:
            continue
    return found


def device() -> dict[str, Any]:
    """The processor, its cores and memory, and the GPUs if TensorFlow is loaded already."""
    found: dict[str, Any] = {
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": available_cores(),
        "memory_gib": _memory_gib(),
        "gpus": [],
    }
    tensorflow = sys.modules.get("tensorflow")
    if tensorflow is not None and hasattr(tensorflow, "config"):
        config = tensorflow.config
        found["gpus"] = [
            config.experimental.get_device_details(gpu).get("device_name", gpu.name)
            for gpu in config.list_physical_devices("GPU")
        ]
    return found


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor()


def _memory_gib() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (AttributeError, ValueError, OSError):
        return None


def _without_folders(value: Any) -> Any:
    """Every absolute or climbing path shortened to its last part: `--data=/home/me/x,../y` -> `--data=x,y`."""
    if isinstance(value, dict):
        return {key: _without_folders(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_folders(item) for item in value]
    if not isinstance(value, str):
        return value
    flag, equals, rest = value.partition("=")
    if not equals or "/" in flag:
        flag, equals, rest = "", "", value
    named = [Path(part).name if part.startswith(("/", "../")) else part for part in rest.split(",")]
    return flag + equals + ",".join(named)
