"""What a paper fixes, as frozen dataclasses: a network's sizes, a recipe, inference settings, a published table.

M is the MICCAI 2018 paper, J the journal version; S and P are the two on slices, whose networks are in `networks2d`.
The papers' own numbers are in the other files of this folder.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from mdcsrn_tf.papers.networks2d import BN_MOMENTUM_2D, DiscriminatorConfig, SliceNetworkConfig

# The papers are silent on both; these are the defaults of TensorFlow 1, which they were trained with.
BN_MOMENTUM = 0.99
BN_EPSILON = 1e-3


@dataclass(frozen=True)
class MdcsrnConfig:
    """The generator of M Fig. 1 and J Fig. 3."""

    blocks: int
    units: int
    growth: int
    compress_first: bool  # J: a compressor "before each DenseBlock"; M: "before all the following"
    bottleneck: bool  # J: 1x1x1 to 4k before a 3x3x3 convolution whose input is wider than that
    use_bias: bool  # the published counts of M only come out without convolution biases
    reconstruction: Literal["direct", "bottleneck"] = "direct"  # J Fig. 5 (a), (b)


@dataclass(frozen=True)
class FsrcnnConfig:
    """FSRCNN(d, s, m) in 3D, same-scale output."""

    features: int = 56
    shrunk: int = 12
    mappings: int = 4


@dataclass(frozen=True)
class SrresnetConfig:
    """SRResNet in 3D, one same-scale convolution in place of its up-sampling."""

    filters: int = 64
    blocks: int = 8


@dataclass(frozen=True)
class SrdensenetConfig:
    """SRDenseNet in 3D with J's settings, close to those of mDCSRN b8u4."""

    blocks: int = 8
    units: int = 4
    growth: int = 12


NetworkConfig = MdcsrnConfig | FsrcnnConfig | SrresnetConfig | SrdensenetConfig


@dataclass(frozen=True)
class CriticConfig:
    """SRGAN's discriminator in 3D with layer normalisation (M Fig. 1C, J Fig. 3D)."""

    filters: int = 64
    stages: int = 4  # each doubles the filters of the one before and ends with stride 2
    dense_units: int = 1024
    leak: float = 0.2


@dataclass(frozen=True)
class GanRecipe:
    """The WGAN-GP phase (M section 3.2, J section 4.1)."""

    adversarial_weight: float  # lambda of eq. 3
    critic_steps_per_generator_step: int
    # What "500 steps" and the length of the phase count: M says "steps", J "iterations of G training".
    counted_in: Literal["steps", "generator_steps"]
    length: int
    critic_warmup_steps: int = 10_000
    extra_critic_every: int = 500
    extra_critic_steps: int = 200
    learning_rate: float = 5e-6
    gradient_penalty_weight: float = 10.0  # WGAN-GP's


@dataclass(frozen=True)
class TrainingRecipe:
    """One edition's training, from patches to schedule."""

    name: str
    patch_size: int
    batch_size: int
    l1_steps: int
    gan: GanRecipe
    learning_rate: float = 1e-4
    learning_rate_decay: Literal["constant", "cosine"] = "constant"
    init: Literal["glorot", "identity"] = "glorot"
    interpolation: Literal["linear", "sinc"] = "linear"
    normalisation: Literal["zscore_of_voxels_above_mean", "tissue_level"] = "zscore_of_voxels_above_mean"
    # Augmentation: by how much contrast and brightness change, and whether the degraded axes are exchanged.
    contrast: float = 0.1
    brightness: float = 0.1
    exchange: Literal["never", "half"] = "never"
    bn_momentum: float = BN_MOMENTUM
    # Batches over which BN's moving statistics are measured anew when the L1 phase ends (0: never).
    bn_reestimation_batches: int = 0
    patches_per_subject: int = 18


@dataclass(frozen=True)
class InferenceSettings:
    """J section 4.1, "SR Generation"."""

    tile: int = 70
    margin: int = 3
    bn: Literal["batch", "moving"] = "batch"


