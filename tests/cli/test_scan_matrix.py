"""One scan as a lab may have it: whatever its orientation, interpolation, grid, type and container, one result.

Every row is a real crop degraded 2x2 along LR and AP and stored in some way; the command is told nothing of it. The
results agree with that of the plain sinc version to within what storing it lost.
"""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from infer_helpers import infer, write_tiny_model
from nibabel.orientations import apply_orientation, axcodes2ornt, inv_ornt_aff, io_orientation, ornt_transform

from mdcsrn_tf.scans import kspace
from mdcsrn_tf.scans.axes import to_ras

CROP = nib.load(Path(__file__).parents[1] / "golden" / "real_crop.nii.gz")
# Towards the ends of LR and AP it fades, as a head in air does: a piece cut out of a head has no ends that meet.
FADE = np.minimum(1, np.hanning(130)[::2][:64] * 20).astype(np.float32)
DATA = CROP.get_fdata(dtype=np.float32) * FADE[:, np.newaxis, np.newaxis] * FADE[:, np.newaxis]
SMALL = kspace.acquire(DATA, (2, 2), (0, 1))

FRAME = ((7, 4), (0, 9), (3, 3))  # planes of zeros before and behind

ROWS = [  # orientation, interpolation, type, container, least agreement in dB
    ("RAS", "linear", np.float32, ".nii.gz", 55),
    ("LAS", "linear", np.uint8, ".nii", 45),
    ("SLA", "linear", np.int16, ".mgz", 45),
    ("RAS", "cubic", np.uint8, ".nii.gz", 45),
    ("PIR", "cubic", np.float32, ".hdr", 55),
    ("RAS", "nearest", np.uint8, ".nii.gz", 45),
    ("RAS", "sinc", np.uint8, ".nii.gz", 45),
    ("IPL", "sinc", np.float32, ".mgz", 55),
    # Turned over after it was measured, a small matrix has its first sample at the other end: another grid, no error.
    ("RAS", "small", np.float32, ".nii.gz", 55),
    ("ASR", "small", np.uint8, ".mgz", 45),
]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    return write_tiny_model(folder / "tiny.keras", tile=70, interpolation="sinc", bn="moving")


def stored(orientation, method, dtype, container, folder):
    """The crop's version on disk."""
    affine = CROP.affine
    if method == "small":
        data, affine = SMALL, kspace.small_affine(CROP.affine, (2, 2), (0, 1))
    else:
        data = kspace.interpolate(SMALL, DATA.shape, (2, 2), (0, 1), method)
    turn = ornt_transform(io_orientation(affine), axcodes2ornt(orientation))
    turned, affine = apply_orientation(data, turn), affine @ inv_ornt_aff(turn, data.shape)
    turned = turned if dtype is np.float32 else np.rint(np.clip(turned, 0, 255))
    kind = {".mgz": nib.MGHImage, ".hdr": nib.Nifti1Pair}.get(container, nib.Nifti1Image)
    path = folder / f"scan{container}"
    nib.save(kind(turned.astype(dtype), affine), path)
    return path


@pytest.fixture(scope="module")
def expected(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("expected")
    scan = stored("RAS", "sinc", np.float32, ".nii.gz", folder)
    assert infer(f"--input={scan}", f"--output={folder}/sr.nii.gz", f"--model={model}", "--quiet") == 0
    return nib.load(folder / "sr.nii.gz").get_fdata(dtype=np.float32)


@pytest.mark.parametrize(("orientation", "method", "dtype", "container", "least"), ROWS)
def test_one_result_whatever_the_scan_came_as(model, expected, tmp_path, orientation, method, dtype, container, least):
    scan = stored(orientation, method, dtype, container, tmp_path)
    assert infer(f"--input={scan}", f"--output={tmp_path}/sr.nii.gz", f"--model={model}", "--quiet") == 0
    result = nib.load(tmp_path / "sr.nii.gz")
    straight, affine = to_ras(result.get_fdata(dtype=np.float32), result.affine)
    np.testing.assert_allclose(affine, CROP.affine, atol=1e-4)
    error = np.sqrt(np.mean((straight - expected)[3:-3, 3:-3] ** 2))  # the ends have rules of their own
    assert 20 * np.log10(expected.max() / max(error, 1e-9)) > least


def test_neither_crops_nor_frames_of_zeros_hide_what_was_done(model, tmp_path, capsys):
    linear = kspace.interpolate(SMALL, DATA.shape, (2, 2), (0, 1), "linear")
    for name, data in (("crop", linear[3:-5, 2:-1]), ("pad", np.pad(linear, FRAME)), ("plain", linear)):
        nib.save(nib.Nifti1Image(data, CROP.affine), tmp_path / f"{name}.nii.gz")
        flags = (f"--input={tmp_path}/{name}.nii.gz", f"--output={tmp_path}/{name}_sr.nii.gz", f"--model={model}")
        assert infer(*flags) == 0
        said = capsys.readouterr().err
        assert "linearly interpolated 2x along LR and AP: taken back" in said
        assert ("in a frame of zeros" in said) is (name == "pad")
    pad, plain = (nib.load(tmp_path / f"{name}_sr.nii.gz") for name in ("pad", "plain"))
    np.testing.assert_array_equal(pad.get_fdata(), np.pad(plain.get_fdata(), FRAME))
    np.testing.assert_array_equal(pad.affine, CROP.affine)


def test_a_frame_around_a_small_matrix_grows_with_it_and_a_picture_is_drawn_of_what_is_inside(model, tmp_path, capsys):
    affine = kspace.small_affine(CROP.affine, (2, 2), (0, 1))
    four = np.stack([np.pad(SMALL, FRAME), np.pad(2 * SMALL, FRAME)], axis=-1)
    nib.save(nib.Nifti1Image(four, affine), tmp_path / "pad.nii.gz")
    nib.save(nib.Nifti1Image(SMALL, affine), tmp_path / "plain.nii.gz")
    for name in ("pad", "plain"):
        flags = (f"--input={tmp_path}/{name}.nii.gz", f"--output={tmp_path}/{name}_sr.nii.gz", f"--model={model}")
        assert infer(*flags, "--quiet") == 0
    assert (
        infer(f"--input={tmp_path}/pad.nii.gz", f"--output={tmp_path}/pad_sr.nii.gz", f"--model={model}", "--qc") == 0
    )
    pad, plain = (nib.load(tmp_path / f"{name}_sr.nii.gz") for name in ("pad", "plain"))
    wide = [(2 * before, 2 * behind) for before, behind in FRAME[:2]] + [FRAME[2]]
    np.testing.assert_array_equal(pad.get_fdata()[..., 0], np.pad(plain.get_fdata(), wide))
    np.testing.assert_allclose(pad.affine, CROP.affine, atol=1e-6)
    assert (tmp_path / "pad_sr_qc.png").is_file()
