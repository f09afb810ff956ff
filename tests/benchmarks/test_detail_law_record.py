"""The law behind --detail=auto: its numbers are its record's, its limits follow the rule that the page states."""

import nibabel as nib
import numpy as np
import pytest

from benchmarks import detail_law, pages
from mdcsrn_tf.inference import detail
from mdcsrn_tf.inference import detail_law as law
from mdcsrn_tf.scans.volumes import read_volume


@pytest.fixture(scope="module")
def results():
    return pages.read("detail_law.json")["results"]


def test_the_numbers_are_those_that_fit_the_training_people(results):
    training = {name: found for name, found in results["signs"].items() if name[:6] not in detail_law.VALIDATION}
    people = [name[:6] for name in training]
    assert len(training) > 50 and len(set(people)) == 18
    rows = np.array([[1.0, *found.values()] for found in training.values()])
    scaled = rows * np.array([[people.count(one) ** -0.5] for one in people])
    fitted, *_ = np.linalg.lstsq(scaled[:, :3], scaled[:, 3], rcond=None)
    rounded = [round(float(value), digits) for value, digits in zip(fitted, (2, 3, 3), strict=True)]
    assert rounded == [law.LEVEL_DB, law.CORNER, law.FALL]


def test_the_limits_are_the_dearest_to_gain_that_keep_every_scan_near(results):
    gain = {}
    for pair in next(iter(results["scans"].values()))["limits"]:
        values = np.array([scan["limits"][pair] for scan in results["scans"].values()])
        if np.all(np.abs(values[:, 1]) < 1.5):
            gain[pair] = values[:, 2].mean()
    assert max(gain, key=gain.__getitem__) == f"{detail.AIM_DB:g} {detail.STRONGEST_AUTO:g}"


def test_a_law_that_holds_is_found_and_one_that_does_not_is_off_on_people_left_out():
    signs = [(-2.0, 3.0), (-5.0, 8.0), (-3.0, 4.0), (-4.0, 9.0), (-1.0, 7.0), (-6.0, 2.0)]
    measured = {
        f"sub-2{k}_T1w": {"corner_db": corner, "fall_db": fall, "removed_db": 3 + 0.5 * corner - 0.25 * fall}
        for k, (corner, fall) in enumerate(signs)
    }
    measured["sub-06_T1w"] = {"corner_db": 0.0, "fall_db": 0.0, "removed_db": 1.0}  # a validation scan, 2 dB off
    found = detail_law.fitted(measured)
    np.testing.assert_allclose(found["law"], [3, 0.5, -0.25], atol=1e-9)
    assert found["error_db"] < 1e-9 and found["errors_db"]["sub-06_T1w"] == pytest.approx(2.0)
    truth = np.array([value["removed_db"] for value in measured.values()])[:6]
    left_out = [np.delete(truth, k).mean() - truth[k] for k in range(6)]
    assert found["error_of_one_level_db"] == pytest.approx(np.sqrt(np.mean(np.square(left_out))))


def test_scans_of_odd_size_are_cut_along_the_degraded_axes_alone(tmp_path):
    data = np.arange(5 * 6 * 7, dtype=np.int16).reshape(5, 6, 7)
    lying = np.array([[0, 0, -1.0, 9], [1.0, 0, 0, 0], [0, 1.0, 0, 0], [0, 0, 0, 1]])  # stored as A, S, L
    nib.save(nib.nifti1.Nifti1Image(data, lying), tmp_path / "odd.nii.gz")
    detail_law.write_even(tmp_path / "odd.nii.gz", tmp_path / "even" / "odd.nii.gz")
    found = read_volume(tmp_path / "even" / "odd.nii.gz")
    np.testing.assert_array_equal(found.data, data[:4, :, :6])
