"""The networks of the papers: one paper a file, each a builder function; here is the way in."""

from __future__ import annotations

from typing import TYPE_CHECKING

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

__all__ = ["build_critic", "build_generator", "start_as_identity"]


def build_generator(
    config: NetworkConfig, *, bn_momentum: float = BN_MOMENTUM, name: str | None = None
) -> keras.Model:
    """Build the generator that `config` describes: (batch, D, H, W, 1) -> the same shape, float32."""
    named = {} if name is None else {"name": name}
    if isinstance(config, MdcsrnConfig):
        from mdcsrn_tf.models.mdcsrn import build_mdcsrn

        return build_mdcsrn(config, bn_momentum, **named)
    if isinstance(config, FsrcnnConfig):
        from mdcsrn_tf.models.fsrcnn3d import build_fsrcnn3d

        return build_fsrcnn3d(config, **named)
    if isinstance(config, SrresnetConfig):
        from mdcsrn_tf.models.srresnet3d import build_srresnet3d

        return build_srresnet3d(config, bn_momentum, **named)
    if isinstance(config, SrdensenetConfig):
        from mdcsrn_tf.models.srdensenet3d import build_srdensenet3d

        return build_srdensenet3d(config, bn_momentum, **named)
    raise TypeError(f"no network is built from a {type(config).__name__}")


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
