"""A scan's way to the network: versions of one scan end up the same, and consistency gives the measured matrix back."""

from __future__ import annotations

import dataclasses
import itertools
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from mdcsrn_tf.errors import UserError
from mdcsrn_tf.inference import ensemble as ensembles
from mdcsrn_tf.inference import job, outputs, passes, scan
from mdcsrn_tf.inference.choice import Step
from mdcsrn_tf.inference.decision import decide
from mdcsrn_tf.inference.engine import Engine
from mdcsrn_tf.inference.opened import Opened
from mdcsrn_tf.inference.passes import results_of
from mdcsrn_tf.inference.prepared import prepare
from mdcsrn_tf.inference.scan import check_consistency, consistent, refuse_doubts
from mdcsrn_tf.inference.seen import in_words
from mdcsrn_tf.inference.settings import Result, ScanSettings, Settings
from mdcsrn_tf.inference.sight import look
from mdcsrn_tf.inference.slice_pixels import asked_planes
from mdcsrn_tf.models.files import ModelCard
from mdcsrn_tf.scans import kspace
from mdcsrn_tf.scans.volumes import read_volume

CROP = Path(__file__).parents[1] / "golden" / "real_crop.nii.gz"
SINC = ModelCard("tiny", "0", "sinc", axes=("LR", "AP"), factor=(2, 2))
LINEAR = dataclasses.replace(SINC, interpolation="linear")
AXES, FACTORS = (0, 1), (2, 2)


@pytest.fixture(scope="module")
def crop():
    """The crop in air, as a whole head lies: towards the ends of LR and AP it fades."""
    volume = read_volume(CROP)
    fade = np.minimum(1, np.hanning(130)[::2][:64] * 20).astype(np.float32)
    return dataclasses.replace(volume, data=volume.data * fade[:, np.newaxis, np.newaxis] * fade[:, np.newaxis])


def version(crop, method, rounded=False):
    """The crop degraded along LR and AP and interpolated by `method`; "small": the matrix."""
    small = kspace.acquire(crop.data, FACTORS, AXES)
    if method == "small":
        affine = kspace.small_affine(crop.affine, FACTORS, AXES)
        data = small
    else:
        affine, data = crop.affine, kspace.interpolate(small, crop.data.shape, FACTORS, AXES, method)
    data = np.rint(np.clip(data, 0, 255)) if rounded else data
    return dataclasses.replace(crop, data=data.astype(np.float32), affine=affine)


def prepared(volume, card=SINC, **wanted):
    sight = look(volume)
    decision = decide(sight, ScanSettings(**wanted), card)
    refuse_doubts(volume, decision, ScanSettings(**wanted))
    return prepare(volume, decision, card)


@pytest.mark.parametrize("method", ["linear", "cubic", "nearest", "small"])
def test_every_version_of_a_scan_reaches_the_network_as_its_sinc_version(crop, method):
    expected = prepared(version(crop, "sinc")).low_res
    found = prepared(version(crop, method)).low_res
    np.testing.assert_allclose(found, expected, atol=2e-3 * crop.data.max())
    rounded = prepared(version(crop, method, rounded=True)).low_res
    assert np.sqrt(np.mean((rounded - expected) ** 2)) < 0.5  # of 255: as rounding itself, 0.29, and no more than that


@pytest.mark.parametrize("method", ["linear", "cubic", "nearest", "small"])
def test_the_middle_of_a_scan_that_does_not_fade_is_that_of_its_sinc_version(method):
    """Its cut ends have rules of their own, which tell on the middle by less than a hundredth of its deviation."""
    whole = read_volume(CROP)
    middle = (slice(16, -16), slice(16, -16))
    expected = prepared(version(whole, "sinc")).on_grid[middle]
    error = prepared(version(whole, method)).on_grid[middle] - expected
    assert np.sqrt(np.mean(error**2)) < 0.01 * expected.std()


@pytest.mark.parametrize("codes", [(-1, 1), (1, -1), (-1, -1)])
def test_a_scan_that_was_turned_over_after_it_was_interpolated(crop, codes):
    expected = prepared(version(crop, "sinc")).on_grid
    low = version(crop, "linear")
    turned = dataclasses.replace(low, data=np.ascontiguousarray(low.data[:: codes[0], :: codes[1]]))
    found = prepared(turned).on_grid[:: codes[0], :: codes[1]]
    np.testing.assert_allclose(found, expected, atol=2e-3 * crop.data.max())


