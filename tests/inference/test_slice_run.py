"""Slice networks from a model file over volumes: planes, tiles, stacks, statistics, and what is refused."""

import warnings

import keras
import nibabel as nib
import numpy as np
import pytest

from mdcsrn_tf.api import super_resolve
from mdcsrn_tf.cli.infer import main as infer
from mdcsrn_tf.errors import UserError
from mdcsrn_tf.inference.engines import load_engine
from mdcsrn_tf.inference.export import export
from mdcsrn_tf.inference.settings import Settings
from mdcsrn_tf.inference.volume import run, super_resolve_volume
from mdcsrn_tf.models import build_generator, start_as_identity
from mdcsrn_tf.models.files import ModelCard, save_model
from mdcsrn_tf.papers.networks2d import Dcsrn2dConfig, Srresnet2dConfig, Unet2dConfig
from mdcsrn_tf.scans.normalisation import Normalisation

SCAN = np.random.default_rng(0).gamma(2.0, 50.0, (9, 12, 10)).astype(np.float32)


def saved(folder, config, identity=False, **card):
    keras.utils.set_random_seed(3)
    model = build_generator(config)
    if identity:
        start_as_identity(model, config)
    path = folder / "model.keras"
    options = {"planes": ("axial",), "tile": 0, "margin": 0, "bn": "moving"} | card
    save_model(path, model, ModelCard(preset="any", version="0", interpolation="linear", **options))
    return path, model


def test_from_python_the_pixels_are_those_of_the_plane_that_is_asked_for(tmp_path):
    path, _ = saved(tmp_path, Dcsrn2dConfig(4, 1, 3), notes={"pixel_mm": [1.0, 1.0]})
    affine = np.diag([1.0, 1, 3, 1])
    with warnings.catch_warnings(action="error"):
        super_resolve(SCAN, model=path, affine=affine)
    with pytest.warns(UserWarning, match="the slices have pixels of 1x3 mm"):
        super_resolve(SCAN, model=path, affine=affine, plane="sagittal")


@pytest.mark.parametrize(("plane", "axis"), [(None, 2), ("sagittal", 0), ("coronal", 1)])
def test_every_slice_of_the_plane_goes_through_the_network(tmp_path, plane, axis):
    path, model = saved(tmp_path, Dcsrn2dConfig(4, 2, 3))
    scale = Normalisation.from_low_res(SCAN)
    slices = np.moveaxis(scale.apply(SCAN), axis, 0)[..., np.newaxis]
    expected = np.moveaxis(model(slices, training=False).numpy()[..., 0], 0, axis)
    found = super_resolve_volume(path, SCAN, plane=plane)
    np.testing.assert_allclose(found, scale.undo(expected), rtol=1e-4, atol=1e-3)


def test_the_mean_of_three_planes(tmp_path):
    path, _ = saved(tmp_path, Dcsrn2dConfig(4, 2, 3))
    single = [super_resolve_volume(path, SCAN, plane=plane) for plane in ("axial", "coronal", "sagittal")]
    np.testing.assert_allclose(super_resolve_volume(path, SCAN, plane="mean3"), np.mean(single, axis=0), rtol=1e-4)


def test_three_slices_in_and_the_identity_start_give_the_scan_back(tmp_path):
    path, _ = saved(tmp_path, Srresnet2dConfig(4, 1, low_channels=3), identity=True)
    np.testing.assert_allclose(super_resolve_volume(path, SCAN), SCAN, rtol=1e-4, atol=1e-3)


