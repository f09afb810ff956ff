"""More than one replica: the same first steps, and a worker that comes back after a kill."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import train_worker
from shard_helpers import phantom_shards

from mdcsrn_tf.training.checkpoints import CheckpointFolder

HERE = Path(__file__).parents[1]
STEPS = {"l1": 6, "gan": 9}
WEIGHTS = {"l1": 18, "gan": 18 + 10}  # arrays, of the generator and of the critic
RATES = ("learning_rate=0.001", "gan.learning_rate=0.001")


# TensorFlow is loaded as the command loads it, which takes less time.
WORKER = """
import sys
from mdcsrn_tf.chatter import load_tensorflow_quietly
load_tensorflow_quietly(own_process=True)
import train_worker
train_worker.main(*sys.argv[1:])
"""


def run_worker(strategy, workdir, cluster=None, index=0):
    arguments = [sys.executable, "-c", WORKER, strategy, str(workdir), *RATES]
    return subprocess.Popen(
        arguments, env=environment(cluster, index), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def environment(cluster, index):
    here = {key: value for key, value in os.environ.items() if key != "TF_CONFIG"}
    here |= {"PYTHONPATH": str(HERE), "TF_CPP_MIN_LOG_LEVEL": "2"}
    if cluster:
        task = {"type": "worker", "index": index}
        here["TF_CONFIG"] = json.dumps({"cluster": {"worker": cluster}, "task": task})
    return here


def addresses(count=2):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    found = [f"127.0.0.1:{one.getsockname()[1]}" for one in sockets]
    for one in sockets:
        one.close()
    return found


def last(workdir, phase):
    return CheckpointFolder(workdir / "checkpoints" / phase, 9).latest()


def assert_alike(workdir, other):
    for phase, steps in STEPS.items():
        one, two = last(workdir, phase), last(other, phase)
        assert list(one.arrays) == list(two.arrays)
        weights = [name for name in one.arrays if name.startswith(("generator/", "critic/"))]
        assert len(weights) == WEIGHTS[phase]
        for name in weights:
            np.testing.assert_allclose(one.arrays[name], two.arrays[name], atol=1e-4, err_msg=f"{phase} {name}")
        assert one.meta["progress"]["step"] == two.meta["progress"]["step"] == steps


@pytest.fixture(scope="module")
def single(tmp_path_factory):
    """Both phases by batches of 6 on one device."""
    workdir = tmp_path_factory.mktemp("single")
    train_worker.main("single", workdir, *RATES)
    return workdir


def finish(process):
    output, _ = process.communicate(timeout=240)
    assert process.returncode == 0, output
    return output


def test_two_devices_of_batch_3_take_the_steps_of_one_of_6(single, tmp_path):
    assert finish(run_worker("mirrored", tmp_path)).strip().endswith("2 replicas")
    assert_alike(single, tmp_path)


def test_two_processes_of_batch_3_take_the_steps_of_one_of_6(single, tmp_path):
    cluster = addresses()
    workers = [run_worker("multiworker", tmp_path, cluster, index) for index in range(2)]
    outputs = [finish(worker) for worker in workers]
    assert all(output.strip().endswith("2 replicas") for output in outputs)
    # Only the chief writes.
    assert ["validation" in output for output in outputs] == [True, False]
    assert_alike(single, tmp_path)


def test_a_killed_worker_rejoins_and_a_polite_stop_of_one_stops_both(tmp_path):
    shards = phantom_shards(tmp_path / "shards", "--phantoms=3", "--split=2,1,0,0")
    command = [
        sys.executable,
        str(HERE.parent / "train.py"),
        f"--data={shards}",
        f"--workdir={tmp_path / 'run'}",
        "--preset=fsrcnn3d",
        "--recipe=quick",
        "--phase=l1",
        "--steps=100000",
        "--batch_size=2",
        "--set=patch_size=12",
        "--strategy=multiworker",
        "--set=run.checkpoint_every=10",
        "--set=run.keep_checkpoints=1000",  # those that are waited for may be seen late
        "--set=run.log_every=5",
        "--set=run.picture_every=0",
    ]
    cluster = addresses()

    def start(index):
        return subprocess.Popen(
            command, env=environment(cluster, index), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    checkpoints = tmp_path / "run" / "checkpoints" / "l1"
    chief, other = start(0), start(1)
    wait_for(checkpoints / "step-000000010.npz", chief)
    other.kill()
    other.communicate()
    at_kill = last(tmp_path / "run", "l1").meta["progress"]["step"]
    other = start(1)
    wait_for(checkpoints / f"step-{at_kill + 20:09d}.npz", other)
    other.terminate()
    outputs = [process.communicate(timeout=120)[0] for process in (chief, other)]
    assert (chief.returncode, other.returncode) == (0, 0), outputs
    assert "a worker was lost" in outputs[0]
    step = last(tmp_path / "run", "l1").meta["progress"]["step"]
    assert all(f"stopped by SIGTERM after step {step} of 100000" in output for output in outputs)
    rows = (tmp_path / "run" / "metrics.csv").read_text().splitlines()
    steps = [int(row.split(",")[1]) for row in rows if ",train," in row]
    assert steps == list(range(5, step + 1, 5))


def wait_for(path, process):
    ends = time.monotonic() + 300
    while not path.exists():
        if process.poll() is not None or time.monotonic() > ends:
            process.kill()
            pytest.fail(f"no {path}: {process.communicate()[0]}")
        time.sleep(0.05)


WAITING = """
import sys
from mdcsrn_tf.training.stop_request import end_when_stuck
end_when_stuck(patience=1.0)
from mdcsrn_tf.chatter import load_tensorflow_quietly
load_tensorflow_quietly(own_process=True)
import tensorflow as tf
print("waiting", flush=True)
tf.distribute.MultiWorkerMirroredStrategy()
"""


def test_a_worker_that_waits_for_its_peers_heeds_sigterm():
    process = subprocess.Popen(
        [sys.executable, "-c", WAITING],
        cwd=HERE.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment(addresses(), 0) | {"PYTHONPATH": str(HERE.parent)},
    )
    assert process.stdout.readline() == "waiting\n"
    time.sleep(3)
    process.terminate()
    assert process.wait(60) == -9  # without the helper it waits for ever
    assert "SIGTERM came while waiting for other workers" in process.stdout.read()


def test_a_signal_that_was_held_back_is_fetched():
    code = (
        "import os, signal; from mdcsrn_tf.training.stop_request import StopRequest, end_when_stuck\n"
        "end_when_stuck()\n"
        "with StopRequest() as stop:\n"
        "    stop.fetch(); assert stop.signal is None\n"
        "    os.kill(os.getpid(), signal.SIGTERM); stop.fetch(); assert stop.signal == signal.SIGTERM\n"
        "    stop.signal = None; stop.fetch(); assert stop.signal is None"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=HERE.parent, timeout=60)
