"""When a stored result of an evaluation counts as another's, and which low-resolution scan as the reference's."""

import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from mdcsrn_tf.errors import UserError
from mdcsrn_tf.evaluation.measure import measure
from mdcsrn_tf.evaluation.methods import KspaceMaker
from mdcsrn_tf.evaluation.niqe_fit import fit_from_scans
from mdcsrn_tf.evaluation.plan import Conventions, Method, Plan, Subject, fingerprint
from mdcsrn_tf.evaluation.scene import set_scene
from mdcsrn_tf.scans.volumes import Volume


def test_a_scan_in_two_files_is_another_when_either_of_them_changes(tmp_path):
    path = tmp_path / "scan.img"
    nib.save(nib.Nifti1Pair(np.zeros((4, 4, 4), np.int16), np.eye(4)), path)
    plan, method = Plan((), ("psnr",)), Method("nn", "baseline", "nearest")
    seen = {fingerprint(plan, method, [path.with_suffix(".hdr")])}
    for part in (path, path.with_suffix(".hdr")):
        os.utime(part, (0, 0))
        seen.add(fingerprint(plan, method, [path.with_suffix(".hdr")]))
    assert len(seen) == 3
    assert fingerprint(plan, method, [path.with_suffix(".hdr")]) in seen


def test_a_method_is_measured_of_the_scans_and_its_own_result():
    subject = Subject("s", Path("high.nii"), None, (("one", Path("1.nii")), ("two", Path("2.nii"))))
    assert subject.files_of("one") == [Path("high.nii"), Path("1.nii")]
    assert subject.files_of("linear") == [Path("high.nii")]


def test_a_band_of_nothing_is_missing_and_says_so():
    volume = Volume(np.random.default_rng(0).random((20, 20, 4), np.float32), np.eye(4), Path("a"), None, np.float32)
    plan = Plan((), ("band_db", "band_corr"), Conventions(fidelity_share=0), factor=(1, 1))
    scores = measure(volume.data, set_scene(volume, plan, has_reference=True), plan)
    assert scores.values == {} and set(scores.missing) == {"band_db", "band_corr"}
    assert "the removed k-space holds nothing" in scores.missing.values()


@pytest.mark.parametrize(("axes", "plane"), [("IS", "auto"), ("LR,AP,IS", "coronal")])
def test_niqe_is_fitted_whatever_number_of_axes_will_be_degraded(axes, plane, tmp_path):
    scan = np.random.default_rng(0).random((48, 12, 48), np.float32) + 1
    nib.save(nib.Nifti1Image(scan, np.eye(4)), tmp_path / "scan.nii")
    model, sentences = fit_from_scans(tmp_path / "scan.nii", axes, plane, Conventions(), 16, quiet=True)
    assert model.notes["images"] == 12 and not sentences
    with pytest.raises(UserError, match=r"scan\.nii is left out: .* no slice with over 10% foreground"):
        fit_from_scans(tmp_path / "scan.nii", axes, plane, Conventions(foreground_level=1.0), 16, quiet=True)


def test_a_small_matrix_is_enlarged_only_where_its_header_says_that_it_lies():
    turned = np.array([[0.6, 0.8, 0, 5], [-0.8, 0.6, 0, 7], [0, 0, 1, -9], [0, 0, 0, 1.0]]) @ np.diag([1, 1.5, 1, 1])
    ramp = np.arange(12, dtype=np.float32) * np.ones((4, 5, 1), np.float32)
    header = nib.Nifti1Header()

    def thick(first):  # slices of three thin ones, the first one's middle at the thin slice `first`
        affine = turned @ np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 3, first], [0, 0, 0, 1.0]])
        return Volume(ramp[:, :, ::3], affine, Path("thick.nii"), header, ramp.dtype)

    reference = Volume(ramp, turned, Path("thin.nii"), header, ramp.dtype)
    plan = Plan((), ("psnr",), axes="IS", factor=(3,))
    np.testing.assert_allclose(KspaceMaker().enlarge(thick(0.05), reference, plan, "linear")[..., :10], ramp[..., :10])
    for first in (1, -0.2):  # the mean of three slices lies in their middle, one slice further
        with pytest.raises(UserError, match=f"thick.nii lies up to {abs(first):g} voxels of thin.nii beside its place"):
            KspaceMaker().enlarge(thick(first), reference, plan, "linear")
