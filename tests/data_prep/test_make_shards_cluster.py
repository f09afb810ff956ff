"""The same shards from a real Dask scheduler with two worker processes on loopback, one killed during the run."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from shard_helpers import REPOSITORY, contents, shards_command, start, write_scans

from data_prep import make_shards


def wait_for(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def cluster(tmp_path):
    """Address of a scheduler, and its two worker processes."""
    file = tmp_path / "scheduler.json"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": REPOSITORY}
    dask = [sys.executable, "-m", "dask"]
    processes = [
        subprocess.Popen(
            [*dask, "scheduler", "--host=127.0.0.1", "--port=0", "--no-dashboard", f"--scheduler-file={file}"], **quiet
        )
    ]
    try:
        worker = [
            *dask,
            "worker",
            f"--scheduler-file={file}",
            "--nthreads=1",
            "--no-nanny",
            "--no-dashboard",
            f"--local-directory={tmp_path / 'dask'}",
        ]
        wait_for(file.exists)
        processes += [subprocess.Popen(worker, **quiet) for _ in range(2)]
        yield json.loads(file.read_text())["address"], processes[1:]
    finally:
        for process in processes:
            process.kill()
            process.wait()


def test_a_cluster_that_loses_a_worker_makes_the_same_shards(cluster, tmp_path):
    address, workers = cluster
    scans = write_scans(tmp_path / "scans", 12, size=56)
    settings = {"patch": 24, "epochs_of_patches": 30}
    assert make_shards.main(shards_command(scans, tmp_path / "local", **settings)) == 0
    output = tmp_path / "shards"
    run = start([*shards_command(scans, output, **settings), f"--cluster={address}"])
    wait_for(lambda: run.poll() is not None or any(output.glob(".progress/scan-*.json")))
    os.kill(workers[0].pid, signal.SIGKILL)
    assert not (output / "manifest.json").exists(), "the run was over before a worker could be killed"
    _, errors = run.communicate(timeout=120)
    assert run.returncode == 0, errors
    assert workers[1].poll() is None
    assert contents(output) == contents(tmp_path / "local")
