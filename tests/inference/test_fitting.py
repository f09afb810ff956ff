"""Scans that scanners interpolated by 1.5 or 1.75: super-resolved where that is twofold, and given back as stored."""

import dataclasses
import re
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest
import scipy.interpolate
import scipy.ndimage
import scipy.signal
from infer_helpers import data_of, infer, write_tiny_model

from mdcsrn_tf.errors import UserError
from mdcsrn_tf.inference import ensemble
from mdcsrn_tf.inference.choice import choose_model
from mdcsrn_tf.inference.decision import decide
from mdcsrn_tf.inference.engines import load_engine
from mdcsrn_tf.inference.fitting import fitting
from mdcsrn_tf.inference.scan import super_resolve_scan
from mdcsrn_tf.inference.seen import in_words
from mdcsrn_tf.inference.settings import Result, ScanSettings, Settings
from mdcsrn_tf.inference.sight import look
from mdcsrn_tf.models.files import read_card
from mdcsrn_tf.scans.head import head_mask
from mdcsrn_tf.scans.kspace_check import AxisFinding
from mdcsrn_tf.scans.resampling import Sampling
from mdcsrn_tf.scans.volumes import read_volume
from mdcsrn_tf.weights import find_model

FAST = "fast-b4u4k16"
CARD = read_card(find_model(FAST))
CROP = "tests/golden/real_crop.nii.gz"


def filled(kept):
    """The crop with all but so many central samples of its k-space set to zero, by NumPy, and its truth."""
    truth = crop()
    return dataclasses.replace(truth, data=np.maximum(filled_of(truth.data, kept), 0)), truth.data


def crop():
    volume = read_volume(CROP)
    return dataclasses.replace(volume, data=volume.data[..., 8:40])


def filled_of(data, kept):
    for axis, count in enumerate(kept):
        size = data.shape[axis]
        away = np.abs(np.fft.fftfreq(size) * size) > count / 2
        spectrum = np.fft.fft(data, axis=axis)
        spectrum[tuple(away if place == axis else slice(None) for place in range(3))] = 0
        data = np.fft.ifft(spectrum, axis=axis).real if count < size else data
    return data.astype(np.float32)


def kept_of(factors):
    return [2 * round(size / factor / 2) for size, factor in zip(crop().data.shape, factors, strict=True)]


def gain(result, scan, truth):
    head = head_mask(truth, (1, 1, 1))
    before, after = (np.mean((image - truth)[head] ** 2, dtype=np.float64) for image in (scan, result))
    return 10 * np.log10(before / after)


def test_a_network_for_2_gains_where_it_would_do_harm():
    scan, truth = filled(kept_of((1.5, 1.5, 1)))
    engine = load_engine(FAST, Settings())
    outcome = super_resolve_scan(scan, engine, Settings(), ScanSettings())
    as_it_is = super_resolve_scan(scan, engine, Settings(), ScanSettings(axes="LR,AP", factor="2,2", force=True))
    assert outcome.data.shape == truth.shape and outcome.data.min() >= 0
    np.testing.assert_allclose(outcome.affine, scan.affine)
    assert gain(outcome.data, scan.data, truth) > 0.3  # dB
    assert gain(as_it_is.data, scan.data, truth) < 0


