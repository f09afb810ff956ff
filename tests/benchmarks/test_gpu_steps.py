"""The table of docs/gpu.md and the commands of the GPU timings, without a GPU."""

import sys
import time

import pytest

from benchmarks import gpu_steps, pages
from benchmarks.gpu_cases import CASES, TINY


def record(**changes):
    row = {
        "case": "l1-6",
        "jax": {"rounds": [0.011, 0.01, 0.013], "bytes": 2_450_000_000},
        "torch": {"rounds": [0.02, 0.03, 0.022], "bytes": 3e9, "form": "compiled, channels_last_3d"},
    }
    return {
        "started": "2026-01-02T03:04",
        "versions": {"jax": "1", "torch": "2"},
        "device": {"gpus": ["a card"]},
        "config": {"rounds": 3},
        "results": {"rows": [row | changes]},
    }


def test_a_row_is_of_medians():
    line = gpu_steps.section(record()).splitlines()[-1]
    assert line == (
        "| L1 step, journal/b4u4k12, 6 of 40^3 | 11.0 | 22.0 | 0.50 | 2.5 | 3.0 | compiled, channels_last_3d |"
    )


def test_an_engine_that_failed_has_no_time():
    line = gpu_steps.section(record(case="volume", torch={"rounds": [], "error": "out of memory"})).splitlines()[-1]
    assert line == ("| volume of 320 x 320 x 256, journal/b4u4k12, tiles of 70^3 | 11.0 |  |  | 2.5 | 0.0 |  |")


def test_what_was_not_timed_is_named_and_what_was_not_compiled_too():
    nothing = {"rounds": [], "error": "no answer in time"}
    assert gpu_steps.section(record(torch=nothing, jax=nothing)).splitlines()[-1] == (
        "Not timed, as the time was up: L1 step, journal/b4u4k12, 6 of 40^3."
    )
    eager = {"rounds": [0.02], "form": "eager", "failed": {"compiled, channels_last_3d": "TimeoutError"}}
    assert "| eager (not compiled in time) |" in gpu_steps.section(record(torch=eager))


def test_the_page_holds_the_section_of_the_committed_record():
    page = gpu_steps.PAGE.read_text(encoding="utf-8")
    assert gpu_steps.with_section(page, gpu_steps.section(pages.read(gpu_steps.RECORD))) == page


def test_the_section_takes_the_place_of_the_last_one():
    page = gpu_steps.with_section(gpu_steps.PAGE.read_text(encoding="utf-8"), "one")
    again = gpu_steps.with_section(page, "another")
    assert page.replace("\none\n", "\nanother\n") == again and again.count("another") == 1
    assert all(again.count(marker) == 1 for marker in gpu_steps.MARKERS)


def test_each_case_has_a_tiny_one_of_the_same_kind():
    for name, case in CASES.items():
        assert (TINY[name].kind, TINY[name].preset) == (case.kind, case.preset)
        if case.kind == "volume":
            for one in (case, TINY[name]):
                cores = [size / (one.patch - 2 * one.margin) for size in one.shape]
                assert all(core.is_integer() for core in cores)


CHILD = """
import sys, time
from benchmarks.gpu_cases import obey, say
say(command="prepare", case="a", version="1")
obey({"settle": lambda case: {"seconds": 1}, "time": lambda case, n: {"seconds": 1 / (n - 2)}, "drop": time.sleep})
"""


def test_what_a_worker_cannot_do_is_said_and_the_next_command_is_heard():
    worker = gpu_steps.Worker([sys.executable, "-c", CHILD])
    end = time.monotonic() + 20
    assert worker.ask(end, "settle", "a") == {"seconds": 1} and worker.prepared == {"a": {"version": "1"}}
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        worker.ask(end, "time", "a", 2)
    assert worker.ask(end, "time", "a", 3) == {"seconds": 1}
    worker.stop()
    with pytest.raises((RuntimeError, OSError)):
        worker.ask(end, "time", "a", 3)
