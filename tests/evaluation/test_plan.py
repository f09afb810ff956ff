"""When a stored result of an evaluation counts as another's."""

import os

import nibabel as nib
import numpy as np

from mdcsrn_tf.evaluation.plan import Method, Plan, fingerprint


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
