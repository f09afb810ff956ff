"""What a training run is made of: a preset, with the fields that flags changed, and how it is run."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from types import NoneType, UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from mdcsrn_tf.errors import UserError
from mdcsrn_tf.papers.config import PhaseRecipe, Preset, Term, TrainingRecipe
from mdcsrn_tf.run_record import plain


@dataclass(frozen=True)
class Upkeep:
    """What a run writes and when: it changes no weight, so a resumed run may change it."""

    log_every: int = 10  # steps between rows of metrics.csv, and between checks for NaN
    validate_every: int = 0  # steps; 0: a hundredth of the phase, at least 25
    picture_every: int = 5  # validations; 0: never
    checkpoint_every: int = 0  # steps; 0: by the clock alone
    checkpoint_minutes: float = 10.0
    keep_checkpoints: int = 3
    quiet: bool = False


@dataclass(frozen=True)
class TrainSettings:
    """Everything that decides the weights a phase ends with; a checkpoint carries it."""

    preset: Preset
    phase: str
    precision: Literal["float32", "tensorfloat32", "mixed_bfloat16"] = "float32"
    seed: int = 0
    strategy: Literal["single", "mirrored", "multiworker"] = "single"
    jit: bool = False
    data_sha256: str = ""
    features: Literal["given", "random"] = "given"  # VGG's weights, where a loss reads it: a file's, or drawn
    vgg_weights: str | None = field(default=None, compare=False)  # that file
    vgg_sha256: str = ""
    changed: tuple[str, ...] = ()  # the preset's fields that flags changed, as "field=value"
    upkeep: Upkeep = field(default_factory=Upkeep, compare=False)

    @property
    def plan(self) -> PhaseRecipe:
        """The phase's recipe."""
        return self.preset.training.phase(self.phase)

    @property
    def place(self) -> int:
        """Which of the recipe's phases this is, from 0."""
        return [phase.name for phase in self.preset.training.phases].index(self.phase)

    @property
    def statistics(self) -> Literal["batch", "moving"]:
        """By which statistics ("batch" or "moving") the trained models will normalise; validation does the same.

        Where the moving ones are measured anew they are the better ones (docs/decisions.md).
        """
        training, inference = self.preset.training, self.preset.inference
        return "moving" if training.bn_reestimation_batches else inference.bn

    def comparable(self) -> dict[str, Any]:
        """What decides this phase's weights, as flat JSON values: neither other phases nor upkeep."""
        training = plain(self.preset.training)
        del training["phases"]
        if self.place:
            del training["init"]  # later phases start from the one before
        if not training["gamma"]:
            del training["gamma"]  # unfinished runs from before there was one go on
        return _flat(
            {
                "preset": {"name": self.preset.name, "network": plain(self.preset.network)},
                "training": training,
                "phase": {**plain(self.plan), "objective": plain(self.plan.objective)},
                "objective": type(self.plan.objective).__name__,
                **{name: getattr(self, name) for name in _COMPARED},
            }
        )


_COMPARED = ("precision", "seed", "strategy", "jit", "data_sha256", "features", "vgg_sha256")


def in_steps(settings: TrainSettings, patches: int) -> TrainSettings:
    """The same with the length of every phase that is given in epochs of `patches` training patches in steps."""
    recipe = settings.preset.training
    batches = math.ceil(patches / recipe.batch_size)
    phases = [phase if phase.steps else replace(phase, steps=phase.epochs * batches) for phase in recipe.phases]
    return _with_training(settings, replace(recipe, phases=tuple(phases)))


def with_terms(settings: TrainSettings, text: str) -> TrainSettings:
    """The content loss of every phase replaced by a sum such as `l1` or `1.5*l1+2*gradient`."""
    terms = []
    for summand in text.split("+"):
        weight, _, name = summand.strip().rpartition("*")
        # The intensity loss of the papers' predecessor was called mse here before it was one of many.
        terms.append(Term("l2" if name == "mse" else name, _read(weight, float, "--loss") if weight else 1.0))
    phases = [replace(phase, terms=tuple(terms)) for phase in settings.preset.training.phases]
    settings = _with_training(settings, replace(settings.preset.training, phases=tuple(phases)))
    return replace(settings, changed=(*settings.changed, f"loss={text}"))


def override(settings: TrainSettings, assignments: Iterable[str]) -> TrainSettings:
    """Set `field=value` in the recipe or the settings' own phase, or in a section.

    `gan.learning_rate=1e-5` sets a field of the phase of that name or of its objective, `critic.filters=32` of every
    phase's critic, `run.log_every=1` of the upkeep.
    """
    for assignment in assignments:
        path, equals, text = assignment.partition("=")
        if not equals:
            raise UserError(f"--set takes FIELD=VALUE, but was given {assignment!r}.")
        settings = _override_one(settings, _OLD_NAMES.get(path.strip(), path.strip()), text.strip())
    return settings