def test_a_linear_network_gets_linear_input_whatever_comes(crop):
    expected = version(crop, "linear").data
    for method in ("linear", "sinc", "cubic"):
        np.testing.assert_allclose(prepared(version(crop, method), LINEAR).on_grid, expected, atol=2e-2)


@pytest.mark.parametrize("method", ["linear", "nearest"])
def test_a_piece_of_a_zero_filled_head_reaches_the_network_without_ringing_at_its_ends(method):
    """Cut by 8 voxels at each end, unfaded: the whole scan's voxels, but for the last, whose next sample is gone."""
    whole = read_volume(CROP)
    inner = (slice(8, 56), slice(8, 56))
    data = np.ascontiguousarray(version(whole, "sinc").data[inner])
    card = dataclasses.replace(SINC, interpolation=method)
    found = prepared(dataclasses.replace(whole, data=data), card).on_grid
    expected = version(whole, method).data[inner]
    error = np.abs(found - expected)[:-1, :-1] / expected.std()
    assert error.max() < 1e-4


def test_what_is_seen_is_said_in_one_line(crop):
    said = {}
    for method in ("sinc", "cubic", "small"):
        sight = look(version(crop, method))
        said[method] = in_words(sight, decide(sight, ScanSettings(), SINC), "net", SINC)
    assert said == {
        "sinc": "64x64x48 at 1x1x1 mm, sinc-interpolated 2x along LR and AP: super-resolving those by net",
        "cubic": "64x64x48 at 1x1x1 mm, cubically interpolated 2x along LR and AP: taken back to the measured samples, "
        "brought to the grid by sinc and super-resolved by net",
        "small": "32x32x48 at 2x2x1 mm, the scanner's matrix along LR and AP: brought to 2x as many voxels by sinc "
        "interpolation and super-resolved by net",
    }


DOUBTS = [
    ({}, "full", "the outer k-space along LR and AP is not empty"),
    ({"axes": "LR,IS"}, "sinc", "k-space looks empty along AP, which --axes does not name"),
    ({"factor": "3"}, "sinc", "along LR k-space shows 2x, and not 3x"),
    ({"grid": "small", "axes": "IS", "factor": "4"}, "full", "the network was trained for AP,LR"),
    ({"grid": "small", "factor": "4"}, "full", "the factor is 4x, and the network was trained for 2x"),
]


@pytest.mark.parametrize(("wanted", "method", "sentence"), DOUBTS)
def test_what_would_not_come_out_better_is_refused(crop, wanted, method, sentence):
    volume = crop if method == "full" else version(crop, method)
    with pytest.raises(UserError, match=sentence):
        prepared(volume, **wanted)
    assert prepared(volume, force=True, **wanted).on_grid.size


@pytest.mark.parametrize(
    ("tested", "sentence"),
    [
        ({"voxel_mm": [0.4, 0.7]}, "voxels are 1x1x1 mm"),
        ({"contrasts": ["T2w"]}, "name says T1w"),
        ({"axes": [["AP", "IS"]]}, "trained for AP,IS"),
        ({"factors": [[3, 3]]}, "trained for 3x"),
    ],
)
def test_a_card_says_what_else_the_network_is_for(crop, tested, sentence):
    volume = dataclasses.replace(version(crop, "sinc"), path=Path("sub-1_T1w.nii.gz"))
    with pytest.raises(UserError, match=sentence):
        prepared(volume, dataclasses.replace(SINC, tested=tested))
    wider = {"voxel_mm": [0.5, 1.2], "contrasts": ["T1w"], "axes": [["LR", "AP"], ["AP", "IS"]], "factors": [[2, 2]]}
    assert prepared(volume, dataclasses.replace(SINC, tested=wider)).on_grid.size


TAKEN, WARNED, REFUSED = (0, 0), (0, 1), (1, 0)  # doubts and warnings


