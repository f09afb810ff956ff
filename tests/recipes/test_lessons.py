"""The lessons that a network learns from others: shards that training reads, their truth the mixture it should be."""

import numpy as np
import pytest

from mdcsrn_tf.shards.dataset import read_manifest, validation_batches
from recipes import lessons

SHAPES = [(50, 84, 44), (52, 50, 41)]  # of two training volumes: room for two patches, and for one


@pytest.fixture
def data(tmp_path):
    """What jax_volumes/training_data.py leaves: pairs one after the other, empty at the end."""
    rng = np.random.default_rng(5)
    volumes = [rng.normal(0, 0.5, shape).astype(np.float16) for shape in SHAPES]
    pairs = np.zeros((sum(v.size for v in volumes) + 10_000, 2), np.float16)
    offsets = [0, volumes[0].size, 0, 0]
    for offset, volume in zip(offsets, volumes, strict=False):
        pairs[offset : offset + volume.size, 0] = volume.ravel()
    folder = tmp_path / "data"
    folder.mkdir()
    np.save(folder / "pairs.npy", pairs)
    strides = [[shape[1] * shape[2], shape[2]] for shape in SHAPES] + [[0, 0]] * 2
    names = ["01_T1w original 2 kspace", "12_T2w brain 2 kspace"]
    np.savez(folder / "index.npz", names=names, offsets=offsets, strides=strides, shares=[1.0, 0.7, 0.0, 0.0])
    slab = {"low": volumes[0].astype(np.float32), "high": volumes[0].astype(np.float32) + 1}
    np.savez(folder / "validation.npz", **{f"06_T1w 2 kspace/{key}": value for key, value in slab.items()})
    return folder, volumes


def test_a_lesson_is_a_stronger_base_and_what_the_gan_adds(data, tmp_path, monkeypatch):
    made = {lessons.BASE: lambda x: 2 * x, lessons.GAN: lambda x: x + 3, lessons.ITS_START: lambda x: x + 1}
    monkeypatch.setattr(lessons, "network", made.__getitem__)
    folder, _ = data
    lessons.main(folder, tmp_path / "shards", 2)
    manifest = read_manifest(tmp_path / "shards")
    assert manifest.pairs("train") == 3 and manifest.pairs("validation") == 2
    assert manifest.interpolation == "sinc" and manifest.normalisation == "tissue_level" and manifest.factor == (2, 2)
    assert {shard.subject for shard in manifest.shards("train")} == {"sub-01", "sub-12"}
    for low, high in validation_batches(manifest, "train", batch_size=1):
        # Noise fills k-space evenly: three quarters of it lie beyond a half of either axis, and are 0.3 stronger.
        detail = (high.numpy() - 2 * low.numpy() - 2 * lessons.TEXTURE) / lessons.SHARPER / 2
        assert detail.std() == pytest.approx(np.sqrt(0.75) * low.numpy().std(), rel=0.05)
        assert np.corrcoef(detail.ravel(), low.numpy().ravel())[0, 1] == pytest.approx(np.sqrt(0.75), abs=0.03)
    (low, high), *_ = validation_batches(manifest, "validation", batch_size=2)
    np.testing.assert_allclose(high, low.numpy() + 1, atol=2e-3)


def test_boxes_lie_in_their_volumes(data):
    folder, volumes = data
    found = dict(lessons.boxes(folder, 2))
    assert [box.shape for box in found.values()] == [(48, 80, 40), (48, 48, 40)]
    for box, volume in zip(found.values(), volumes, strict=True):
        places = np.argwhere(volume == box[0, 0, 0].astype(np.float16))
        cuts = (volume[tuple(slice(p, p + n) for p, n in zip(place, box.shape, strict=True))] for place in places)
        assert any(cut.shape == box.shape and (cut == box).all() for cut in cuts)


def test_what_is_mostly_air_is_left_out():
    low = np.full((64, 32, 32), -2.5, np.float32)
    low[32:, :9] = 0.0  # a quarter and a little of the second patch
    assert [place[0, 0, 0] for place, _ in lessons.patches(low, low)] == [0.0]
