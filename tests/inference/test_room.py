"""Memory at hand, read before any is asked for: real address-space limits, and a container's by its files."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from infer_helpers import ROOT, write_tiny_model

from mdcsrn_tf.errors import UserError
from mdcsrn_tf.inference import room

LIMITED = """
import resource, sys
import numpy as np
from mdcsrn_tf.errors import UserError
from mdcsrn_tf.inference import room
from mdcsrn_tf.inference.engines import load_engine
from mdcsrn_tf.inference.export import export
from mdcsrn_tf.inference.settings import Settings
from mdcsrn_tf.inference.volume import run
model, folder = sys.argv[1:]
export(model, folder)
low_res = np.random.default_rng(0).standard_normal((60, 60, 60)).astype(np.float32)
for name, path in (("keras", model), ("saved", folder), ("openvino", folder)):
    engine = load_engine(path, Settings(engine="openvino" if name == "openvino" else "tensorflow"))
    whole = run(engine, low_res, Settings(tile=24, seamless=True))
    for megabytes, tile in ((150, 160), (2, 40)):
        limit = resource.getrlimit(resource.RLIMIT_AS)
        used = room._kib(room._PROC / "self" / "status", "VmSize")
        resource.setrlimit(resource.RLIMIT_AS, (int(used) + (megabytes << 20), limit[1]))
        try:
            found = run(engine, low_res, Settings(tile=tile, seamless=True, batch_tiles=2))
            same = np.abs(found.data - whole.data).max() < 1e-3
            print(name, "fitted", found.tile < 160 and len(found.fallback_tiles) > 0 and same)
        except UserError as error:
            print(name, "refused", error)
        finally:
            resource.setrlimit(resource.RLIMIT_AS, limit)
"""


def test_under_an_address_space_limit_smaller_tiles_are_taken_and_the_result_is_the_same(tmp_path):
    model = write_tiny_model(tmp_path / "tiny.keras", bn="moving")
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(model), str(tmp_path / "exported")],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=300,
        check=False,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    lines = done.stdout.splitlines()
    assert lines[::2] == [f"{name} fitted True" for name in ("keras", "saved", "openvino")]
    for name, line in zip(("keras", "saved", "openvino"), lines[1::2], strict=True):
        assert line.startswith(f"{name} refused The memory does not suffice: tiles of")


def fake(tmp_path, lines, **files):
    proc, cgroup = tmp_path / "proc", tmp_path / "cgroup"
    (proc / "self").mkdir(parents=True)
    (proc / "self" / "cgroup").write_text(lines)
    (proc / "meminfo").write_text("MemTotal: 99 kB\nMemAvailable:    4096 kB\n")
    for name, text in files.items():
        path = cgroup / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return room.room_at_hand(proc, cgroup)


@pytest.mark.parametrize(
    ("lines", "files", "expected"),
    [
        ("0::/\n", {}, 4096 * 1024),
        ("0::/a/b\n", {"a__b__memory_dot_max": "max\n", "a__b__memory_dot_current": "7\n"}, 4096 * 1024),
        ("0::/a/b\n", {"a__memory_dot_max": "5000\n", "a__memory_dot_current": "4000\n"}, 1000),
        (
            "0::/\n",
            {"memory_dot_max": "5000", "memory_dot_current": "4000", "memory_dot_stat": "anon 1\ninactive_file 300\n"},
            1300,
        ),
        (
            "5:cpu:/x\n4:memory:/docker/1\n",
            {f"memory__docker__1__memory_dot_{what}_in_bytes": n for what, n in (("limit", "900"), ("usage", "1"))},
            899,
        ),
    ],
    ids=["no group", "no limit", "of a parent", "files are dropped", "version 1"],
)
def test_the_nearest_limit_counts(tmp_path, lines, files, expected):
    assert fake(tmp_path, lines, **files) == expected


def test_what_a_batch_needs_is_its_feature_maps():
    assert room.needed_bytes(696, (70, 70, 70), 2) == 4 * 696 * 70**3 * 2
    assert room.check_room(696, (70, 70, 70), 1, 2e9)
    assert not room.check_room(696, (70, 70, 70), 3, 2e9)
    error = room.refuse(696, (40, 40, 40), 50 << 20)
    assert isinstance(error, UserError) and "170 MiB, 50 MiB are left" in str(error)
    assert Path(room._PROC).exists() or np.isinf(room.room_at_hand())
