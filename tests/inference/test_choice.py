"""The network is chosen by the scan: the first bundled one whose card says that it is for such scans."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import scipy.ndimage

from mdcsrn_tf.inference import choice
from mdcsrn_tf.inference.decision import decide, misfits
from mdcsrn_tf.inference.fitting import fitting
from mdcsrn_tf.inference.prepared import prepare
from mdcsrn_tf.inference.seen import in_words
from mdcsrn_tf.inference.settings import ScanSettings
from mdcsrn_tf.inference.sight import look
from mdcsrn_tf.models.files import ModelCard
from mdcsrn_tf.scans import kspace
from mdcsrn_tf.scans.kspace_check import AxisFinding
from mdcsrn_tf.scans.resampling import Sampling
from mdcsrn_tf.scans.slice_profile import SliceProfile
from mdcsrn_tf.scans.volume import Volume, new_header
from mdcsrn_tf.scans.volumes import read_volume

CROP = Path(__file__).parents[1] / "golden" / "real_crop.nii.gz"
CARDS = {
    "slices": ModelCard("tiny", "0", "linear", planes=("axial",)),
    "plane": ModelCard("tiny", "0", "sinc", axes=("LR", "AP"), factor=(2, 2), tested={"voxel_mm": [0.5, 1.25]}),
    "gan": ModelCard("tiny", "0", "sinc", axes=("LR", "AP"), factor=(2, 2)),
    "through": ModelCard(
        "tiny",
        "0",
        "sinc",
        axes=("IS",),
        factor=(3,),
        slices={"profile": "box"},
        tested={"axes": [["IS"]], "factors": [[2], [3], [4], [5]], "voxel_mm": [0.4, 1.25]},
    ),
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


def thick_slices(factor, pixel_mm=1.0, interpolated=False):
    """A 2D scan of touching slices, `factor` mm thick; its pixels measured as they are, or interpolated twice."""
    volume = read_volume(CROP)
    data = kspace.degrade(volume.data, (2, 2), (0, 1), "sinc") if interpolated else volume.data
    slices = kspace.acquire(data, (factor,), (2,), slices=SliceProfile("box", float(factor)))
    affine = kspace.small_affine(volume.affine, (factor,), (2,)) @ np.diag([pixel_mm, pixel_mm, 1, 1])
    return Volume(slices, affine, CROP, new_header(affine), volume.stored_dtype)


@pytest.mark.parametrize(
    ("scan", "asked", "factor", "warnings"),
    [
        (thick_slices(5), "", 5, 0),
        (thick_slices(4, interpolated=True), "", 4, 1),  # k-space empty in the plane makes no small matrix of it
        (thick_slices(5, pixel_mm=0.5), "4", 4, 0),
        (thick_slices(5, pixel_mm=0.5), "", 5, 1),  # ten times the pixels' size: half way is as far as it was trained
    ],
)
def test_thick_slices_are_a_small_matrix_to_a_network_through_them(scan, asked, factor, warnings):
    sight, wanted = look(scan), ScanSettings(factor=asked or None)
    assert choice.choose_model(sight, wanted).name == "through"
    decision = decide(sight, wanted, CARDS["through"])
    assert (decision.grid, decision.names, decision.factors) == ("small", ("IS",), (factor,))
    assert len(decision.warnings) == warnings
    ready = prepare(scan, decision, CARDS["through"])
    assert ready.on_grid.shape == (*scan.data.shape[:2], factor * scan.data.shape[2])
    thickness = np.linalg.norm(scan.affine[:3, 2]) / factor
    np.testing.assert_allclose(np.linalg.norm(ready.affine[:3, 2]), thickness)


@pytest.fixture
def planes_of_thick_slices(monkeypatch):
    """The network in planes takes thick slices, too, as the bundled one does."""
    card = dataclasses.replace(CARDS["plane"], tested={"voxel_mm": [0.5, 2.0], "across_mm": [0.5, 6.0]})
    monkeypatch.setitem(CARDS, "plane", card)


@pytest.mark.usefixtures("planes_of_thick_slices")
def test_thick_slices_with_interpolated_planes_go_through_two_networks():
    sight = look(thick_slices(4, interpolated=True))
    first, second = choice.choose_steps(sight, ScanSettings())
    assert (first.model.name, second.model.name) == ("plane", "through")
    here = decide(sight, first.wanted, CARDS["plane"])
    assert (here.grid, set(here.names), here.factors) == ("same", {"LR", "AP"}, (2, 2))
    assert not here.doubts and not here.warnings
    there = decide(sight.restored(here.axes), second.wanted, CARDS["through"])
    assert (there.grid, there.names, there.factors) == ("small", ("IS",), (4,))
    assert not there.doubts and not there.warnings, "its planes are whole then"
    steps = choice.choose_steps(sight, ScanSettings(undo_filter=True))
    assert [step.wanted.undo_filter for step in steps] == [True, False], "a filter is in the planes alone"


def of_voxels(scan, millimetres):
    return dataclasses.replace(scan, affine=np.diag([*millimetres, 1.0]))


@pytest.mark.usefixtures("planes_of_thick_slices")
@pytest.mark.parametrize(
    ("scan", "name", "asked", "models"),
    [
        (thick_slices(4), None, {}, ["through"]),
        (thick_slices(4, interpolated=True), "through", {}, ["through"]),
        (thick_slices(4, interpolated=True), None, {"axes": "IS"}, ["through"]),
        (thick_slices(4, interpolated=True), None, {"axes": "LR,AP"}, ["plane"]),
        (thick_slices(4, interpolated=True), None, {"consistency": True}, ["plane"]),  # k-space tells of the planes
        (thick_slices(4, interpolated=True), None, {"detail": 1.3}, ["plane"]),
        (crop((0, 1), (2, 2)), None, {}, ["plane"]),
        (crop((0, 1), (2, 2), "small"), None, {}, ["plane"]),
        # Interpolated along the axes that are coarse all the same: what is restored there is no small matrix.
        (of_voxels(crop((0, 1), (2, 2)), (1.2, 1.2, 0.6)), None, {}, ["plane"]),
        (of_voxels(crop((2,), (2,)), (0.6, 0.6, 1.2)), None, {}, ["through"]),
    ],
)
def test_other_scans_and_other_wishes_ask_for_one_network(scan, name, asked, models):
    steps = choice.choose_steps(look(scan), ScanSettings(**asked), name)
    assert [step.model.name for step in steps] == models
    assert steps[0].wanted == ScanSettings(**asked)


@pytest.mark.usefixtures("planes_of_thick_slices")
def test_in_planes_of_thick_slices_the_fast_network_goes_before_the_default(monkeypatch):
    monkeypatch.setitem(CARDS, "fast-b4u4k16", CARDS["plane"])
    steps = choice.choose_steps(look(thick_slices(4, interpolated=True)), ScanSettings())
    assert [step.model.name for step in steps] == ["fast-b4u4k16", "through"]
    elsewhere = [crop((0, 1), (2, 2), method) for method in ("sinc", "small")]
    for scan in (*elsewhere, of_voxels(elsewhere[0], (1.2, 1.2, 0.6))):  # there it has to be named
        assert choice.choose_model(look(scan), ScanSettings()).name == "plane"


@pytest.mark.usefixtures("planes_of_thick_slices")
def test_planes_interpolated_by_too_little_are_left_as_they_are():
    """By less than twice: that is no reason against the network through the slices."""
    scan = thick_slices(4)
    filled = kspace.low_pass_axis(kspace.low_pass_axis(scan.data, 49, 0), 49, 1)
    sight = look(dataclasses.replace(scan, data=filled))
    assert sight.findings[0].method == "sinc" and 1.2 < sight.findings[0].factor < 1.4
    (step,) = choice.choose_steps(sight, ScanSettings())
    assert step.model.name == "through"


@pytest.mark.usefixtures("planes_of_thick_slices")
def test_planes_that_are_smooth_in_no_known_way_are_left_as_they_are():
    """The network in them comes first and would be refused, though its card has nothing against the scan."""
    smooth = AxisFinding("unknown", Sampling(64, 2.0))
    sight = dataclasses.replace(look(thick_slices(4)), findings=(smooth, smooth, AxisFinding(None)))
    wanted = ScanSettings()
    refused = decide(sight, wanted, CARDS["plane"])
    assert "smooth, but interpolated in no way that is known" in refused.doubts[0]
    assert not misfits(sight, refused, CARDS["plane"])
    (step,) = choice.choose_steps(sight, wanted)
    assert step.model.name == "through" and not decide(sight, wanted, CARDS["through"]).doubts


def test_thick_slices_that_were_interpolated_in_the_plane_get_a_warning():
    (warning,) = decide(look(thick_slices(4, interpolated=True)), ScanSettings(), CARDS["through"]).warnings
    assert "interpolated along LR and AP, and the network was trained on scans measured in full there" in warning
    finer = thick_slices(4, pixel_mm=0.9)  # measured in full
    assert not decide(look(finer), ScanSettings(), CARDS["through"]).warnings


def test_a_thick_scan_that_no_network_is_for_is_told_why():
    (axis, factor, *_) = decide(look(thick_slices(5)), ScanSettings(), CARDS["plane"]).doubts
    assert axis == "its voxels are 1x1x5 mm, so that IS is to be super-resolved, and the network was trained for AP,LR"
    assert factor == "the factor is 5x along 1 axis, and the network was trained for 2x along 2 axes"


def test_what_the_default_refuses_goes_to_no_network_that_was_not_tested_for_it():
    large = dataclasses.replace(crop((0, 1), (2, 2)), affine=np.diag([2.0, 2, 2, 1]))
    assert choice.choose_model(look(large), ScanSettings()).name == "plane"
    (doubt,) = decide(look(large), ScanSettings(), CARDS["plane"]).doubts
    assert "voxels are 2x2x2 mm" in doubt and not decide(look(large), ScanSettings(), CARDS["gan"]).doubts


def test_a_name_goes_before():
    assert choice.choose_model(look(crop((0, 1), (2, 2))), ScanSettings(), "gan").name == "gan"


def at_an_odd_phase(samples, axis, order):
    """Twice as many voxels by SciPy's spline, as registration programs do it: voxel i lies at sample (i + 0.3) / 2."""
    places = (np.arange(2 * samples.shape[axis]) + 0.3) / 2
    lines = np.apply_along_axis(scipy.ndimage.map_coordinates, axis, samples, [places], order=order, mode="nearest")
    return np.ascontiguousarray(lines, np.float32)


