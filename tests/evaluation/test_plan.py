"""When a stored result of an evaluation counts as another's, and which low-resolution scan as the reference's."""

import hashlib
import json
import os
from dataclasses import asdict
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from eval_helpers import run_eval

from mdcsrn_tf import __version__
from mdcsrn_tf.errors import UserError
from mdcsrn_tf.evaluation import job
from mdcsrn_tf.evaluation.measure import measure
from mdcsrn_tf.evaluation.methods import KspaceMaker
from mdcsrn_tf.evaluation.niqe_fit import fit_from_scans
from mdcsrn_tf.evaluation.plan import Conventions, Method, Plan, Subject, fingerprint
from mdcsrn_tf.evaluation.scene import set_scene
from mdcsrn_tf.inference import engines
from mdcsrn_tf.inference.settings import Settings
from mdcsrn_tf.models.files import ModelCard
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


def test_what_was_measured_before_an_engine_could_be_asked_for_stays():
    plan = Plan((), ("psnr",))
    method = {"name": "m", "kind": "model", "source": "m.keras", "preset": None, "gan": False}
    method |= {"parameters": None, "macs": None}
    stored = json.dumps([__version__, asdict(plan), method, []], sort_keys=True)
    assert fingerprint(plan, Method("m", "model", "m.keras"), []) == hashlib.sha256(stored.encode()).hexdigest()[:16]


def test_another_engine_or_precision_is_measured_anew_and_is_what_the_network_is_run_by(monkeypatch):
    plan, stopped = Plan((), ("psnr",)), RuntimeError("enough")
    ways = [Settings(), Settings(precision="bfloat16"), Settings(engine="openvino", precision="int8")]
    methods = [Method("m", "model", "m.keras", running=way) for way in ways]
    assert len({fingerprint(plan, method, []) for method in methods}) == 3
    asked = []

    def load_engine(model, settings):
        asked.append((model, settings))
        raise stopped

    monkeypatch.setattr("mdcsrn_tf.evaluation.methods.load_tensorflow_quietly", lambda: None)
    monkeypatch.setattr(engines, "load_engine", load_engine)
    for method in methods:
        with pytest.raises(RuntimeError, match="enough"):
            KspaceMaker().super_resolve(method, None, None, plan)
    assert asked == [("m.keras", way) for way in ways]


def test_what_openvino_makes_is_not_made_by_a_gpu_that_is_there(monkeypatch):
    monkeypatch.setattr(job, "device", lambda: {"processor": "a", "gpus": ["b"]})
    ways = (Settings(), Settings(engine="openvino"))
    found = [job._device_of(Method("m", "model", running=way))["gpus"] for way in ways]
    assert found == [["b"], []]


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("x.keras@int9", "--models=x.keras@int9: behind the @ stand an engine, a precision, or both"),
        ("x.keras@int8-bfloat16", "behind the @ stand an engine, a precision, or both"),
        ("x.keras@tensorflow-int8", "--precision=int8 is for OpenVINO"),
        ("x.keras@tensorfloat32-openvino", "tensorfloat32 is for GPUs"),
        ("{export}@bfloat16", "A SavedModel computes in float32"),
    ],
)
def test_an_engine_is_refused_as_infer_refuses_it_before_a_scan_is_read(model, said, monkeypatch, tmp_path):
    monkeypatch.setattr(engines, "read_any_card", lambda path: ModelCard("journal/b4u4k8", "0", "sinc"))
    model = model.format(export=tmp_path)
    code, _, err = run_eval("--hr=nowhere", f"--output={tmp_path / 'out'}", f"--models={model}")
    assert code == 1 and said in err and not (tmp_path / "out").exists()


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
