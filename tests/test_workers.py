"""Worker processes: gone with their parent, and a sentence where the system has no shared memory for them."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from data_prep.workers import run_local
from mdcsrn_tf import workers
from mdcsrn_tf.errors import UserError
from mdcsrn_tf.evaluation.workers import run_all

PARENT = """
import os, signal, time
from mdcsrn_tf.evaluation.workers import run_all
if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # what starts tests may ignore it
    print(*[done for _, done in run_all(str, [1, 2], workers=2)], flush=True)
    for _ in run_all(time.sleep, [60, 60], workers=2):
        pass
"""


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_workers_of_an_evaluation_end_with_their_killed_parent(tmp_path):
    (tmp_path / "parent.py").write_text(PARENT)
    process = subprocess.Popen(
        [sys.executable, tmp_path / "parent.py"],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
    )
    assert sorted(process.stdout.readline().split()) == ["1", "2"]
    children, pids, ends = Path(f"/proc/{process.pid}/task/{process.pid}/children"), [], time.monotonic() + 60
    while len(pids) < 3 and time.monotonic() < ends:  # two workers, and multiprocessing's resource tracker
        time.sleep(0.1)
        pids = children.read_text().split()
    time.sleep(2)  # they have to have come so far as to look after their parent
    process.send_signal(signal.SIGKILL)
    process.wait()
    while any(map(alive, pids)) and time.monotonic() < ends:
        time.sleep(0.05)
    assert len(pids) >= 3 and not any(map(alive, pids))


def test_ctrl_c_ends_the_jobs_that_run_and_begins_none_that_wait(tmp_path):
    (tmp_path / "parent.py").write_text(PARENT.replace("[60, 60]", "[20] * 5"))
    process = subprocess.Popen(
        [sys.executable, tmp_path / "parent.py"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        start_new_session=True,
    )
    assert sorted(process.stdout.readline().split()) == ["1", "2"]
    time.sleep(4)  # the workers of the second call begin their jobs
    os.killpg(process.pid, signal.SIGINT)
    began = time.monotonic()
    _, said = process.communicate(timeout=100)
    assert time.monotonic() - began < 15  # of 60 seconds of jobs
    assert said.count("Traceback") == 1  # the parent's own: no worker had anything to say


@pytest.mark.parametrize("run", [run_local, run_all])
def test_without_shared_memory_the_way_round_is_named(monkeypatch, run):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(workers, "ProcessPoolExecutor", refuse)
    with pytest.raises(UserError, match=r"shared memory .*Permission denied.*/dev/shm.*--workers=1"):
        list(run(str, [1, 2], 2))


@pytest.mark.parametrize("run", [run_local, run_all])
def test_what_waits_is_not_begun_where_the_caller_fails(monkeypatch, run):
    monkeypatch.setattr(workers, "ProcessPoolExecutor", lambda count, **_: ThreadPoolExecutor(count))
    begun = []

    def work(number):
        begun.append(number)
        time.sleep(0.1)

    done = run(work, range(9), 2)
    next(done)
    done.close()  # as when what a job found cannot be written
    assert len(begun) < 9
