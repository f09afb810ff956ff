"""Random changes of a training pair that keep it a truthful pair: the same change on both images.

Degrading is linear and treats the two directions of an axis alike. So mirrored pairs, and pairs under one
affine change of intensity, are pairs that a scanner could have given. A curved intensity change (gamma) is not
quite: it is offered for other contrasts, and off by default. Turning axes into others is only right between
axes that were degraded alike.
"""

from __future__ import annotations

from dataclasses import dataclass

# Where darkness lies under the normalisation `tissue_level` (scans.normalisation says why).
DARKNESS = -2.5


@dataclass(frozen=True)
class Augmentation:
    """How much of each; 0 or False is off. Intensities are normalised ones."""

    flip: bool = True  # each axis, half of the time
    swap: tuple[int, int] | None = None  # two array axes degraded alike, exchanged half of the time
    scale: float = 0.1  # contrast times up to 1 + scale or its inverse
    scale_about: float = 0.0  # the value that a change of contrast leaves as it is: darkness, for one of exposure
    shift: float = 0.1  # brightness up or down by up to this
    gamma: float = 0.0  # exponent up to 1 + gamma or its inverse, on the low-resolution patch's range


NONE = Augmentation(flip=False, scale=0.0, shift=0.0)


def augment(low_res, high_res, seed, index, settings: Augmentation):
    """The pair [p, p, p, 1] changed as `seed` and `index` alone decide (for use inside tf.data)."""
    import tensorflow as tf

    draws = tf.unstack(tf.random.stateless_uniform([7], seed=tf.stack([seed, index])))
    pair = tf.stack([low_res, high_res])
    if settings.flip:
        for axis in range(3):
            pair = tf.where(draws[axis] < 0.5, tf.reverse(pair, [1 + axis]), pair)
    if settings.swap is not None:
        pair = tf.where(draws[3] < 0.5, _exchanged(pair, settings.swap), pair)
    if settings.gamma:
        pair = _curved(pair, _factor(draws[4], settings.gamma))
    if settings.scale:
        pair = settings.scale_about + (pair - settings.scale_about) * _factor(draws[5], settings.scale)
    if settings.shift:
        pair += settings.shift * (2.0 * draws[6] - 1.0)
    return pair[0], pair[1]


def _factor(draw, strength: float):
    """Log-uniform between 1 / (1 + strength) and 1 + strength."""
    import tensorflow as tf

    return (1.0 + strength) ** tf.cast(2.0 * draw - 1.0, tf.float32)


def _exchanged(pair, axes: tuple[int, int]):
    import tensorflow as tf

    order = [0, 1, 2, 3, 4]
    first, second = axes
    order[1 + first], order[1 + second] = 1 + second, 1 + first
    return tf.transpose(pair, order)


def _curved(pair, exponent):
    """Both through one curve that fixes the ends of the low-resolution patch's range and is odd around the lower."""
    import tensorflow as tf

    low, high = tf.reduce_min(pair[0]), tf.reduce_max(pair[0])
    part = (pair - low) / tf.maximum(high - low, 1e-6)
    return low + (high - low) * tf.sign(part) * tf.abs(part) ** exponent
