"""Thick slices: weights by hand and by quadrature, the commands, the manifest, and what is refused."""

import json
import math

import nibabel as nib
import numpy as np
import pytest
from scipy.integrate import quad

from data_prep import degrade, make_shards
from data_prep.phantom import make_phantom
from mdcsrn_tf.errors import UserError
from mdcsrn_tf.evaluation.methods import KspaceMaker
from mdcsrn_tf.evaluation.plan import Plan
from mdcsrn_tf.scans import kspace
from mdcsrn_tf.scans.slice_profile import SliceProfile, SliceSettings, slice_settings
from mdcsrn_tf.scans.volumes import read_volume


def test_a_box_of_four_voxels_by_hand():
    weights = SliceProfile("box", 4.0).weights(12, 3)
    eighth = 1 / 8
    inside = [eighth, 2 * eighth, 2 * eighth, 2 * eighth, eighth]
    np.testing.assert_allclose(weights[1], [0, 0, *inside, 0, 0, 0, 0, 0])
    # Of the first slice, -2 to 2, the part before the field of view at -0.5 is missing: 1, 1 and 1/2 voxels are left.
    np.testing.assert_allclose(weights[0], [1 / 2.5, 1 / 2.5, 0.5 / 2.5, *[0] * 9])


def test_touching_slices_of_a_line_by_hand_and_with_a_gap():
    line = np.array([0, 0, 10, 20, 30, 40, 0, 0], np.float32).reshape(1, 1, 8)
    touching = kspace.acquire(line, (2,), (2,), slices=SliceProfile("box", 2.0))
    np.testing.assert_allclose(touching[0, 0], [0, (0 + 2 * 10 + 20) / 4, (20 + 2 * 30 + 40) / 4, (40 + 0 + 0) / 4])
    thin = kspace.acquire(line, (2,), (2,), slices=SliceProfile("box", 1.0))
    np.testing.assert_allclose(thin[0, 0], [0, 10, 30, 0])
    back = kspace.degrade(line, (2,), (2,), slices=SliceProfile("box", 1.0))
    np.testing.assert_allclose(back[0, 0], [0, 5, 10, 20, 30, 15, 0, 0])


def test_gaussian_weights_are_the_integrals_of_the_curve_and_its_width_is_at_half_maximum():
    thickness, size, count = 3.7, 40, 9  # a step of 40 / 9 voxels, so slices lie between voxels
    weights = SliceProfile("gaussian", thickness).weights(size, count)
    assert weights.shape == (count, size)

    def curve(x):
        return 2.0 ** (-((2 * x / thickness) ** 2))  # a half at x = thickness / 2

    for slice_number in (1, 4):
        centre = slice_number * size / count
        parts = np.array([quad(curve, j - 0.5 - centre, j + 0.5 - centre)[0] for j in range(size)])
        np.testing.assert_allclose(weights[slice_number], parts / parts.sum(), atol=1e-9)


def test_a_wave_is_weakened_as_the_profile_says_where_k_space_truncation_drops_or_keeps_it():
    size, factor = 240, 4
    x = np.arange(size)
    for waves in (12, 48):  # below and above the 30 that 60 slices can carry
        wave = (5 + np.cos(2 * np.pi * waves * x / size)).astype(np.float64).reshape(1, 1, size)
        slices = SliceProfile("gaussian", 4.0)
        thick = kspace.acquire(wave, (factor,), (2,), slices=slices)[0, 0, 4:-4] - 5
        sigma = 4.0 / (2 * math.sqrt(2 * math.log(2)))
        k = 2 * math.pi * waves / size
        passed = math.exp(-((k * sigma) ** 2) / 2) * math.sin(k / 2) / (k / 2)  # the thin slice's own box
        np.testing.assert_allclose(thick, passed * np.cos(k * x[::factor])[4:-4], atol=2e-4)
        truncated = kspace.acquire(wave, (factor,), (2,))[0, 0] - 5
        np.testing.assert_allclose(truncated, np.cos(k * x[::factor]) * (waves == 12), atol=1e-9)


def test_mean_type_and_position_are_kept():
    volume = make_phantom((20, 24, 30), 3)
    low = kspace.degrade(volume, (3,), (2,), slices=SliceProfile("box", 3.0))
    assert low.dtype == np.float32 and low.shape == volume.shape and low.min() >= 0
    ramp = np.broadcast_to(np.arange(30, dtype=np.float64), (2, 2, 30))
    np.testing.assert_allclose(
        kspace.degrade(ramp, (3,), (2,), slices=SliceProfile("box", 3.0))[0, 0, 3:27], np.arange(3, 27)
    )  # no shift


