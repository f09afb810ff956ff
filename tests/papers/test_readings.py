"""What docs/decisions.md says of the papers' silences and contradictions: by arithmetic, and of what is built."""

import math

import keras
import pytest

from mdcsrn_tf.models import build_critic, build_generator
from mdcsrn_tf.papers import PRESETS, TABLES
from mdcsrn_tf.papers.config import CriticConfig, WganGp
from mdcsrn_tf.papers.mdcsrn import JOURNAL, MICCAI
from mdcsrn_tf.papers.mdcsrn import PRESETS as VOLUMES
from mdcsrn_tf.training.state import build_state


def conv(inputs, outputs, edge):
    """Weights and biases of a convolution edge^3 wide."""
    return inputs * outputs * edge**3 + outputs


def trainable(preset):
    network = build_generator(PRESETS[preset].network)
    return sum(math.prod(variable.shape) for variable in network.trainable_variables)


def srresnet(first, last, normalised=True):
    """64 filters, 8 blocks, kernels of `first` and `last` at the ends; a normalisation has 2 weights a channel."""
    block = 2 * (conv(64, 64, 3) + 2 * 64) + 64
    ends = conv(1, 64, first) + 64 + conv(64, 1, last)
    return ends + 8 * block + conv(64, 64, 3) + 2 * 64 + conv(64, 64, 3) + 2 * 64 * normalised + 64


def srdensenet(bottleneck, same_scale, normalised=True):
    """8 blocks of 4 units at growth rate 12 behind 24 filters; a block gives its units alone."""
    blocks, widths = 0, [24, *[48] * 8]
    for width in widths[:-1]:
        blocks += sum(conv(inputs, 12, 3) + 2 * inputs * normalised for inputs in (width, 12, 24, 36))
    head = conv(sum(widths), bottleneck, 1) + 2 * bottleneck + conv(bottleneck, 1, 3)
    return conv(1, 24, 3) + blocks + head + conv(bottleneck, bottleneck, 3) * same_scale


def millions(count, digits):
    return f"{count / 1e6:.{digits}f}"


def test_srresnet_is_the_one_of_m_and_wide_kernels_at_both_ends_would_be_that_of_j():
    assert trainable("srresnet3d") == srresnet(3, 5) == 2_004_545
    assert (millions(srresnet(3, 5), 3), millions(srresnet(3, 5, normalised=False), 3)) == ("2.005", "2.004")
    assert (millions(srresnet(5, 5), 2), millions(srresnet(5, 5), 3)) == ("2.01", "2.011")


def test_only_a_bottleneck_of_4k_before_a_same_scale_convolution_gives_the_srdensenet_of_j():
    assert trainable("srdensenet3d") == srdensenet(4 * 12, same_scale=True)
    readings = {(k, same): millions(srdensenet(k * 12, same), 2) for k in (4, 8) for same in (True, False)}
    assert readings == {(4, True): "0.39", (4, False): "0.33", (8, True): "0.60", (8, False): "0.35"}
    assert millions(srdensenet(48, same_scale=True, normalised=False), 2) == "0.39"


def test_fsrcnn_has_the_65_000_parameters_of_section_2_3_of_m():
    mappings = 4 * (conv(12, 12, 3) + 12)
    by_hand = conv(1, 56, 5) + 56 + conv(56, 12, 1) + 12 + mappings + conv(12, 56, 1) + 56 + conv(56, 1, 9)
    assert trainable("fsrcnn3d") == by_hand and round(by_hand, -3) == 65_000


def test_the_800_000_steps_of_j_are_342_epochs_and_not_300():
    l1 = JOURNAL.phases[0]
    steps_an_epoch = 780 * JOURNAL.patches_per_subject / JOURNAL.batch_size
    assert (steps_an_epoch, round(l1.steps / steps_an_epoch), 300 * steps_an_epoch) == (2340, 342, 702_000)


@pytest.mark.parametrize(
    ("table", "ratios"),
    [
        ("miccai1", {0.188, 0.189}),
        ("miccai2", {0.188, 0.189}),
        ("journal1", {0.186, 0.187}),
        ("journal2", {0.167, 0.168}),
    ],
)
def test_the_papers_tables_put_the_root_mean_square_at_these_parts_of_the_range(table, ratios):
    rows = [row.metrics for row in TABLES[table].rows if "psnr" in row.metrics]
    found = {round(10 ** (-row["psnr"][0] / 20) / row["nrmse"][0], 3) for row in rows}
    assert found and found <= ratios


@pytest.mark.parametrize("table", ["penn2", "penn3"])
def test_the_psnr_of_p_is_a_mean_over_images(table):
    """Of a mean error it would be smaller: a mean of logarithms of 1 / error is above the logarithm of 1 / mean."""
    for row in TABLES[table].rows:
        of_mean = 20 * math.log10(255 / math.sqrt(row.metrics["mse_penn"][0]))
        assert 0 < row.metrics["psnr_penn"][0] - of_mean < 2


def test_nothing_is_regularised_nor_clipped_and_fresh_weights_are_glorots():
    state = build_state(VOLUMES["journal/b4u4k8"], "gan", patch_size=16)
    for optimizer in (state.generator_optimizer, state.critic_optimizer):
        changes = (optimizer.weight_decay, optimizer.clipnorm, optimizer.clipvalue, optimizer.global_clipnorm)
        assert changes == (None,) * 4
        assert (optimizer.beta_1, optimizer.beta_2, optimizer.amsgrad) == (0.9, 0.999, False)
    for layer in (*state.generator.layers, *state.critic.layers):
        settings = layer.get_config()
        assert not [name for name in settings if name.endswith(("regularizer", "constraint")) and settings[name]]
        if isinstance(layer, (keras.layers.Conv3D, keras.layers.Dense)):
            assert isinstance(layer.kernel_initializer, keras.initializers.GlorotUniform)
            assert not layer.use_bias or isinstance(layer.bias_initializer, keras.initializers.Zeros)


@pytest.mark.parametrize("recipe", [MICCAI, JOURNAL])
def test_the_critic_is_srgans_with_biases_and_its_first_layer_bare(recipe):
    objective = recipe.phases[1].objective
    assert isinstance(objective, WganGp) and objective.critic == CriticConfig()
    critic = build_critic(objective.critic, recipe.patch_size)
    strides = [layer.strides for layer in critic.layers if isinstance(layer, keras.layers.Conv3D)]
    filters = [layer.filters for layer in critic.layers if isinstance(layer, keras.layers.Conv3D)]
    assert filters == [64, 64, 128, 128, 256, 256, 512, 512] and strides == [(1, 1, 1), (2, 2, 2)] * 4
    assert {layer.negative_slope for layer in critic.layers if isinstance(layer, keras.layers.LeakyReLU)} == {0.2}
    left = math.ceil(recipe.patch_size / 16)
    widths = [1, *filters]
    by_hand = sum(conv(one, other, 3) for one, other in zip(widths, filters, strict=False)) + 2 * sum(filters[1:])
    assert critic.count_params() == by_hand + 512 * left**3 * 1024 + 1024 + 1025
