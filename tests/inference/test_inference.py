"""Tiled inference on arrays: seamless equals the whole-volume pass, memory runs out gracefully."""

from __future__ import annotations

import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from infer_helpers import TINY_RADIUS, hr_volume, tiny_model, write_tiny_model, write_tiny_small_grid

from mdcsrn_tf.errors import UserError
from mdcsrn_tf.inference import engines, tiling
from mdcsrn_tf.inference.continuation import REACH, extended
from mdcsrn_tf.inference.export import export
from mdcsrn_tf.inference.settings import Settings
from mdcsrn_tf.inference.volume import run, smaller_tile, super_resolve, super_resolve_volume
from mdcsrn_tf.models.files import ModelCard, load_model, save_model
from mdcsrn_tf.models.layers import moving_statistics_kept
from mdcsrn_tf.scans.kspace import degrade
from mdcsrn_tf.scans.normalisation import Normalisation


@pytest.fixture(scope="module")
def model_file(tmp_path_factory):
    return write_tiny_model(tmp_path_factory.mktemp("model") / "tiny.keras")


@pytest.fixture(scope="module")
def low_res():
    return degrade(hr_volume((30, 26, 21)), (2, 2), (0, 1)).astype(np.float32)


def test_an_identity_engine_returns_a_ramp_whatever_the_batch():
    ramp = np.arange(11 * 7 * 9, dtype=np.float32).reshape(11, 7, 9)
    calls = []

    def identity(tiles):
        calls.append(tiles.shape)
        return tiles

    for batch in (1, 2, 5):
        np.testing.assert_array_equal(super_resolve(identity, ramp, 6, 1, batch), ramp)
    assert {shape[1:] for shape in calls} == {(6, 6, 6)}
    assert {shape[0] for shape in calls} == {1, 2, 5}, "a batch of another size would be traced anew"


@pytest.mark.parametrize("interpolation", ["linear", "sinc"])
def test_what_lies_beyond_the_ends_is_mirrored_or_predicted_as_the_interpolation_asks(tmp_path, low_res, interpolation):
    model = write_tiny_model(tmp_path / "tiny.keras", interpolation=interpolation, bn="moving")
    normalisation = Normalisation.from_low_res(low_res)
    around, before = normalisation.apply(low_res), TINY_RADIUS
    if interpolation == "sinc":
        around, before = extended(around), TINY_RADIUS - REACH
    around = np.pad(around, before, mode="reflect")
    expected = tiny_model()(around[None, ..., None], training=False).numpy()[0, ..., 0]
    expected = normalisation.undo(expected[(slice(TINY_RADIUS, -TINY_RADIUS),) * 3])
    result = super_resolve_volume(model, low_res, seamless=True, tile=50)
    assert np.abs(result - expected).max() <= 1e-4 * np.abs(expected).max()


@pytest.mark.parametrize("tile", [11, 16, 31, 50])
def test_seamless_equals_the_whole_volume_pass(model_file, low_res, tile):
    if tile == 11:  # of which one voxel is kept
        low_res = np.ascontiguousarray(low_res[10:19, 9:17, 5:12])
    normalisation = Normalisation.from_low_res(low_res)
    mirrored = tiling.whole(normalisation.apply(low_res), TINY_RADIUS)
    keras_output = tiny_model()(mirrored[None, ..., None], training=False).numpy()[0, ..., 0]
    inner = (slice(TINY_RADIUS, -TINY_RADIUS),) * 3
    expected = normalisation.undo(keras_output[inner])
    result = super_resolve_volume(model_file, low_res, seamless=True, tile=tile)
    assert np.abs(result - expected).max() <= 1e-4 * np.abs(expected).max()


@pytest.fixture(scope="module")
def halving_file(tmp_path_factory):
    return write_tiny_small_grid(tmp_path_factory.mktemp("halving") / "fast.keras")


