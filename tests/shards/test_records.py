"""The shard format against TensorFlow's own reader and parser, and its checksums against published values."""

import numpy as np
import pytest
import tensorflow as tf

from mdcsrn_tf.errors import UserError
from mdcsrn_tf.shards import records
from mdcsrn_tf.shards.crc32c import crc32c


def pair(seed=0, size=8):
    return np.random.default_rng(seed).normal(0, 2, (2, size, size, size)).astype(np.float32)


@pytest.mark.parametrize(
    ("message", "expected"),
    [  # RFC 3720, appendix B.4, and the check value of the CRC catalogue
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(range(31, -1, -1)), 0x113FDB5C),
        (b"123456789", 0xE3069283),
        (b"", 0),
    ],
)
def test_crc32c_has_the_published_values(message, expected):
    assert crc32c(message) == expected


def test_crc32c_is_the_bitwise_division():
    def bitwise(message):
        state = 0xFFFFFFFF
        for byte in message:
            state ^= byte
            for _ in range(8):
                state = state >> 1 ^ (0x82F63B78 if state & 1 else 0)
        return state ^ 0xFFFFFFFF

    rng = np.random.default_rng(0)
    for length in (1, 3, 4, 63, 64, 65, 127, 1000, 4097):
        message = rng.integers(0, 256, length, dtype=np.uint8).tobytes()
        assert crc32c(message) == bitwise(message)


def test_tensorflow_reads_what_was_written(tmp_path):
    path = tmp_path / "a.tfrecord"
    pairs = [pair(seed) for seed in range(3)]
    assert records.write_shard(path, pairs) == 3
    assert path.stat().st_size % 3 == 0
    raw = [item.numpy() for item in tf.data.TFRecordDataset(str(path))]
    for (low_res, high_res), serialized in zip(pairs, raw, strict=True):
        feature = tf.train.Example.FromString(serialized).features.feature
        assert sorted(feature) == ["high_res", "low_res", "shape"]
        assert list(feature["shape"].int64_list.value) == [8, 8, 8]
        for key, image in (("low_res", low_res), ("high_res", high_res)):
            stored = np.frombuffer(feature[key].bytes_list.value[0], "<f2").reshape(8, 8, 8)
            np.testing.assert_array_equal(stored, image.astype(np.float16))
    low_res, high_res = records.decode_pairs(tf.stack(raw), (8, 8, 8, 1), (8, 8, 8, 1))
    assert low_res.shape == high_res.shape == (3, 8, 8, 8, 1) and low_res.dtype == tf.float32
    np.testing.assert_allclose(low_res[1, ..., 0], pairs[1][0], atol=2e-3, rtol=1e-3)
    np.testing.assert_allclose(high_res[2, ..., 0], pairs[2][1], atol=2e-3, rtol=1e-3)


def test_records_are_read_by_index(tmp_path):
    path = tmp_path / "a.tfrecord"
    records.write_shard(path, [pair(seed) for seed in range(4)])
    size = path.stat().st_size // 4
    assert records.read_record(path, 2, size) == records.encode_pair(*pair(2))


def test_every_damaged_byte_is_noticed_and_the_shard_named(tmp_path):
    path = tmp_path / "damaged.tfrecord"
    records.write_shard(path, [pair(seed, 4) for seed in range(2)])
    raw = path.read_bytes()
    size = len(raw) // 2
    for at in range(0, len(raw), 3):
        path.write_bytes(raw[:at] + bytes([raw[at] ^ 0x10]) + raw[at + 1 :])
        records.read_record(path, 1 - at // size, size)  # the other record is still good
        with pytest.raises(UserError, match=r"damaged\.tfrecord is corrupt"):
            records.read_record(path, at // size, size)
    path.write_bytes(raw[:-1])
    with pytest.raises(UserError, match=r"damaged\.tfrecord is truncated in record 1"):
        records.read_record(path, 1, size)
    path.unlink()
    with pytest.raises(UserError, match=r"damaged\.tfrecord cannot be read"):
        records.read_record(path, 1, size)


def test_unequal_pairs_are_a_programming_error():
    with pytest.raises(ValueError, match="one shape"):
        records.encode_pair(np.zeros((4, 4, 4)), np.zeros((4, 4, 5)))


def test_slices_of_different_channels_come_back_and_tensorflow_reads_their_shapes(tmp_path):
    rng = np.random.default_rng(0)
    low, high = (rng.standard_normal((2, 6, 5, channels)).astype(np.float16) for channels in (3, 1))
    path = tmp_path / "a.tfrecord"
    records.write_shard(path, zip(low, high, strict=True), records.encode_channels)
    raw = list(tf.data.TFRecordDataset(str(path)))
    example = tf.train.Example.FromString(raw[1].numpy())
    assert list(example.features.feature["low_shape"].int64_list.value) == [6, 5, 3]
    assert list(example.features.feature["high_shape"].int64_list.value) == [6, 5, 1]
    found = records.decode_pairs(tf.stack(raw), (6, 5, 3), (6, 5, 1))
    for tensor, written in zip(found, (low, high), strict=True):
        np.testing.assert_array_equal(tensor.numpy(), written.astype(np.float32))
    with pytest.raises(ValueError, match="one shape but for the channels"):
        records.encode_channels(low[0], high[0, 1:])
