"""The frozen feature networks that a phase's loss reads: in no optimizer and in no checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from mdcsrn_tf.errors import UserError
from mdcsrn_tf.files import sha256_of
from mdcsrn_tf.models.features import Features, checked_weights, load_features
from mdcsrn_tf.training.content import check_terms, needed_features
from mdcsrn_tf.training.settings import TrainSettings


def features_of(settings: TrainSettings) -> dict[str, Features]:
    """Each by its name, with the user's weights or random ones; none where the loss reads none."""
    side, random = settings.preset.training.feature_side, settings.features == "random"
    names = needed_features(settings.plan.terms)
    return {name: load_features(name, settings.vgg_weights, random=random, side=side) for name in names}


def with_checksum(settings: TrainSettings) -> TrainSettings:
    """The settings with the checksum of the file of weights that the loss reads.

    UserError where that is not there, where there is no such loss, or where no phase's loss reads the weights given.
    """
    recipe = settings.preset.training
    check_terms(settings.plan.terms, recipe.sample.rank)
    if settings.vgg_weights and not any(needed_features(phase.terms) for phase in recipe.phases):
        raise UserError(
            f"--vgg_weights is for losses that read VGG, and {settings.preset.name} has none: leave it out."
        )
    names = needed_features(settings.plan.terms)
    if not names or settings.features == "random":
        return settings
    return replace(settings, vgg_sha256=sha256_of(checked_weights(names[0], settings.vgg_weights)))


def remarks_on_features(settings: Sequence[TrainSettings]) -> tuple[str, ...]:
    """What to say of random features where no phase's loss reads VGG: they change nothing, and were asked for."""
    terms = [phase.terms for phase in settings[0].preset.training.phases]
    if settings[0].features != "random" or any(map(needed_features, terms)):
        return ()
    return (f"--features=random changes nothing: no loss of {settings[0].preset.name} reads VGG.",)
