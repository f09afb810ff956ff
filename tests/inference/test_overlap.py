"""Reading, computing and writing beside one another: what overlaps, what does not, and whose mistake it was."""

import logging
import threading
import warnings
import weakref

import pytest

from mdcsrn_tf.inference import overlap
from mdcsrn_tf.inference.overlap import has_ample_room, overlapped
from mdcsrn_tf.scans.volume import quiet_libraries


class Meeting:
    """Three stages that note what they do; `b` is read, and `a` written, only while the other is computed."""

    def __init__(self):
        self.done, self.failed = [], []
        self.reading_b, self.computing_b = threading.Event(), threading.Event()
        self.spoiled = set()

    def read(self, item):
        if item == "b":
            self.reading_b.set()
        return self._stage("read", item)

    def compute(self, item, scan):
        assert scan == f"read {item}"
        if item == "a":
            assert self.reading_b.wait(10), "b is not read ahead"
        else:
            self.computing_b.set()  # or c, where b cannot be read
        self._stage("compute", item)
        return lambda: self.write(item)

    def write(self, item):
        if item == "a":
            assert self.computing_b.wait(10), "a is not written while b is computed"
        self._stage("write", item)

    def _stage(self, what, item):
        if f"{what} {item}" in self.spoiled:
            raise ValueError(f"{what} {item}")
        self.done.append(f"{what} {item}")
        return self.done[-1]

    def run(self, items="abc", room=True):
        note = lambda item, error: self.failed.append((item, str(error)))  # noqa: E731
        overlapped(items, self.read, self.compute, note, has_room=lambda scan: room)
        return self


def test_the_next_is_read_and_the_last_is_written_while_one_is_computed():
    meeting = Meeting().run()
    assert not meeting.failed and len(meeting.done) == 9
    order = {stage: place for place, stage in enumerate(meeting.done)}
    for one, other in ("ab", "bc"):
        assert all(order[f"{stage} {one}"] < order[f"{stage} {other}"] for stage in ("read", "compute", "write"))
    assert order["write a"] < order["write b"] and order["write a"] < order["compute c"] + 2


@pytest.mark.parametrize("stage", ["read", "compute", "write"])
def test_a_mistake_is_its_own_scans_and_stops_no_other(stage):
    meeting = Meeting()
    meeting.spoiled = {f"{stage} b"}
    meeting.run()
    assert meeting.failed == [("b", f"{stage} b")]
    assert [item for item in "abc" if f"write {item}" in meeting.done] == ["a", "c"]


def test_where_there_is_little_room_one_thing_is_done_after_the_other():
    meeting = Meeting()
    meeting.reading_b.set()
    meeting.computing_b.set()
    meeting.run("ab", room=False)
    assert meeting.done == ["read a", "compute a", "write a", "read b", "compute b", "write b"]


@pytest.mark.parametrize("fails", [False, True])
def test_where_there_is_little_room_a_scan_is_let_go_before_the_next_is_read(fails):
    alive, errors = [], []

    class Scan:
        def write(self):
            if fails:
                raise ValueError("the disk is full")

    def read(item):
        assert not [scan for scan in alive if scan()], f"{item} is read while another is held"
        scan = Scan()
        alive.append(weakref.ref(scan))
        return scan

    overlapped("abc", read, lambda item, scan: scan.write, lambda *one: errors.append(str(one[1])), lambda scan: False)
    assert len(alive) == 3 and errors == ["the disk is full"] * 3 * fails


@pytest.mark.parametrize(
    ("gib", "scan_mib", "ample"), [(3.9, 1, False), (4.1, 1, True), (9.9, 512, False), (10.1, 512, True)]
)
def test_room_is_asked_for_by_the_size_of_the_scan(monkeypatch, gib, scan_mib, ample):
    monkeypatch.setattr(overlap, "room_at_hand", lambda: gib * 2**30)
    assert has_ample_room(scan_mib * 2**20) is ample


def test_when_the_run_is_over_nothing_is_left_half_done():
    meeting = Meeting()
    meeting.spoiled = {"compute b"}

    def refuse(item, error):
        raise error

    with pytest.raises(ValueError, match="compute b"):
        overlapped("abc", meeting.read, meeting.compute, refuse, has_room=lambda scan: True)
    assert "write a" in meeting.done and "compute c" not in meeting.done


def test_a_result_that_could_not_be_written_is_told_though_the_next_scan_ends_the_run():
    meeting, told = Meeting(), []
    meeting.spoiled = {"write a", "compute b"}

    def refuse(item, error):
        told.append(str(error))
        if item == "b":
            raise error

    with pytest.raises(ValueError, match="compute b"):
        overlapped("abc", meeting.read, meeting.compute, refuse, has_room=lambda scan: True)
    assert told == ["compute b", "write a"]


def test_a_key_that_interrupts_is_answered_before_the_read_in_flight_is_done():
    reading, told = threading.Event(), threading.Event()

    def read(item):
        if item == "b":
            reading.set()
            assert told.wait(10), "the user hears nothing while b is read"

    def compute(item, scan):
        assert reading.wait(10)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        overlapped("ab", read, compute, lambda *one: pytest.fail(str(one)), lambda scan: True, told.set)
    told.clear()
    with pytest.raises(KeyboardInterrupt):  # nothing is in flight, nothing is said
        overlapped("b", lambda item: reading, compute, lambda *one: None, lambda scan: True, told.set)
    assert not told.is_set()


def test_what_the_user_is_warned_of_is_as_before_when_the_run_is_over():
    silent, mixed, loud = (threading.Event() for _ in range(3))

    def read(item):
        if item == "b":
            with quiet_libraries():
                silent.set()
                assert mixed.wait(10)
            loud.set()

    def compute(item, scan):
        if item == "a":
            assert silent.wait(10)
            with warnings.catch_warnings():  # as libraries do; it keeps the reader's silence for what was before
                mixed.set()
                assert loud.wait(10)

    before = list(warnings.filters)
    overlapped("ab", read, compute, lambda item, error: pytest.fail(f"{item}: {error}"), lambda scan: True)
    assert warnings.filters == before


def test_silence_lasts_until_the_last_thread_has_left():
    logger, inside, leave = logging.getLogger("pydicom"), threading.Event(), threading.Event()

    def other():
        with quiet_libraries():
            inside.set()
            leave.wait(10)

    before = list(warnings.filters)
    thread = threading.Thread(target=other)
    with quiet_libraries():
        thread.start()
        assert inside.wait(10)
    assert logger.disabled
    leave.set()
    thread.join()
    assert not logger.disabled and warnings.filters == before
