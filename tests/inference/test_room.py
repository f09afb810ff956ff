"""Memory at hand, read before any is asked for: real address-space limits, and a container's by its files.

And a run over many scans needs no more of it than a run over a few.
"""

import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from infer_helpers import ROOT, write_tiny_model

from mdcsrn_tf.errors import UserError
from mdcsrn_tf.inference import room
from mdcsrn_tf.inference.slice_room import smaller
from mdcsrn_tf.inference.slices import SliceTiling
from mdcsrn_tf.models import build_generator
from mdcsrn_tf.models.sizes import live_channels
from mdcsrn_tf.papers.networks2d import Dcsrn2dConfig, Unet2dConfig

PROGRAM = """
import resource, sys
from pathlib import Path
import numpy as np
from mdcsrn_tf.chatter import load_tensorflow_quietly
load_tensorflow_quietly(own_process=True)  # as the command does
from mdcsrn_tf.errors import UserError
from mdcsrn_tf.inference import room
from mdcsrn_tf.inference.engines import load_engine
from mdcsrn_tf.inference.export import export
from mdcsrn_tf.inference.memory import keep_freed_memory
from mdcsrn_tf.inference.settings import Settings
from mdcsrn_tf.inference.volume import run
from mdcsrn_tf.models import build_generator
from mdcsrn_tf.models.files import ModelCard, save_model
from mdcsrn_tf.models.forest import Forest, save_forest
from mdcsrn_tf.papers.networks2d import Dcsrn2dConfig, Unet2dConfig
keep_freed_memory()  # as the command does: each further arena of malloc takes 64 MiB of addresses

def within(size, *asked):
    limit = resource.getrlimit(resource.RLIMIT_AS)
    used = room._kib(room._PROC / "self" / "status", "VmSize")
    resource.setrlimit(resource.RLIMIT_AS, (int(used + size), limit[1]))
    try:
        return run(*asked)
    except UserError as error:
        return error
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limit)

def many(folder):
    engine, rng = load_engine(folder / "batch.keras", Settings()), np.random.default_rng(0)
    resident = []
    for number in range(20):
        shape = (20 + number, 42 - number, 23 + number % 7)
        run(engine, rng.standard_normal(shape).astype(np.float32), Settings(tile=24))
        resident.append(room._kib(room._PROC / "self" / "status", "VmRSS"))
    print("grew by", round((resident[-1] - resident[3]) / 2**20), "MiB")

def volumes(folder):
    export(folder / "tiny.keras", folder / "tiny")
    low_res = np.random.default_rng(0).standard_normal((60, 60, 60)).astype(np.float32)
    for name, path in (("keras", "tiny.keras"), ("saved", "tiny"), ("openvino", "tiny")):
        engine = load_engine(folder / path, Settings(engine="openvino" if name == "openvino" else "tensorflow"))
        whole = run(engine, low_res, Settings(tile=24, seamless=True))
        found = within(150 << 20, engine, low_res, Settings(tile=160, seamless=True, batch_tiles=2))
        same = np.abs(found.data - whole.data).max() < 1e-3
        print(name, "fitted", found.tile < 160 and len(found.fallback_tiles) > 0 and same)
        print(name, "refused", within(2 << 20, engine, low_res, Settings(tile=40, seamless=True)))

def slices(folder):
    card = ModelCard("slices", "0", "linear", planes=("axial",), tile=0, margin=0, bn="moving")
    for name, config in (("chain", Dcsrn2dConfig(48, 1, 48)), ("unet", Unet2dConfig(64, 2))):
        save_model(folder / f"{name}.keras", build_generator(config), card)
    export(folder / "chain.keras", folder / "chain")
    children = [np.array(numbers, np.int32) for numbers in ((1, 1, 2), (2, 1, 2))]
    leaves = np.arange(3.0), np.zeros(1, np.int32)
    save_forest(folder / "forest.npz", Forest(*children, np.full(3, 7, np.int8), np.zeros(3, np.float32), *leaves),
                card.to_json())
    low_res = np.random.default_rng(0).standard_normal((512, 400, 2)).astype(np.float32)
    for name in ("chain.keras", "chain", "forest.npz", "unet.keras"):
        engine = load_engine(folder / name, Settings())
        run(engine, low_res[:64, :64], Settings())
        for_a_half = room.needed_bytes(engine.feature_channels, (512, 200), 1) / 0.9 + engine.overhead
        found = within(for_a_half, engine, low_res, Settings(batch_tiles=2))
        if isinstance(found, UserError):
            print(name, "refused", found)
        else:
            same = np.abs(found.data - run(engine, low_res, Settings()).data).max() < 1e-5
            print(name, found.tile, found.fallback_tiles[0], same)

many(Path(sys.argv[1]))
slices(Path(sys.argv[1]))
volumes(Path(sys.argv[1]))
"""


@pytest.fixture(scope="module")
def lines(tmp_path_factory):
    """What the program says, which limits its own address space: a shortage would end this one."""
    folder = tmp_path_factory.mktemp("room")
    write_tiny_model(folder / "tiny.keras", bn="moving")
    write_tiny_model(folder / "batch.keras")
    environment = {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}
    options = {"cwd": ROOT, "env": {**os.environ, **environment}}
    command = [sys.executable, "-c", PROGRAM, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, **options)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.splitlines()


def test_twenty_scans_of_differing_shapes_need_no_more_than_four(lines):
    grown = re.fullmatch(r"grew by (-?\d+) MiB", lines[0])
    assert grown and int(grown[1]) < 25


def test_under_an_address_space_limit_smaller_tiles_are_taken_and_the_result_is_the_same(lines):
    assert lines[5::2] == [f"{name} fitted True" for name in ("keras", "saved", "openvino")]
    for name, line in zip(("keras", "saved", "openvino"), lines[6::2], strict=True):
        assert line.startswith(f"{name} refused The memory does not suffice: tiles of")


def test_whole_slices_that_do_not_fit_are_cut_where_that_gives_the_same_and_else_refused(lines):
    sizes = {"chain.keras": 288, "chain": 288, "forest.npz": 216}
    assert lines[1:4] == [f"{name} ({side}, {side}, 1) (512, 400, 1) True" for name, side in sizes.items()]
    assert lines[4].startswith("unet.keras refused The memory does not suffice for slices: 512 x 400 pixels at a time")


def test_a_tile_of_slices_shrinks_by_what_its_network_can_take():
    cut = SliceTiling(tile=96, crop=8, stride=40, merge="mean", multiple=32)
    engine = SimpleNamespace(bn="batch", radius=None, feature_channels=10, card=SimpleNamespace(preset="unet"))
    found = smaller(engine, cut, (200, 200, 9), [2])
    assert (found.tile, found.crop, found.stride) == (64, 8, 40)
    assert smaller(engine, found, (200, 200, 9), [2]).stride == 16
    with pytest.raises(UserError, match="for unet: 32 x 32 pixels at a time are too many; free memory"):
        smaller(engine, replace(cut, tile=32), (200, 200, 9), [2])


def test_the_fullest_moment_of_a_network_on_slices():
    # conv 8 -> norm 8 -> ELU 8 -> conv 8 -> concat 16: held while it runs are 16 read and 16 written, both thrice;
    # the output's normalisation then holds 16 in and 16 out, thrice each.
    assert live_channels(build_generator(Dcsrn2dConfig(8, 1, 8))) == 3 * (16 + 16)
    # At full size: 4 channels after the stem of stride 2 are one channel's worth.
    assert live_channels(build_generator(Unet2dConfig(filters=4, levels=1))) >= 3


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
