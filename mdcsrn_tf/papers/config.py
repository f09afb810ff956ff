"""What a paper fixes, as frozen dataclasses: a network's sizes, a recipe, inference settings, a published table.

M is the MICCAI 2018 paper, J the journal version; S and P are the two on slices, whose networks are in `networks2d`.
The papers' own numbers are in the other files of this folder.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from mdcsrn_tf.errors import UserError
from mdcsrn_tf.papers.networks2d import DiscriminatorConfig, SliceNetworkConfig

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


@dataclass(frozen=True)
class SmallGridConfig:
    """Ours, no paper's: mDCSRN's dense blocks on the scanner's small grid."""

    blocks: MdcsrnConfig
    step: tuple[int, int, int] = (2, 2, 1)  # voxels of the fine grid in one of the small, along each axis


NetworkConfig = MdcsrnConfig | FsrcnnConfig | SrresnetConfig | SrdensenetConfig | SmallGridConfig


@dataclass(frozen=True)
class CriticConfig:
    """SRGAN's discriminator in 3D with layer normalisation (M Fig. 1C, J Fig. 3D)."""

    filters: int = 64
    stages: int = 4  # each doubles the filters of the one before and ends with stride 2
    dense_units: int = 1024
    leak: float = 0.2


CriticNetwork = CriticConfig | DiscriminatorConfig


# Objectives: what a phase updates and by which losses. training/steps holds the functions, found by the class.


@dataclass(frozen=True)
class Term:
    """One summand of the content loss: a loss by its name in `training.content`, and its weight."""

    loss: str
    weight: float = 1.0


@dataclass(frozen=True, kw_only=True)
class ObjectiveConfig:
    """What every objective says. `critic` is the network that tells results from originals, where there is one."""

    critic: CriticNetwork | None = None
    critic_learning_rate: float | None = None  # None: the generator's


@dataclass(frozen=True, kw_only=True)
class Pixelwise(ObjectiveConfig):
    """The content loss alone."""


@dataclass(frozen=True, kw_only=True)
class WganGp(ObjectiveConfig):
    """The Wasserstein GAN with gradient penalty (M section 3.2, J section 4.1)."""

    critic: CriticNetwork = CriticConfig()
    adversarial_weight: float  # lambda of eq. 3
    critic_steps_per_generator_step: int
    # What "500 steps" and the length of the phase count: M says "steps", J "iterations of G training".
    counted_in: Literal["steps", "generator_steps"]
    critic_warmup_steps: int = 10_000
    extra_critic_every: int = 500
    extra_critic_steps: int = 200
    gradient_penalty_weight: float = 10.0  # WGAN-GP's


@dataclass(frozen=True, kw_only=True)
class BceGan(ObjectiveConfig):
    """A critic that gives logits and learns by binary cross-entropy; it and the generator learn from each batch."""

    critic: CriticNetwork
    adversarial_weight: float  # of the generator's own cross-entropy
    halved: bool = False  # whether the critic minimises half the sum of its two cross-entropies
    patches: Literal["per_patch", "mean_logit"] = "per_patch"  # what is averaged where there are many logits


@dataclass(frozen=True, kw_only=True)
class PhaseRecipe:
    """One phase of a training. A length is given in `steps` (see the objective's `counted_in`) or in `epochs`."""

    name: str  # of its files, and what --phase takes
    learning_rate: float
    steps: int = 0
    epochs: int = 0  # passes over the training patches, the last batch of each filled up; 0: `steps` counts
    terms: tuple[Term, ...] = (Term("l1"),)
    objective: ObjectiveConfig = Pixelwise()
    learning_rate_decay: Literal["constant", "cosine"] = "constant"
    # (share of the phase, factor on all rates from there on), as in ((0.5, 0.1),)
    drops: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True)
class Sample:
    """What one training pair is. Channels beyond one are neighbouring slices."""

    rank: int = 3
    low_channels: int = 1
    high_channels: int = 1
    source: Literal["kspace", "pairs", "slices"] = "kspace"  # degraded in k-space, two scans' patches, whole slices
    min_foreground: float = 0.25  # of a patch's voxels; 0: patches lie anywhere


@dataclass(frozen=True)
class TrainingRecipe:
    """One edition's training, from patches to phases."""

    name: str
    patch_size: int  # the edge of a cube or square
    batch_size: int
    phases: tuple[PhaseRecipe, ...]
    sample: Sample = Sample()
    # Weights at the start: Glorot's, those that return the input, or what the network's own paper draws.
    init: Literal["glorot", "identity", "paper"] = "glorot"
    interpolation: Literal["linear", "sinc"] = "linear"
    normalisation: Literal[
        "zscore_of_voxels_above_mean", "tissue_level", "zscore_each_image", "unit_range_of_low_res"
    ] = "zscore_of_voxels_above_mean"
    # Augmentation: mirroring, by how much contrast and brightness change, how much a curve bends the intensities, and
    # whether the degraded axes are exchanged.
    flips: bool = True
    contrast: float = 0.1
    brightness: float = 0.1
    gamma: float = 0.0
    exchange: Literal["never", "half"] = "never"
    bn_momentum: float = BN_MOMENTUM
    # Batches over which BN's moving statistics are measured anew when a phase ends (0: never).
    bn_reestimation_batches: int = 0
    patches_per_subject: int = 18
    feature_side: int = 224  # what images are resized to for VGG19, where a loss reads it

    def phase(self, name: str) -> PhaseRecipe:
        """The phase of that name."""
        found = [phase for phase in self.phases if phase.name == name]
        if not found:
            known = ", ".join(phase.name for phase in self.phases)
            raise UserError(f"The {self.name} recipe has no phase {name!r}; it has {known}.")
        return found[0]


@dataclass(frozen=True)
class InferenceSettings:
    """J section 4.1, "SR Generation"."""

    tile: int = 70
    margin: int = 3
    bn: Literal["batch", "moving"] = "batch"


@dataclass(frozen=True)
class SliceTiles:
    """How a paper runs its network over a slice; a stride of 0 puts cores side by side, without averaging."""

    tile: int = 64
    crop: int = 4  # pixels of each tile's edge that are thrown away
    stride: int = 20


@dataclass(frozen=True)
class Preset:
    """A network with its edition's training recipe and inference settings."""

    name: str
    network: NetworkConfig | SliceNetworkConfig
    training: TrainingRecipe
    inference: InferenceSettings = InferenceSettings()
    tiles: SliceTiles | None = None  # of a slice network; None: whole slices


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
