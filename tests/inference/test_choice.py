"""The network is chosen by the scan: the first bundled one that was trained for its axes and factors."""

from pathlib import Path

import numpy as np
import pytest

from mdcsrn_tf.inference import choice
from mdcsrn_tf.inference.decision import decide, look
from mdcsrn_tf.inference.scan import prepare
from mdcsrn_tf.inference.settings import ScanSettings
from mdcsrn_tf.models.files import ModelCard
from mdcsrn_tf.scans import kspace
from mdcsrn_tf.scans.volume import Volume, new_header
from mdcsrn_tf.scans.volumes import read_volume

CROP = Path(__file__).parents[1] / "golden" / "real_crop.nii.gz"
CARDS = {
    "slices": ModelCard("tiny", "0", "linear", planes=("axial",)),
    "plane": ModelCard("tiny", "0", "sinc", axes=("LR", "AP"), factor=(2, 2)),
    "gan": ModelCard("tiny", "0", "sinc", axes=("LR", "AP"), factor=(2, 2)),
    "through": ModelCard("tiny", "0", "sinc", axes=("IS",), factor=(3,), tested={"factors": [[2], [3], [4]]}),
}


@pytest.fixture(autouse=True)
def bundled(monkeypatch):
    """Networks of which only the cards are read; "plane" is the default."""
    monkeypatch.setattr(choice, "list_models", lambda: list(CARDS))
    monkeypatch.setattr(choice, "find_model", lambda name: Path(name or "plane"))
    monkeypatch.setattr(choice, "read_card", lambda path: CARDS[path.name])


def crop(axes, factors, method="sinc"):
    volume = read_volume(CROP)
    small = kspace.acquire(volume.data, factors, axes)
    if method == "small":
        affine = kspace.small_affine(volume.affine, factors, axes)
        return Volume(small, affine, CROP, new_header(affine), volume.stored_dtype)
    data = kspace.interpolate(small, volume.data.shape, factors, axes, method)
    return Volume(data, volume.affine, CROP, volume.header, volume.stored_dtype)


@pytest.mark.parametrize(
    ("axes", "factors", "method", "expected"),
    [
        ((0, 1), (2, 2), "sinc", "plane"),
        ((0, 1), (2, 2), "small", "plane"),
        ((2,), (3,), "linear", "through"),
        ((2,), (4,), "small", "through"),
        ((2,), (2,), "small", "through"),
        ((1, 2), (2, 2), "sinc", "plane"),
    ],
)
def test_the_scan_chooses(axes, factors, method, expected):
    """Where none fits (the last row), the default, which then says why not."""
    sight = look(crop(axes, factors, method))
    chosen = choice.choose_model(sight, ScanSettings())
    assert chosen.name == expected
    decision = decide(sight, ScanSettings(), CARDS[expected])
    assert (set(decision.axes), decision.factors) == (set(axes), factors)
    assert bool(decision.doubts) is (axes == (1, 2))


def test_a_name_goes_before():
    assert choice.choose_model(look(crop((0, 1), (2, 2))), ScanSettings(), "gan").name == "gan"


def test_an_unknown_interpolation_is_low_passed_to_what_was_measured():
    """A windowed sinc over six samples, as registration programs use: no cliff, and no stencil that we repeat."""
    volume = read_volume(CROP)
    small = kspace.acquire(volume.data, (2, 2), (0, 1))
    data = small
    for axis in (0, 1):
        data = np.moveaxis(np.tensordot(windowed_sinc(64, 32), data, axes=(1, axis)), 0, axis)
    blurred = Volume(np.ascontiguousarray(data, np.float32), volume.affine, CROP, volume.header, volume.stored_dtype)
    sight = look(blurred)
    wanted = ScanSettings(axes="LR,AP", factor="2")
    decision = decide(sight, wanted, CARDS["plane"])
    if {finding.method for finding in decision.findings} == {"unknown"}:
        spectrum = np.abs(np.fft.rfft(prepare(blurred, decision, CARDS["plane"]).on_grid, axis=0))
        assert spectrum[18:].max() < 1e-4 * spectrum.max()
    expected = kspace.interpolate(small, volume.data.shape, (2, 2), (0, 1), "sinc")
    found = prepare(blurred, decision, CARDS["plane"]).on_grid
    inner = (slice(6, -6), slice(6, -6))
    before, after = (np.sqrt(np.mean((image - expected)[inner] ** 2)) for image in (blurred.data, found))
    assert after <= before


def windowed_sinc(size, count):
    """Lanczos with three lobes, samples at even voxels, the ends repeated; float64 [size, count]."""
    weights = np.zeros((size, count))
    for voxel in range(size):
        place = voxel / 2
        for sample in range(int(np.floor(place)) - 2, int(np.floor(place)) + 4):
            distance = place - sample
            weight = np.sinc(distance) * np.sinc(distance / 3) if abs(distance) < 3 else 0.0
            weights[voxel, np.clip(sample, 0, count - 1)] += weight
    return weights / weights.sum(axis=1, keepdims=True)


def test_partial_fourier_along_another_axis_is_no_contradiction():
    volume = crop((0, 1), (2, 2))
    partial = Volume(kspace.low_pass_axis(volume.data, 40, 2), volume.affine, CROP, volume.header, volume.stored_dtype)
    sight = look(partial)
    assert sight.findings[2].method == "sinc" and sight.findings[2].factor < 1.4
    assert choice.choose_model(sight, ScanSettings()).name == "plane"
    assert not decide(sight, ScanSettings(), CARDS["plane"]).doubts
