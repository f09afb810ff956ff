"""The networks of the papers: one paper a file, each a builder function; here is the way in."""

from __future__ import annotations

import importlib
import inspect
from typing import TYPE_CHECKING, Any

from mdcsrn_tf.errors import UserError
from mdcsrn_tf.papers.config import (
    BN_MOMENTUM,
    CriticConfig,
    FsrcnnConfig,
    MdcsrnConfig,
    NetworkConfig,
    SrdensenetConfig,
    SrresnetConfig,
)

if TYPE_CHECKING:
    import keras

__all__ = ["BUILDERS", "build_critic", "build_generator", "start_as_identity"]


# Configuration class -> the function that builds its network, by name: listing it here loads no Keras.
BUILDERS = {
    MdcsrnConfig: "mdcsrn:build_mdcsrn",
    FsrcnnConfig: "fsrcnn3d:build_fsrcnn3d",
    SrresnetConfig: "srresnet3d:build_srresnet3d",
    SrdensenetConfig: "srdensenet3d:build_srdensenet3d",
}


def build_generator(
    config: NetworkConfig, *, bn_momentum: float = BN_MOMENTUM, name: str | None = None
) -> keras.Model:
    """Build the generator that `config` describes: (batch, D, H, W, 1) -> the same shape, float32."""
    if type(config) not in BUILDERS:
        raise TypeError(f"no network is built from a {type(config).__name__}")
    module, _, function = BUILDERS[type(config)].partition(":")
    build = getattr(importlib.import_module(f"{__name__}.{module}"), function)
    options: dict[str, Any] = {"name": name} if name else {}
    if "bn_momentum" in inspect.signature(build).parameters:  # a network without batch normalisation takes none
        options["bn_momentum"] = bn_momentum
    return build(config, **options)


def build_critic(config: CriticConfig, patch_size: int) -> keras.Model:
    """Build the critic for cubic patches of that size: (batch, patch, patch, patch, 1) -> (batch, 1)."""
    from mdcsrn_tf.models import critic

    return critic.build_critic(config, patch_size)


def start_as_identity(model: keras.Model, config: NetworkConfig) -> None:
    """Set the few weights that make a fresh network return its input (docs/decisions.md, the quick recipe)."""
    if isinstance(config, MdcsrnConfig) and config.reconstruction == "direct":
        from mdcsrn_tf.models import mdcsrn

        mdcsrn.start_as_identity(model)
    elif isinstance(config, FsrcnnConfig):
        from mdcsrn_tf.models import fsrcnn3d

        fsrcnn3d.start_as_identity(model)
    else:
        raise UserError(
            "The identity start needs a network whose output reads its input's features directly "
            "(mDCSRN without -r, or fsrcnn3d); train this one with --set=init=glorot."
        )
