"""Whether shards are what a recipe asks for, and its phases long enough to train."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mdcsrn_tf.errors import UserError
from mdcsrn_tf.models.files import ModelCard, same_normalisation
from mdcsrn_tf.papers import PRESETS
from mdcsrn_tf.papers.config import TrainingRecipe
from mdcsrn_tf.training.settings import TrainSettings, in_steps
from mdcsrn_tf.training.steps import objective_of


def check_data(settings: TrainSettings, manifest: Any) -> None:
    """UserError, with the remedy, where the phase cannot train on the manifest's shards."""
    recipe = settings.preset.training
    sample = recipe.sample
    if manifest.rank != sample.rank:
        holds, command = ("volumes", "mdcsrn-pairs") if manifest.rank == 3 else ("slices", "mdcsrn-shards")
        name = settings.preset.name
        raise UserError(f"The shards hold {holds}, on which {name} cannot train: make others by {command}.")
    if manifest.channels != (sample.low_channels, sample.high_channels):
        raise UserError(
            f"The shards hold {manifest.channels[0]} slices in and {manifest.channels[1]} out, but "
            f"{settings.preset.name} maps {sample.low_channels} to {sample.high_channels}: make new shards by "
            f"mdcsrn-pairs --stack={sample.low_channels} --targets={sample.high_channels}."
        )
    if manifest.patch_size != recipe.patch_size:
        raise UserError(
            f"The shards hold patches of {manifest.patch_size}^{sample.rank}, but the {recipe.name} recipe trains on "
            f"{recipe.patch_size}^{sample.rank}: {_remedy(recipe, 'patch_size', manifest.patch_size)}"
        )
    if manifest.interpolation != recipe.interpolation:
        raise UserError(
            f"The shards were made with {manifest.interpolation} interpolation, but the {recipe.name} recipe asks "
            f"for {recipe.interpolation}: {_remedy(recipe, 'interpolation', manifest.interpolation)}"
        )
    if manifest.normalisation != recipe.normalisation:
        raise UserError(
            f"The shards were made with --normalisation={manifest.normalisation}, but the {recipe.name} recipe asks "
            f"for {recipe.normalisation}: {_remedy(recipe, 'normalisation', manifest.normalisation)}"
        )
    check_exchange(recipe, manifest)


def fitted(settings: Sequence[TrainSettings], manifest: Any) -> list[TrainSettings]:
    """The phases of a run, their lengths in steps of the manifest's patches; UserError where one cannot train on it."""
    for phase in settings:
        check_data(phase, manifest)
    counted = [in_steps(phase, manifest.pairs("train")) for phase in settings]
    for phase in counted:
        check_length(phase)
    return counted


def remarks_on(settings: TrainSettings, manifest: Any) -> tuple[str, ...]:
    """What a run can do with these shards, and may not be meant to."""
    batch, patches = settings.preset.training.batch_size, manifest.pairs("train")
    repeated = f"a batch of {batch} is more than the {patches} patches to train on: a step sees some repeatedly."
    return (*chosen_places(settings, manifest), *((repeated,) if batch > patches else ()))


def chosen_places(settings: TrainSettings, manifest: Any) -> tuple[str, ...]:
    """A remark where a paper's own training draws patches anywhere and the shards' were chosen by what they show."""
    recipe = settings.preset.training
    asked, found = recipe.sample.min_foreground, manifest.min_foreground
    paper = PRESETS.get(settings.preset.name)
    if paper is None or recipe.name != paper.training.name or found <= asked:
        return ()
    maker = "shards" if recipe.sample.source == "kspace" else "pairs"
    return (
        f"the shards' patches are at least {found:.0%} foreground, and the {recipe.name} recipe asks for {asked:.0%}: "
        f"to draw them as its paper does, make shards by mdcsrn-{maker} --min_foreground={asked:g}.",
    )


def check_length(settings: TrainSettings) -> None:
    """UserError for a phase that trains the critic alone to its end: it would leave no best model."""
    plan, name = settings.plan, settings.phase
    schedule = objective_of(plan).schedule(plan)
    if not schedule.counts_before(schedule.total)[1]:
        raise UserError(
            f"The {name} phase of {schedule.total:,} steps ends before the generator's first update, as the critic "
            f"learns alone at first: take a larger --set={name}.steps, or a smaller "
            f"--set={name}.critic_warmup_steps."
        )


def _remedy(recipe: TrainingRecipe, field: str, found: object) -> str:
    """How shards and recipe come to agree in a field: degraded scans by the recipe's name, pairs of scans by a flag."""
    flag = {"patch_size": f"--patch={recipe.patch_size}", "normalisation": f"--normalisation={recipe.normalisation}"}
    command = f"shards --recipe={recipe.name}" if recipe.sample.source == "kspace" else f"pairs {flag.get(field, '')}"
    return f"make new shards by mdcsrn-{command.strip()}, or say --set={field}={found}."


def check_exchange(recipe: TrainingRecipe, manifest: Any) -> None:
    """Axes are exchanged only where both were degraded, and alike: else the pairs would be of another degradation."""
    directions = {"RL": "LR", "PA": "AP"}
    axes = {directions.get(name.strip().upper(), name.strip().upper()) for name in manifest.axes}
    alike = axes in ({"LR", "AP"}, {"0", "1"}) and all(len(set(factor)) == 1 for factor in manifest.factors)
    if recipe.exchange == "half" and not alike:
        raise UserError(
            f"The {recipe.name} recipe exchanges LR and AP, but the shards were degraded along "
            f"{','.join(manifest.axes)} by {'x'.join(map(str, manifest.factor)) or 'no factor'}: say "
            "--set=exchange=never, or make shards of both axes by one factor."
        )


def remarks_on_start(path: Path, card: ModelCard, settings: TrainSettings, manifest: Any | None) -> list[str]:
    """What is to be said of a model file that a training starts from; UserError where it can't.

    manifest: the shards'; None: not known yet.
    """
    if card.preset != settings.preset.name and not _is_network_of(card.preset, settings):
        raise UserError(f"{path} holds a {card.preset}, but --preset is {settings.preset.name}.")
    if manifest is None:
        return []
    if card.interpolation != manifest.interpolation:
        raise UserError(
            f"{path} was trained on {card.interpolation} interpolation, but these shards were made with "
            f"{manifest.interpolation}."
        )
    return [f"{path} {sentence}" for sentence in differences_to_shards(card, manifest)]


def _is_network_of(preset: str, settings: TrainSettings) -> bool:
    """Whether another preset's network is this one's: the 7T paper's U-nets differ by their losses alone."""
    return preset in PRESETS and PRESETS[preset].network == settings.preset.network


def differences_to_shards(card: ModelCard, manifest: Any) -> list[str]:
    """What a model that goes on with these shards will have to learn anew: that may be wanted, or a slip."""
    same = same_normalisation(card.normalisation, manifest.normalisation)
    found = [
        ("normalised by", card.normalisation, card.normalisation if same else manifest.normalisation),
        ("degraded along", ",".join(card.axes), ",".join(manifest.axes)),
        ("degraded by", "x".join(map(str, card.factor)), "x".join(map(str, manifest.factor))),
        ("made with the slice profile", card.slices, manifest.slices),
    ]
    return [
        f"was trained on scans {what} {before or 'nothing'}, and goes on with scans {what} {now or 'nothing'}."
        for what, before, now in found
        if before != now
    ]