def samples_and_odd_phase():
    """Measured samples along LR and AP, and the same drawn linearly at an odd phase."""
    volume = read_volume(CROP)
    small = kspace.acquire(volume.data, (2, 2), (0, 1))
    return small, dataclasses.replace(volume, data=at_an_odd_phase(at_an_odd_phase(small, 0, 1), 1, 1))


def smoothed():
    """The same smoothed as well."""
    small, drawn = samples_and_odd_phase()
    return small, dataclasses.replace(drawn, data=scipy.ndimage.gaussian_filter(drawn.data, (0.62, 0.62, 0)))


def waves_at_odd_phase(samples):
    """The samples' own waves at those places: what a perfect interpolation would have given."""
    for axis in (0, 1):
        count = samples.shape[axis]
        spectrum = np.fft.fft(samples, axis=axis)
        waves = np.exp(2j * np.pi * np.outer((np.arange(2 * count) + 0.3) / 2, np.fft.fftfreq(count)))
        samples = np.moveaxis(np.tensordot(waves, spectrum, axes=(1, axis)), 0, axis).real / count
    return samples


def off(image, expected):
    """RMS away from the ends of what is cut out of a head."""
    inner = (slice(6, -6), slice(6, -6))
    return float(np.sqrt(np.mean((image - expected)[inner] ** 2)))


