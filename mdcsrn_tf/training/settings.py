"""What a training run is made of: a preset, with the fields that flags changed, and how it is run."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args, get_origin, get_type_hints

from mdcsrn_tf.errors import UserError
from mdcsrn_tf.papers.config import Preset
from mdcsrn_tf.run_record import plain

# Settings that leave a phase's weights as they are, by the beginnings of their names.
NOT_IN = {
    "l1": ("preset.inference.", "preset.critic.", "preset.training.gan."),
    "gan": (
        "preset.inference.",
        "preset.training.l1_steps",
        "preset.training.learning_rate",
        "preset.training.init",
    ),
}


@dataclass(frozen=True)
class Upkeep:
    """What a run writes and when: it changes no weight, so a resumed run may change it."""

    log_every: int = 10  # steps between rows of metrics.csv, and between checks for NaN
    validate_every: int = 0  # steps; 0: a hundredth of the phase, at least 25
    picture_every: int = 5  # validations
    checkpoint_every: int = 0  # steps; 0: by the clock alone
    checkpoint_minutes: float = 10.0
    keep_checkpoints: int = 3


@dataclass(frozen=True)
class TrainSettings:
    """Everything that decides the weights a run ends with; a checkpoint carries it."""

    preset: Preset
    phase: Literal["l1", "gan"]
    loss: Literal["l1", "mse"] = "l1"
    precision: Literal["float32", "tensorfloat32", "mixed_bfloat16"] = "float32"
    seed: int = 0
    strategy: Literal["single", "mirrored", "multiworker"] = "single"
    jit: bool = False
    data_sha256: str = ""
    changed: tuple[str, ...] = ()  # the preset's fields that flags changed, as "field=value"
    upkeep: Upkeep = field(default_factory=Upkeep, compare=False)

    @property
    def statistics(self) -> Literal["batch", "moving"]:
        """Which statistics the run's models normalise by in use, and so while they are validated.

        Where the moving ones are measured anew they are the better ones (docs/decisions.md).
        """
        training, inference = self.preset.training, self.preset.inference
        return "moving" if training.bn_reestimation_batches else inference.bn

    def comparable(self) -> dict[str, Any]:
        """The settings as flat JSON values, without the upkeep."""
        content = plain(replace(self, changed=()))
        del content["upkeep"], content["changed"]
        return _flat(content)


def override(settings: TrainSettings, assignments: Iterable[str]) -> TrainSettings:
    """Set `field=value` in the recipe (`batch_size=2`), or in `gan.`, `critic.` or `run.` (upkeep)."""
    for assignment in assignments:
        path, equals, text = assignment.partition("=")
        if not equals:
            raise UserError(f"--set takes FIELD=VALUE, but was given {assignment!r}.")
        settings = _override_one(settings, path.strip(), text.strip())
    return settings


def difference(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """The settings that differ between a checkpoint and this run and matter to the phase, one text each."""
    names = [name for name in sorted(old.keys() | new.keys()) if not name.startswith(NOT_IN[new["phase"]])]
    return [f"{name}: {old.get(name)} -> {new.get(name)}" for name in names if old.get(name) != new.get(name)]


def _override_one(settings: TrainSettings, path: str, text: str) -> TrainSettings:
    section, dot, name = path.rpartition(".")
    if section == "run":
        return replace(settings, upkeep=_with(settings.upkeep, name, text, path))
    preset, training = settings.preset, settings.preset.training
    if section == "gan":
        training = replace(training, gan=_with(training.gan, name, text, path))
    elif section == "critic":
        preset = replace(preset, critic=_with(preset.critic, name, text, path))
    elif not dot:
        training = _with(training, name, text, path)
    else:
        raise UserError(f"--set knows no section {section!r}; the sections are gan, critic and run.")
    changed = tuple(entry for entry in settings.changed if not entry.startswith(f"{path}="))
    return replace(
        settings, preset=replace(preset, training=training), changed=(*changed, f"{path}={text}")
    )


def _with(owner: Any, name: str, text: str, path: str) -> Any:
    """A copy of the dataclass `owner` with one plain field read from text by the field's own type."""
    hints = get_type_hints(type(owner))
    settable = [f.name for f in dataclasses.fields(owner) if _is_plain(hints[f.name]) and f.name != "name"]
    if name not in settable:
        raise UserError(f"There is no setting {path!r}; the settings there are {', '.join(settable)}.")
    return replace(owner, **{name: _read(text, hints[name], path)})


def _is_plain(hint: Any) -> bool:
    return hint in (int, float, str) or get_origin(hint) is Literal


def _read(text: str, hint: Any, path: str) -> Any:
    if get_origin(hint) is Literal:
        if text not in get_args(hint):
            raise UserError(f"{path} must be one of {', '.join(get_args(hint))}, not {text!r}.")
        return text
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
