"""300 malformed inputs: a sentence, exit code 1, no partial output."""

from __future__ import annotations

import gzip
import json
import random
import shutil
import zipfile

import numpy as np
import pytest
from infer_helpers import infer, write_pair, write_tiny_model

from mdcsrn_tf.cli.export import main as export_main
from mdcsrn_tf.models.files import CARD_MEMBER


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    folder = tmp_path_factory.mktemp("good")
    model = write_tiny_model(folder / "tiny.keras", tile=24)
    return model, write_pair(folder, shape=(20, 16, 12))[1]


def expect_a_sentence(capsys, out, *flags, name=""):
    out.mkdir(exist_ok=True)
    code = infer(f"--output={out}/sr.nii.gz", *flags)
    told = capsys.readouterr().err
    assert code == 1, (flags, told)
    sentences = [line for line in told.splitlines() if "error: " in line]
    assert len(sentences) == 1 and "Traceback" not in told, told
    assert name in told, told
    assert not list(out.iterdir()), "something was left behind"


def damaged(raw: bytes, rng: random.Random) -> bytes:
    """A NIfTI file with its end cut off, its header overwritten in a way that counts, or mere noise."""
    kind = rng.randrange(4)
    if kind == 0:
        return raw[: rng.randrange(0, len(raw) - 1)]
    if kind == 1:
        return rng.randbytes(rng.randrange(0, 5000))
    changed = bytearray(raw)
    if kind == 2:  # size of the header, dimensions, data type: each alone makes the file unreadable
        start, value = rng.choice(
            [
                (0, b"\x07\0\0\0"),
                (40, b"\x09\0"),
                (42, b"\xff\xff"),
                (44, b"\0\0"),
                (70, b"\x99\x09"),
                (70, b"\x80\0"),
                (42, b"\xff\x7f"),
            ]
        )
        changed[start : start + len(value)] = value
        return bytes(changed)
    place = 352 + 4 * rng.randrange((len(raw) - 352) // 4)
    changed[place : place + 4] = np.float32(rng.choice([np.inf, -np.inf])).tobytes()
    return bytes(changed)


@pytest.mark.parametrize("seed", range(26))
def test_260_damaged_scans(good, tmp_path, capsys, seed):
    model, scan = good
    raw = gzip.decompress(scan.read_bytes())
    rng = random.Random(seed)
    for number in range(10):
        zipped = rng.random() < 0.5
        content = damaged(raw, rng)
        path = tmp_path / f"bad{number}.nii{'.gz' if zipped else ''}"
        path.write_bytes(gzip.compress(content, 1) if zipped else content)
        expect_a_sentence(capsys, tmp_path / "out", f"--input={path}", f"--model={model}", name=path.name)


FLAGS = [
    ("--axes=LR,XY",),
    ("--axes=", "--factor=x"),
    ("--axes=LR,LR",),
    ("--axes=7",),
    ("--axes=LR,AP,IS,LR",),
    ("--factor=2,2,2",),
    ("--factor=0",),
    ("--factor=-1,2",),
    ("--factor=two",),
    ("--factor=2,,2",),
    ("--tile=0",),
    ("--tile=6",),
    ("--tile=-70",),
    ("--tile=seventy",),
    ("--margin=-1",),
    ("--margin=12",),
    ("--seamless", "--bn=batch"),
    ("--seamless", "--margin=1"),
    ("--seamless", "--tile=9"),
    ("--bn=group",),
    ("--grid=large",),
    ("--batch_tiles=0",),
    ("--precision=float8",),
    ("--engine=torch",),
    ("--dtype=int16",),
    ("--series=1.2.3",),
    ("--no_such_flag",),
    ("--device=tpu",),
    ("extra",),
]


@pytest.mark.parametrize("flags", FLAGS, ids=" ".join)
def test_wrong_flags(good, tmp_path, capsys, flags):
    model, scan = good
    expect_a_sentence(capsys, tmp_path / "out", f"--input={scan}", f"--model={model}", *flags)


def _not_a_model(path):
    path.write_text("hello")


def _foreign_zip(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata.json", "{}")


def _rewritten(path, model, change):
    with zipfile.ZipFile(model) as old, zipfile.ZipFile(path, "w") as new:
        for item in old.namelist():
            content = change(item, old.read(item))
            if content is not None:
                new.writestr(item, content)


MODELS = {
    "text": lambda path, model: _not_a_model(path),
    "foreign zip": lambda path, model: _foreign_zip(path),
    "cut": lambda path, model: path.write_bytes(model.read_bytes()[:-2000]),
    "empty": lambda path, model: path.write_bytes(b""),
    "no card": lambda path, model: _rewritten(path, model, lambda n, c: None if n == CARD_MEMBER else c),
    "card is no JSON": lambda path, model: _rewritten(path, model, lambda n, c: b"{" if n == CARD_MEMBER else c),
    "card is a list": lambda path, model: _rewritten(path, model, lambda n, c: b"[]" if n == CARD_MEMBER else c),
    "no weights": lambda path, model: _rewritten(path, model, lambda n, c: None if "weights" in n else c),
    "broken weights": lambda path, model: _rewritten(path, model, lambda n, c: c[:500] if "weights" in n else c),
    "broken config": lambda path, model: _rewritten(path, model, lambda n, c: b"{}" if n == "config.json" else c),
    "empty folder": lambda path, model: path.mkdir(),
    "missing": lambda path, model: None,
}


@pytest.mark.parametrize("kind", MODELS)
def test_wrong_models(good, tmp_path, capsys, kind):
    model, scan = good
    MODELS[kind](tmp_path / "bad.keras", model)
    expect_a_sentence(capsys, tmp_path / "out", f"--input={scan}", f"--model={tmp_path}/bad.keras", name="bad.keras")


@pytest.fixture(scope="module")
def exported(good, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported") / "model"
    assert export_main([f"--model={good[0]}", f"--output={folder}"]) == 0
    return folder


@pytest.mark.parametrize("kind", ["no metadata", "bad metadata", "half metadata", "no graph", "cut graph", "other bn"])
@pytest.mark.parametrize("engine", ["tensorflow", "openvino"])
def test_wrong_saved_models(good, exported, tmp_path, capsys, kind, engine):
    folder = tmp_path / "bad"
    shutil.copytree(exported, folder)
    metadata = folder / "assets.extra" / "mdcsrn.json"
    flags = [f"--engine={engine}"]
    if kind == "no metadata":
        metadata.unlink()
    elif kind == "bad metadata":
        metadata.write_text("{")
    elif kind == "half metadata":
        metadata.write_text(json.dumps({"versions": {}}))
    elif kind == "no graph":
        (folder / "saved_model.pb").unlink()
    elif kind == "cut graph":
        (folder / "saved_model.pb").write_bytes((folder / "saved_model.pb").read_bytes()[:5000])
    else:
        flags += ["--bn=moving"]
    expect_a_sentence(capsys, tmp_path / "out", f"--input={good[1]}", f"--model={folder}", *flags, name="bad")


def test_outputs_that_cannot_be(good, tmp_path, capsys):
    model, scan = good
    (tmp_path / "file").write_text("in the way")
    for output in (tmp_path / "file" / "sr.nii.gz", tmp_path / "file", scan):
        assert infer(f"--input={scan}", f"--output={output}", f"--model={model}") == 1
        assert capsys.readouterr().err.count("error: ") == 1
    assert (tmp_path / "file").read_text() == "in the way"
    for flags in ([f"--input={scan}"], [f"--output={tmp_path}/x.nii.gz"], [f"--input={tmp_path}/none.nii.gz"]):
        assert infer(*flags) == 1
        assert capsys.readouterr().err.count("error: ") == 1
    assert infer(f"--input={scan.parent}", f"--output={tmp_path}/one.nii.gz", f"--model={model}") == 1
    assert "name a folder" in capsys.readouterr().err


def test_an_existing_result_is_kept(good, tmp_path, capsys):
    model, scan = good
    (tmp_path / "sr.nii.gz").write_text("precious")
    assert infer(f"--input={scan}", f"--output={tmp_path}/sr.nii.gz", f"--model={model}") == 1
    assert "--overwrite" in capsys.readouterr().err
    assert (tmp_path / "sr.nii.gz").read_text() == "precious"