@pytest.mark.parametrize(("count", "said"), [(43, "1.49x"), (21, "3.05x")])
def test_linear_samples_at_other_distances_are_read_off_first(count, said):
    """Of so many samples drawn by SciPy along LR and AP, from 0.25 voxels on."""
    whole = crop()
    drawn = whole.data
    for axis, size in enumerate(drawn.shape[:2]):
        places = (np.arange(size) - 0.25) * count / size
        samples = scipy.signal.resample(drawn, count, axis=axis)
        drawn = scipy.interpolate.make_interp_spline(np.arange(count), samples, k=1, axis=axis)(
            np.clip(places, 0, count - 1)
        )
    truth = scipy.ndimage.shift(whole.data, (0.25, 0.25, 0), order=5, mode="nearest")
    scan = dataclasses.replace(whole, data=np.maximum(drawn, 0).astype(np.float32))
    sight = fitting(look(scan), ScanSettings(), CARD)
    assert [finding.as_stored.method for finding in sight.findings[:2]] == ["linear", "linear"]
    engine = load_engine(FAST, Settings())
    outcome = super_resolve_scan(scan, engine, Settings(), ScanSettings(force=True), sight=look(scan))
    assert outcome.data.shape == scan.data.shape and outcome.data.min() >= 0
    np.testing.assert_allclose(outcome.affine, scan.affine)
    assert gain(outcome.data, scan.data, truth) > 1.5  # dB
    assert f"linearly interpolated {said} along LR and AP" in in_words(
        sight, decide(sight, ScanSettings(), CARD), "net", CARD
    )


def test_the_ends_beyond_the_samples_stay_as_they_are_stored(monkeypatch):
    """A piece of a linearly drawn scan, its first sample at voxel 1.68; the network is stood in for by nothing."""
    data = crop().data
    samples = scipy.signal.resample(data, 25, axis=0)
    spline = scipy.interpolate.make_interp_spline(np.arange(25) * 2.56, samples, k=1, axis=0)
    scan = dataclasses.replace(crop(), data=np.maximum(spline(np.arange(6, 58)), 0).astype(np.float32))
    monkeypatch.setattr(ensemble, "run", lambda engine, low_res, *_: Result(low_res, 8, 0, "moving", 1, None))
    sight = look(scan)
    assert sight.findings[0].sampling.first == pytest.approx(1.68, abs=0.01)
    result = super_resolve_scan(scan, SimpleNamespace(card=CARD), Settings(), ScanSettings(force=True), sight=sight)
    np.testing.assert_array_equal(result.data[:2], scan.data[:2])
    assert np.abs(result.data[2:-3] - scan.data[2:-3]).max() > 5


@pytest.mark.parametrize(("count", "size"), [(32, 64), (40, 60)])
def test_what_a_mask_cut_after_interpolation_stays_as_it_is_stored(monkeypatch, count, size):
    """Drawn linearly along LR, twofold and 1.5 times, then set to zero from a plane on, as skull-stripping does; the
    network is stood in for by nothing."""
    samples = scipy.signal.resample(crop().data, count, axis=0)
    spline = scipy.interpolate.make_interp_spline(np.arange(count) + 0.5, samples, k=1, axis=0)
    places = np.clip((np.arange(size) + 0.5) * count / size, 0.5, count - 0.5)
    whole = dataclasses.replace(crop(), data=np.maximum(spline(places), 0).astype(np.float32))
    cut = dataclasses.replace(whole, data=whole.data.copy())
    cut.data[35:] = 0
    monkeypatch.setattr(ensemble, "run", lambda engine, low_res, *_: Result(low_res, 8, 0, "moving", 1, None))
    engine, sight = SimpleNamespace(card=CARD), look(whole)  # of so few samples the mask would hide the step
    outcomes = [
        super_resolve_scan(
            scan, engine, Settings(), ScanSettings(force=True), sight=dataclasses.replace(sight, volume=scan)
        )
        for scan in (whole, cut)
    ]
    results = [outcome.data for outcome in outcomes]
    said = [[sentence for sentence in outcome.told if "stay as they are stored" in sentence] for outcome in outcomes]
    assert outcomes[0].kept == 0 and not said[0]
    same = (results[1] == cut.data).mean()  # the cut-off half among them, whose zeros are zeros by the network as well
    assert 0.01 < outcomes[1].kept < same and said[1][0].startswith(f"{outcomes[1].kept:.0%} of its voxels")
    bright = float(np.percentile(cut.data[cut.data > 0], 90))
    off = np.abs(results[1] - cut.data).mean(axis=(1, 2)) / bright
    assert off[33:37].max() < 0.01
    assert np.abs(results[1][:25] - results[0][:25]).mean() < 0.01 * bright
    assert np.abs(results[0][4:25] - whole.data[4:25]).max() > 0.1 * bright  # read off, not passed through