@pytest.mark.parametrize(
    ("method", "millimetres", "said"),
    [  # the card says 0.5 to 1.25 mm, the result's voxels decide, and a hundredth more or less is the same size
        ("sinc", (0.5, 1.0, 1.25), TAKEN),
        ("sinc", (0.496, 1.0, 1.262), TAKEN),
        ("sinc", (0.49, 1.0, 1.0), WARNED),
        ("sinc", (1.0, 1.0, 1.27), WARNED),
        ("sinc", (0.4, 1.0, 1.56), WARNED),
        ("sinc", (0.39, 1.0, 1.0), REFUSED),
        ("sinc", (1.0, 1.0, 1.57), REFUSED),
        ("small", (2.5, 2.5, 1.25), TAKEN),
        ("small", (2.6, 2.6, 1.25), WARNED),
        ("small", (3.2, 3.2, 1.6), REFUSED),
        ("small", (0.9, 0.9, 0.5), WARNED),
    ],
)
def test_the_voxels_of_the_result_are_held_to_the_card(crop, method, millimetres, said):
    card = dataclasses.replace(SINC, tested={"voxel_mm": [0.5, 1.25]})
    volume = dataclasses.replace(version(crop, method), affine=np.diag([*millimetres, 1.0]))
    decision = decide(look(volume), ScanSettings(grid="small" if method == "small" else "same"), card)
    sentences = (*decision.doubts, *decision.warnings)
    assert (len(decision.doubts), len(decision.warnings)) == said
    assert all("voxels are" in sentence and "tested on 0.5 to 1.25 mm" in sentence for sentence in sentences)


@pytest.mark.parametrize(
    ("millimetres", "said"),
    [
        ((1.0, 1.0, 6.0), TAKEN),  # thick slices stay as thick
        ((1.0, 1.0, 7.5), WARNED),
        ((1.0, 1.0, 7.6), REFUSED),
        ((0.43, 0.43, 5.0), WARNED),
        ((1.0, 1.0, 0.39), REFUSED),
        ((2.6, 1.0, 6.0), REFUSED),
    ],
)
def test_an_axis_that_stays_as_it_is_may_be_coarser_where_the_card_says_so(crop, millimetres, said):
    tested = {"voxel_mm": [0.5, 2.0], "across_mm": [0.5, 6.0]}
    volume = dataclasses.replace(version(crop, "sinc"), affine=np.diag([*millimetres, 1.0]))
    decision = decide(look(volume), ScanSettings(), dataclasses.replace(SINC, tested=tested))
    assert (len(decision.doubts), len(decision.warnings)) == said
    limits = "and the network was tested on 0.5 to 2 mm and 0.5 to 6 mm across"
    assert all(limits in sentence for sentence in (*decision.doubts, *decision.warnings))


# 62 voxels: 31 samples, no Nyquist line. No small matrix becomes 63, nor is nearest recognised there.
@pytest.mark.parametrize(
    ("method", "size"),
    [
        *itertools.product(["sinc", "linear", "cubic", "nearest", "small"], [64, 62]),
        ("sinc", 63),
        ("linear", 63),
        ("cubic", 63),
    ],
)
def test_consistency_returns_the_measured_matrix(crop, method, size):
    """To 1e-5 of its contrast, the Nyquist line too, whatever the image was made into."""
    crop = dataclasses.replace(crop, data=np.ascontiguousarray(crop.data[:size, :size]))
    measured = kspace.acquire(crop.data.astype(np.float64), FACTORS, AXES)
    one = prepared(version(crop, method))
    image = one.on_grid + np.random.default_rng(0).normal(0, 20, one.on_grid.shape).astype(np.float32)
    found = kspace.truncate(consistent(image, one).astype(np.float64), FACTORS, AXES)
    assert np.abs(found - measured).max() < 1e-5 * measured.std()


def test_consistency_needs_to_know_the_samples(crop):
    with pytest.raises(UserError, match="--grid=small"):
        check_consistency(prepared(crop, force=True), SINC)


def test_consistency_refuses_a_factor_that_the_scan_was_not_measured_by(crop):
    one = prepared(version(crop, "sinc"), force=True, factor="3")
    with pytest.raises(UserError, match="2x along LR and not 3x"):
        check_consistency(one, SINC)


def test_factors_of_axes_that_were_found_out_are_asked_for_by_their_names(crop):
    with pytest.raises(UserError, match="--factor=2,2,2 must give each of --axes=LR,AP a whole number"):
        decide(look(dataclasses.replace(crop, data=crop.data[:12, :12, :12])), ScanSettings(factor="2,2,2"), SINC)


def test_factors_of_fewer_axes_are_told_apart(crop):
    sentences = decide(look(crop), ScanSettings(axes="IS", factor="2"), SINC).doubts
    assert "the factor is 2x along 1 axis, and the network was trained for 2x along 2 axes" in sentences


