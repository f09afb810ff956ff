"""What a result is compared with its original by, and cross-entropies: small pure functions, in float32 always.

Means of differences take patches of any rank; the others images, (batch, height, width, channel). Logits are (batch, 1)
or a map (batch, h, w, 1). Equations are of P (*Reconstructing 9.4T MRI from 7T*) and S (*Through Thick and Thin*).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import tensorflow as tf

from mdcsrn_tf.errors import UserError
from mdcsrn_tf.papers.config import Term
from mdcsrn_tf.training.losses import float32, mean_absolute_error, mean_squared_error

ImageLoss = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


def gradient_difference(super_res: tf.Tensor, high_res: tf.Tensor) -> tf.Tensor:
    """P eq. 4 as the cited code computes it: squared differences of the gradients' magnitudes, both directions.

    Images go on as zeros, so a patch's border counts as an edge; the sign of a gradient counts for nothing.
    """
    total = tf.zeros([])
    for axis in (1, 2):
        edge = [[0, 0], [1, 1] if axis == 1 else [0, 0], [1, 1] if axis == 2 else [0, 0], [0, 0]]
        ours, theirs = (tf.abs(_steps(tf.pad(float32(image), edge), axis)) for image in (super_res, high_res))
        total += tf.reduce_sum(tf.square(ours - theirs))
    return total / tf.cast(tf.size(high_res), tf.float32)


def signed_gradient_difference(super_res: tf.Tensor, high_res: tf.Tensor) -> tf.Tensor:
    """P eq. 4 as printed: squared differences of the gradients themselves, inside the image."""
    difference = float32(super_res) - float32(high_res)
    total = sum(tf.reduce_sum(tf.square(_steps(difference, axis))) for axis in (1, 2))
    return total / tf.cast(tf.size(high_res), tf.float32)


def real_cross_entropy(logits: tf.Tensor) -> tf.Tensor:
    """Mean of `-log D`: the binary cross-entropy to 1, from logits."""
    return tf.reduce_mean(tf.nn.softplus(-float32(logits)))


def fake_cross_entropy(logits: tf.Tensor) -> tf.Tensor:
    """Mean of `-log(1 - D)`: the binary cross-entropy to 0, from logits."""
    return tf.reduce_mean(tf.nn.softplus(float32(logits)))


def discriminator_loss(real_logits: tf.Tensor, fake_logits: tf.Tensor, *, halved: bool) -> tf.Tensor:
    """P eq. 1 (halved), or the sum that S's release minimises."""
    total = real_cross_entropy(real_logits) + fake_cross_entropy(fake_logits)
    return 0.5 * total if halved else total


def mean_logits(logits: tf.Tensor) -> tf.Tensor:
    """A PatchGAN's map of logits to the mean of each image's, (batch, 1)."""
    return tf.reduce_mean(tf.reshape(float32(logits), [tf.shape(logits)[0], -1]), axis=1, keepdims=True)


def feature_squares(ours: Sequence[tf.Tensor], theirs: Sequence[tf.Tensor]) -> tf.Tensor:
    """S eq. 2 as a mean: squared differences of feature maps, summed over the maps."""
    return tf.add_n([mean_squared_error(a, b) for a, b in zip(ours, theirs, strict=True)])


def feature_differences(ours: Sequence[tf.Tensor], theirs: Sequence[tf.Tensor]) -> tf.Tensor:
    """P's perceptual loss: mean absolute differences of feature maps, summed over the maps."""
    return tf.add_n([mean_absolute_error(a, b) for a, b in zip(ours, theirs, strict=True)])


Features = Callable[[tf.Tensor], Sequence[tf.Tensor]]


@dataclass(frozen=True)
class ContentLoss:
    """A sum of weighted terms (P eq. 5, S eq. 4, without the adversarial one)."""

    terms: tuple[Term, ...]
    features: Mapping[str, Features]  # "vgg16", "vgg19": what maps images to their features

    def __call__(self, super_res: tf.Tensor, high_res: tf.Tensor) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        """The weighted sum, and each term unweighted by its loss's name."""
        values = {term.loss: self._loss(term.loss)(super_res, high_res) for term in self.terms}
        return tf.add_n([term.weight * values[term.loss] for term in self.terms]), values

    def _loss(self, name: str) -> ImageLoss:
        if name not in FEATURE_LOSSES:
            return PIXEL_LOSSES[name]
        features, compare = self.features[name], FEATURE_LOSSES[name]
        return lambda super_res, high_res: compare(features(float32(super_res)), features(float32(high_res)))


PIXEL_LOSSES: dict[str, ImageLoss] = {
    "l1": mean_absolute_error,
    "l2": mean_squared_error,
    "gradient": gradient_difference,
    "gradient_signed": signed_gradient_difference,
}
FEATURE_LOSSES = {"vgg16": feature_differences, "vgg19": feature_squares}
_OF_ANY_RANK = ("l1", "l2")


def check_terms(terms: Sequence[Term], rank: int) -> None:
    """UserError for a loss that there is none of, or none of patches of that rank (3: volumes)."""
    known = (*PIXEL_LOSSES, *FEATURE_LOSSES) if rank == 2 else _OF_ANY_RANK
    unknown = [term.loss for term in terms if term.loss not in known]
    if unknown:
        patches = "slices" if rank == 2 else "volumes"
        raise UserError(f"There is no loss {unknown[0]!r} of {patches}; there are {', '.join(known)}.")


def needed_features(terms: Sequence[Term]) -> tuple[Literal["vgg16", "vgg19"], ...]:
    """The feature networks that these terms read."""
    return tuple(dict.fromkeys(term.loss for term in terms if term.loss in FEATURE_LOSSES))  # type: ignore[misc]


def _steps(image: tf.Tensor, axis: int) -> tf.Tensor:
    """Each pixel's successor along `axis` minus the pixel."""
    return image[:, 1:] - image[:, :-1] if axis == 1 else image[:, :, 1:] - image[:, :, :-1]
