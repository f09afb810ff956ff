"""The bundled default network on real crops in every form: none comes out worse than sinc, or is refused in a sentence.

Every row is a crop degraded 2x2 along LR and AP and stored in some way; the command is told nothing of it, and goes
over all of them in one run, by OpenVINO, which is done sooner. Every pair of crop, way of interpolation, field of view
and type occurs.
"""

from __future__ import annotations

import contextlib
import io
import itertools
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from infer_helpers import infer
from nibabel.orientations import apply_orientation, axcodes2ornt, inv_ornt_aff, io_orientation, ornt_transform

from data_prep.dicom_phantom import SeriesTags, write_series
from mdcsrn_tf.scans import kspace
from mdcsrn_tf.scans.axes import to_ras
from mdcsrn_tf.scans.head import head_mask
from mdcsrn_tf.scans.slice_profile import SliceProfile

GOLDEN = Path(__file__).parents[1] / "golden"
CROPS = {"t1w": "real_crop", "t2w": "real_crop_t2w", "flair": "real_crop_flair", "head": "real_crop_head"}
EDGE = 42  # voxels: one tile each
MARGIN = 8  # around the truth, for results that begin outside it
# Where each field of view is judged. Samples beyond a cut are lost, so next to it only what was zero-filled before.
ALL = slice(None)
JUDGED = {
    "whole": (ALL, ALL, ALL),
    "cut": (slice(6, -7), slice(4, -4), ALL),
    "pad": (slice(8, -8), slice(8, -8), slice(0, -8)),
    "sinc": (slice(6, -6), slice(6, -6), slice(0, -8)),  # all that the cut and the padded crop have in common
}
TILE = EDGE + 6

# Blocks of equal voxels do not say which of theirs was measured, so nearest is not turned over; a warning says it.
ROWS = [  # crop, interpolation, field of view, type, orientation, container
    ("t1w", "sinc", "whole", "uint8", "RAS", ".nii.gz"),
    ("t1w", "linear", "cut", "int16", "LAS", "dicom"),
    ("t1w", "cubic", "pad", "float32", "PIR", ".mgz"),
    ("t1w", "nearest", "whole", "float32", "SRA", ".hdr"),
    ("t1w", "small", "cut", "uint16", "ASR", ".nii"),
    ("t2w", "sinc", "cut", "float32", "IPL", ".hdr"),
    ("t2w", "linear", "pad", "uint8", "RAS", "nifti2"),
    ("t2w", "cubic", "whole", "int16", "LPS", "dicom"),
    ("t2w", "nearest", "cut", "uint16", "RAS", ".nii.gz"),
    ("t2w", "small", "pad", "int16", "SRA", ".mgz"),
    ("flair", "sinc", "pad", "uint16", "SLA", ".nii.gz"),
    ("flair", "linear", "whole", "float32", "ASR", "4d"),
    ("flair", "cubic", "cut", "uint8", "LAS", ".nii"),
    ("flair", "nearest", "pad", "int16", "ASR", ".mgz"),
    ("flair", "small", "whole", "uint8", "LPS", ".hdr"),
    ("head", "sinc", "whole", "int16", "LPS", "dicom"),
    ("head", "linear", "whole", "uint16", "PIR", ".nii.gz"),
    ("head", "cubic", "pad", "uint16", "RAS", ".nii"),
    ("head", "nearest", "cut", "uint8", "RSA", ".mgz"),
    ("head", "small", "whole", "float32", "IPL", "nifti2"),
]
# Crops that the card does not cover, and what is said of them: file name, axes, factors, voxels' size times.
OUTSIDE = {
    "four_times": ((0, 1), (4, 4), 1.0, "x, and the network was trained for 2x"),
    "large_voxels": ((0, 1), (2, 2), 2.6, "voxels are 2.6x2.6x2.6 mm"),
    "sub-1_PDw": ((0, 1), (2, 2), 1.0, "its name says PDw"),
    "full_resolution": ((), (), 1.0, "seems to be of full resolution"),
}


def truth_of(crop):
    """A crop and its affine."""
    image = nib.load(GOLDEN / f"{CROPS[crop]}.nii.gz")
    image = image.slicer[:EDGE, :EDGE, :EDGE]
    return image.get_fdata(dtype=np.float32), image.affine


def degraded(truth, affine, method):
    """What a scanner and whoever interpolated made of it, and where that lies."""
    small = kspace.acquire(truth, (2, 2), (0, 1))
    if method == "small":
        return small, kspace.small_affine(affine, (2, 2), (0, 1))
    return kspace.interpolate(small, truth.shape, (2, 2), (0, 1), method), affine