def test_a_slice_network_does_not_pass_over_what_was_asked_nor_over_its_card(crop):
    card = ModelCard("slices", "0", "linear", planes=("axial",), tested={"voxel_mm": [0.4, 0.7]})
    asked = decide(look(crop), ScanSettings(axes="IS", factor="2"), card)
    assert asked.doubts[0] == "without --grid=small a network on slices has no use for --axes and --factor"
    assert "voxels are 1x1x1 mm" in asked.doubts[1]
    assert not decide(look(crop), ScanSettings(), dataclasses.replace(card, tested={})).doubts


def test_pixels_that_a_slice_network_did_not_learn_from_are_pointed_out(crop):
    card = ModelCard("slices", "0", "linear", planes=("axial",), notes={"pixel_mm": [0.5, 0.5]})
    (said,) = decide(look(crop), ScanSettings(), card).warnings
    assert "pixels of 1x1 mm, and the network learned on 0.5x0.5 mm: bring the scan to those by --grid=small" in said
    assert not decide(look(crop), ScanSettings(grid="small", axes="LR,AP", factor="2,2"), card).warnings
    (said,) = decide(look(crop), ScanSettings(grid="small", axes="LR,AP", factor="4,4"), card).warnings
    assert "0.25x0.25 mm" in said and said.endswith("expect less of it.")
    assert decide(look(crop), ScanSettings(), dataclasses.replace(card, notes={"pixel_mm": [0.9, 1.1]})).warnings == ()
    of_three = dataclasses.replace(card, planes=("axial", "coronal", "sagittal"), notes={"pixel_mm": [1, 1]})
    thick = dataclasses.replace(crop, affine=np.diag([1.0, 1, 4, 1]))
    axial = dataclasses.replace(of_three, planes=asked_planes("axial", of_three))
    assert (
        decide(look(thick), ScanSettings(), of_three).warnings
        and not decide(look(thick), ScanSettings(), axial).warnings
    )
    assert asked_planes("mean3", axial) == ("sagittal", "coronal", "axial") and asked_planes("axial", SINC) == ()


def test_a_small_matrix_is_brought_to_the_grid_of_the_other_scan_for_a_slice_network(crop):
    card = ModelCard("slices", "0", "linear", planes=("axial",), tested={"voxel_mm": [0.4, 0.6]})
    wanted = ScanSettings(grid="small", axes="LR,AP,IS", factor="2")
    decision = decide(look(crop), wanted, card)
    assert not decision.doubts, "the result's voxels are of 0.5 mm"
    ready = prepare(crop, decision, card)
    np.testing.assert_array_equal(ready.on_grid[::2, ::2, ::2], crop.data)
    middle = (crop.data[:-1] + crop.data[1:]) / 2
    np.testing.assert_allclose(ready.on_grid[1:-1:2, ::2, ::2], middle, rtol=1e-5)
    np.testing.assert_allclose(ready.affine @ [2, 4, 6, 1], crop.affine @ [1, 2, 3, 1])
    with pytest.raises(UserError, match="needs --axes and --factor"):
        decide(look(crop), dataclasses.replace(wanted, factor=None), card)


def test_an_image_that_is_normalised_by_the_other_rule_gets_a_warning(crop):
    card = dataclasses.replace(SINC, normalisation="tissue_level")
    signed = dataclasses.replace(crop, data=crop.data - crop.data.max())
    assert any("no magnitude image" in warning for warning in decide(look(signed), ScanSettings(), card).warnings)
    assert not any("magnitude" in one for one in decide(look(crop), ScanSettings(), card).warnings)


@pytest.mark.parametrize(
    ("ensemble", "turned"),
    [
        (1, [()]),
        (2, [(), (0,)]),
        (4, [(), (0,), (1,), (0, 1)]),
        (8, [(), (0,), (1,), (2,), (0, 1), (0, 2), (1, 2), (0, 1, 2)]),
    ],
)
def test_an_ensemble_is_the_mean_over_its_mirror_images(crop, monkeypatch, ensemble, turned):
    """The network is stood in for by a running product, which no mirror leaves as it is."""

    def network(low, *_):
        return Result(low * np.cumsum(np.indices(low.shape).sum(axis=0), axis=0), 8, 0, "moving", 3, None)

    monkeypatch.setattr(ensembles, "run", lambda engine, low, settings, on_progress: network(low))
    given = prepared(version(crop, "sinc"))
    outcome = scan.run_prepared(given, None, Settings(ensemble=ensemble), ScanSettings())
    images = [np.flip(network(np.flip(given.low_res, axes)).data, axes) for axes in turned]
    expected = given.stored(np.mean(images, axis=0, dtype=np.float64))
    np.testing.assert_allclose(outcome.data, expected, rtol=1e-5, atol=1e-5 * expected.max())
    assert outcome.result.tiles == 3 * len(turned)


