"""Thick slices whose planes a scanner has interpolated: by a network in the planes, then by one through the slices."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import scipy.signal
from infer_helpers import data_of, infer

import mdcsrn_tf as m
from mdcsrn_tf.scans import kspace
from mdcsrn_tf.scans.slice_profile import SliceProfile
from mdcsrn_tf.weights import find_model

CROP = Path(__file__).parents[1] / "golden" / "real_crop_t2w.nii.gz"
THICK, PLANES, THROUGH = 3, "fast-b4u4k16", "fast-through-plane-b4u4k16"


def truth():
    """48 voxels an edge, and their affine: stored from right to left and from top to bottom."""
    image = nib.load(CROP).slicer[:48, :48, :48]
    return image.get_fdata(dtype=np.float32)[::-1, :, ::-1], image.affine @ np.diag([-1, 1, -1, 1])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The scan, and what the command makes of it."""
    folder = tmp_path_factory.mktemp("two")
    high, affine = truth()
    slices = kspace.acquire(high, (THICK,), (2,), slices=SliceProfile("box", float(THICK)))
    data = kspace.degrade(slices, (2, 2), (0, 1), "sinc").astype(np.float32)
    thick = kspace.small_affine(affine, (THICK,), (2,), high.shape)
    nib.save(nib.Nifti1Image(data, thick), folder / "scan.nii.gz")
    assert infer(f"--input={folder}/scan.nii.gz", f"--output={folder}/sr.nii.gz", "--qc") == 0
    return folder


def test_it_is_what_the_two_give_one_after_the_other(folder):
    in_planes = m.super_resolve(nib.load(folder / "scan.nii.gz"), model=PLANES)
    assert in_planes.shape == (48, 48, 16)
    by_hand = m.super_resolve(in_planes, model=THROUGH, axes="IS", grid="small", factor=THICK)
    np.testing.assert_allclose(data_of(folder / "sr.nii.gz"), by_hand.get_fdata(), rtol=1e-5, atol=1e-3)
    np.testing.assert_allclose(nib.load(folder / "sr.nii.gz").affine, by_hand.affine)
    as_one = m.super_resolve(nib.load(folder / "scan.nii.gz"))
    np.testing.assert_array_equal(as_one.get_fdata(), data_of(folder / "sr.nii.gz"))


def test_planes_of_another_factor_than_the_network_s_are_back_on_their_grid_before_the_second(folder):
    """At 1.6 voxels a sample the first network gets the scan on a grid of its own."""
    scan = nib.load(folder / "scan.nii.gz")
    data, shape = truth()[0][..., 1::THICK], scan.shape
    for axis in (0, 1):
        data = scipy.signal.resample(scipy.signal.resample(data, 30, axis=axis), 48, axis=axis)
    nib.save(nib.Nifti1Image(np.abs(data), scan.affine), folder / "other.nii.gz")
    assert infer(f"--input={folder}/other.nii.gz", f"--output={folder}/other_sr.nii.gz") == 0
    story = json.loads((folder / "other_sr.json").read_text())
    assert [axis["factor"] for axis in story["Before"]["Interpolation"]] == [1.6, 1.6]
    assert (story["Grid"], story["Factor"], story["Axes"]) == ("small", [THICK], ["IS"])
    in_planes = m.super_resolve(nib.load(folder / "other.nii.gz"), model=PLANES)
    assert in_planes.shape == shape
    by_hand = m.super_resolve(in_planes, model=THROUGH, axes="IS", grid="small", factor=THICK)
    np.testing.assert_allclose(data_of(folder / "other_sr.nii.gz"), by_hand.get_fdata(), rtol=1e-5, atol=1e-3)


def test_it_is_nearer_to_the_original_than_through_the_slices_alone(folder):
    high = truth()[0]
    with pytest.warns(UserWarning, match="interpolated along LR and AP"):
        alone = m.super_resolve(nib.load(folder / "scan.nii.gz"), model=THROUGH)

    def error(image):
        return float(np.sqrt(np.mean((image - high)[4:-4, 4:-4, 4:-4] ** 2)))

    assert error(data_of(folder / "sr.nii.gz")) < 0.97 * error(alone.get_fdata())


def test_the_sidecar_tells_of_both(folder):
    story = json.loads((folder / "sr.json").read_text())
    assert story["Description"].startswith(f"Super-resolved by {THROUGH} (fast/b4u4k16), in its planes by {PLANES}")
    before = story["Before"]
    assert (story["Model"]["name"], before["Model"]["name"]) == (THROUGH, PLANES)
    assert (before["Grid"], before["Factor"], sorted(before["Axes"])) == ("same", [2, 2], ["AP", "LR"])
    assert [axis["method"] for axis in before["Interpolation"]] == ["sinc", "sinc"]
    assert (story["Grid"], story["Factor"], story["Axes"]) == ("small", [THICK], ["IS"])
    first, _, second = story["Seen"].partition("; then ")
    assert before["Seen"] == first and "the scanner's matrix along IS" in second and story["Warnings"] == []


def test_the_picture_outlines_what_was_measured_along_all_axes(folder, monkeypatch):
    drawn = []
    monkeypatch.setattr("mdcsrn_tf.inference.qc.save_picture", lambda *what, **more: drawn.append((what, more)))
    (folder / "sr_qc.png").rename(folder / "kept.png")
    assert infer(f"--input={folder}/scan.nii.gz", f"--output={folder}/sr.nii.gz", "--qc") == 0
    (folder / "kept.png").rename(folder / "sr_qc.png")
    ((what, more),) = drawn
    assert more["measured"] == [1 / 2, 1 / 2, 1 / THICK]
    scan = nib.as_closest_canonical(nib.load(folder / "scan.nii.gz"))
    np.testing.assert_allclose(
        what[1][..., THICK - 1 :: THICK], scan.get_fdata(), rtol=1e-4, atol=0.5
    )  # as it was read


def test_a_second_run_knows_it_and_draws_the_same_picture(folder, capsys):
    again = (f"--input={folder}/scan.nii.gz", f"--output={folder}/sr.nii.gz")
    picture = folder / "sr_qc.png"
    drawn = picture.read_bytes()
    picture.unlink()
    assert infer(*again, "--qc") == 0 and picture.read_bytes() == drawn
    assert "1 of 1 scans are finished already" in capsys.readouterr().err
    assert infer(*again, f"--model={THROUGH}") == 1, "by that alone it would be another result"
    assert f"--model was not given and is {_sha(THROUGH)}" in capsys.readouterr().err


def _sha(name):
    from mdcsrn_tf.inference.provenance import identity_of

    return identity_of(find_model(name))[:12]
