"""Five hundred damaged scans: one sentence naming the file and exit code 1, never a traceback."""

import gzip
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from data_prep import degrade
from mdcsrn_tf.errors import UserError
from mdcsrn_tf.scans.volumes import read_volume

SHAPE = (9, 8, 7)


def sound(dtype=np.int16):
    values = np.random.default_rng(0).integers(0, 200, SHAPE).astype(dtype)
    return nib.Nifti1Image(values, np.diag([1.0, 2.0, 3.0, 1.0]))


def sound_bytes(compressed):
    raw = sound().to_bytes()
    return gzip.compress(raw, mtime=0) if compressed else raw


def truncated(rng, compressed):
    raw = sound_bytes(compressed)
    return raw[: rng.integers(1, len(raw))]


def bit_flipped(rng, compressed):
    raw = bytearray(sound_bytes(True))
    raw[rng.integers(12, len(raw))] ^= 1 << rng.integers(8)  # the gzip header's first bytes mean little
    return bytes(raw)


def wrong_magic(rng, compressed):
    raw = bytearray(sound().to_bytes())
    raw[:4] = rng.integers(0, 256, 4, dtype=np.uint8).tobytes()
    return gzip.compress(bytes(raw)) if compressed else bytes(raw)


def text(rng, compressed):
    return ("subject\tage\n" * int(rng.integers(1, 200))).encode()


def empty(rng, compressed):
    return gzip.compress(b"") if compressed and rng.random() < 0.5 else b""


def of_array(data):
    return lambda compressed: gzip.compress(data.to_bytes()) if compressed else data.to_bytes()


def image(values):
    return nib.Nifti1Image(values, np.eye(4))


def bad_voxel(rng, compressed):
    values = sound(np.float32).get_fdata(dtype=np.float32)
    values.flat[rng.integers(values.size)] = rng.choice([np.nan, np.inf, -np.inf])
    return of_array(image(values))(compressed)


def constant(rng, compressed):
    return of_array(image(np.full(SHAPE, rng.normal(), np.float32)))(compressed)


def wrong_dimensions(rng, compressed):
    shape = [(9, 8), (9,), (9, 8, 7, 2), (3, 4, 5, 1, 3), (3, 4, 5, 2, 2, 2)][rng.integers(5)]
    return of_array(image(rng.normal(size=shape).astype(np.float32)))(compressed)


def no_voxels(rng, compressed):
    at = 42 + 2 * int(rng.integers(3))
    raw = bytearray(sound().to_bytes())
    raw[at : at + 2] = np.int16(rng.choice([0, -3])).tobytes()
    return gzip.compress(bytes(raw)) if compressed else bytes(raw)


def wrong_type(rng, compressed):
    kind = [np.complex64, [("R", "u1"), ("G", "u1"), ("B", "u1")]][rng.integers(2)]
    values = np.zeros(SHAPE, kind)
    return of_array(nib.Nifti1Image(values, np.eye(4)))(compressed)


def bad_affine(rng, compressed):
    scan = sound()
    scan.header["srow_x"] = rng.choice([np.nan, 0.0, np.inf])
    scan.header["sform_code"], scan.header["qform_code"] = 1, 0
    raw = scan.header.binaryblock + bytes(4) + scan.get_fdata().astype(np.int16).tobytes("F")
    return gzip.compress(raw) if compressed else raw


KINDS = [
    truncated,
    bit_flipped,
    wrong_magic,
    text,
    empty,
    bad_voxel,
    constant,
    wrong_dimensions,
    no_voxels,
    wrong_type,
    bad_affine,
]


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_files_are_named_in_one_sentence(kind, tmp_path, capsys):
    for number in range(500 // len(KINDS) + 1):
        rng = np.random.default_rng(number)
        compressed = kind is bit_flipped or number % 2 == 1
        path = tmp_path / f"scan{number}.nii{'.gz' if compressed else ''}"
        path.write_bytes(kind(rng, compressed))
        out = tmp_path / "out.nii"
        code = degrade.main([f"--input={path}", f"--output={out}"])
        lines = capsys.readouterr().err.splitlines()
        assert code == 1 and not out.exists(), (number, lines)
        assert len(lines) == 1 and lines[0].startswith("mdcsrn-degrade: error: ") and str(path) in lines[0]


def test_any_flipped_bit_of_a_plain_file_is_refused_or_read_without_a_traceback(tmp_path):
    raw = sound_bytes(False)
    path = tmp_path / "scan.nii"
    for bit in range(0, 352 * 8, 5):  # the whole header
        flipped = bytearray(raw)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        try:
            volume = read_volume(path)
        except UserError as error:
            assert str(path) in str(error)
        else:
            assert volume.data.ndim == 3 and np.isfinite(volume.data).all()


@pytest.mark.parametrize("name", ["scan.mgz", "scan.mgh", "scan.nii.gz"])
def test_truncated_files_of_each_format(name, tmp_path):
    image = nib.MGHImage(np.arange(504, dtype=np.int16).reshape(SHAPE), np.eye(4))
    nib.save(image if "mg" in name else sound(), tmp_path / name)
    raw = (tmp_path / name).read_bytes()
    for length in range(0, len(raw), max(1, len(raw) // 40)):
        (tmp_path / name).write_bytes(raw[:length])
        if "mgh" in name and length > 284 + 2 * 504:
            continue  # only MGH's optional tags are missing
        with pytest.raises(UserError, match=name.replace(".", r"\.")):
            read_volume(tmp_path / name)


def test_the_real_command_prints_no_traceback(tmp_path):
    (tmp_path / "scans").mkdir()
    (tmp_path / "scans" / "bad.nii.gz").write_bytes(sound_bytes(True)[:200])
    (tmp_path / "scans" / "good.nii.gz").write_bytes(sound_bytes(True))
    command = [
        sys.executable,
        "-m",
        "data_prep.degrade",
        f"--input={tmp_path / 'scans'}",
        f"--output={tmp_path / 'out'}",
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2], check=False)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert done.stderr.count("bad.nii.gz") == 1 and "1 of 2 scans written" in done.stderr
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["degraded.json", "good.nii.gz"]
