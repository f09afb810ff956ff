"""--undo_filter: what goes through the network, and all that follows, is the scan without its scanner's window."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from infer_helpers import data_of, infer

import mdcsrn_tf as m
from mdcsrn_tf.papers.config import FsrcnnConfig
from mdcsrn_tf.scans import kspace

DEMO = Path(__file__).parents[2] / "demo" / "hr.nii.gz"


def original():
    """A slab around the middle of the demo's original."""
    return np.ascontiguousarray(nib.load(DEMO).get_fdata(dtype=np.float32)[..., 40:64])


def filtered(high, lowest):
    """Cut 2x2 and filled with zeros, by a raised cosine that falls to `lowest`: Hamming's, to 0.08."""
    image = high.astype(np.float64)
    for axis in (0, 1):
        size = image.shape[axis]
        share = np.abs(np.fft.fftfreq(size)) * 4
        window = np.where(share <= 1, (1 + lowest) / 2 + (1 - lowest) / 2 * np.cos(np.pi * np.minimum(share, 1)), 0)
        spectrum = np.fft.fft(image, axis=axis) * window.reshape([-1 if place == axis else 1 for place in range(3)])
        image = np.fft.ifft(spectrum, axis=axis).real
    return np.abs(image).astype(np.float32)


def write_identity(path):
    """A network that changes nothing: what comes out is what it was given."""
    from mdcsrn_tf.models import build_generator, start_as_identity
    from mdcsrn_tf.models.files import ModelCard, save_model

    config = FsrcnnConfig(features=1, shrunk=1, mappings=1)
    model = build_generator(config)
    start_as_identity(model, config)
    save_model(path, model, ModelCard("tiny", "0", "sinc", ("LR", "AP"), (2, 2), 70, 3, "moving"))


def measured_in_an_ellipse(high):
    """The same of the ellipse that fits into that part of k-space."""
    u, v = (np.abs(np.fft.fftfreq(size)) * 4 for size in high.shape[:2])
    inside = (u[:, None] ** 2 + v**2 <= 1)[..., None]
    return np.abs(np.fft.ifft2(np.fft.fft2(high, axes=(0, 1)) * inside, axes=(0, 1)).real).astype(np.float32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Scans of the demo's original in a frame of zeros: filtered, not filtered, and measured in an ellipse."""
    folder = tmp_path_factory.mktemp("filtered")
    write_identity(folder / "identity.keras")
    high = original()
    scans = {"hamming": filtered(high, 0.08), "none": filtered(high, 1.0), "ellipse": measured_in_an_ellipse(high)}
    for name, scan in scans.items():
        framed = np.pad(scan, [(0, 0), (0, 0), (4, 4)])
        nib.save(nib.Nifti1Image(framed, nib.load(DEMO).affine), folder / f"{name}.nii.gz")
    return folder


def result(folder, scan, *flags):
    target = folder / f"{scan}-{len(flags)}.nii.gz"
    wanted = (f"--model={folder}/identity.keras", "--force", "--quiet", *flags)
    assert infer(f"--input={folder / scan}.nii.gz", f"--output={target}", *wanted) == 0
    return data_of(target)[..., 4:-4], json.loads(target.with_name(f"{scan}-{len(flags)}.json").read_text())


def test_a_filtered_scan_comes_near_to_what_it_was_before_and_is_warned_of_without(folder):
    unfiltered = filtered(original(), 1.0)
    plain, story = result(folder, "hamming")
    undone, its = result(folder, "hamming", "--undo_filter")
    assert off(undone, unfiltered) < 0.5 * off(plain, unfiltered)
    assert factor_along("AP", story) > 2.1 and factor_along("AP", its) == 2, "its faded edge counts as measured again"
    assert any("unless --undo_filter takes it back" in warning for warning in story["Warnings"])
    assert not any("--undo_filter" in warning for warning in its["Warnings"])
    assert "a filter undone, of " in its["Seen"] and its["Request"]["undo_filter"] is True
    asked = {"model": folder / "identity.keras", "force": True, "undo_filter": True}
    image = m.super_resolve(nib.load(folder / "hamming.nii.gz"), **asked)
    np.testing.assert_array_equal(image.get_fdata(dtype=np.float32)[..., 4:-4], undone)


@pytest.mark.parametrize("scan", ["none", "ellipse"])
def test_of_a_scan_without_a_filter_nothing_changes(folder, scan):
    plain, _ = result(folder, scan)
    undone, story = result(folder, scan, "--undo_filter")
    np.testing.assert_array_equal(undone, plain)
    assert story["Seen"].endswith("; it shows no filter to undo")


def test_what_was_measured_is_then_as_if_it_had_not_been_weighted(folder):
    """With --consistency the centre of the result's k-space is not the filtered scan's."""
    undone, _ = result(folder, "hamming", "--undo_filter", "--consistency")
    high = original()
    shapes = [(2, 2), (0, 1)]
    given = kspace.acquire(filtered(high, 0.08), *shapes)
    wanted, found = kspace.acquire(high, *shapes), kspace.acquire(undone, *shapes)
    assert off(found, wanted) < 0.5 * off(given, wanted)


def factor_along(axis, story):
    return {one["axis"]: one["factor"] for one in story["Interpolation"]}[axis]


def off(image, expected):
    return float(np.sqrt(np.mean((image - expected) ** 2)))
