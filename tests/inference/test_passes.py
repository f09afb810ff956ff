"""A scan's way through two networks: what the first gives is what the second gets, on the grid of the scan's file."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import scipy.signal

from mdcsrn_tf.inference import passes
from mdcsrn_tf.inference.choice import Step
from mdcsrn_tf.inference.clock import Clock
from mdcsrn_tf.inference.engine import Engine
from mdcsrn_tf.inference.opened import Opened
from mdcsrn_tf.inference.outputs import Job
from mdcsrn_tf.inference.settings import ScanSettings, Settings
from mdcsrn_tf.inference.sight import look
from mdcsrn_tf.models.files import ModelCard
from mdcsrn_tf.scans import kspace
from mdcsrn_tf.scans.slice_profile import SliceProfile
from mdcsrn_tf.scans.volumes import read_volume
from mdcsrn_tf.scans.zero_frame import zero_frame

CROP = Path(__file__).parents[1] / "golden" / "real_crop.nii.gz"
THICK = 3
CARDS = {
    "planes": ModelCard("tiny", "0", "sinc", axes=("LR", "AP"), factor=(2, 2), normalisation="tissue_level"),
    "through": ModelCard("tiny", "0", "sinc", axes=("IS",), factor=(THICK,), normalisation="tissue_level"),
}
STEPS = (Step(Path("planes"), ScanSettings(axes="LR,AP")), Step(Path("through"), ScanSettings()))
JOB, SETTINGS = Job(Path("a.nii"), Path("b.nii")), Settings(tile=70)


class Doubling(Engine):
    """Twice as bright: so the result tells how often, and of what, it was made."""

    def _build(self, tile, batch):
        return lambda tiles: 2 * tiles + 2.5  # darkness, which is at -2.5, stays dark


def load(model):
    return Doubling(CARDS[model.name], "moving", 0)


@pytest.fixture(autouse=True)
def cards(monkeypatch):
    monkeypatch.setattr(passes, "read_any_card", lambda model: CARDS[model.name])


def slices_of(samples, size):
    """Thick slices whose planes of `size` voxels along either axis were made of so many samples, filled with zeros.

    Towards all ends they fade, as a head in air does: sinc then needs no rule for the ends.
    """
    volume = read_volume(CROP)
    whole = volume.data[:size, :size]
    fades = np.meshgrid(*(np.minimum(1, 4 * np.hanning(n)) for n in whole.shape), indexing="ij")
    faded = 50 + whole * np.prod(fades, axis=0)
    data = kspace.acquire(faded, (THICK,), (2,), slices=SliceProfile("box", float(THICK)))
    for axis in (0, 1):
        data = scipy.signal.resample(scipy.signal.resample(data, samples, axis=axis), size, axis=axis)
    affine = kspace.small_affine(volume.affine, (THICK,), (2,))
    return dataclasses.replace(volume, data=data.astype(np.float32), affine=affine)


def framed(data, frame, thick=1):
    """With planes of zeros before LR, behind AP, and around IS, of slices `thick` times as many."""
    return np.pad(data, ((frame, 0), (0, frame), (frame * thick, frame * thick)))


@pytest.mark.parametrize("frame", [0, 2])
@pytest.mark.parametrize(("samples", "size"), [(32, 64), (42, 63)])  # twofold, and brought to a twofold grid
def test_the_second_network_gets_what_the_first_gave(samples, size, frame):
    """Of two volumes of a file: each as by sinc through the slices, four times as bright as it was."""
    bare = slices_of(samples, size)
    volumes = [dataclasses.replace(bare, data=framed(times * bare.data, frame)) for times in (1, 0.5)]
    sight = look(volumes[0], zero_frame([volume.data for volume in volumes]))
    assert sight.findings[0].factor == size / samples and bool(sight.surround) is bool(frame)
    told = []
    passed = passes.go_through(JOB, Opened(volumes, sight, None), STEPS, load, SETTINGS, told.append, Clock())
    shape = (*bare.data.shape[:2], THICK * bare.data.shape[2])
    by_sinc = kspace.interpolate(bare.data, shape, (THICK,), (2,), "sinc")
    for found, times in zip(passed.whole.volumes, (1, 0.5), strict=True):
        np.testing.assert_allclose(found, framed(4 * times * by_sinc, frame, THICK), atol=0.01 * by_sinc.max())
    np.testing.assert_allclose(passed.whole.affine, volumes[0].affine @ np.diag([1, 1, 1 / THICK, 1]))
    alone = passes.super_resolve_by(STEPS, volumes[0], sight, load, SETTINGS)
    np.testing.assert_array_equal(alone.volumes[0], passed.whole.volumes[0])
    np.testing.assert_array_equal(alone.affine, passed.whole.affine)
    assert not [line for line in told if "warning" in line]
