"""How much memory there is before any is asked for: on a processor a shortage ends the process, it raises nothing.

The system, a container and a shell each set a limit; the nearest counts.
"""

from __future__ import annotations

import resource
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mdcsrn_tf.errors import UserError

_CGROUP = Path("/sys/fs/cgroup")
_PROC = Path("/proc")
LARGE_TILE_BYTES = 2 << 30  # what a tile may take where larger ones save work
_SHARE = 0.9  # of the memory at hand that is planned with
TENSORFLOW_OVERHEAD = 64 << 20  # bytes: a graph, or compiled kernels, for each new size
FOREST_OVERHEAD = 16 << 20  # bytes: the samples that walk down the trees at a time
OPENVINO_OVERHEAD = 64 << 20  # bytes: compiled kernels, reordered weights, a stack for each thread


def room_at_hand(proc: Path = _PROC, cgroup: Path = _CGROUP) -> float:
    """Bytes that this process may still take; infinite where nothing is known."""
    candidates = [_system_room(proc), _address_room(proc), *_container_rooms(proc, cgroup)]
    return min((room for room in candidates if room is not None), default=float("inf"))


def needed_bytes(channels: float, tile: Sequence[int], batch: int) -> float:
    """What a batch of tiles takes on its way: every feature map of `channels` in all, in float32."""
    return 4.0 * channels * float(np.prod(tile, dtype=float)) * batch


def largest_cube(channels: float) -> int:
    """The edge of a tile that needs `LARGE_TILE_BYTES`: a fixed bound, so that a scan comes out the same anywhere."""
    return int((LARGE_TILE_BYTES / needed_bytes(channels, (1, 1, 1), 1)) ** (1 / 3))


def largest_area(channels: float) -> float:
    """The cross-section, in voxels, of a column that needs as much; `channels` are those of all its planes."""
    return LARGE_TILE_BYTES / needed_bytes(channels, (1, 1, 1), 1)


def check_room(channels: int, tile: Sequence[int], batch: int, room: float) -> bool:
    """Whether a batch of tiles of that size can be expected to fit."""
    return needed_bytes(channels, tile, batch) <= _SHARE * room


def refuse(channels: int, tile: Sequence[int], room: float) -> UserError:
    """The sentence for the smallest tile that does not fit either."""
    needed, size = needed_bytes(channels, tile, 1) / 2**20, " x ".join(map(str, tile))
    return UserError(
        f"The memory does not suffice: tiles of {size} voxels need about {needed:.0f} MiB, "
        f"{max(room, 0) / 2**20:.0f} MiB are left, and smaller ones leave no core inside the margin; free memory, "
        "raise its limit, or take a smaller --margin."
    )


def channels_in_blocks(model: Any) -> int | None:
    """The channels of an OpenVINO model's feature maps as its processor plugin keeps them: sixteen at a time."""
    found = [op.get_output_partial_shape(0)[1] for op in model.get_ops() if op.get_type_name() == "Convolution"]
    return sum(-(-size.get_length() // 16) * 16 for size in found if size.is_static) or None


def runs_on_processor() -> bool:
    """Whether TensorFlow, as far as it is loaded, has no GPU to put the tiles on."""
    tensorflow = sys.modules.get("tensorflow")
    return tensorflow is None or not tensorflow.config.get_visible_devices("GPU")


def _system_room(proc: Path) -> float | None:
    return _kib(proc / "meminfo", "MemAvailable")


def _address_room(proc: Path) -> float | None:
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    used = _kib(proc / "self" / "status", "VmSize")
    return None if limit == resource.RLIM_INFINITY or used is None else limit - used


def _kib(path: Path, key: str) -> float | None:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        return next(1024.0 * int(line.split()[1]) for line in lines if line.startswith(f"{key}:"))
    except (OSError, ValueError, IndexError, StopIteration):
        return None


def _container_rooms(proc: Path, cgroup: Path) -> list[float]:
    """Of the process's control group and all above it, by version 2 and version 1 of the interface."""
    try:
        lines = (proc / "self" / "cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    rooms = []
    for line in lines:
        _, controllers, inside = line.split(":", 2)
        if controllers == "":
            names, root = ("memory.max", "memory.current"), cgroup
        elif "memory" in controllers.split(","):
            names, root = ("memory.limit_in_bytes", "memory.usage_in_bytes"), cgroup / "memory"
        else:
            continue
        place = root / inside.lstrip("/")
        for folder in (place, *place.parents):
            limit, used = (_number(folder / name) for name in names)
            if limit is not None and used is not None:
                rooms.append(limit - used + _reclaimable(folder))
            if folder == root:
                break
    return rooms


def _number(path: Path) -> float | None:
    try:
        return float(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # "max": no limit
        return None


def _reclaimable(folder: Path) -> float:
    """Pages of files that the system drops when room is needed; they count as used."""
    try:
        lines = dict(line.split() for line in (folder / "memory.stat").read_text(encoding="utf-8").splitlines())
        return float(lines.get("inactive_file", 0))
    except (OSError, ValueError):
        return 0.0
