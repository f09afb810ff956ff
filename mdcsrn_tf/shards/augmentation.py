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

    flip: bool = True  # each axis, half of the time; of several slices in, their order as well
    swap: tuple[int, int] | None = None  # two array axes degraded alike, exchanged half of the time
    scale: float = 0.1  # contrast times up to 1 + scale or its inverse
    scale_about: float = 0.0  # the value that a change of contrast leaves as it is: darkness, for one of exposure
    shift: float = 0.1  # brightness up or down by up to this
    gamma: float = 0.0  # exponent up to 1 + gamma or its inverse, on the low-resolution patch's range


NONE = Augmentation(flip=False, scale=0.0, shift=0.0)


def augment(low_res, high_res, seed, index, settings: Augmentation):
    """The pair [*spatial, channels] changed as `seed` and `index` alone decide (for use inside tf.data)."""
    import tensorflow as tf

    draws = tf.unstack(tf.random.stateless_uniform([7], seed=tf.stack([seed, index])))
    pair = [tf.convert_to_tensor(image) for image in (low_res, high_res)]
    if settings.flip:
        for axis in range(_mirrored_axes(pair[0])):
            pair = [tf.where(draws[axis] < 0.5, tf.reverse(image, [axis]), image) for image in pair]
    if settings.swap is not None:
        pair = [tf.where(draws[3] < 0.5, _exchanged(image, settings.swap), image) for image in pair]
    if settings.gamma:
        pair = _curved(pair, _factor(draws[4], settings.gamma))
    if settings.scale:
        about, factor = settings.scale_about, _factor(draws[5], settings.scale)
        pair = [about + (image - about) * factor for image in pair]
    if settings.shift:
        pair = [image + settings.shift * (2.0 * draws[6] - 1.0) for image in pair]
    return pair[0], pair[1]


def _mirrored_axes(low_res) -> int:
    """All but the channels; several slices are mirrored through their plane, too, in and out together.

    A single slice in is not: which of three slices out is its upper neighbour would then be a matter of chance.
    """
    rank = low_res.shape.rank - 1
    return rank + (rank == 2 and low_res.shape[-1] > 1)


def _factor(draw, strength: float):
    """Log-uniform between 1 / (1 + strength) and 1 + strength."""
    import tensorflow as tf

    return (1.0 + strength) ** tf.cast(2.0 * draw - 1.0, tf.float32)


def _exchanged(image, axes: tuple[int, int]):
    import tensorflow as tf

    order = list(range(image.shape.rank))
    first, second = axes
    order[first], order[second] = second, first
    return tf.transpose(image, order)


def _curved(pair, exponent):
    """Both through one curve that fixes the ends of the low-resolution patch's range and is odd around the lower."""
    import tensorflow as tf

    low, high = tf.reduce_min(pair[0]), tf.reduce_max(pair[0])
    parts = [(image - low) / tf.maximum(high - low, 1e-6) for image in pair]
    return [low + (high - low) * tf.sign(part) * tf.abs(part) ** exponent for part in parts]
