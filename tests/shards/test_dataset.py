"""Batches: a pure function of (seed, step); what augmentation may and may not do; damaged shards are named."""

import json
import shutil

import numpy as np
import pytest
import tensorflow as tf
from shard_helpers import shards_command, write_scans

from data_prep import make_shards
from mdcsrn_tf.errors import UserError
from mdcsrn_tf.shards import dataset
from mdcsrn_tf.shards.augmentation import NONE, Augmentation, augment
from mdcsrn_tf.shards.dataset import read_manifest, shard_errors, training_batches, validation_batches


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    base = tmp_path_factory.mktemp("data")
    scans = write_scans(base / "scans", 4)
    assert make_shards.main(shards_command(scans, base / "shards", split="3,1", epochs_of_patches=2)) == 0
    return base / "shards"


@pytest.fixture(scope="module")
def manifest(folder):
    return read_manifest(folder)


def take(dataset, count):
    return [(low.numpy(), high.numpy()) for low, high in dataset.take(count)]


def stored(folder, split):
    """The pairs as TensorFlow's own sequential reader finds them, in the manifest's order."""
    pairs = []
    for entry in json.loads((folder / "manifest.json").read_text())["shards"]:
        if entry["split"] == split:
            for record in tf.data.TFRecordDataset(str(folder / entry["shard"])):
                feature = tf.train.Example.FromString(record.numpy()).features.feature
                pairs.append(
                    [
                        np.frombuffer(feature[key].bytes_list.value[0], "<f2").reshape(16, 16, 16).astype(np.float32)
                        for key in ("low_res", "high_res")
                    ]
                )
    return np.array(pairs)


def test_the_manifest_is_what_training_needs(manifest):
    assert (manifest.patch_size, manifest.interpolation) == (16, "linear")
    assert (manifest.axes, manifest.factor) == (("LR", "AP"), (2, 2))
    assert {split: manifest.pairs(split) for split in manifest.splits} == {"train": 24, "validation": 4}
    assert len(manifest.sha256) == 64
    with pytest.raises(UserError, match="holds no test shards, only validation, train"):
        manifest.shards("test")


def test_validation_is_every_pair_once_in_order(folder, manifest):
    batches = take(validation_batches(manifest, "validation", batch_size=3), 99)
    assert [low.shape for low, _ in batches] == [(3, 16, 16, 16, 1), (1, 16, 16, 16, 1)]
    both = [np.concatenate([pair[which] for pair in batches])[..., 0] for which in (0, 1)]
    np.testing.assert_array_equal(np.stack(both, axis=1), stored(folder, "validation"))


def test_every_epoch_has_every_pair_once_in_another_order(folder, manifest):
    batches = take(training_batches(manifest, "train", batch_size=5, seed=7, augment=False), 10)
    seen = np.concatenate([np.stack(pair, axis=1)[..., 0] for pair in batches])[:48]
    expected = stored(folder, "train")
    order = [int(np.flatnonzero((expected == pair).all(axis=(1, 2, 3, 4)))[0]) for pair in seen]
    assert sorted(order[:24]) == sorted(order[24:]) == list(range(24))
    assert order[:24] != order[24:] and order[:24] != sorted(order[:24])
    # A literal: whoever changes it breaks the resumption of every run under way.
    assert order[:6] == [6, 23, 21, 20, 3, 12]


@pytest.mark.parametrize("start", [1, 4, 7, 31])
def test_order_and_augmentation_depend_on_seed_and_step_alone(manifest, start):
    whole = take(training_batches(manifest, "train", batch_size=4, seed=3), start + 3)
    resumed = take(training_batches(manifest, "train", batch_size=4, seed=3, start_step=start), 3)
    for expected, found in zip(whole[start:], resumed, strict=True):
        np.testing.assert_array_equal(expected, found)
    other = take(training_batches(manifest, "train", batch_size=4, seed=4, start_step=start), 3)
    assert not any(np.array_equal(a[0], b[0]) for a, b in zip(resumed, other, strict=True))


@pytest.mark.parametrize("part", [(0, 2), (2, 4), (5, 1)])
def test_one_of_several_processes_reads_its_own_places_alone(manifest, monkeypatch, part):
    whole = take(training_batches(manifest, "train", batch_size=6, seed=3, start_step=4), 3)
    read, shuffled = [], dataset._Reader.shuffled

    def noting(self, sample, seed):
        read.append(sample)
        return shuffled(self, sample, seed)

    monkeypatch.setattr(dataset._Reader, "shuffled", noting)
    mine = take(training_batches(manifest, "train", batch_size=6, seed=3, start_step=4, part=part), 3)
    for all_of_it, found in zip(whole, mine, strict=True):
        for expected, image in zip(all_of_it, found, strict=True):
            np.testing.assert_array_equal(expected[part[0] : sum(part)], image)
    assert read and {sample % 6 for sample in read} <= set(range(part[0], sum(part)))


def test_a_far_step_begins_at_once(manifest):
    (batch,) = take(training_batches(manifest, "train", batch_size=6, seed=0, start_step=800_000), 1)
    assert batch[0].shape == (6, 16, 16, 16, 1) and batch[0].dtype == np.float32


def test_training_batches_differ_from_the_stored_pairs_only_by_flips_and_an_affine_change(folder, manifest):
    expected = stored(folder, "train")
    for low, high in take(training_batches(manifest, "train", batch_size=4, seed=1), 3):
        for pair in np.stack([low, high], axis=1)[..., 0]:
            assert any(matches(pair, original) for original in expected)