def test_what_was_measured_stays_with_consistency(monkeypatch):
    """The network is stood in for by noise; the ends of the axes meet, as a whole scan's do."""
    kept = kept_of((1.5, 1.5, 1))
    scan, _ = filled(kept)
    data = scan.data * np.hanning(len(scan.data) + 2)[1:-1, None, None] * np.hanning(scan.data.shape[1] + 2)[1:-1, None]
    scan = dataclasses.replace(scan, data=filled_of(data, kept))
    noise = np.random.default_rng(0)

    def network(engine, low_res, settings, on_progress):
        return Result(low_res + noise.normal(0, 5, low_res.shape).astype(np.float32), 8, 0, "moving", 1, None)

    monkeypatch.setattr(ensemble, "run", network)
    engine = SimpleNamespace(card=CARD)
    result = super_resolve_scan(scan, engine, Settings(), ScanSettings(consistency=True))
    changed = np.abs(np.fft.fftn(result.data.astype(np.float64) - scan.data))
    beyond = [
        np.abs(np.fft.fftfreq(size) * size) >= count / 2 for size, count in zip(scan.data.shape, kept, strict=True)
    ]
    inner = np.ix_(*(np.flatnonzero(~one) for one in (*beyond[:2], np.zeros(scan.data.shape[2], bool))))
    assert changed[inner].max() < 1e-3 * changed.max()


@pytest.mark.parametrize(
    ("factors", "wanted", "card", "brought"),
    [
        ((1.5, 1.5, 1), {}, CARD, True),
        ((2, 1.5, 1), {}, CARD, True),
        ((2, 2, 1), {}, CARD, False),
        ((1.5, 1.5, 1), {"factor": "2,2", "axes": "LR,AP"}, CARD, False),
        ((1.5, 1.5, 1), {"grid": "small", "axes": "LR,AP"}, CARD, False),
        ((1.5, 1.5, 1), {}, dataclasses.replace(CARD, factor=(3, 3), tested={}), False),
        ((1.5, 1.5, 1), {}, dataclasses.replace(CARD, planes=("axial",)), False),
    ],
)
def test_only_what_a_network_for_2_can_use_is_brought_to_another_grid(factors, wanted, card, brought):
    sight = look(filled(kept_of(factors))[0])
    assert bool(fitting(sight, ScanSettings(**wanted), card).grid) == brought


def test_the_law_of_detail_is_not_asked_about_other_factors():
    scan, _ = filled(kept_of((1.5, 1.5, 1)))
    with pytest.raises(UserError, match=r"not beyond 1\.[45]\d?x.* along LR and AP; give a number"):
        super_resolve_scan(scan, SimpleNamespace(card=CARD), Settings(), ScanSettings(detail="auto"))


@pytest.mark.parametrize(("third", "doubts"), [(1.4, False), (1.6, True)])
def test_a_twofold_scan_of_partial_resolution_through_its_slices_stays_one(third, doubts):
    """It went through the network for two axes; with its third brought to twofold, none for two would take it."""
    sight = look(filled(kept_of((2, 2, 1)))[0])
    slices = AxisFinding("sinc", Sampling(sight.volume.data.shape[2], third))
    sight = dataclasses.replace(sight, findings=(*sight.findings[:2], slices))
    assert bool(decide(sight, ScanSettings(), CARD).doubts) == doubts
    assert bool(fitting(sight, ScanSettings(), CARD).grid) == doubts


