"""What lies beyond a scan's ends is predicted: exactly where that can be known, and far better than by a mirror."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import tensorflow as tf

from mdcsrn_tf.inference.continuation import REACH, extended, extended_in_graph
from mdcsrn_tf.scans.kspace import degrade

GOLDEN = Path(__file__).parents[1] / "golden"
INSIDE = (slice(REACH, -REACH),) * 3


def low_res(name="real_crop"):
    """A real crop, zero-filled 2x along its first two axes."""
    truth = nib.load(GOLDEN / f"{name}.nii.gz").get_fdata(dtype=np.float32)[:48, :48, :48]
    return degrade(truth, (2, 2), (0, 1), "sinc").astype(np.float32)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_waves_go_on_as_waves(axis):
    """Two waves obey a linear recurrence of four terms; where they leave their range inside, that is the end of it."""
    place = np.arange(-REACH, 40 + REACH)
    phases = np.linspace(0, 6, 30)
    wave = sum(np.sin(f * place[:, None] + k * phases) for k, f in enumerate((0.7, 1.9), 1))
    wave = np.moveaxis(np.broadcast_to(wave[:, :, None], (46, 30, 4)), 0, axis)
    ends = tuple(slice(REACH, -REACH) if other == axis else slice(None) for other in range(3))
    found = extended(wave[ends])
    around = tuple(slice(None) if other == axis else slice(REACH, -REACH) for other in range(3))
    expected = np.clip(wave, wave[ends].min(), wave[ends].max())
    np.testing.assert_allclose(found[around], expected, atol=0.01)


@pytest.mark.parametrize("name", ["real_crop", "real_crop_t2w", "real_crop_flair", "real_crop_head"])
def test_a_scan_is_predicted_better_than_by_its_mirror_image(name):
    scan = low_res(name)
    inner = scan[REACH:-REACH, REACH:-REACH, REACH:-REACH]
    around = np.ones(scan.shape, bool)
    around[INSIDE] = False

    def error(found):
        return np.sqrt(np.mean((found - scan)[around] ** 2))

    predicted = error(extended(inner))
    assert predicted < 0.7 * error(np.pad(inner, REACH, mode="reflect"))
    assert predicted < 0.8 * error(np.pad(inner, REACH, mode="symmetric"))
    np.testing.assert_array_equal(extended(inner)[INSIDE], inner)


def test_air_goes_on_as_air_and_nothing_leaves_the_range():
    scan = np.pad(low_res(), 12, constant_values=-2.5)
    found = extended(scan)
    assert found[0].min() == found[0].max() == found[:, :, -1].max() == np.float32(-2.5)
    noise = np.random.default_rng(0).normal(size=(26, 25, 24)).astype(np.float32)
    assert noise.min() <= extended(noise).min() and extended(noise).max() <= noise.max()


@pytest.mark.parametrize("shape", [(1, 2, 3), (22, 22, 22), (23, 5, 40)])
def test_short_axes_and_constant_volumes_go_on_as_their_mirror_image(shape):
    constant = np.full(shape, 3.0, np.float32)
    np.testing.assert_array_equal(extended(constant), np.pad(constant, REACH, constant_values=3.0))
    values = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    short = [(REACH, REACH) if length < 23 else (0, 0) for length in shape]
    long = tuple(slice(REACH, -REACH) if length >= 23 else slice(None) for length in shape)
    np.testing.assert_array_equal(extended(values)[long], np.pad(values, short, mode="symmetric"))


@pytest.mark.parametrize("shape", [(48, 48, 48), (40, 22, 1), (2, 3, 47)])
def test_the_graph_predicts_as_numpy_does(shape):
    scan = low_res()[tuple(map(slice, shape))]
    graph = tf.function(extended_in_graph, input_signature=[tf.TensorSpec([None] * 3)], autograph=False)
    np.testing.assert_allclose(graph(tf.constant(scan)).numpy(), extended(scan), atol=1e-4 * scan.max())
    constant = np.full(shape, 2.0, np.float32)
    np.testing.assert_array_equal(graph(tf.constant(constant)).numpy(), extended(constant))
