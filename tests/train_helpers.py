"""A tiny run for the tests of training: a network of 1,000 weights on patches of 8^3 drawn from nowhere."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import tensorflow as tf

from mdcsrn_tf.papers.config import BceGan, CriticConfig, MdcsrnConfig, PhaseRecipe, Preset
from mdcsrn_tf.papers.mdcsrn import JOURNAL
from mdcsrn_tf.training.loop import TrainData
from mdcsrn_tf.training.settings import TrainSettings, override

PATCH = 8
NETWORK = MdcsrnConfig(blocks=1, units=2, growth=4, compress_first=True, bottleneck=True, use_bias=True)
CRITIC = CriticConfig(filters=4, stages=1, dense_units=8)
L1 = replace(JOURNAL.phase("l1"), steps=6)
GAN = replace(JOURNAL.phase("gan"), objective=replace(JOURNAL.phase("gan").objective, critic=CRITIC))
BCE = PhaseRecipe(
    name="gan", steps=5, learning_rate=1e-3, objective=BceGan(critic=CRITIC, adversarial_weight=0.5, halved=True)
)
TINY = Preset("tiny", NETWORK, replace(JOURNAL, patch_size=PATCH, batch_size=2, phases=(L1, GAN)))


def settings(phase="l1", *assignments, **changes) -> TrainSettings:
    gan = (
        "gan.critic_warmup_steps=2",
        "gan.critic_steps_per_generator_step=1",
        "gan.steps=3",
        "gan.extra_critic_every=2",
        "gan.extra_critic_steps=1",
    )
    quiet = ("run.log_every=1", "run.validate_every=3", "run.picture_every=0")
    return override(TrainSettings(TINY, phase, **changes), [*gan, *quiet, *assignments])


def batch(seed: int, step: int, size: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """(low_res, high_res): noise, and the same noise averaged over pairs of neighbours."""
    rng = np.random.default_rng([seed, step])
    high = rng.standard_normal((size, PATCH, PATCH, PATCH, 1)).astype(np.float32)
    low = (high + np.roll(high, 1, axis=1)) / 2
    return low, high


def data(batch_size: int = 2, seed: int = 0) -> TrainData:
    signature = (tf.TensorSpec((batch_size, *[PATCH] * 3, 1)),) * 2

    def training(start_step):
        def generate():
            step = start_step
            while True:
                yield batch(seed, step, batch_size)
                step += 1

        return tf.data.Dataset.from_generator(generate, output_signature=signature)

    def validation():
        pairs = [batch(seed + 1, step, batch_size) for step in range(2)]
        return tf.data.Dataset.from_generator(lambda: iter(pairs), output_signature=signature)

    return TrainData(training, validation)