@pytest.mark.parametrize(
    ("thickness", "gap", "voxels"),
    [("", "", 4.0), ("4mm", "", 5.0), ("2.5vox", "", 2.5), ("75%", "", 3.0), ("", "0.8mm", 3.0), ("", "25%", 3.0)],
)
def test_lengths(thickness, gap, voxels):
    profile = SliceSettings("box", thickness, gap).in_voxels(spacing=4.0, voxel_mm=0.8)
    assert profile.thickness == pytest.approx(voxels)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("box", "4", None, "IS"), "--slice_thickness=4 is no length"),
        (("box", "-4mm", None, "IS"), "is no length"),
        (("box", None, "wide", "IS"), "--slice_gap=wide is no length"),
        (("box", "4mm", "1mm", "IS"), "give one"),
        (("box", None, None, "LR,AP"), "names several"),
        (("kspace", "4mm", None, "IS"), "needs a --slice_profile"),
    ],
)
def test_contradictions_are_refused(arguments, sentence):
    with pytest.raises(UserError, match=sentence):
        slice_settings(*arguments)


def test_slices_thinner_than_voxels_are_refused():
    for settings in (SliceSettings("box", "0.5mm"), SliceSettings("gaussian", gap="4mm")):
        with pytest.raises(UserError, match=r"thinner than the 0\.8 mm voxels"):
            settings.in_voxels(4.0, 0.8)


def test_the_commands_make_thick_slices_and_record_them(tmp_path, capsys):
    turned = np.diag([1.0, 1.2, 0.8, 1.0])[[0, 2, 1, 3]]  # IS is the array's second axis, 1.2 mm
    nib.save(nib.Nifti1Image(make_phantom((18, 20, 18), 1), turned), tmp_path / "a.nii.gz")
    flags = ["--axes=IS", "--factor=4", "--slice_profile=gaussian", "--slice_thickness=4.2mm"]
    asked = [f"--input={tmp_path / 'a.nii.gz'}", f"--output={tmp_path / 'low.nii'}", "--grid=small", *flags]
    assert degrade.main(asked) == 0
    low, high = nib.load(tmp_path / "low.nii"), nib.load(tmp_path / "a.nii.gz")
    np.testing.assert_allclose(low.header.get_zooms(), [1.0, 4.8, 0.8], rtol=1e-5)
    expected = SliceProfile("gaussian", 4.2 / 1.2).weights(20, 5) @ high.get_fdata()
    np.testing.assert_allclose(low.get_fdata(), expected, rtol=1e-5)
    shards = tmp_path / "shards"
    asked = [
        f"--input={tmp_path / 'a.nii.gz'}",
        f"--output={shards}",
        "--patch=16",
        "--split=1",
        "--patches_per_subject=2",
        "--workers=1",
        "--quiet",
        *flags,
    ]
    assert make_shards.main(asked) == 0
    manifest = json.loads((shards / "manifest.json").read_text())
    assert manifest["settings"]["slices"] == {"profile": "gaussian", "thickness": "4.2mm", "gap": ""}
    assert manifest["shards"][0]["slice_thickness_mm"] == 4.2
    assert manifest["shards"][0]["slice_spacing_mm"] == 4.8
    plan = Plan(methods=(), metrics=(), axes="IS", factor=(4,), slices=SliceSettings("gaussian", "4.2mm"))
    measured = KspaceMaker().low_res(read_volume(tmp_path / "a.nii.gz"), plan, "linear")
    at_slices = measured[:, ::4, :]  # where linear interpolation meets the thick slices
    np.testing.assert_allclose(at_slices, expected, rtol=1e-5)
    capsys.readouterr()
    asked = [
        f"--input={tmp_path / 'a.nii.gz'}",
        f"--output={tmp_path / 'x.nii'}",
        "--axes=IS",
        "--factor=4",
        "--slice_profile=box",
        "--slice_thickness=1mm",
    ]
    assert degrade.main(asked) == 1
    assert "a.nii.gz: --slice_thickness=1mm leaves slices of 1 mm, thinner than the 1.2 mm" in capsys.readouterr().err