@pytest.mark.parametrize("tile", [18, 30])
def test_seamless_on_the_small_grid_equals_the_whole_volume_pass_from_an_even_voxel(halving_file, low_res, tile):
    # Sides of 29, 26 and 21: the last tiles are moved back to an even voxel. None sees farther than 7: the stem and a
    # unit two small voxels, and one fine one.
    low_res, margin = np.ascontiguousarray(low_res[:29]), 8
    normalisation = Normalisation.from_low_res(low_res)
    mirrored = np.pad(normalisation.apply(low_res), [(margin, margin + side % 2) for side in low_res.shape], "reflect")
    output = load_model(halving_file)[0](mirrored[None, ..., None], training=False).numpy()[0, ..., 0]
    expected = normalisation.undo(output)[tuple(slice(margin, margin + side) for side in low_res.shape)]
    result = super_resolve_volume(halving_file, low_res, seamless=True, tile=tile)
    assert np.abs(result - expected).max() <= 1e-4 * np.abs(expected).max()
    assert np.abs(result - low_res).max() > 0.05 * np.abs(expected).max(), "the network must do something"


def test_odd_tiles_of_a_network_on_the_small_grid_are_refused_by_name(halving_file, low_res):
    with pytest.raises(UserError, match=r"fast/b4u4k16 takes tiles whose edges are multiples of 2, not 15\^3"):
        super_resolve_volume(halving_file, low_res, tile=15)
    result = super_resolve_volume(halving_file, low_res, tile=(16, 14, 12))
    assert result.shape == low_res.shape and np.isfinite(result).all()


def test_a_tile_is_no_longer_than_an_axis_and_its_margins_where_no_statistics_depend_on_it(tmp_path, low_res):
    """A stack of few slices. With margins as wide as the network sees, not a voxel can tell."""
    few = np.ascontiguousarray(low_res[..., :6])
    model = write_tiny_model(tmp_path / "wide.keras", tile=40, margin=TINY_RADIUS)
    trained = Settings(bn="moving")
    engine = engines.load_engine(model, trained)
    result, cubes = run(engine, few, trained), run(engine, few, Settings(bn="moving", tile=40))
    assert (result.tile, cubes.tile) == ((40, 40, 16), 40) and result.tiles == cubes.tiles
    np.testing.assert_allclose(result.data, cubes.data, rtol=1e-4, atol=1e-4 * np.abs(cubes.data).max())
    assert run(engines.load_engine(model, Settings()), few, Settings()).tile == 40, "each tile by its own statistics"


def test_seamless_tiles_and_columns_are_as_large_as_a_fixed_bound_of_memory_allows_and_divide_the_volume(
    model_file, low_res, monkeypatch
):
    settings = Settings(seamless=True)
    engine = engines.load_engine(model_file, settings)
    whole = run(engine, low_res, settings)
    assert (whole.tile, whole.tiles) == ((32 + 10, 32 + 10, 24 + 10), 1)
    # 34 voxels along each axis: cores of 24, so two along 30 and 26, in eights 16, and one along 21.
    monkeypatch.setattr("mdcsrn_tf.inference.room.LARGE_TILE_BYTES", 4 * engine.feature_channels * 34.5**3)
    bound = engine.feature_channels * 34.5**3
    monkeypatch.setattr(engine.sliding, "channels_of_a_column", bound / 1430)  # a column of 42 x 34 = 1428 places fits
    column = run(engine, low_res, settings)
    assert (column.tile, column.margin, column.tiles) == ((30 + 10, 32 + 10, 24 + 10), TINY_RADIUS, 1)
    monkeypatch.setattr(engine.sliding, "channels_of_a_column", bound / 1420)
    columns = run(engine, low_res, settings)
    assert (columns.tile, columns.tiles) == ((30 + 10, 16 + 10, 24 + 10), 2)
    monkeypatch.setattr(engine, "sliding", None)
    parts = run(engine, low_res, settings)
    assert (parts.tile, parts.margin, parts.tiles) == ((16 + 10, 16 + 10, 24 + 10), TINY_RADIUS, 4)
    for other in (column, columns, parts):
        assert np.abs(other.data - whole.data).max() <= 1e-5 * np.abs(whole.data).max()
    assert run(engine, low_res, Settings(seamless=True, tile=24)).tile == 24


