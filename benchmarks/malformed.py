"""Malformed files for every reader: one sentence, exit code 1, no traceback, at most twice the honest file's memory.

    python benchmarks/malformed.py [--count=2000] [--readers=volumes,dicom,...] [--seed=0] [--output=FILE]

Honest files are cut, overwritten, shifted, doubled; header fields become extreme; texts lose their types; what is
compressed or archived is changed inside and packed again with the right checksums. Each reader runs in a process of its
own, so that a crash or a hang is noticed and named. Writes benchmarks/results/malformed.json; ends with 1 on a failure.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import importlib
import io
import json
import multiprocessing
import os
import re
import struct
import sys
import tempfile
import tracemalloc
import zipfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from mdcsrn_tf.command_line import run_command
from mdcsrn_tf.run_record import RunRecord

RESULTS = Path(__file__).parent / "results" / "malformed.json"
_NAME = "mdcsrn-malformed"
_SECONDS = 300.0
_SLACK = 4 << 20  # bytes: imports and caches of the first reading
_EXTREMES = (b"\0" * 8, b"\xff" * 8, struct.pack("<d", float("nan")), struct.pack("<f", 1e30) * 2,
             struct.pack("<q", 2**62), struct.pack("<h", -1) * 4, struct.pack("<h", 0x7FFF) * 4)  # fmt: skip
_TOKENS = ("null", "-1", "1e309", "[]", "{}", '"x"', "true", "0", "99999999999", "")
_HEADER = 540  # bytes of the longest header: NIfTI-2's


@dataclass(frozen=True)
class Reader:
    """How honest inputs of a kind are made, which of their files is spoilt, and what reads them."""

    make: Callable[[Path], list[Path]]  # in a folder: the files that may be spoilt, alternatives of each other or parts
    read: Callable[[Path], Any]  # of the file that was spoilt
    modules: tuple[str, ...] = ()  # what is so slow to import that it should not be watched


def _make_volumes(folder: Path) -> list[Path]:
    import nibabel as nib

    data = np.random.default_rng(0).integers(0, 900, (12, 14, 10)).astype(np.int16)
    images = {"a.nii": nib.Nifti1Image, "b.nii.gz": nib.Nifti1Image, "c.nii": nib.Nifti2Image, "d.mgz": nib.MGHImage}
    for name, kind in images.items():
        nib.save(kind(data, np.diag([1.0, 1.1, 0.9, 1.0])), folder / name)
    return [folder / name for name in images]


def _read_volume(path: Path) -> None:
    from mdcsrn_tf.scans.volumes import read_volume

    read_volume(path)


def _make_dicom(folder: Path) -> list[Path]:
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

    series = generate_uid()
    for k in range(3):
        meta = FileMetaDataset()
        meta.TransferSyntaxUID, meta.MediaStorageSOPClassUID = ExplicitVRLittleEndian, MRImageStorage
        meta.MediaStorageSOPInstanceUID = generate_uid()
        scan = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
        scan.SOPClassUID, scan.SOPInstanceUID, scan.SeriesInstanceUID = MRImageStorage, generate_uid(), series
        scan.Rows, scan.Columns, scan.PixelSpacing = 12, 10, [1.0, 1.2]
        scan.ImageOrientationPatient, scan.ImagePositionPatient = [1, 0, 0, 0, 1, 0], [0, 0, 2.5 * k]
        scan.SamplesPerPixel, scan.PhotometricInterpretation = 1, "MONOCHROME2"
        scan.BitsAllocated, scan.BitsStored, scan.HighBit, scan.PixelRepresentation = 16, 16, 15, 1
        scan.RescaleSlope, scan.RescaleIntercept = 2.0, 1.0
        scan.PixelData = np.random.default_rng(k).integers(0, 900, (12, 10)).astype(np.int16).tobytes()
        scan.save_as(folder / f"{k}.dcm", enforce_file_format=True)
    return [folder / "1.dcm"]


def _read_dicom(path: Path) -> None:
    _read_volume(path.parent)


def _make_shards(folder: Path) -> list[Path]:
    from data_prep.make_shards import main

    _make_volumes(folder)
    output = folder / "shards"
    with contextlib.redirect_stderr(io.StringIO()):
        code = main([f"--input={folder}", f"--output={output}", "--patch=8", "--patches_per_subject=2",
                     "--split=0.5,0.5", "--workers=1", "--quiet"])  # fmt: skip
    if code:
        raise SystemExit("no shards could be made")
    return sorted((folder / "shards").rglob("*.tfrecord"))


def _read_shards(path: Path) -> None:
    from mdcsrn_tf.shards.dataset import read_manifest
    from mdcsrn_tf.shards.records import read_record

    folder = path.parent if path.name == "manifest.json" else path.parents[1]
    for shards in read_manifest(folder).splits.values():
        for shard in shards:
            for index in range(shard.pairs):
                read_record(shard.path, index, shard.record_bytes)


def _make_manifest(folder: Path) -> list[Path]:
    return [_make_shards(folder)[0].parents[1] / "manifest.json"]


def _make_checkpoint(folder: Path) -> list[Path]:
    from mdcsrn_tf.training.checkpoints import CheckpointFolder

    arrays = {"generator/0000/kernel": np.ones((3, 3, 3, 1, 4), np.float32), "step": np.array(7)}
    meta = {"settings": {"seed": 0}, "progress": {"step": 7}}
    return [CheckpointFolder(folder, 1).save(7, arrays, meta)]


def _read_checkpoint(path: Path) -> None:
    from mdcsrn_tf.training.checkpoints import load_checkpoint

    load_checkpoint(path)


def _make_model(folder: Path) -> list[Path]:
    import shutil

    from mdcsrn_tf.weights import find_model

    shutil.copy(find_model("fsrcnn3d-350"), folder / "net.keras")
    return [folder / "net.keras"]


def _read_card(path: Path) -> None:
    from mdcsrn_tf.models.archive import check_archive
    from mdcsrn_tf.models.files import read_card

    read_card(path)
    check_archive(path)


def _read_model(path: Path) -> None:
    from mdcsrn_tf.models.files import load_model

    load_model(path)


def _make_niqe(folder: Path) -> list[Path]:
    import scipy.io

    from mdcsrn_tf.metrics.niqe_files import load_niqe_model, save_niqe_model

    model = load_niqe_model()
    save_niqe_model(folder / "a.npz", model)
    scipy.io.savemat(folder / "b.mat", {"mu_prisparam": model.mean, "cov_prisparam": model.covariance})
    values = {"mean": model.mean.tolist(), "covariance": model.covariance.ravel().tolist(), "block": 96}
    (folder / "c.json").write_text(json.dumps(values))
    numbers = {name: ", ".join(map(str, np.ravel(values[name]))) for name in ("mean", "covariance")}
    (folder / "d.yml").write_text("%YAML:1.0\n" + "".join(
        f"{name}: !!opencv-matrix\n   rows: 1\n   dt: d\n   data: [ {text} ]\n" for name, text in numbers.items()
    ))  # fmt: skip
    (folder / "e.xml").write_text("<?xml version='1.0'?><opencv_storage>" + "".join(
        f"<{name} type_id='opencv-matrix'><data>{text.replace(',', ' ')}</data></{name}>"
        for name, text in numbers.items()
    ) + "</opencv_storage>")  # fmt: skip
    return [folder / name for name in ("a.npz", "b.mat", "c.json", "d.yml", "e.xml")]


def _read_niqe(path: Path) -> None:
    from mdcsrn_tf.metrics.niqe_files import load_niqe_model

    load_niqe_model(path)


READERS = {
    "volumes": Reader(_make_volumes, _read_volume),
    "dicom": Reader(_make_dicom, _read_dicom),
    "shards": Reader(_make_shards, _read_shards),
    "manifest": Reader(_make_manifest, _read_shards),
    "checkpoints": Reader(_make_checkpoint, _read_checkpoint),
    "cards": Reader(_make_model, _read_card),
    "models": Reader(_make_model, _read_model, ("keras",)),
    "niqe": Reader(_make_niqe, _read_niqe),
}


def spoil(raw: bytes, name: str, rng: np.random.Generator) -> bytes:
    """Another content for the file of that name, not the same as `raw`."""
    inside = rng.random() < 0.5
    if inside and raw[:2] == b"\x1f\x8b":
        spoilt = gzip.compress(spoil(gzip.decompress(raw), name.removesuffix(".gz"), rng), 1)
    elif inside and raw[:2] == b"PK":
        spoilt = _spoil_member(raw, rng)
    elif inside and name.endswith((".json", ".yml", ".xml")):
        tokens = re.split(r"([\s,:\[\]{}<>]+)", raw.decode())
        tokens[2 * int(rng.integers(0, (len(tokens) + 1) // 2))] = str(rng.choice(_TOKENS))
        spoilt = "".join(tokens).encode()
    else:
        spoilt = _spoil_bytes(raw, rng)
    return spoilt if spoilt != raw else raw[:-1]


def _spoil_member(raw: bytes, rng: np.random.Generator) -> bytes:
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = str(rng.choice(sorted(members)))
    members[name] = spoil(members[name], name, rng)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for member, content in members.items():
            archive.writestr(zipfile.ZipInfo(member), content)
    return packed.getvalue()


def _spoil_bytes(raw: bytes, rng: np.random.Generator) -> bytes:
    """Cut, overwrite, shift or double some bytes, or set a field of the header to an extreme."""
    start, length = int(rng.integers(0, max(len(raw), 1))), int(2 ** rng.uniform(0, 8))
    end = min(start + length, len(raw))
    if rng.random() < 0.4:
        field = 2 * int(rng.integers(0, max(min(len(raw), _HEADER) // 2, 1)))
        value, width = _EXTREMES[int(rng.integers(len(_EXTREMES)))], int(rng.choice([2, 4, 8]))
        return raw[:field] + value[:width] + raw[field + width :]
    ways = (
        lambda: raw[:start],
        lambda: raw[:start] + rng.bytes(end - start) + raw[end:],
        lambda: raw[:start] + bytes(end - start) + raw[end:],
        lambda: raw[:start] + rng.bytes(length) + raw[start:],
        lambda: raw[:start] + raw[end:],
        lambda: raw[:end] + raw[start:],
    )
    return ways[int(rng.integers(len(ways)))]()


def attempt(reader: Reader, path: Path) -> dict[str, Any]:
    """Read the file as a command would: exit code, what was printed, and the peak of the memory that Python sees."""
    errors = io.StringIO()
    tracemalloc.start()
    try:
        with contextlib.redirect_stderr(errors), contextlib.redirect_stdout(io.StringIO()):
            code = run_command(_NAME, "", lambda values: None, lambda values: reader.read(path), [])
    except Exception as error:
        code, _ = -1, errors.write(f"{type(error).__name__}: {error}")
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    return {"code": code, "said": errors.getvalue(), "peak": peak}


def verdict(outcome: dict[str, Any], path: Path, limit: int) -> str:
    """`refused` and `harmless` are right; anything else says what is wrong."""
    lines = outcome["said"].splitlines()
    if outcome["peak"] > limit:
        return f"took {outcome['peak'] >> 20} MiB"
    if outcome["code"] == 0:
        return "harmless" if not lines else f"said {lines[0][:200]}"
    if outcome["code"] != 1 or len(lines) != 1 or not lines[0].startswith(f"{_NAME}: error: "):
        return f"ended with {outcome['code']}: {outcome['said'][-300:]}"
    named = any(str(place) in lines[0] for place in (path, path.parent, path.parents[1]))
    return "refused" if named else f"named no file: {lines[0][:200]}"


def trials(name: str, count: int, seed: int, folder: Path, ask: Callable[[Path], dict[str, Any]]) -> dict[str, Any]:
    """`count` malformed files of one kind; `ask` reads one."""
    files = READERS[name].make(folder)
    honest, limits = {path: path.read_bytes() for path in files}, {}
    for path in files:
        first = max(ask(path)["peak"], ask(path)["peak"])
        limits[path] = 2 * first + _SLACK
    rng, failures = np.random.default_rng([seed, sum(name.encode())]), []
    found: Counter = Counter()
    for number in range(count):
        path = files[number % len(files)]
        spoilt = spoil(honest[path], path.name, rng)
        path.write_bytes(spoilt)
        result = verdict(ask(path), path, limits[path])
        found[result if result in ("refused", "harmless") else "failures"] += 1
        if result not in ("refused", "harmless"):
            failures.append({"number": number, "file": path.name, "what": result})
        path.write_bytes(honest[path])
    return {"cases": count, **found, "what_failed": failures}


def _serve(connection: Any, name: str) -> None:
    for module in READERS[name].modules:
        importlib.import_module(module)
    while True:
        connection.send(attempt(READERS[name], Path(connection.recv())))


class Child:
    """A process that reads files of one kind, and is replaced when one of them kills it or holds it up."""

    def __init__(self, name: str):
        self.name = name
        self._start()

    def _start(self) -> None:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, self.name), daemon=True)
        self.process.start()
        theirs.close()

    def ask(self, path: Path) -> dict[str, Any]:
        """What came of reading the file."""
        try:
            self.connection.send(str(path))
            if self.connection.poll(_SECONDS):
                return self.connection.recv()
            said = f"hung for {_SECONDS} s"
        except (EOFError, OSError):
            said = "crashed"
        self.close()
        self._start()
        return {"code": -1, "said": said, "peak": 0}

    def close(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.join()
        self.connection.close()


def main(argv: list[str] | None = None) -> int:
    """Try all readers; write the record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=2000, help="malformed files in all")
    parser.add_argument("--readers", default=",".join(READERS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=RESULTS)
    arguments = parser.parse_args(argv)
    names = arguments.readers.split(",")
    record = RunRecord.begin({"count": arguments.count, "readers": names, "seed": arguments.seed})
    for name in names:
        child = Child(name)
        with tempfile.TemporaryDirectory() as folder:
            share = -(-arguments.count // len(names))
            record.results[name] = trials(name, share, arguments.seed, Path(folder), child.ask)
        child.close()
        print(name, record.results[name], flush=True)
    record.write(arguments.output, folders_kept=False)
    return 1 if any(found["what_failed"] for found in record.results.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