# Sizes, lengths, and intervals that steps are divided by: none of these is ever 0.
_FROM_ONE = {"batch_size", "patch_size", "feature_side", "steps", "epochs", "log_every", "extra_critic_every"}
_FROM_ONE |= {"filters", "stages", "layers", "dense_units", "hidden"}  # of critics

# As version 0.1.0 spelled them.
_OLD_NAMES = {"l1_steps": "l1.steps", "gan.length": "gan.steps"}


def difference(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """The settings that differ between a checkpoint and this run, one text each.

    >>> difference({"phase.steps": 6, "seed": 0}, {"phase.steps": 8, "seed": 0})
    ['phase.steps: 6 -> 8']
    """
    names = [name for name in sorted(old.keys() | new.keys()) if old.get(name) != new.get(name)]
    return [f"{name}: {old.get(name)} -> {new.get(name)}" for name in names]


def _override_one(settings: TrainSettings, path: str, text: str) -> TrainSettings:
    section, _, name = path.rpartition(".")
    if section == "run":
        return replace(settings, upkeep=_with(settings.upkeep, name, text, path))
    changed = tuple(entry for entry in settings.changed if not entry.startswith(f"{path}="))
    training = _override_training(settings.preset.training, settings.phase, section, name, text)
    return replace(_with_training(settings, training), changed=(*changed, f"{path}={text}"))


def _override_training(training: TrainingRecipe, own: str, section: str, name: str, text: str) -> TrainingRecipe:
    names = [phase.name for phase in training.phases]
    if section == "critic":
        if all(phase.objective.critic is None for phase in training.phases):
            raise UserError(f"The {training.name} recipe has no critic, of which critic.{name} would be a setting.")
        phases = [_with_critic(phase, name, text) for phase in training.phases]
    elif section in names or (not section and name not in _settable(training)):
        at = names.index(section or own)
        known = () if section else tuple(_settable(training))
        phases = list(training.phases)
        phases[at] = _with_phase(phases[at], name, text, f"{section}.{name}" if section else name, known)
    elif section:
        raise UserError(f"--set knows no section {section!r}; the sections are {', '.join(names)}, critic and run.")
    else:
        return _with(training, name, text, name)
    return replace(training, phases=tuple(phases))


def _with_phase(phase: PhaseRecipe, name: str, text: str, path: str, also: tuple[str, ...]) -> PhaseRecipe:
    """One field of a phase, or of its objective, changed."""
    if name in _settable(phase.objective):
        return replace(phase, objective=_with(phase.objective, name, text, path))
    changed = _with(phase, name, text, path, (*also, *_settable(phase), *_settable(phase.objective)))
    return replace(changed, steps=0) if name == "epochs" else changed  # where there are steps, they count


def _with_critic(phase: PhaseRecipe, name: str, text: str) -> PhaseRecipe:
    if phase.objective.critic is None:
        return phase
    critic = _with(phase.objective.critic, name, text, f"critic.{name}")
    return replace(phase, objective=replace(phase.objective, critic=critic))


def _with_training(settings: TrainSettings, training: TrainingRecipe) -> TrainSettings:
    return replace(settings, preset=replace(settings.preset, training=training))


def _with(owner: Any, name: str, text: str, path: str, known: Sequence[str] = ()) -> Any:
    """A copy of the dataclass `owner` with one plain field read from text by the field's own type."""
    settable = _settable(owner)
    if name not in settable:
        raise UserError(f"There is no setting {path!r}; the settings there are {', '.join(known or settable)}.")
    value = _read(text, settable[name], path)
    if name in _FROM_ONE and not value:
        raise UserError(f"{path} must be at least 1, not {text}.")
    if name == "bn_momentum" and value >= 1:
        raise UserError(f"{path} must be below 1, not {text}.")
    return replace(owner, **{name: value})


def _settable(owner: Any) -> dict[str, Any]:
    """The fields of a dataclass that one text can set, with their types; `X | None` counts as X."""
    hints = get_type_hints(type(owner))
    found = {}
    for name in (f.name for f in dataclasses.fields(owner) if f.name != "name"):
        kinds = [kind for kind in get_args(hints[name]) if kind is not NoneType] or [hints[name]]
        hint = kinds[0] if isinstance(hints[name], UnionType) and len(kinds) == 1 else hints[name]
        if hint in (int, float, str, bool) or get_origin(hint) is Literal:
            found[name] = hint
    return found


def _read(text: str, hint: Any, path: str) -> Any:
    if get_origin(hint) is Literal:
        if text not in get_args(hint):
            raise UserError(f"{path} must be one of {', '.join(get_args(hint))}, not {text!r}.")
        return text
    if hint is bool:
        if text.lower() not in ("true", "false"):
            raise UserError(f"{path} must be true or false, not {text!r}.")
        return text.lower() == "true"
    try:
        value = hint(text)
    except ValueError:
        raise UserError(f"{path} must be of type {hint.__name__}, not {text!r}.") from None
    if isinstance(value, (int, float)) and not 0 <= value < float("inf"):
        raise UserError(f"{path} must be a finite number of at least 0, not {text}.")
    return value


def _flat(content: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in content.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat
