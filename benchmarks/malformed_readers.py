"""What benchmarks/malformed.py spoils: honest files of every kind, and what reads each."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import malformed_scans


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
        code = main(
            [
                f"--input={folder}",
                f"--output={output}",
                "--patch=8",
                "--patches_per_subject=2",
                "--split=0.5,0.5",
                "--workers=1",
                "--quiet",
            ]
        )
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
    from mdcsrn_tf.weights import find_model

    shutil.copy(find_model("fsrcnn3d"), folder / "net.keras")
    return [folder / "net.keras"]


def _read_card(path: Path) -> None:
    from mdcsrn_tf.models.archive import check_archive
    from mdcsrn_tf.models.files import read_card

    read_card(path)
    check_archive(path)


def _read_graph(path: Path) -> None:
    from mdcsrn_tf.models.graph_of_file import load_graph

    load_graph(path)


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
    (folder / "d.yml").write_text(
        "%YAML:1.0\n"
        + "".join(
            f"{name}: !!opencv-matrix\n   rows: 1\n   dt: d\n   data: [ {text} ]\n" for name, text in numbers.items()
        )
    )
    (folder / "e.xml").write_text(
        "<?xml version='1.0'?><opencv_storage>"
        + "".join(
            f"<{name} type_id='opencv-matrix'><data>{text.replace(',', ' ')}</data></{name}>"
            for name, text in numbers.items()
        )
        + "</opencv_storage>"
    )
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
    "graphs": Reader(_make_model, _read_graph, ("h5py", "mdcsrn_tf.models.graph_of_file")),
    "models": Reader(_make_model, _read_model, ("keras",)),
    "scans": Reader(malformed_scans.make_scans, malformed_scans.super_resolve_scan, malformed_scans.MODULES),
    "niqe": Reader(_make_niqe, _read_niqe, ("scipy.io", "mdcsrn_tf.metrics.niqe_files")),
}
