"""How a zero-filled scan goes on beyond its ends: a few voxels by linear prediction, learned from the scan itself.

A network reads a few voxels beyond what it writes. Where a scan ends in the middle of a head, its mirror image has a
kink there that no head has. But interpolated lines can be predicted well: along each axis all lines of the scan say by
which weights a row of voxels gives the three before it, by least squares (docs/decisions.md). What is weighed is how
far the voxels of the row differ from its first one: so air goes on as air, to the bit.
"""

from __future__ import annotations

import numpy as np

REACH = 3  # voxels that are predicted on every side: as many as the papers' margin
ROW = 9  # from so many
WINDOW = REACH + ROW
_WINDOWS = 2**17  # so many stretches of lines, at most, are learned from
_RIDGE = 1e-6  # of the variance


def extended(volume: np.ndarray) -> np.ndarray:
    """The volume [i, j, k] with REACH voxels more on each of its six sides, float32.

    >>> wave = np.sin(np.arange(40) * 0.7)[:, None, None] + np.zeros((40, 12, 12))
    >>> longer = extended(wave)
    >>> longer.shape, bool(abs(longer[0, 3, 3] - np.sin(-3 * 0.7)) < 1e-3)
    ((46, 18, 18), True)
    """
    for axis in range(volume.ndim):
        volume = np.moveaxis(_longer(np.moveaxis(volume, axis, 0)), 0, axis)
    return np.ascontiguousarray(volume, np.float32)


def _longer(volume: np.ndarray) -> np.ndarray:
    """The volume with REACH voxels more at both ends of its first axis, no darker or brighter than it is anywhere."""
    weights = _weights(volume.reshape(len(volume), -1))
    if weights is None:
        return np.pad(volume, [(REACH, REACH), *[(0, 0)] * (volume.ndim - 1)], mode="symmetric")
    low, high = volume.min(), volume.max()

    def before(turned: np.ndarray) -> np.ndarray:
        change = np.tensordot(weights, turned[1:ROW] - turned[0], axes=(0, 0))
        return np.clip(turned[0] + change, low, high).astype(volume.dtype)

    return np.concatenate([before(volume), volume, before(volume[::-1])[::-1]])


def _weights(lines: np.ndarray) -> np.ndarray | None:
    """The weights [voxel of the row, voxel before it] that fit lines [place, line] best in both directions.

    None for lines that are too short, or all of one value.
    """
    windows = len(lines) - WINDOW + 1
    if windows < WINDOW:
        return None
    lines = lines[:, :: -(-windows * lines.shape[1] // _WINDOWS)].astype(np.float64)
    stretches = np.lib.stride_tricks.sliding_window_view(lines, WINDOW, axis=0).reshape(-1, WINDOW)
    stretches = np.concatenate([stretches, stretches[:, ::-1]])
    stretches -= stretches[:, REACH, np.newaxis]
    products = stretches.T @ stretches
    variance = float(np.trace(products)) / WINDOW
    if not variance > 0:
        return None
    row = products[REACH + 1 :, REACH + 1 :] + _RIDGE * variance * np.eye(ROW - 1)
    return np.linalg.solve(row, products[REACH + 1 :, :REACH])


def extended_in_graph(volume):
    """`extended` of a float32 tensor, by TensorFlow's operations alone: for exported networks."""
    import tensorflow as tf

    for axis in range(3):
        order = [axis, *(other for other in range(3) if other != axis)]
        back = [order.index(place) for place in range(3)]
        volume = tf.transpose(_longer_in_graph(tf.transpose(volume, order)), back)
    return volume


def _longer_in_graph(volume):
    """`_longer`."""
    import tensorflow as tf

    size = tf.shape(volume)[0]
    weights, predictable = _weights_in_graph(tf.reshape(volume, [size, -1]))
    places = tf.math.floormod(tf.range(-REACH, 0), 2 * size)
    mirror = tf.minimum(places, 2 * size - 1 - places)
    low, high = tf.reduce_min(volume), tf.reduce_max(volume)

    def before(turned):
        row = tf.gather(turned, tf.minimum(tf.range(1, ROW), size - 1)) - turned[0]
        change = tf.tensordot(weights, tf.cast(row, tf.float64), axes=[[0], [0]])
        predicted = tf.clip_by_value(turned[0] + tf.cast(change, tf.float32), low, high)
        return tf.where(predictable, predicted, tf.gather(turned, mirror))

    return tf.concat([before(volume), volume, tf.reverse(before(tf.reverse(volume, [0])), [0])], 0)


def _weights_in_graph(lines):
    """`_weights`, and whether there are any."""
    import tensorflow as tf

    size, count = tf.unstack(tf.shape(lines))
    windows = tf.maximum(size - WINDOW + 1, 0)
    lines = tf.cast(lines[:, :: tf.maximum(-(-windows * count // _WINDOWS), 1)], tf.float64)
    stretches = tf.gather(lines, tf.range(windows)[:, tf.newaxis] + tf.range(WINDOW))
    stretches = tf.concat([stretches, tf.reverse(stretches, [1])], 0)
    stretches -= stretches[:, REACH, tf.newaxis]
    products = tf.einsum("wal,wbl->ab", stretches, stretches)
    variance = tf.linalg.trace(products) / WINDOW
    predictable = tf.logical_and(variance > 0, windows >= WINDOW)
    ridge = tf.where(predictable, _RIDGE * variance, 1.0)
    row = products[REACH + 1 :, REACH + 1 :] + ridge * tf.eye(ROW - 1, dtype=tf.float64)
    return tf.linalg.solve(row, products[REACH + 1 :, :REACH]), predictable
