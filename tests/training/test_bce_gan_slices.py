"""The BCE step: discriminator, then generator, on one batch; its gradient passes through VGG and discriminator."""

from functools import partial
from types import SimpleNamespace

import keras
import numpy as np
import tensorflow as tf

from mdcsrn_tf.models.features import load_features
from mdcsrn_tf.papers.config import BceGan, Term
from mdcsrn_tf.papers.networks2d import ReleasedDiscriminatorConfig
from mdcsrn_tf.training.steps.bce_gan import bce_step
from mdcsrn_tf.training.steps.objective import StepOptions

OBJECTIVE = BceGan(critic=ReleasedDiscriminatorConfig(), adversarial_weight=1e-3)


def network(name, seen, outputs=1):
    """One pixel-wise convolution that notes when it is called, and when its optimizer is."""
    inputs = keras.Input((None, None, 1))
    model = keras.Model(inputs, keras.layers.Conv2D(outputs, 1, name=f"{name}_conv")(inputs))

    def call(images, training):
        seen.append((name, training))
        return model(images, training=training)

    def apply(gradients, variables):
        seen.append((f"{name} updated", max(float(tf.reduce_max(tf.abs(g))) for g in gradients) > 0))
        keras.optimizers.SGD(0.1).apply(gradients, variables)

    stub = type("Stub", (), {"__call__": lambda self, *a, **k: call(*a, **k)})()
    stub.trainable_variables = model.trainable_variables
    return stub, SimpleNamespace(apply=apply)


def test_the_discriminator_learns_before_the_generator_on_one_batch():
    seen = []
    generator, generator_optimizer = network("G", seen)
    critic, critic_optimizer = network("D", seen)
    state = SimpleNamespace(
        super_resolve=partial(generator, training=True),
        generator=generator,
        generator_optimizer=generator_optimizer,
        critic=critic,
        critic_optimizer=critic_optimizer,
    )
    low, high = np.random.default_rng(0).normal(size=(2, 1, 4, 4, 1)).astype(np.float32)
    metrics = bce_step(state, StepOptions(OBJECTIVE, (Term("l2"),)), tf.constant(low), tf.constant(high))
    # One pass of the generator serves both; the generator is judged by the discriminator that has just learned.
    assert seen == [("G", True), ("D", True), ("D", True), ("D updated", True), ("D", True), ("G updated", True)]
    assert {"loss", "intensity_loss", "adversarial_loss", "critic_loss"} <= metrics.keys()


def test_the_generators_gradient_passes_through_vgg_and_discriminator_and_leaves_vgg_alone():
    seen = []
    critic, critic_optimizer = network("D", seen)
    low, high = np.random.default_rng(1).uniform(-1, 1, (2, 1, 32, 32, 1)).astype(np.float32)
    vgg = load_features("vgg19", None, random=True, side=32)
    before = [weight.numpy() for weight in vgg.model.weights[:4]]
    for terms, weight in (((Term("vgg19", 1.0),), 0.0), ((Term("l2", 0.0),), 1.0)):
        generator, generator_optimizer = network("G", seen)
        state = SimpleNamespace(
            super_resolve=partial(generator, training=True),
            generator=generator,
            generator_optimizer=generator_optimizer,
            critic=critic,
            critic_optimizer=critic_optimizer,
        )
        objective = BceGan(critic=ReleasedDiscriminatorConfig(), adversarial_weight=weight)
        bce_step(state, StepOptions(objective, terms, features={"vgg19": vgg}), tf.constant(low), tf.constant(high))
        assert seen[-1] == ("G updated", True), "by either part of the loss alone"
    for old, new in zip(before, vgg.model.weights[:4], strict=True):
        np.testing.assert_array_equal(old, new.numpy())
