"""CRC-32C (Castagnoli), the checksum of TFRecord files, in NumPy.

A loop over bytes is hopeless in Python. A CRC without its initial and final inversion is linear, and zeros in
front do not change it: so the message is cut into many equal lanes that advance side by side, and their
results are joined pairwise by the linear map "followed by n zero bytes".
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

_POLYNOMIAL = 0x82F63B78
_LANE_BYTES = 64
_MASK_DELTA = 0xA282EAD8


def crc32c(message: bytes | np.ndarray) -> int:
    """The CRC-32C of `message`."""
    data = np.frombuffer(message, np.uint8)
    lanes = 1 << max(0, (-(-data.size // _LANE_BYTES) - 1).bit_length())
    padded = np.zeros(lanes * _LANE_BYTES, np.uint8)
    padded[padded.size - data.size :] = data
    state = _advance(padded.view("<u4").reshape(lanes, -1))
    length = _LANE_BYTES
    while state.size > 1:
        state = _followed_by_zeros(state[0::2], length) ^ state[1::2]
        length *= 2
    start = _initial(data.size)
    return int(state[0]) ^ start ^ 0xFFFFFFFF


def masked_crc32c(message: bytes | np.ndarray) -> int:
    """The checksum as a TFRecord stores it: rotated and offset, so that a CRC of a CRC means something."""
    crc = crc32c(message)
    return (((crc >> 15) | (crc << 17)) + _MASK_DELTA) & 0xFFFFFFFF


def _advance(words: np.ndarray) -> np.ndarray:
    tables = _word_tables()
    state = np.zeros(words.shape[0], np.uint32)
    for column in np.ascontiguousarray(words.T):
        state = _look_up(tables, state ^ column)
    return state


def _look_up(tables: np.ndarray, state: np.ndarray) -> np.ndarray:
    octets = np.ascontiguousarray(state, "<u4").view(np.uint8).reshape(-1, 4)
    result = tables[0][octets[:, 0]]
    for byte in (1, 2, 3):
        result ^= tables[byte][octets[:, byte]]
    return result


@lru_cache(maxsize=1)
def _byte_table() -> np.ndarray:
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = (table >> 1) ^ np.where(table & 1, np.uint32(_POLYNOMIAL), np.uint32(0))
    return table


@lru_cache(maxsize=1)
def _word_tables() -> np.ndarray:
    """tables[b][v]: the state after byte value v at byte b of a little-endian word, and the word's rest."""
    byte_table = _byte_table()
    tables = [byte_table]
    for _ in range(3):
        tables.append(byte_table[tables[-1] & 0xFF] ^ (tables[-1] >> 8))
    return np.stack(tables[::-1])


def _followed_by_zeros(state: np.ndarray, count: int) -> np.ndarray:
    return _look_up(_zeros_tables(count), state)


@lru_cache(maxsize=64)
def _zeros_tables(count: int) -> np.ndarray:
    """The linear map "followed by `count` (a power of two) zero bytes" as one table for each byte of the state."""
    octets = np.arange(256, dtype=np.uint32)
    states = np.stack([octets << np.uint32(8 * byte) for byte in range(4)])
    if count == 1:
        return _byte_table()[states & 0xFF] ^ (states >> 8)
    half = _zeros_tables(count // 2)
    return np.stack([_look_up(half, _look_up(half, row)) for row in states])


@lru_cache(maxsize=64)
def _initial(length: int) -> int:
    """The contribution of the initial inversion to a message of `length` bytes."""
    state = np.full(1, 0xFFFFFFFF, np.uint32)
    for bit in range(length.bit_length()):
        if length >> bit & 1:
            state = _followed_by_zeros(state, 1 << bit)
    return int(state[0])