def seen(data, affine, view, step):
    """Another field of view, in voxels that are `step` of the truth's in the plane."""
    if view == "whole":
        return data, affine
    odd = 0 if step == 2 else 1  # samples of a small matrix stay where they are
    first = np.array([(4 - odd) // step, 2 // step, 0])
    last = np.array(data.shape) - [(4 + odd) // step, (2 - odd) // step, 2]
    if view == "pad":
        first, last = (np.array([edge // step, edge // step, depth]) for edge, depth in ((6, 0), (EDGE - 6, EDGE - 8)))
    data = data[tuple(map(slice, first, last))]
    moved = affine.copy()
    if view == "pad":
        before = np.array([4 // step, 2 // step, 2])
        data = np.pad(data, [(b, a) for b, a in zip(before, (2 // step, 4 // step, 3), strict=True)])
        first = first - before
    moved[:3, 3] = affine[:3, :3] @ first + affine[:3, 3]
    return data, moved


def store(data, affine, orientation, dtype, container, stem):
    """The file on disk, and by how much its numbers are the crop's."""
    turn = ornt_transform(io_orientation(affine), axcodes2ornt(orientation))
    affine = affine @ inv_ornt_aff(turn, data.shape)
    largest = {"uint8": 255.0, "uint16": 60000.0, "int16": 900.0, "float32": 1.0}[dtype]
    scale = largest / data.max()
    turned = apply_orientation(data, turn) * scale
    turned = turned if dtype == "float32" else np.rint(np.clip(turned, 0, None))
    turned = np.ascontiguousarray(turned.astype(dtype))
    if container == "dicom":
        write_series(stem, turned, affine, SeriesTags())
        return scale
    if container == "4d":
        turned, container = np.stack([turned, turned], axis=3), ".nii.gz"
    kinds = {".mgz": nib.MGHImage, ".hdr": nib.Nifti1Pair, "nifti2": nib.Nifti2Image}
    kind = kinds.get(container, nib.Nifti1Image)
    nib.save(kind(turned, affine), f"{stem}{'.nii' if container == 'nifti2' else container}")
    return scale


def thick_slices():
    """The T1w crop as touching slices of 3 mm, and where they lie."""
    truth, affine = truth_of("t1w")
    slices = kspace.acquire(truth, (3,), (2,), slices=SliceProfile("box", 3.0))
    return slices, kspace.small_affine(affine, (3,), (2,))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """All rows in one folder, super-resolved by one command: the folder of the results, scales, what was said."""
    folder = tmp_path_factory.mktemp("matrix")
    (folder / "scans").mkdir()
    scales = []
    for number, (crop, method, view, dtype, orientation, container) in enumerate(ROWS):
        data, affine = seen(*degraded(*truth_of(crop), method), view, 2 if method == "small" else 1)
        scales.append(store(data, affine, orientation, dtype, container, folder / "scans" / f"{number:02d}"))
    for name, (axes, factors, size, _) in OUTSIDE.items():
        truth, affine = truth_of("t2w")
        truth = truth[:40, :40]  # a multiple of either factor
        data = kspace.degrade(truth, factors, axes, "sinc") if axes else truth
        store(data, affine * [size, size, size, 1], "RAS", "float32", ".nii.gz", folder / "scans" / name)
    store(*thick_slices(), "RAS", "float32", ".nii.gz", folder / "scans" / "thick")
    truth, affine = truth_of("t2w")
    three_axes = kspace.degrade(truth, (2, 2, 2), (0, 1, 2), "sinc")
    store(three_axes, affine, "PIR", "float32", ".nii.gz", folder / "scans" / "three_axes")
    linear = kspace.degrade(truth, (3, 3), (0, 1), "linear")
    store(linear, affine, "ASR", "uint16", ".nii.gz", folder / "scans" / "three_times")
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        code = infer(f"--input={folder}/scans", f"--output={folder}/results", f"--tile={TILE}", "--engine=openvino")
    return folder / "results", scales, said.getvalue(), code


def psnr(image, truth, mask):
    error = np.mean(np.square(image[mask].astype(np.float64) - truth[mask]))
    return 10 * np.log10(float(truth[mask].max()) ** 2 / error)


@pytest.mark.parametrize("number", range(len(ROWS)), ids=["-".join(row) for row in ROWS])
def test_no_crop_comes_out_worse_than_sinc(run, number):
    """Of the whole crop, whatever part of it the scan shows."""
    results, scales, _, _ = run
    crop, method, view, *_ = ROWS[number]
    truth, affine = truth_of(crop)
    sinc = kspace.degrade(truth, (2, 2), (0, 1), "sinc")
    shown = np.zeros(truth.shape, bool)
    shown[JUDGED[view if method != "sinc" or view == "whole" else "sinc"]] = True
    mask = np.pad(shown & head_mask(truth, np.linalg.norm(affine[:3, :3], axis=0)), MARGIN)
    truth, sinc = np.pad(truth, MARGIN, mode="wrap"), np.pad(sinc, MARGIN, mode="wrap")
    image = nib.load(results / f"{number:02d}_sr.nii.gz")
    data = image.get_fdata(dtype=np.float32)
    result, where = to_ras((data[..., 1] if data.ndim == 4 else data) / scales[number], image.affine)
    step = np.linalg.inv(affine) @ where
    np.testing.assert_allclose(step[:3, :3], np.eye(3), atol=1e-3)
    corner = np.rint(step[:3, 3]).astype(int) + MARGIN
    here = tuple(map(slice, corner, corner + result.shape))
    gain = psnr(result, truth[here], mask[here]) - psnr(sinc[here], truth[here], mask[here])
    assert gain > -0.05, gain


def test_thick_slices_find_the_network_through_them_and_come_out_better_than_sinc(run):
    truth, affine = truth_of("t1w")
    slices, _ = thick_slices()
    image = nib.load(run[0] / "thick_sr.nii.gz")
    np.testing.assert_allclose(image.affine, affine, atol=1e-4)
    sinc, mask = kspace.interpolate(slices, truth.shape, (3,), (2,), "sinc"), head_mask(truth)
    result = image.get_fdata(dtype=np.float32) * slices.max()  # stored as floats up to 1
    assert psnr(result, truth, mask) > psnr(sinc, truth, mask) - 0.05
    assert any("thick.nii.gz" in line and "the scanner's matrix along IS" in line for line in run[2].splitlines())


def test_linear_samples_of_another_factor_come_out_better_than_sinc(run):
    truth, affine = truth_of("t2w")
    image = nib.load(run[0] / "three_times_sr.nii.gz")
    sinc, mask = kspace.degrade(truth, (3, 3), (0, 1), "sinc"), head_mask(truth)
    result, where = to_ras(image.get_fdata(dtype=np.float32), image.affine)
    np.testing.assert_allclose(where, affine, atol=1e-4)
    scale = 60000 / kspace.degrade(truth, (3, 3), (0, 1), "linear").max()
    assert psnr(result / scale, truth, mask) > psnr(sinc, truth, mask) + 0.3
    assert f"three_times.nii.gz: {EDGE}x{EDGE}x{EDGE} at 1x1x1 mm, linearly interpolated 3x along LR and AP" in run[2]


def test_three_coarse_axes_find_the_network_for_them_and_come_out_better_than_sinc(run):
    truth, affine = truth_of("t2w")
    image = nib.load(run[0] / "three_axes_sr.nii.gz")
    sinc, mask = kspace.degrade(truth, (2, 2, 2), (0, 1, 2), "sinc"), head_mask(truth)
    result, where = to_ras(image.get_fdata(dtype=np.float32), image.affine)
    np.testing.assert_allclose(where, affine, atol=1e-4)
    assert psnr(result * sinc.max(), truth, mask) > psnr(sinc, truth, mask) + 0.3  # stored as floats up to 1
    assert any(
        "three_axes.nii.gz" in line and "2x along" in line and "fast-three-axes" in line for line in run[2].splitlines()
    )


def test_blocks_of_equal_voxels_get_a_warning(run):
    said = [line for line in run[2].splitlines() if "the result may lie a voxel off" in line]
    assert len(said) == sum(row[1] == "nearest" for row in ROWS)


@pytest.mark.parametrize("name", OUTSIDE)
def test_what_the_card_does_not_cover_is_refused_in_a_sentence(run, name):
    results, _, said, code = run
    assert code == 1
    assert not (results / f"{name}_sr.nii.gz").exists()
    assert any(name in line and OUTSIDE[name][-1] in line for line in said.splitlines())


@pytest.mark.parametrize("one, other", itertools.combinations(range(4), 2))
def test_every_pair_occurs(one, other):
    pairs = set(itertools.product({row[one] for row in ROWS}, {row[other] for row in ROWS}))
    assert {(row[one], row[other]) for row in ROWS} == pairs
