"""Thick slices made thin: the slab, the measures on images whose answers are known, the thresholds, the sections."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from benchmarks import slice_step
from benchmarks.through_plane import brought_back, middle, thick
from benchmarks.through_plane_page import ACROSS, CUBIC, GAN, MSE, STACK, measured, section, thresholds
from mdcsrn_tf.scans.volumes import Volume

SHAPE = (24, 26, 40)


@pytest.fixture
def scan():
    head = gaussian_filter(np.random.default_rng(0).standard_normal(SHAPE), 1.0).astype(np.float32)
    data = np.where(np.indices(SHAPE)[0] > 5, 100 + 300 * head, 0).astype(np.float32)
    return Volume(data, np.diag([1.0, 1.0, 2.0, 1.0]), Path("scan"), nib.Nifti1Header(), data.dtype)


def test_thick_slices_lie_on_every_fourth_thin_one(scan):
    stack = thick(scan)
    weights = np.array([1, 2, 2, 2, 1]) / 8  # a box of four voxels around a voxel's middle
    np.testing.assert_allclose(stack.data[..., 3], scan.data[..., 10:15] @ weights, rtol=1e-5)
    assert stack.affine[2, 2] == 8.0
    back = brought_back(stack, scan, "cubic").data
    np.testing.assert_allclose(back[..., ::4], stack.data, atol=1e-3)


def test_the_slab_keeps_whole_thick_slices_and_its_place(scan):
    part = middle(scan, 16)
    assert part.data.shape[2] == 16 and part.data.shape[0] < SHAPE[0]
    corner = part.affine @ [0, 0, 0, 1]
    index = np.linalg.solve(scan.affine, corner)[:3].astype(int)
    assert index[2] % 4 == 0
    place = tuple(slice(i, i + n) for i, n in zip(index, part.data.shape, strict=True))
    np.testing.assert_array_equal(part.data, scan.data[place])


def test_measures_of_a_known_error(scan):
    inside = scan.data > 0
    wrong = scan.data.copy()
    wrong[..., np.arange(SHAPE[2]) % 4 != 0] += 10  # no thick slice is centred on these
    found = measured(wrong, scan.data, inside)
    alone = 20 * np.log10(scan.data.max() / 10)
    assert found["high_energy"] == pytest.approx(1) and found["high_correlation"] == pytest.approx(1)
    assert found["psnr_between"] == pytest.approx(alone, abs=1e-3) and found["psnr"] == np.inf
    assert found["removed_correlation"] < 1
    everywhere = measured(scan.data + 10, scan.data, inside)
    assert everywhere["psnr"] == pytest.approx(alone, abs=1e-3) == everywhere["psnr_between"]
    assert measured(scan.data / 2, scan.data, inside)["removed_energy"] == pytest.approx(0.25, rel=1e-4)


def values(between, energy):
    names = ("psnr", "ssim", "high_correlation", "removed_energy", "removed_correlation")
    return {**dict.fromkeys(names, 0.5), "psnr_between": between, "high_energy": energy}


def test_thresholds_and_section():
    scan = {CUBIC: values(30, 0.5), MSE: values(30.5, 0.6), STACK: values(31, 0.7), GAN: values(29, 1.3)}
    worse = {**scan, ACROSS: values(31, 0.6), MSE: values(29.9, 0.9)}
    assert list(thresholds({"07": scan}).values()) == [True, True]  # 1.3 is nearer to 1 than 0.6, as a ratio
    assert list(thresholds({"07": scan, "08": worse}).values()) == [False, False]
    record = {
        "started": "2026-01-02T00:00:00",
        "device": {"processor": "p", "cores": 1},
        "versions": {"mdcsrn_tf": "1"},
        "config": {"steps": 5, "batch": 6, "gan_steps": 7},
        "results": {"development": {"07": scan}, "thresholds": thresholds({"07": scan})},
    }
    text = section(record)
    assert "| Model 1, SRGAN | 0.50, 29.00, 0.5000, 1.30 / 0.50, 0.50 / 0.50 |" in text
    assert text.count(": met.") == 2


def test_a_step_of_each_phase_stands_with_its_memory():
    step = {"median_s": 12.34, "median_processor_s": 11.0, "all_s": [12.34], "peak_gb": 9.87}
    record = {
        "started": "2026-01-02T00:00:00",
        "device": {"processor": "p", "cores": 1},
        "versions": {"mdcsrn_tf": "1"},
        "config": {"preset": "srgan2d/model1", "side": 512, "batch": 1, "repeats": 3},
        "results": {"load_before": 2.5, "l1, float32": step, "load_after": 3.0},
    }
    text = slice_step.section(record)
    assert "| l1, float32 | 12.3 | 11.0 | 9.9 |" in text and "load 2.5 before, 3 after" in text