@pytest.mark.parametrize("bn", ["batch", "moving"])
@pytest.mark.parametrize("batch", [1, 3])
def test_tiles_of_air_are_run_once_and_come_out_to_the_bit_as_if_each_had_been(model_file, low_res, bn, batch):
    volume = np.full((40, 26, 21), -1.25, np.float32)
    volume[:14] = Normalisation.from_low_res(low_res).apply(low_res)[:14]
    apply, seen = engines.load_engine(model_file, Settings(bn=bn)).applier(12, batch), []

    def counted(tiles):
        seen.append(tiles)
        return apply(tiles)

    tiles, air = tiling.tiles_of(volume.shape, 12, 2), 0
    expected = np.empty_like(volume)
    for where in tiles:
        cut = tiling.cut(volume, where, 12)
        air += bool((cut == -1.25).all())
        expected[where.kept] = apply(np.stack([cut] * batch))[0][where.core]
    progress = []
    result = super_resolve(counted, volume, 12, 2, batch, lambda *done: progress.append(done))
    np.testing.assert_array_equal(result, expected)
    assert progress == [(done, len(tiles)) for done in range(1, len(tiles) + 1)]
    assert air > len(tiles) / 3 and len(seen) == 1 + math.ceil((len(tiles) - air) / batch)


@pytest.mark.parametrize(("precision", "enabled"), [("tensorfloat32", True), ("bfloat16", False), ("float32", False)])
def test_float32_is_float32_on_a_gpu_too_unless_asked(model_file, precision, enabled):
    engines.load_engine(model_file, Settings(precision=precision))
    assert tf.config.experimental.tensor_float_32_execution_enabled() is enabled


def test_paper_mode_is_each_tile_by_its_own_statistics(model_file, low_res):
    normalisation = Normalisation.from_low_res(low_res)
    volume, tiny = normalisation.apply(low_res), tiny_model()
    expected = np.empty_like(volume)
    for where in tiling.tiles_of(volume.shape, 24, 3):
        with moving_statistics_kept():
            output = tiny(tiling.cut(volume, where, 24)[None, ..., None], training=True).numpy()
        expected[where.kept] = output[0, ..., 0][where.core]
    expected = normalisation.undo(expected)
    for batch_tiles in (1, 3):
        result = super_resolve_volume(model_file, low_res, batch_tiles=batch_tiles)
        assert np.abs(result - expected).max() <= 1e-4 * np.abs(expected).max()


def test_the_two_modes_differ_and_report_seams(model_file, low_res):
    paper = run(engines.load_engine(model_file, Settings()), low_res, Settings())
    settings = Settings(seamless=True, tile=24)
    seamless = run(engines.load_engine(model_file, settings), low_res, settings)
    assert (paper.bn, paper.margin, seamless.bn, seamless.margin) == ("batch", 3, "moving", TINY_RADIUS)
    assert np.abs(paper.data - seamless.data).max() > 1e-3 * np.abs(paper.data).max()
    assert paper.seam_figure > 0 and seamless.seam_figure == pytest.approx(1.0, abs=0.25)


def test_the_same_input_gives_the_same_bytes(model_file, low_res):
    first = super_resolve_volume(model_file, low_res)
    engines._load.cache_clear()
    assert super_resolve_volume(model_file, low_res).tobytes() == first.tobytes()


@pytest.mark.parametrize("shape", [(1, 1, 2), (3, 40, 2), (24, 24, 24)])
def test_any_shape(model_file, shape):
    volume = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    assert super_resolve_volume(model_file, volume).shape == shape


def test_twenty_shapes_are_one_trace(model_file, monkeypatch):
    traces = []
    plain = tf.function

    def counting(function=None, **options):
        if function is None or options.get("jit_compile"):
            return plain(function, **options)
        return plain(lambda *tensors: traces.append(1) or function(*tensors), **options)

    engines._load.cache_clear()
    engine = engines.load_engine(model_file, Settings())
    monkeypatch.setattr(tf, "function", counting)
    for number in range(20):
        volume = np.random.default_rng(number).standard_normal((5 + number, 9, 7)).astype(np.float32)
        run(engine, volume, Settings())
    assert sum(traces) == 1


class Hungry(engines.Engine):
    """An engine that has memory for cubes up to a size."""

    def __init__(self, engine, largest, error):
        super().__init__(engine.card, "batch", TINY_RADIUS)
        self.largest, self.error = largest, error

    def _build(self, tile, batch):
        def apply(cubes):
            if max(tile) > self.largest:
                raise self.error
            return cubes

        return apply