def matches(pair, original):
    """Whether some flips and one affine map, the same for both images, turn `original` into `pair`."""
    for flips in np.ndindex(2, 2, 2):
        turned = np.flip(original, [axis + 1 for axis in range(3) if flips[axis]])
        slope, shift = np.polyfit(turned.ravel(), pair.ravel(), 1)
        if np.abs(slope * turned + shift - pair).max() < 1e-4:
            return 1 / 1.1001 < slope < 1.1001 and abs(shift) < 0.1001
    return False


def drawn(settings, count=64):
    rng = np.random.default_rng(0)
    low, high = rng.normal(size=(2, 6, 6, 6, 1)).astype(np.float32)
    return (
        low,
        high,
        [
            [image.numpy() for image in augment(low, high, 5, tf.constant(index, tf.int64), settings)]
            for index in range(count)
        ],
    )


def test_flips_are_independent_and_even():
    low, _, results = drawn(Augmentation(scale=0, shift=0), 400)
    flips = [
        next(f for f in np.ndindex(2, 2, 2) if np.array_equal(np.flip(low, [a for a in range(3) if f[a]]), result[0]))
        for result in results
    ]
    assert len(set(flips)) == 8
    assert (np.abs(np.mean(flips, axis=0) - 0.5) < 0.1).all()  # four standard deviations


def test_swap_exchanges_the_two_axes_of_both_images():
    low, high, results = drawn(Augmentation(flip=False, swap=(0, 1), scale=0, shift=0))
    swapped = [not np.array_equal(result[0], low) for result in results]
    assert 0.3 < np.mean(swapped) < 0.7
    for result, was in zip(results, swapped, strict=True):
        np.testing.assert_array_equal(result[0], low.swapaxes(0, 1) if was else low)
        np.testing.assert_array_equal(result[1], high.swapaxes(0, 1) if was else high)


def test_gamma_is_one_curve_for_both_and_its_range_is_the_low_res_images():
    low, high, results = drawn(Augmentation(flip=False, scale=0, shift=0, gamma=0.3))
    bottom, top = low.min(), low.max()
    for result in results:
        part = (low - bottom) / (top - bottom)
        bent = (result[0] - bottom) / (top - bottom)
        inside = (part > 0.05) & (part < 0.95)
        exponent = np.median(np.log(bent[inside]) / np.log(part[inside]))
        assert 1 / 1.3001 < exponent < 1.3001
        part = (high - bottom) / (top - bottom)
        expected = bottom + (top - bottom) * np.sign(part) * np.abs(part) ** exponent
        np.testing.assert_allclose(result[1], expected, atol=1e-4)


@pytest.mark.parametrize(("channels", "reversed_order"), [((3, 1), True), ((3, 3), True), ((1, 3), False)])
def test_slices_are_mirrored_in_their_plane_and_neighbours_in_and_out_together(channels, reversed_order):
    rng = np.random.default_rng(1)
    pair = [rng.normal(size=(4, 5, count)).astype(np.float32) for count in channels]
    seen = set()
    for index in range(40):
        results = augment(*pair, 5, tf.constant(index, tf.int64), Augmentation(scale=0, shift=0))
        for flips in np.ndindex(2, 2, 2):
            axes = [axis for axis in range(3) if flips[axis]]
            if all(np.array_equal(np.flip(a, axes), b) for a, b in zip(pair, results, strict=True)):
                seen.add(flips)
                break
        else:
            raise AssertionError("low and high were not changed alike")
    assert len(seen) == (8 if reversed_order else 4)


def test_no_augmentation_changes_nothing():
    low, high, results = drawn(NONE, 3)
    for result in results:
        np.testing.assert_array_equal(result, [low, high])


@pytest.fixture
def copy(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "shards")
    return tmp_path / "shards"


def test_damage_that_the_length_shows_is_named_at_once(copy):
    (shard,) = copy.glob("validation/*.tfrecord")
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-100])
    with pytest.raises(UserError, match=rf"{shard.name} has .* bytes: it is truncated"):
        read_manifest(copy)
    shard.unlink()
    with pytest.raises(UserError, match=f"{shard.name} is missing"):
        read_manifest(copy)


def test_damage_inside_a_shard_is_named_when_it_is_read(copy):
    manifest = read_manifest(copy)
    shard = sorted(copy.glob("train/*.tfrecord"))[1]
    raw = bytearray(shard.read_bytes())
    raw[len(raw) // 2] ^= 1
    shard.write_bytes(raw)
    with pytest.raises(tf.errors.OpError, match=shard.name):
        take(training_batches(manifest, "train", batch_size=4, seed=0), 6)
    with pytest.raises(UserError) as caught, shard_errors():
        take(training_batches(manifest, "train", batch_size=4, seed=0), 6)
    assert str(caught.value).startswith(f"Shard {shard} is corrupt in record")
    assert "\n" not in str(caught.value)
    with pytest.raises(tf.errors.InvalidArgumentError), shard_errors():
        tf.reshape([1, 2], [3])


def test_folders_without_shards(tmp_path):
    with pytest.raises(UserError, match=r"holds no manifest\.json"):
        read_manifest(tmp_path)
    (tmp_path / ".progress").mkdir()
    with pytest.raises(UserError, match="was not finished"):
        read_manifest(tmp_path)
    (tmp_path / "manifest.json").write_text('{"format": 99}')
    with pytest.raises(UserError, match=r"manifest\.json cannot be read"):
        read_manifest(tmp_path)
