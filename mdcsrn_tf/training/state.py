"""The state of a training run: models, optimizers, step and best metric. The state is the checkpoint."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

from mdcsrn_tf.errors import UserError
from mdcsrn_tf.models import build_critic, build_generator, start_as_identity
from mdcsrn_tf.models.files import with_precision
from mdcsrn_tf.models.sizes import check_sides
from mdcsrn_tf.papers.config import PhaseRecipe, Preset
from mdcsrn_tf.training.adam import Adam
from mdcsrn_tf.training.frugal import FrugalNetwork


@dataclass
class Progress:
    """The part of the state that is no tensor: `step` counts the steps done in this phase."""

    step: int = 0
    best: float | None = None  # the objective's merit, the lower the better
    best_step: int = 0
    seconds: float = 0.0  # spent in this phase so far, over all restarts
    complete: bool = False


@dataclass
class TrainState:
    """The networks and optimizers of one phase; an objective without a critic has none."""

    generator: keras.Model
    generator_optimizer: keras.optimizers.Optimizer
    critic: Any = None  # keras.Model, where the objective has one
    critic_optimizer: keras.optimizers.Optimizer | None = None
    progress: Progress = field(default_factory=Progress)

    def super_resolve(self, low_res: Any) -> Any:
        """The generator's results as it learns: by the batch's statistics, which also move the moving ones."""
        return FrugalNetwork(self.generator)(low_res)

    def variables(self) -> dict[str, Any]:
        """Every variable by a name that is unique and stable."""
        named = {}
        for part in ("generator", "generator_optimizer", "critic", "critic_optimizer"):
            owner = getattr(self, part)
            for index, variable in enumerate(owner.variables if owner is not None else ()):
                named[f"{part}/{index:04d}/{variable.path}"] = variable
        return named

    def arrays(self) -> dict[str, np.ndarray]:
        """A copy of every variable's value."""
        return {name: np.array(variable.numpy()) for name, variable in self.variables().items()}

    def restore(self, arrays: Mapping[str, np.ndarray], progress: Mapping[str, Any], source: str) -> None:
        """Assign every variable; names and shapes must be exactly those of this state."""
        variables = self.variables()
        _check_match({name: tuple(v.shape) for name, v in variables.items()}, arrays, source)
        try:
            self.progress = Progress(**progress)
        except TypeError as error:
            raise UserError(f"The checkpoint {source} is damaged; remove it to use the one before.") from error
        for name, variable in variables.items():
            variable.assign(arrays[name])


def build_state(preset: Preset, phase: str, *, precision: str = "float32", patch_size: int | None = None) -> TrainState:
    """Build the networks and optimizers of `phase`; the optimizers' slots exist before any restore."""
    recipe = preset.training
    policy = "float32" if precision == "tensorfloat32" else precision
    generator = with_precision(build_generator(preset.network, bn_momentum=recipe.bn_momentum), policy)
    if recipe.init == "identity":
        start_as_identity(generator, preset.network)
    plan = recipe.phase(phase)
    side = patch_size or recipe.patch_size
    check_sides(generator, (side,) * recipe.sample.rank)
    state = TrainState(generator, _adam(plan.learning_rate, generator, "adam"))
    if plan.objective.critic is not None:
        # Float32 always: second-order gradients and the penalty's square overflow in less.
        with dtype_policy("float32"):
            state.critic = build_critic(plan.objective.critic, side, recipe.sample.high_channels)
        state.critic_optimizer = _adam(critic_rate(plan), state.critic, "critic_adam")
    return state


def critic_rate(plan: PhaseRecipe) -> float:
    """The critic's learning rate at the start of a phase: its own, or the generator's."""
    own = plan.objective.critic_learning_rate
    return plan.learning_rate if own is None else own


@contextmanager
def dtype_policy(name: str) -> Iterator[None]:
    """Build layers under a Keras dtype policy; their variables are float32 whatever it is."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def copy_weights(source: keras.Model, target: keras.Model) -> None:
    """Assign the weights of a network of the same architecture."""
    mine, others = target.variables, source.variables
    if [tuple(v.shape) for v in mine] != [tuple(v.shape) for v in others]:
        raise UserError("The initial model is of another architecture than the preset.")
    for variable, other in zip(mine, others, strict=True):
        variable.assign(other.numpy())


def _adam(learning_rate: float, model: keras.Model, name: str) -> keras.optimizers.Optimizer:
    # Unnamed, it would be called adam_1 or adam, depending on what else the process has built.
    optimizer = Adam(learning_rate, name=name)
    optimizer.build(model.trainable_variables)
    return optimizer


def _check_match(expected: dict[str, tuple], arrays: Mapping[str, np.ndarray], source: str) -> None:
    found = {name: tuple(array.shape) for name, array in arrays.items()}
    if found != expected:
        odd = sorted(found.items() ^ expected.items())[0][0]
        raise UserError(f"{source} was written by another network than this one (first at {odd!r}).")