@pytest.mark.parametrize(
    "error", [MemoryError(), tf.errors.ResourceExhaustedError(None, None, "OOM"), RuntimeError("std::bad_alloc")]
)
def test_smaller_tiles_where_memory_runs_out(model_file, low_res, error):
    engine = Hungry(engines.load_engine(model_file, Settings()), 13, error)
    result = run(engine, low_res, Settings())
    assert (result.tile, result.fallback_tiles) == (12, (24, 18))
    np.testing.assert_allclose(result.data, low_res, rtol=1e-5, atol=1e-3)


def test_no_tile_is_small_enough(model_file, low_res):
    engine = Hungry(engines.load_engine(model_file, Settings()), 0, MemoryError())
    with pytest.raises(UserError, match="memory does not suffice"):
        run(engine, low_res, Settings())


def test_another_error_is_not_taken_for_memory(model_file, low_res):
    engine = Hungry(engines.load_engine(model_file, Settings()), 0, ValueError("a mistake"))
    with pytest.raises(ValueError, match="a mistake"):
        run(engine, low_res, Settings())


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"tile": 6}, "keeps no core"),
        ({"tile": 10, "seamless": True}, "tiles of more than 10 voxels.*enlarge --tile=10, or leave it out"),
        ({"margin": -1}, "smaller margin"),
        ({"margin": 3, "seamless": True}, "receptive-field radius, 5"),
        ({"bn": "batch", "seamless": True}, "moving statistics"),
        ({"device": "gpu"}, "no GPU"),
        ({"device": "gpu", "engine": "openvino"}, "processor"),
    ],
)
def test_settings_that_fit_nothing_get_a_sentence(model_file, low_res, changes, sentence):
    if changes.get("engine") is None and "device" in changes and tf.config.list_physical_devices("GPU"):
        sentence = None
    if sentence is None:
        super_resolve_volume(model_file, low_res, **changes)
        return
    with pytest.raises(UserError, match=sentence):
        super_resolve_volume(model_file, low_res, **changes)


@pytest.mark.parametrize("volume", [np.zeros((4, 4), "f4"), np.full((3, 3, 3), np.nan, "f4"), np.ones((3, 3, 3), "f4")])
def test_volumes_no_network_can_take(model_file, volume):
    with pytest.raises(UserError):
        super_resolve_volume(model_file, volume)


def test_a_network_of_three_slices_is_a_tile_three_voxels_thick(tmp_path):
    # The mean of a slice and its neighbours, written as a network on volumes.
    inputs = keras.Input((None, None, None, 1))
    conv = keras.layers.Conv3D(1, (3, 1, 1), padding="same", kernel_initializer="ones", use_bias=False)
    model = keras.Model(inputs, conv(inputs))
    conv.set_weights([conv.get_weights()[0] / 3])
    scan = np.random.default_rng(0).gamma(2.0, 50.0, (5, 12, 10)).astype(np.float32)
    padded = np.pad(scan, [(1, 1), (0, 0), (0, 0)], mode="reflect")
    expected = (padded[:-2] + padded[1:-1] + padded[2:]) / 3
    card = ModelCard("tiny", "0", "linear", tile=(3, 8, 10), margin=(1, 0, 0), bn="moving")
    save_model(tmp_path / "m.keras", model, card)
    result = run(engines.load_engine(tmp_path / "m.keras", Settings()), scan, Settings())
    assert (result.tile, result.margin, result.tiles) == ((3, 8, 10), (1, 0, 0), 10)
    np.testing.assert_allclose(result.data, expected, rtol=1e-4)
    export(tmp_path / "m.keras", tmp_path / "saved")
    by_graph = tf.saved_model.load(str(tmp_path / "saved")).signatures["super_resolve"](volume=tf.constant(scan))
    np.testing.assert_allclose(by_graph["volume"].numpy(), expected, rtol=1e-4)


@pytest.mark.parametrize(
    ("tile", "margin", "smaller"),
    [(24, 3, 18), ((24,) * 3, 3, (18,) * 3), ((3, 40, 40), (1, 0, 0), (3, 30, 30)), (24, (1, 8, 8), 18)],
)
def test_only_edges_that_can_shrink_do(tile, margin, smaller):
    assert smaller_tile(tile, margin) == smaller


@pytest.mark.parametrize(("tile", "multiple", "smaller"), [(72, 4, 52), (30, 3, 18), (30, 2, 22)])
def test_smaller_tiles_are_of_the_networks_multiple_still(tile, multiple, smaller):
    assert smaller_tile(tile, 3, multiple) == smaller