def test_an_ensemble_of_three_is_no_ensemble():
    with pytest.raises(UserError, match="must be 1, 2, 4 or 8"):
        ensembles.mirrors(3)
    with pytest.raises(UserError, match="ensemble '4' must be"):  # the number's text
        ensembles.mirrors("4")
    assert ensembles.mirrors(np.int64(2)) == [(), (0,)]


def test_a_scan_whose_axes_are_asked_for_by_their_numbers_is_drawn_upright_as_well(crop, monkeypatch):
    """Stored from right to left and from front to back: else right and left would change places in the picture."""
    data = crop.data[12:36, 12:36, 12:36]
    turned = dataclasses.replace(
        crop, data=np.ascontiguousarray(data[::-1, ::-1]), affine=crop.affine @ np.diag([-1, -1, 1, 1])
    )
    drawn = []
    monkeypatch.setattr("mdcsrn_tf.inference.qc.save_picture", lambda *what, **more: drawn.append((what, more)))
    for axes in ("LR,AP", "0,1"):
        one = prepared(turned, axes=axes, force=True)
        result = Result(one.on_grid, (16, 30, 30), 3, "moving", 3, 1.0)
        job.draw(outputs.Job(Path("a.nii"), Path("b.nii")), one, one.on_grid, result, ScanSettings(qc_seams=True))
        for image in drawn[-1][0][1:3]:
            np.testing.assert_array_equal(image, one.on_grid[::-1, ::-1])
    assert [what[5][0] for what, _ in drawn] == [[10, 20], [14, 4]]  # counted from either end of 24 voxels
    assert drawn[0][1]["measured"] == drawn[1][1]["measured"] == [0.5, 0.5, 1]


def test_what_was_measured_of_planes_is_outlined_on_their_own_grid(crop, monkeypatch):
    """As thick slices, drawn after a network that had their planes, of 1.5 voxels a sample, on a twofold grid."""
    drawn = {}
    monkeypatch.setattr("mdcsrn_tf.inference.qc.save_picture", lambda *what, **more: drawn.update(more))
    one = prepared(crop, axes="IS", factor="3", grid="small", force=True)
    stored = [{"axis": name, "method": "sinc", "factor": 1.5, "evidence": {}} for name in ("LR", "AP")]
    before = {"Axes": ["LR", "AP"], "Factor": [2, 2], "Interpolation": stored}
    result = Result(one.on_grid, 70, 3, "moving", 1, None)
    paths = outputs.Job(Path("a.nii"), Path("b.nii"))
    job.draw(paths, one, one.on_grid, result, ScanSettings(), before=before)
    assert drawn["measured"] == [1 / 1.5, 1 / 1.5, 1 / 3]


class Unchanging(Engine):
    def _build(self, tile, batch):
        return lambda tiles: tiles


def test_of_many_volumes_little_more_than_their_results_is_kept(crop):
    small = version(crop, "small")
    small = dataclasses.replace(small, data=small.data[:16, :16, :32])
    opened = Opened([dataclasses.replace(small, data=small.data * k) for k in range(1, 5)], look(small), None)
    engine, wanted = Unchanging(SINC, "moving", 0), ScanSettings()
    decision = decide(opened.sight, wanted, SINC)
    tracemalloc.start()
    first, whole = results_of(opened, decision, engine, Settings(tile=38), wanted)
    kept = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert len(whole.volumes) == 4 and kept < 8 * first.data.nbytes
    np.testing.assert_allclose(whole.volumes[3], 4 * whole.volumes[0], rtol=1e-4, atol=1e-2)
    np.testing.assert_allclose(whole.affine, crop.affine)


def test_a_self_check_that_means_nothing_is_refused_before_the_network_is_loaded(crop, monkeypatch):
    card = ModelCard("slices", "0", "linear", planes=("axial",))
    monkeypatch.setattr(passes, "read_any_card", lambda model: card)
    scan, one = Opened([crop], look(crop), None), outputs.Job(Path("a.nii"), Path("b.nii"))
    for enlarged in ({}, {"grid": "small", "axes": "LR,AP", "factor": "2"}):
        wanted = ScanSettings(self_check=True, **enlarged)
        with pytest.raises(UserError, match="but slices, a network on slices, was trained on two scans"):
            job.process(one, scan, [Step(Path("m.keras"), wanted)], pytest.fail, Settings(), {}, print)
