"""The slice networks and discriminators of the two 2D papers, as what their builders in `models` need to know.

S is *Through Thick and Thin*, P *Reconstructing 9.4T MRI from 7T*.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Padding = Literal["same", "one"]  # "one": one pixel of zeros on each side, whatever the kernel
Start = Literal["torch", "normal"]  # PyTorch's default U(+-1/sqrt(fan_in)), or N(0, 0.02) with gains N(1, 0.02)

# PyTorch's 0.1 and TensorLayer's 0.9: both papers'.
BN_MOMENTUM_2D = 0.9
BN_EPSILON_2D = 1e-5


@dataclass(frozen=True)
class Srresnet2dConfig:
    """SRResNet on slices, without up-sampling; several channels are neighbouring slices."""

    filters: int = 64
    blocks: int = 16
    low_channels: int = 1
    high_channels: int = 1


@dataclass(frozen=True)
class Chain2dConfig:
    """Convolutions one after the other, (kernel, filters) each; batch normalisation and ReLU after all but the last."""

    name: str
    convolutions: tuple[tuple[int, int], ...]
    padding: Padding = "same"


@dataclass(frozen=True)
class Fcn2Config:
    """Three convolutions with pooling, three transposed convolutions, no skips."""

    down: tuple[tuple[int, int], ...] = ((5, 32), (3, 64), (3, 64))  # (kernel, filters), each before a pool of 2
    up: tuple[int, ...] = (64, 32, 1)  # filters of the transposed 4x4 convolutions of stride 2


@dataclass(frozen=True)
class Dcsrn2dConfig:
    """The densely connected network on slices: one block, closed by a normalised output convolution."""

    stem: int = 24
    units: int = 4
    growth: int = 24


@dataclass(frozen=True)
class Unet2dConfig:
    """pix2pix's U-net; `sharpen` puts that fixed kernel (of 3x3 or 5x5) behind it."""

    filters: int = 16
    levels: int = 6  # halvings: a side must be a multiple of 2 ** levels
    final: Literal["linear", "tanh"] = "linear"
    sharpen: Literal[0, 3, 5] = 0


SliceNetworkConfig = Srresnet2dConfig | Chain2dConfig | Fcn2Config | Dcsrn2dConfig | Unet2dConfig


@dataclass(frozen=True)
class DenseDiscriminatorConfig:
    """Convolutions at full size and a hidden dense layer (P Fig. 13b)."""

    filters: tuple[int, ...] = (4, 8, 16, 1)
    hidden: int = 256


@dataclass(frozen=True)
class PooledDiscriminatorConfig:
    """Three convolutions, each followed by a pool, and one dense unit (P Fig. 13d, f)."""

    filters: tuple[int, int, int] = (64, 64, 64)


@dataclass(frozen=True)
class PatchDiscriminatorConfig:
    """pix2pix's PatchGAN: a logit for each overlapping part of the image (P Fig. 13h)."""

    filters: int = 8
    layers: int = 4


@dataclass(frozen=True)
class ReleasedDiscriminatorConfig:
    """What S's own code trained: six halvings to 32 times the filters, one residual block, one dense unit."""

    filters: int = 64


@dataclass(frozen=True)
class LedigDiscriminatorConfig:
    """SRGAN's discriminator as its own paper draws it (S Fig. 2): its dense layer is for small patches only."""

    filters: int = 64
    hidden: int = 1024


DiscriminatorConfig = (
    DenseDiscriminatorConfig
    | PooledDiscriminatorConfig
    | PatchDiscriminatorConfig
    | ReleasedDiscriminatorConfig
    | LedigDiscriminatorConfig
)