def test_an_axis_that_is_not_asked_for_stays_on_its_grid():
    sight = look(filled(kept_of((1.5, 1.5, 1)))[0])
    slices = AxisFinding("sinc", Sampling(sight.volume.data.shape[2], 1.6))
    sight = dataclasses.replace(sight, findings=(*sight.findings[:2], slices))
    steps = fitting(sight, ScanSettings(axes="LR,AP", force=True), CARD).grid.steps()
    assert steps[0] and steps[1] and steps[2] is None


def test_an_axis_that_was_measured_is_called_so_beside_one_that_was_not():
    """As with --axes=LR,AP --force."""
    found = (AxisFinding("linear", Sampling(64, 1.6)), AxisFinding(None), AxisFinding(None))
    sight, wanted = dataclasses.replace(look(crop()), findings=found), ScanSettings(axes="LR,AP", force=True)
    sight = fitting(sight, wanted, CARD)
    line = in_words(sight, decide(sight, wanted, CARD), "net", CARD)
    assert "linearly interpolated and measured 1.6x1 along LR and AP: brought to 80x64x32 voxels" in line


def test_the_card_is_asked_about_the_voxels_of_the_result_not_of_the_twofold_grid():
    """At 3x those are half as large again, which benchmarks/other_factors.py tries on every scan."""
    sight = fitting(look(filled(kept_of((3, 3, 1)))[0]), ScanSettings(), CARD)
    assert sight.spacing[0] > 1.45 and not decide(sight, ScanSettings(), CARD).doubts
    card = dataclasses.replace(CARD, tested={**CARD.tested, "voxel_mm": [0.5, 0.7]})
    (doubt,) = decide(sight, ScanSettings(), card).doubts
    assert "the result's voxels are 1x1x1 mm" in doubt


@pytest.mark.parametrize(("kept", "brought"), [(42, False), (36, True)])  # 1.5 and 1.78 voxels a sample
def test_one_axis_alone_has_to_be_nearer_to_2(kept, brought):
    """At 1.5 a network for one axis makes more errors there than it mends (docs/decisions.md)."""
    sight = look(filled(kept_of((1, 1, 1)))[0])
    axis = AxisFinding("sinc", Sampling(sight.volume.data.shape[1], sight.volume.data.shape[1] / kept))
    sight = dataclasses.replace(sight, findings=(sight.findings[0], axis, sight.findings[2]))
    assert bool(fitting(sight, ScanSettings(axes="AP"), CARD).grid) == brought


def test_the_default_network_is_chosen_and_the_line_says_what_is_done(tmp_path, capsys):
    scan, _ = filled(kept_of((1.5, 1.5, 1)))
    assert choose_model(look(scan), ScanSettings()) == find_model(None)
    framed = np.pad(np.stack([scan.data, scan.data * 2], -1), [(0, 0), (5, 9), (0, 0), (0, 0)])
    nib.save(nib.Nifti1Image(framed, scan.affine), tmp_path / "4d.nii.gz")
    nib.save(nib.Nifti1Image(scan.data, scan.affine), tmp_path / "3d.nii.gz")
    model = write_tiny_model(tmp_path / "tiny.keras")
    for name in ("4d", "3d"):
        flags = (f"--input={tmp_path}/{name}.nii.gz", f"--output={tmp_path}/{name}_sr.nii.gz", f"--model={model}")
        assert infer(*flags) == 0
    said = "".join(capsys.readouterr())
    assert re.search("sinc-interpolated 1.[45][0-9]?x.* along LR and AP: brought to 8[0-9]x8[0-9]x32 voxels", said)
    assert "which is 2x, super-resolved by tiny and brought back" in said
    whole, alone = data_of(tmp_path / "4d_sr.nii.gz"), data_of(tmp_path / "3d_sr.nii.gz")
    np.testing.assert_allclose(whole[:, 5:-9, :, 0], alone, atol=1e-3 * alone.max())
    assert not whole[:, :5].any() and not whole[:, -9:].any()
    assert infer(*flags, "--qc") == 0  # a picture of the finished result
    assert (tmp_path / "3d_sr_qc.png").is_file()
