"""The TFRecord schema: the only file that spells a feature key.

A record is a `tf.train.Example` of one pair, as any TensorFlow program can read it. It is written here without
TensorFlow, so that preparing data needs none; all records of a shard have one length, so that record i is
found at i times that length and training can resume, and shuffle, by index.

Two formats. 1: two cubes of one shape, without channels, as the volumes' papers want them. 2: two arrays with channels
last, of any rank and each of its own channels: slices, stacks of slices.

Intensities are z-scores in float16: half the disk of float32, and a rounding of at most 0.001 where |z| < 4,
some 40 dB below what interpolation loses.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from mdcsrn_tf.errors import UserError
from mdcsrn_tf.shards.crc32c import masked_crc32c

LOW_RES = "low_res"  # float16 voxels, C order
HIGH_RES = "high_res"
SHAPE = "shape"  # int64 x 3, of both (format 1)
LOW_SHAPE, HIGH_SHAPE = "low_shape", "high_shape"  # int64 each, channels last (format 2)
VOXEL_DTYPE = np.dtype("<f2")

_HEADER_BYTES, _FOOTER_BYTES = 12, 4


def encode_pair(low_res: np.ndarray, high_res: np.ndarray) -> bytes:
    """One pair of patches as a serialised `tf.train.Example`; the same bytes always."""
    if low_res.shape != high_res.shape or low_res.ndim != 3:
        raise ValueError(f"a pair needs two 3-D patches of one shape, not {low_res.shape} and {high_res.shape}")
    features = (
        _feature(HIGH_RES, _bytes_list(high_res)),
        _feature(LOW_RES, _bytes_list(low_res)),
        _feature(SHAPE, _int64_list(low_res.shape)),
    )
    return _field(1, b"".join(features))


def encode_channels(low_res: np.ndarray, high_res: np.ndarray) -> bytes:
    """The same of two arrays with channels last, whose other dimensions agree (format 2)."""
    if low_res.shape[:-1] != high_res.shape[:-1] or low_res.ndim < 3:
        raise ValueError(f"a pair needs one shape but for the channels, not {low_res.shape} and {high_res.shape}")
    features = (
        _feature(HIGH_RES, _bytes_list(high_res)),
        _feature(HIGH_SHAPE, _int64_list(high_res.shape)),
        _feature(LOW_RES, _bytes_list(low_res)),
        _feature(LOW_SHAPE, _int64_list(low_res.shape)),
    )
    return _field(1, b"".join(features))


def frame(message: bytes) -> bytes:
    """`message` as one record of a TFRecord file: length, its checksum, the message, its checksum."""
    length = struct.pack("<Q", len(message))
    return b"".join(
        (length, struct.pack("<I", masked_crc32c(length)), message, struct.pack("<I", masked_crc32c(message)))
    )


def write_shard(
    path: str | os.PathLike[str],
    pairs: Iterable[tuple[np.ndarray, np.ndarray]],
    encode: Callable[[np.ndarray, np.ndarray], bytes] = encode_pair,
) -> int:
    """Write the pairs of patches, all of one shape, to a TFRecord file; the number of them."""
    count = 0
    with Path(path).open("wb") as stream:
        for low_res, high_res in pairs:
            stream.write(frame(encode(low_res, high_res)))
            count += 1
    return count


def read_record(path: str | os.PathLike[str], index: int, record_bytes: int) -> bytes:
    """The serialised Example of record `index`, its checksum verified; UserError names a damaged shard."""
    try:
        with Path(path).open("rb", buffering=0) as stream:
            stream.seek(index * record_bytes)
            raw = stream.read(record_bytes)
    except OSError as error:
        raise UserError(f"Shard {path} cannot be read ({error.strerror}); make the shards again.") from error
    if len(raw) < record_bytes:
        raise UserError(f"Shard {path} is truncated in record {index}; make the shards again.")
    message = raw[_HEADER_BYTES:-_FOOTER_BYTES]
    length, length_crc = struct.unpack("<QI", raw[:_HEADER_BYTES])
    (message_crc,) = struct.unpack("<I", raw[-_FOOTER_BYTES:])
    sound = length == len(message) and length_crc == masked_crc32c(raw[:8]) and message_crc == masked_crc32c(message)
    if not sound:
        raise UserError(f"Shard {path} is corrupt in record {index}; make the shards again.")
    return message


def decode_pairs(serialized, low_shape: Sequence[int], high_shape: Sequence[int]):
    """A batch of serialised Examples as two float32 tensors [batch, *shape] (for use inside tf.data).

    The shapes have their channels last, those of format 1 a single one.
    """
    import tensorflow as tf

    keys = {key: tf.io.FixedLenFeature([], tf.string) for key in (LOW_RES, HIGH_RES)}
    parsed = tf.io.parse_example(serialized, keys)

    def voxels(key: str, shape: Sequence[int]):
        flat = tf.io.decode_raw(parsed[key], tf.float16, little_endian=True)
        return tf.cast(tf.reshape(flat, (-1, *shape)), tf.float32)

    return voxels(LOW_RES, low_shape), voxels(HIGH_RES, high_shape)


# The few rules of protocol buffers that an Example needs: messages are (key, length, content), a key is
# field number * 8 + 2 for everything that carries its length, and numbers are base-128.


def _feature(name: str, content: bytes) -> bytes:
    return _field(1, _field(1, name.encode()) + _field(2, content))


def _bytes_list(patch: np.ndarray) -> bytes:
    return _field(1, _field(1, np.ascontiguousarray(patch, VOXEL_DTYPE).tobytes()))


def _int64_list(numbers: Iterable[int]) -> bytes:
    return _field(3, _field(1, b"".join(_varint(number) for number in numbers)))


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    octets = bytearray()
    while number > 0x7F:
        octets.append(number & 0x7F | 0x80)
        number >>= 7
    octets.append(number)
    return bytes(octets)
