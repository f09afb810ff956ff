"""What a scan holds that was measured: its samples, without what was interpolated between them."""

from __future__ import annotations

import numpy as np

from mdcsrn_tf.inference.decision import Decision
from mdcsrn_tf.scans.kspace import mirrored_low_pass
from mdcsrn_tf.scans.resampling import Sampling, measured_samples
from mdcsrn_tf.scans.volumes import Volume


def samples_of(volume: Volume, decision: Decision) -> tuple[np.ndarray, np.ndarray]:
    """The measured samples of a scan, float32 in its stored orientation, and the affine of their grid.

    The affine is to the scan's own first sample. An axis of which the scan does not tell how it was interpolated is
    left as it is.
    """
    data, affine = volume.data, volume.affine.copy()
    if decision.grid == "same":
        for axis, finding in zip(decision.axes, decision.findings, strict=True):
            if finding.sampling is None:
                continue
            if finding.method in (None, "unknown"):
                data = below(data, axis, finding.sampling)
            else:
                data = measured_samples(data, axis, finding.sampling, finding.method)
            affine[:3, axis] *= finding.sampling.step
    return np.ascontiguousarray(data, np.float32), affine


def below(data: np.ndarray, axis: int, sampling: Sampling) -> np.ndarray:
    """An axis at fewer samples, without the frequencies that so few cannot hold."""
    return measured_samples(mirrored_low_pass(data, [sampling.count], [axis]), axis, sampling, "sinc")
