"""The fast part of two benchmarks: malformed files for every reader, and kill -9 with a repeat."""

import time

import pytest

from benchmarks import kill_kinds, kills, malformed
from mdcsrn_tf.errors import UserError


@pytest.mark.parametrize("name", [name for name in malformed.READERS if name != "models"])
def test_malformed_files_are_refused_in_a_sentence(name, tmp_path):
    reader = malformed.READERS[name]
    found = malformed.trials(name, 30, 1, tmp_path, lambda path: malformed.attempt(reader, path))
    assert found["what_failed"] == []
    assert found["refused"] >= 3


def test_the_benchmark_notices_what_it_looks_for(tmp_path):
    path = tmp_path / "folder" / "file"

    def read(what):
        def raising(_path):
            raise what

        return malformed.Reader(lambda _: [], raising)

    for error, expected in (
        (UserError(f"{path} is bad."), "refused"),
        (UserError("Something is bad."), "named no file"),
        (ZeroDivisionError("oh"), "ended with -1"),
    ):
        assert malformed.verdict(malformed.attempt(read(error), path), path, 1 << 30).startswith(expected)
    hungry = malformed.Reader(lambda _: [], lambda _: bytes(8 << 20))
    assert malformed.verdict(malformed.attempt(hungry, path), path, 4 << 20) == "took 8 MiB"


def test_a_killed_evaluation_repeated_is_an_undisturbed_one(tmp_path):
    kill_kinds.prepare(tmp_path / "inputs", {"eval"})
    kind = kill_kinds.kinds(tmp_path / "inputs")["eval"]
    whole = kills.Undisturbed(kind, tmp_path / "whole").left
    output = tmp_path / "killed"

    def until_the_first_subject_is_measured(process):
        while process.exitcode is None and not any(output.glob("subjects/*.json")):
            time.sleep(0.005)

    found = kills.kill_and_repeat(kind, output, until_the_first_subject_is_measured, whole)
    assert found == {"killed": True, "differing": [], "litter": [], "half": []}
    assert len(whole) >= 8