def test_samples_at_an_odd_phase_are_found_and_read_off():
    small, drawn = samples_and_odd_phase()
    sight = look(drawn)
    decision = decide(sight, ScanSettings(), CARDS["plane"])
    assert [finding.method for finding in decision.findings] == ["linear", "linear"] and not decision.doubts
    found = prepare(drawn, decision, CARDS["plane"]).on_grid
    expected = waves_at_odd_phase(small)
    assert off(found, expected) < 0.2 * off(drawn.data, expected)  # the rest is what a cut leaves of its ends


def test_an_unknown_interpolation_is_low_passed_to_what_was_measured():
    """Against the samples' own waves at those places: nothing is left beyond them, and less is wrong than before."""
    small, blurred = smoothed()
    sight, wanted = look(blurred), ScanSettings(axes="LR,AP", factor="2")
    decision = decide(sight, wanted, CARDS["plane"])
    assert [finding.method for finding in decision.findings] == ["unknown", "unknown"] and not decision.doubts
    (warning,) = decision.warnings
    assert warning.startswith("along LR and AP the scan is smooth, but interpolated in no way that is known")
    assert "smoothly interpolated 2x along LR and AP: low-passed to what was measured" in in_words(
        sight, decision, "net", CARDS["plane"]
    )
    found = prepare(blurred, decision, CARDS["plane"]).on_grid
    spectrum = np.abs(np.fft.rfft(np.concatenate([found, found[::-1]]), axis=0))  # of a crop: with its mirror image
    assert spectrum[33:].max() < 1e-4 * spectrum.max()
    expected = waves_at_odd_phase(small)
    assert off(found, expected) < off(blurred.data, expected)


