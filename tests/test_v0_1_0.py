"""What version 0.1.0 wrote is read as it was: a `.keras` file, a SavedModel and shards."""

from pathlib import Path

import numpy as np
import pytest

from mdcsrn_tf.inference import super_resolve_volume
from mdcsrn_tf.models.files import read_card
from mdcsrn_tf.shards.dataset import read_manifest, validation_batches

OLD = Path(__file__).parent / "golden" / "v0_1_0"
EXPECTED = np.load(OLD / "expected.npz")


@pytest.mark.parametrize("model", ["model.keras", "saved_model"])
def test_its_models_give_what_they_gave(model):
    scan = np.random.default_rng(3).gamma(2.0, 50.0, (9, 14, 11)).astype(np.float32)
    found = super_resolve_volume(OLD / model, scan)
    np.testing.assert_allclose(found, EXPECTED["result"], rtol=1e-5, atol=1e-3)


def test_its_cards_are_read():
    card = read_card(OLD / "model.keras")
    assert (card.preset, card.version, card.interpolation) == ("tiny", "0.1.0", "linear")
    assert (card.axes, card.factor, card.tile, card.margin, card.bn) == (("LR", "AP"), (2, 2), 12, 2, "batch")
    assert (card.planes, card.slices) == ((), None)


def test_its_shards_are_read():
    manifest = read_manifest(OLD / "shards")
    assert (manifest.rank, manifest.channels, manifest.patch_size, manifest.source) == (3, (1, 1), 8, "kspace")
    assert (manifest.axes, manifest.factor, manifest.interpolation) == (("LR", "AP"), (2, 2), "linear")
    low_res, high_res = next(iter(validation_batches(manifest, "train", batch_size=2)))
    np.testing.assert_array_equal(low_res.numpy(), EXPECTED["low"].astype(np.float32))
    np.testing.assert_array_equal(high_res.numpy(), EXPECTED["high"].astype(np.float32))
