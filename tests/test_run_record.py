import json
import platform
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mdcsrn_tf import __version__
from mdcsrn_tf.run_record import RunRecord, plain, write_json


@dataclass(frozen=True)
class Inner:
    rate: float
    axes: tuple


def test_a_record_says_what_ran_where_and_what_came_of_it(tmp_path):
    record = RunRecord.begin(
        {"preset": Inner(1e-4, ("LR", "AP"))}, {"manifest_sha256": "ab"}, ["train.py", "--steps=3"]
    )
    record.results["psnr"] = np.float32(31.5)
    record.write(tmp_path / "deep" / "run.json")

    written = json.loads((tmp_path / "deep" / "run.json").read_text())
    assert written["command"] == ["train.py", "--steps=3"]
    assert written["config"] == {"preset": {"rate": 1e-4, "axes": ["LR", "AP"]}}
    assert written["data"] == {"manifest_sha256": "ab"}
    assert written["results"] == {"psnr": 31.5}
    assert written["versions"]["python"] == platform.python_version()
    assert written["versions"]["mdcsrn_tf"] == __version__
    assert written["versions"]["numpy"] == np.__version__
    assert written["device"]["cores"] >= 1
    assert written["wall_seconds"] >= 0
    assert written["started"].endswith("+00:00")


def test_nan_becomes_null_and_odd_values_become_text(tmp_path):
    values = {"a": float("nan"), "b": np.array([1, 2]), "c": Path("x/y"), "d": True, "e": {3, 1}}
    assert plain(values) == {"a": None, "b": [1, 2], "c": "x/y", "d": True, "e": [1, 3]}


def test_a_record_for_publication_names_no_folder(tmp_path):
    command = ["/home/me/train.py", "--data=/home/me/shards", "--models=a,/home/me/b.keras,../c.keras", "--steps=2"]
    record = RunRecord.begin(data={"folder": "/home/me/shards"}, command=command)
    record.write(tmp_path / "run.json", folders_kept=False)
    written = json.loads((tmp_path / "run.json").read_text())
    assert written["command"] == ["train.py", "--data=shards", "--models=a,b.keras,c.keras", "--steps=2"]
    assert written["data"] == {"folder": "shards"}


def test_a_failed_write_keeps_the_old_record(tmp_path, monkeypatch):
    path = tmp_path / "run.json"
    write_json(path, {"old": 1})

    def full_disk(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full_disk)
    try:
        write_json(path, {"new": 1})
    except OSError as error:
        assert error.errno == 28
    else:
        raise AssertionError("the error was swallowed")
    assert json.loads(path.read_text()) == {"old": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["run.json"]
