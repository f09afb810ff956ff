"""P: *Reconstructing 9.4T MRI from 7T*, three CNNs and eleven GANs on 64 x 64 patches of slices (Table 1, Fig. 3, 13).

The random forest is in a room of its own. Letters are the panels of Fig. 13.
"""

from __future__ import annotations

from mdcsrn_tf.papers.config import (
    BceGan,
    InferenceSettings,
    PhaseRecipe,
    Preset,
    Sample,
    SliceTiles,
    Term,
    TrainingRecipe,
)
from mdcsrn_tf.papers.networks2d import (
    BN_MOMENTUM_2D,
    Chain2dConfig,
    Dcsrn2dConfig,
    DenseDiscriminatorConfig,
    DiscriminatorConfig,
    Fcn2Config,
    PatchDiscriminatorConfig,
    PooledDiscriminatorConfig,
    SliceNetworkConfig,
    Unet2dConfig,
)

FCN1 = Chain2dConfig("fcn1", ((7, 32), (7, 64), (5, 128), (3, 1)))
FCN2 = Fcn2Config()
DCSRN2D = Dcsrn2dConfig()
A = Chain2dConfig("dcgan1", ((5, 32), (3, 16), (3, 8), (2, 4), (2, 1)), padding="one")
C = Chain2dConfig("dcgan2", ((7, 16), (5, 64), (5, 128), (3, 196), (1, 1)))
E = Chain2dConfig("dcgan3", ((7, 16), (5, 64), (5, 128), (5, 128), (3, 196), (1, 1)))
G = Unet2dConfig()
G_SHARPENED = Unet2dConfig(sharpen=3)

B = DenseDiscriminatorConfig()
D = PooledDiscriminatorConfig()
F = PooledDiscriminatorConfig((64, 128, 128))
H = PatchDiscriminatorConfig()

SAMPLE = Sample(2, source="pairs", min_foreground=0.0)
TILES = SliceTiles(tile=64, crop=4, stride=20)  # the text's; its figures look like stride 56, no averaging


def _preset(name: str, network: SliceNetworkConfig, phase: PhaseRecipe) -> Preset:
    recipe = TrainingRecipe(
        name,
        patch_size=64,
        batch_size=32,
        phases=(phase,),
        sample=SAMPLE,
        init="paper",
        normalisation="zscore_each_image",
        flips=False,
        contrast=0.0,
        brightness=0.0,
        bn_momentum=BN_MOMENTUM_2D,
    )
    return Preset(name, network, recipe, InferenceSettings(bn="moving"), TILES)


def _cnn(name: str, network: SliceNetworkConfig, loss: Term) -> Preset:
    return _preset(f"7t/{name}", network, PhaseRecipe(name="l1", epochs=10, learning_rate=1e-3, terms=(loss,)))


def _gan(
    name: str,
    networks: tuple[SliceNetworkConfig, DiscriminatorConfig],
    terms: dict[str, float],
    rates: tuple[float, float],
) -> Preset:
    """A row of Table 1: `terms` by their losses' names, `rates` of generator and discriminator."""
    generator, discriminator = networks
    weighted = tuple(Term(loss, weight) for loss, weight in terms.items())
    gan = BceGan(critic=discriminator, critic_learning_rate=rates[1], adversarial_weight=1.0, halved=True)
    phase = PhaseRecipe(name="gan", epochs=30, learning_rate=rates[0], terms=weighted, objective=gan)
    return _preset(f"7t/{name}", generator, phase)


PRESETS = {
    preset.name: preset
    for preset in (
        _cnn("fcn1", FCN1, Term("l2", 1.0)),
        _cnn("fcn2", FCN2, Term("l2", 1.0)),
        _cnn("dcsrn2d-l1", DCSRN2D, Term("l1", 1.0)),
        _cnn("dcsrn2d-l2", DCSRN2D, Term("l2", 1.0)),
        _cnn("dcsrn2d-p", DCSRN2D, Term("vgg16", 1.0)),
        _gan("dcgan1", (A, B), {"l1": 1.5, "gradient": 1.5}, (5e-5, 2e-5)),
        _gan("dcgan2", (C, D), {"l1": 1.5}, (2e-4, 2e-5)),
        _gan("dcgan3", (E, F), {"l1": 1.5}, (2e-4, 2e-5)),
        _gan("dcgan4", (E, F), {"l1": 1.5, "gradient": 1.5}, (2e-4, 2e-5)),
        _gan("unet5", (G, D), {"l1": 1.5, "gradient": 2.0}, (2e-3, 2e-4)),
        _gan("unet6", (G_SHARPENED, D), {"l1": 1.5, "gradient": 2.0}, (2e-3, 2e-4)),
        _gan("unet7", (G, D), {"l1": 2.0}, (2e-3, 2e-4)),
        _gan("unet8", (G, D), {"l1": 1.5, "gradient": 2.0}, (2e-3, 1e-3)),
        _gan("pix2pix9", (G, H), {"l1": 1.5}, (5e-5, 2e-5)),
        _gan("pix2pix10", (G, H), {"l2": 1.5}, (5e-5, 2e-5)),
        _gan("pix2pix11", (G, H), {"l1": 1.5, "vgg16": 1.0}, (5e-5, 2e-5)),
    )
}