@dataclass(frozen=True)
class Preset:
    """A network with its edition's training recipe, critic and inference settings."""

    name: str
    network: NetworkConfig
    training: TrainingRecipe
    critic: CriticConfig = CriticConfig()
    inference: InferenceSettings = InferenceSettings()


# A training on slices: samples, terms of the loss, phases.

LossName = Literal["l1", "l2", "gradient", "gradient_signed", "vgg16", "vgg19"]


@dataclass(frozen=True)
class Sample:
    """What one training pair is. `patch` is in pixels; channels beyond one are neighbouring slices."""

    rank: int
    patch: tuple[int, ...]
    low_channels: int = 1
    high_channels: int = 1
    source: Literal["kspace", "pairs", "slices"] = "pairs"  # degraded in k-space, two scans' patches, whole slices
    normalisation: str = "zscore_each_image"
    min_foreground: float = 0.0  # of a patch's pixels; 0: patches lie anywhere


@dataclass(frozen=True)
class Term:
    """One summand of a generator's loss."""

    loss: LossName
    weight: float


@dataclass(frozen=True)
class BceGan:
    """A discriminator that learns by binary cross-entropy on logits, updated before the generator on each batch."""

    discriminator: DiscriminatorConfig
    adversarial_weight: float  # of the generator's own cross-entropy
    halved: bool  # P eq. 1 halves the sum of the discriminator's two cross-entropies, S's release does not
    rate: float  # the discriminator's, at the start
    patches: Literal["per_patch", "mean_logit"] = "per_patch"  # what is averaged where there are many logits


@dataclass(frozen=True)
class PhaseRecipe:
    """One phase. `drops` are (share of the phase, factor on the rates from then on); `steps` overrides `epochs`."""

    name: Literal["l1", "gan"]
    epochs: int
    rate: float
    terms: tuple[Term, ...]
    drops: tuple[tuple[float, float], ...] = ()
    gan: BceGan | None = None
    steps: int | None = None

    def total(self, pairs: int, batch: int) -> int:
        """The phase's length in steps, on that many training pairs: an epoch's last batch is filled up."""
        return self.steps if self.steps is not None else self.epochs * math.ceil(pairs / batch)

    def factor_at(self, step: int, total: int) -> float:
        """What the rates are multiplied by in step `step` (from 0) of `total`."""
        reached = [factor for share, factor in self.drops if share * total <= step + 1e-6]
        return reached[-1] if reached else 1.0


@dataclass(frozen=True)
class SliceRecipe:
    """A whole training on slices."""

    name: str
    sample: Sample
    batch: int
    phases: tuple[PhaseRecipe, ...]
    init: Literal["paper", "identity"] = "paper"
    bn_momentum: float = BN_MOMENTUM_2D


@dataclass(frozen=True)
class SliceTiles:
    """How a paper runs its network over a slice; a stride of 0 puts cores side by side, without averaging."""

    tile: int = 64
    crop: int = 4  # pixels of each tile's edge that are thrown away
    stride: int = 20


@dataclass(frozen=True)
class SlicePreset:
    """A slice network with its paper's training; `tiles` None: whole slices."""

    name: str
    network: SliceNetworkConfig
    recipe: SliceRecipe
    tiles: SliceTiles | None = None


# A cell of a published table is (mean, standard deviation); the deviation is None where the paper prints none.
Cell = tuple[float, float | None]


@dataclass(frozen=True)
class PublishedRow:
    """One method in one table."""

    method: str  # as the table prints it
    preset: str | None  # our preset of the same network
    metrics: dict[str, Cell] = field(default_factory=dict)
    million_parameters: str | None = None  # as printed: its digits are what a count is held to
    million_ops: float | None = None  # the "#ops" column
    seconds: float | None = None  # a whole volume on one GTX 1080 Ti
    gan: bool = False
    parameters: int | None = None  # printed in full, to the last digit


@dataclass(frozen=True)
class PublishedTable:
    """One of the papers' tables."""

    name: str
    title: str
    subjects: str
    rows: tuple[PublishedRow, ...]
    remarks: tuple[str, ...] = ()  # what a reader must know of its figures

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metric columns, in the order in which they first appear."""
        return tuple(dict.fromkeys(metric for row in self.rows for metric in row.metrics))
