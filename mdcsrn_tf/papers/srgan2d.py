"""S: *Through Thick and Thin*, SRResNet and SRGAN on slices of thick- and thin-slice scans.

`-released` follows the code that the paper links where the two differ (docs/decisions.md).
"""

from __future__ import annotations

from mdcsrn_tf.papers.config import BceGan, InferenceSettings, PhaseRecipe, Preset, Sample, Term, TrainingRecipe
from mdcsrn_tf.papers.networks2d import BN_MOMENTUM_2D, ReleasedDiscriminatorConfig, Srresnet2dConfig

# The paper's equation has no scale; this is the weight its own code worked with.
VGG_WEIGHT = 2e-6
ADVERSARIAL_WEIGHT = 1e-3  # eq. 4

VGG = (Term("vgg19", VGG_WEIGHT),)
MSE_AND_VGG = (Term("l2", 1.0), *VGG)

HALFWAY = ((0.5, 0.1),)  # "switched halfway through training"
# The release divides by 10 every floor(epochs / 2) epochs: five epochs give three rates.
EVERY_SECOND_OF_FIVE = ((0.4, 0.1), (0.8, 0.01))


def _recipe(
    name: str,
    channels: tuple[int, int],
    epochs: tuple[int, int],
    terms: tuple[Term, ...] = VGG,
    drops: tuple[tuple[float, float], ...] = HALFWAY,
) -> TrainingRecipe:
    low, high = channels
    gan = BceGan(critic=ReleasedDiscriminatorConfig(), adversarial_weight=ADVERSARIAL_WEIGHT, halved=False)
    return TrainingRecipe(
        name,
        patch_size=512,
        batch_size=1,
        phases=(
            PhaseRecipe(name="l1", epochs=epochs[0], learning_rate=1e-4, terms=(Term("l2"),)),
            PhaseRecipe(name="gan", epochs=epochs[1], learning_rate=1e-4, terms=terms, drops=drops, objective=gan),
        ),
        sample=Sample(2, low, high, "slices", min_foreground=0.0),
        normalisation="unit_range_of_low_res",
        init="paper",
        flips=False,
        contrast=0.0,
        brightness=0.0,
        bn_momentum=BN_MOMENTUM_2D,
    )


def _preset(name: str, recipe: TrainingRecipe) -> Preset:
    sample = recipe.sample
    network = Srresnet2dConfig(low_channels=sample.low_channels, high_channels=sample.high_channels)
    return Preset(name, network, recipe, InferenceSettings(bn="moving"))


MODEL1 = _recipe("srgan2d/model1", (1, 1), (1, 5))
MODEL2 = _recipe("srgan2d/model2", (1, 3), (5, 20))
MODEL1_RELEASED = _recipe("srgan2d/model1-released", (1, 1), (1, 5), MSE_AND_VGG, EVERY_SECOND_OF_FIVE)
MODEL2_RELEASED = _recipe("srgan2d/model2-released", (1, 3), (5, 20), MSE_AND_VGG)
# Ours: three neighbouring thick slices in, the middle one out.
STACK3 = _recipe("srgan2d/stack3", (3, 1), (1, 5))

PRESETS = {
    recipe.name: _preset(recipe.name, recipe) for recipe in (MODEL1, MODEL2, MODEL1_RELEASED, MODEL2_RELEASED, STACK3)
}
