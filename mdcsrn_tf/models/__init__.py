"""The networks of the papers: one paper a file, each a builder function; here is the way in."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mdcsrn_tf.errors import UserError
from mdcsrn_tf.papers.config import (
    CriticConfig,
    CriticNetwork,
    FsrcnnConfig,
    MdcsrnConfig,
    NetworkConfig,
    SmallGridConfig,
    SrdensenetConfig,
    SrresnetConfig,
)
from mdcsrn_tf.papers.networks2d import (
    Chain2dConfig,
    Dcsrn2dConfig,
    DenseDiscriminatorConfig,
    Fcn2Config,
    LedigDiscriminatorConfig,
    PatchDiscriminatorConfig,
    PooledDiscriminatorConfig,
    ReleasedDiscriminatorConfig,
    SliceNetworkConfig,
    Srresnet2dConfig,
    Unet2dConfig,
)

if TYPE_CHECKING:
    import keras

__all__ = ["BUILDERS", "CRITICS", "IDENTITIES", "build_critic", "build_generator", "start_as_identity"]


# Configuration class -> the function that builds its network, by name: listing it here loads no Keras.
BUILDERS: dict[type, str | Callable[..., Any]] = {
    MdcsrnConfig: "mdcsrn:build_mdcsrn",
    FsrcnnConfig: "fsrcnn3d:build_fsrcnn3d",
    SrresnetConfig: "srresnet3d:build_srresnet3d",
    SrdensenetConfig: "srdensenet3d:build_srdensenet3d",
    SmallGridConfig: "small_grid:build_small_grid",
    Srresnet2dConfig: "srresnet2d:build_srresnet2d",
    Chain2dConfig: "chain2d:build_chain2d",
    Fcn2Config: "fcn2:build_fcn2",
    Dcsrn2dConfig: "dcsrn2d:build_dcsrn2d",
    Unet2dConfig: "unet2d:build_unet2d",
}
CRITICS: dict[type, str | Callable[..., Any]] = {
    CriticConfig: "critic:build_critic",
    DenseDiscriminatorConfig: "discriminators2d:build_dense_discriminator",
    PooledDiscriminatorConfig: "discriminators2d:build_pooled_discriminator",
    PatchDiscriminatorConfig: "discriminators2d:build_patch_discriminator",
    ReleasedDiscriminatorConfig: "srgan_discriminators:build_released_discriminator",
    LedigDiscriminatorConfig: "srgan_discriminators:build_ledig_discriminator",
}
# Configuration class -> the function that makes its fresh network return its input, of those that can.
IDENTITIES: dict[type, str | Callable[..., Any]] = {
    MdcsrnConfig: "mdcsrn:start_as_identity",
    FsrcnnConfig: "fsrcnn3d:start_as_identity",
    SmallGridConfig: "small_grid:start_as_identity",
    Srresnet2dConfig: "srresnet2d:start_as_identity",
}


def build_generator(
    config: NetworkConfig | SliceNetworkConfig, *, bn_momentum: float | None = None, name: str | None = None
) -> keras.Model:
    """Build the generator that `config` describes: (batch, D, H, W, 1) or (batch, H, W, C) to a result of that size.

    Without a `bn_momentum` it is the one that the network's paper was trained with.
    """
    if type(config) not in BUILDERS:
        raise TypeError(f"no network is built from a {type(config).__name__}")
    build = _function(BUILDERS[type(config)])
    options: dict[str, Any] = {"name": name} if name else {}
    # A network without batch normalisation takes no momentum.
    if bn_momentum is not None and "bn_momentum" in inspect.signature(build).parameters:
        options["bn_momentum"] = bn_momentum
    return build(config, **options)


def build_critic(config: CriticNetwork, side: int, channels: int = 1) -> keras.Model:
    """Build the critic of cubes or squares of that edge: a score or logit each, or a map of logits."""
    return _function(CRITICS[type(config)])(config, side, channels)


def _function(where: str | Callable[..., Any]) -> Callable[..., Any]:
    if not isinstance(where, str):
        return where
    module, _, function = where.partition(":")
    return getattr(importlib.import_module(f"{__name__}.{module}"), function)


def start_as_identity(model: keras.Model, config: NetworkConfig | SliceNetworkConfig) -> None:
    """Set the few weights that make a fresh network return its input (docs/decisions.md, the quick recipe)."""
    if type(config) not in IDENTITIES or getattr(config, "reconstruction", "direct") != "direct":
        raise UserError(
            "The identity start needs a network whose output reads its input's features directly "
            "(mDCSRN without -r, fast, fsrcnn3d, or SRResNet on slices); train this one with --set=init=glorot."
        )
    _function(IDENTITIES[type(config)])(model)