def test_who_does_not_name_the_factor_is_asked_for_it():
    doubts = decide(look(smoothed()[1]), ScanSettings(), CARDS["plane"]).doubts
    assert doubts[0].startswith("along AP it is smooth") and "name --axes and --factor" in doubts[0]
    assert "along LR k-space shows 1.19x, and not 2x, too little to gain by (from 1.45x on)" in doubts[1]


def test_partial_fourier_along_another_axis_is_no_contradiction():
    volume = crop((0, 1), (2, 2))
    partial = Volume(kspace.low_pass_axis(volume.data, 40, 2), volume.affine, CROP, volume.header, volume.stored_dtype)
    sight = look(partial)
    assert sight.findings[2].method == "sinc" and sight.findings[2].factor < 1.4
    assert choice.choose_model(sight, ScanSettings()).name == "plane"
    assert not decide(sight, ScanSettings(), CARDS["plane"]).doubts


def test_a_network_of_several_factors_along_two_axes_takes_those_between():
    card = dataclasses.replace(CARDS["plane"], tested={"factors": [[2, 2], [3, 3]]})
    found = (*(AxisFinding("linear", Sampling(64, 2.4)) for _ in range(2)), AxisFinding(None))
    sight = dataclasses.replace(look(read_volume(CROP)), findings=found)
    decision = decide(fitting(sight, ScanSettings(), card), ScanSettings(), card)
    assert decision.factors == (2, 2) and not decision.doubts
    assert "k-space shows 2.4x" in decide(sight, ScanSettings(), CARDS["plane"]).doubts[0]


def test_too_small_a_factor_is_said_to_be_so_where_nobody_named_another():
    """Along AP alone 1.5 times: no value of --factor is the remedy, so that the sentence has to say what is short."""
    sight = look(read_volume(CROP))
    found = AxisFinding("sinc", Sampling(64, 1.5))
    sight = dataclasses.replace(sight, findings=(AxisFinding(None), found, AxisFinding(None)))
    said = decide(sight, ScanSettings(axes="AP"), CARDS["plane"]).doubts[0]
    assert said == "along AP k-space shows 1.5x, and not 2x, too little to gain by (from 1.75x on)"
    named = decide(sight, ScanSettings(axes="AP", factor="2"), CARDS["plane"]).doubts[0]
    assert named == "along AP k-space shows 1.5x, and not 2x"
