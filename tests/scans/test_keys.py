"""Keys' cubic convolution half a voxel between the samples, told from linear interpolation by what samples would be."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_kspace_check import CROP, eight_bits

from mdcsrn_tf.inference.decision import decide
from mdcsrn_tf.inference.settings import ScanSettings
from mdcsrn_tf.inference.sight import look
from mdcsrn_tf.models.files import read_card
from mdcsrn_tf.scans.keys import BELOW_ZERO, keys_told
from mdcsrn_tf.scans.kspace_check import AxisFinding
from mdcsrn_tf.scans.resampling import Sampling, matrix, measured_samples
from mdcsrn_tf.scans.volume import Volume, new_header
from mdcsrn_tf.weights import find_model


def enlarged(samples, kind):
    """The first two axes at twice as many voxels by Pillow, whose bicubic is Keys' and which has no other rule for the
    places of voxels than half ones."""
    rows, columns = samples.shape[:2]
    slices = [
        np.asarray(Image.fromarray(plane).resize((2 * columns, 2 * rows), kind))
        for plane in np.moveaxis(samples, 2, 0).astype(np.float32)
    ]
    return np.stack(slices, axis=2)


def means():
    """The crop at half as many voxels along two axes: each the mean of four, so that none is negative."""
    return (CROP[::2, ::2] + CROP[1::2, ::2] + CROP[::2, 1::2] + CROP[1::2, 1::2]) / 4


def test_the_matrix_is_pillows_bicubic():
    samples = means()
    drawn = enlarged(samples, Image.Resampling.BICUBIC)
    weights = [matrix(Sampling(2 * size, 2.0, 0.5), "keys") for size in samples.shape[:2]]
    ours = np.einsum("ai,bj,ijk->abk", *weights, samples)
    np.testing.assert_allclose(ours[4:-4, 4:-4], drawn[4:-4, 4:-4], atol=1e-4 * samples.max())


def test_it_is_linear_interpolation_of_sharpened_samples():
    """What makes the two one to the search: three taps, by hand."""
    keys, linear = (matrix(Sampling(40, 2.0, 0.5), method) for method in ("keys", "linear"))
    sharpen = (38 * np.eye(20) - 3 * np.eye(20, k=1) - 3 * np.eye(20, k=-1)) / 32
    np.testing.assert_allclose(keys[6:-6], (linear @ sharpen)[6:-6], atol=1e-12)


def seen(data):
    affine = np.eye(4)
    return look(Volume(data.astype(np.float32), affine, Path("scan.nii"), new_header(affine), np.dtype(np.float32)))


def methods_of(data):
    return [found.method for found in seen(data).findings]


@pytest.mark.parametrize(
    ("kind", "method"), [(Image.Resampling.BICUBIC, "keys"), (Image.Resampling.BILINEAR, "linear")]
)
def test_a_scan_of_magnitudes_tells_which(kind, method):
    drawn = enlarged(means(), kind)
    for stored in (drawn, np.maximum(drawn, 0), eight_bits(np.maximum(drawn, 0))):
        assert methods_of(stored) == [method, method, None]


@pytest.mark.parametrize(
    ("kind", "method"), [(Image.Resampling.BICUBIC, "keys"), (Image.Resampling.BILINEAR, "linear")]
)
def test_what_a_mask_cut_later_does_not_mislead(kind, method):
    """Beside the cut, samples are fitted below zero by either."""
    drawn = enlarged(means(), kind)
    drawn[42:] = 0
    found = [AxisFinding("linear", Sampling(size, 2.0, 0.5)) for size in drawn.shape[:2]] + [AxisFinding(None)]
    told = keys_told(np.maximum(drawn, 0), found)
    assert [(one.method, BELOW_ZERO in one.evidence) for one in told] == [(method, False)] * 2 + [(None, False)]


@pytest.mark.parametrize("bright", [1, 2.5, 4])
def test_rounding_and_clipping_beside_sharp_edges_do_not_mislead(bright):
    """As of stripped scans in 8 bits, most of all where something bright leaves few steps for tissue: samples are
    fitted up to a fiftieth of it below zero."""
    samples = means()
    samples[::3] = 0
    samples[14:18, 14:18] *= bright
    drawn = eight_bits(enlarged(samples, Image.Resampling.BICUBIC))
    found = [AxisFinding("linear", Sampling(size, 2.0, 0.5)) for size in drawn.shape[:2]] + [AxisFinding(None)]
    assert [one.method for one in keys_told(drawn, found)] == ["keys", "keys", None]


def test_the_samples_come_back():
    samples = means()
    drawn = enlarged(samples, Image.Resampling.BICUBIC)
    for axis in (0, 1):
        drawn = measured_samples(drawn, axis, Sampling(drawn.shape[axis], 2.0, 0.5), "keys")
    np.testing.assert_allclose(drawn[4:-4, 4:-4], samples[4:-4, 4:-4], atol=1e-3 * samples.max())


def test_samples_of_both_signs_stay_linear_and_are_told_where_the_scan_has_none():
    """Linear interpolation of samples that ring below zero by a fifth of the brightest; then clipped, as tools store
    them."""
    samples = means()
    samples[::3, ::2] -= 0.2 * samples.max()
    drawn = enlarged(samples, Image.Resampling.BILINEAR)
    found = [AxisFinding("linear", Sampling(size, 2.0, 0.5)) for size in drawn.shape[:2]] + [AxisFinding(None)]
    assert keys_told(drawn, found) == tuple(found)
    told = keys_told(np.maximum(drawn, 0), found)
    assert [one.method for one in told] == ["linear", "linear", None]
    assert all(-1 < one.evidence[BELOW_ZERO] < -0.05 for one in told[:2])
    (warning,) = decide(seen(np.maximum(drawn, 0)), ScanSettings(), read_card(find_model(None))).warnings
    assert warning.startswith("along LR and AP it looks linearly interpolated, but of samples far below zero")