def test_tiles_of_the_card_and_of_the_flags(tmp_path):
    path, _ = saved(tmp_path, Unet2dConfig(filters=2, levels=2), tile=8, margin=1, stride=3)
    engine = load_engine(path, Settings())
    by_card = run(engine, SCAN, Settings())
    assert (by_card.tile, by_card.margin, by_card.tiles, by_card.bn) == ((8, 8, 1), (1, 1, 0), 2 * 3 * 10, "moving")
    side_by_side = run(engine, SCAN, Settings(merge="core"))
    assert np.abs(side_by_side.data - by_card.data).max() > 0
    assert side_by_side.seam_figure is not None
    again = run(engine, SCAN, Settings(batch_tiles=3))
    np.testing.assert_allclose(again.data, by_card.data, rtol=1e-4, atol=1e-3)
    with pytest.raises(UserError, match="multiples of 4 pixels, not 10: take 12"):
        run(engine, SCAN, Settings(tile=10))
    with pytest.raises(UserError, match=r"stride of 7 leaves gaps .* take 1 to 6"):
        run(engine, SCAN, Settings(stride=7))
    for idle in (Settings(stride=2, merge="core"), Settings(stride=0), Settings(stride=-1)):
        with pytest.raises(UserError, match="how far apart tiles lie that are averaged: take 1 pixel or more"):
            run(engine, SCAN, idle)
    with pytest.raises(UserError, match="taken whole here, without tiles: leave out --margin and --stride, or give"):
        run(engine, SCAN, Settings(tile=0, margin=2, stride=3))


def test_batch_statistics_are_those_of_the_slice(tmp_path):
    path, model = saved(tmp_path, Dcsrn2dConfig(4, 1, 3), bn="batch")
    scale = Normalisation.from_low_res(SCAN)
    one = model(scale.apply(SCAN)[..., 4][np.newaxis, ..., np.newaxis], training=True).numpy()[0, ..., 0]
    np.testing.assert_allclose(super_resolve_volume(path, SCAN)[..., 4], scale.undo(one), rtol=1e-4, atol=1e-2)


def test_what_is_for_volumes_is_refused_and_the_other_way_round(tmp_path):
    path, _ = saved(tmp_path, Dcsrn2dConfig(4, 1, 3))
    with pytest.raises(UserError, match="seamless is for networks on volumes"):
        super_resolve_volume(path, SCAN, seamless=True)
    with pytest.raises(UserError, match="works slice by slice: take --engine=tensorflow"):
        super_resolve_volume(path, SCAN, precision="bfloat16")
    with pytest.raises(UserError, match="--plane, --stride and --merge are for slice networks"):
        super_resolve_volume("mdcsrn-b4u4k12", SCAN, plane="axial")


@pytest.mark.parametrize("bn", ["batch", "moving"])
def test_an_exported_slice_network_gives_the_same(tmp_path, bn):
    path, _ = saved(tmp_path, Srresnet2dConfig(4, 1, low_channels=3), bn=bn)
    export(path, tmp_path / "saved")
    expected = super_resolve_volume(path, SCAN)
    np.testing.assert_allclose(super_resolve_volume(tmp_path / "saved", SCAN), expected, rtol=1e-4, atol=1e-3)


def test_the_command_turns_a_scan_to_the_planes_and_back(tmp_path, capfd):
    path, _ = saved(tmp_path, Dcsrn2dConfig(4, 2, 3), normalisation="zscore_each_image", axes=("IS",))
    turned = np.array([[0, 0, -1, 9], [-1.0, 0, 0, 8], [0, 1, 0, 7], [0, 0, 0, 1]])  # PSL
    nib.save(nib.Nifti1Image(SCAN, turned), tmp_path / "scan.nii.gz")
    for plane in (None, "coronal"):
        asked = [f"--input={tmp_path / 'scan.nii.gz'}", f"--output={tmp_path / f'{plane}.nii.gz'}", f"--model={path}"]
        assert infer([*asked, *([f"--plane={plane}"] if plane else [])]) == 0
        found = nib.load(tmp_path / f"{plane}.nii.gz")
        np.testing.assert_allclose(found.affine, turned)
        # Stored axis 1 is IS, 0 is AP, 2 is LR: axes in RAS order, both first axes running backwards.
        straight = np.ascontiguousarray(np.transpose(SCAN, (2, 0, 1))[::-1, ::-1])
        expected = super_resolve_volume(path, straight, plane=plane)
        stored = np.transpose(expected[::-1, ::-1], (1, 2, 0))
        np.testing.assert_allclose(found.get_fdata(), np.maximum(stored, 0), rtol=1e-4, atol=1e-2)
    assert "super-resolving slice by slice" in capfd.readouterr().err
    for flag in ("--consistency", "--detail=1.5"):
        assert infer([asked[0], f"--output={tmp_path / 'c.nii.gz'}", f"--model={path}", flag]) == 1
        assert "works on slices; leave it out" in capfd.readouterr().err
