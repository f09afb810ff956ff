"""The 7T paper's losses for any Keras backend: what `mdcsrn_tf.training.content` computes, which needs TensorFlow."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from keras import ops


def absolute(super_res: Any, high_res: Any) -> Any:
    """Mean absolute error."""
    return ops.mean(ops.abs(super_res - high_res))


def squared(super_res: Any, high_res: Any) -> Any:
    """Mean squared error."""
    return ops.mean(ops.square(super_res - high_res))


def gradient_difference(super_res: Any, high_res: Any) -> Any:
    """P eq. 4 as its cited code computes it: squared differences of the gradients' magnitudes, zeros outside."""
    total = 0.0
    for axis in (1, 2):
        edge = [[0, 0], [1, 1] if axis == 1 else [0, 0], [1, 1] if axis == 2 else [0, 0], [0, 0]]
        ours, theirs = (ops.abs(ops.diff(ops.pad(image, edge), axis=axis)) for image in (super_res, high_res))
        total += ops.sum(ops.square(ours - theirs))
    return total / ops.cast(ops.size(high_res), "float32")


def feature_differences(ours: Sequence[Any], theirs: Sequence[Any]) -> Any:
    """P's perceptual loss: mean absolute differences of feature maps, summed over the maps."""
    return sum(absolute(a, b) for a, b in zip(ours, theirs, strict=True))


PIXEL_LOSSES = {"l1": absolute, "l2": squared, "gradient": gradient_difference}


def content_loss(terms: Sequence[Any], features: Mapping[str, Callable], super_res: Any, high_res: Any) -> Any:
    """The weighted sum of a phase's terms on patches (batch, height, width, 1)."""
    total = 0.0
    for term in terms:
        if term.loss in PIXEL_LOSSES:
            total += term.weight * PIXEL_LOSSES[term.loss](super_res, high_res)
        else:
            seen = features[term.loss]
            total += term.weight * feature_differences(seen(super_res), seen(high_res))
    return total


def real_cross_entropy(logits: Any) -> Any:
    """Mean of `-log D`: the binary cross-entropy to 1, from logits."""
    return ops.mean(ops.softplus(-logits))


def discriminator_loss(real_logits: Any, fake_logits: Any, *, halved: bool) -> Any:
    """P eq. 1 (halved), or the whole sum."""
    total = real_cross_entropy(real_logits) + ops.mean(ops.softplus(fake_logits))
    return 0.5 * total if halved else total
