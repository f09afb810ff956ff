"""What each step changes and what it leaves alone, on a tiny generator and critic."""

from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf
import train_helpers

from mdcsrn_tf.papers.config import Term
from mdcsrn_tf.training import losses
from mdcsrn_tf.training.loop import compile_updates
from mdcsrn_tf.training.schedule import GanSchedule
from mdcsrn_tf.training.state import build_state
from mdcsrn_tf.training.steps import StepOptions, wgan_gp
from mdcsrn_tf.training.steps.bce_gan import bce_step
from mdcsrn_tf.training.steps.pixelwise import pixelwise_step

PARTS = ("generator weights", "generator statistics", "generator optimizer", "critic", "critic optimizer")


def gan_state(precision="float32"):
    keras.utils.set_random_seed(1)
    return build_state(train_helpers.TINY, "gan", precision=precision)


def gan_options(**changes):
    return StepOptions(replace(train_helpers.GAN.objective, **changes))


def values(state):
    generator = state.generator
    owners = (
        generator.trainable_variables,
        generator.non_trainable_variables,
        state.generator_optimizer.variables,
        state.critic.variables,
        state.critic_optimizer.variables,
    )
    # A learning rate is set before every step; the loop owns it, not the step.
    return {
        part: [v.numpy().copy() for v in owned if not v.path.endswith("learning_rate")]
        for part, owned in zip(PARTS, owners, strict=True)
    }


def changed(before, after):
    return {
        part for part in PARTS if any(not np.array_equal(a, b) for a, b in zip(before[part], after[part], strict=True))
    }


def test_each_step_of_the_schedule_changes_its_network_and_nothing_else():
    settings = train_helpers.settings("gan", "gan.learning_rate=0.001")
    schedule = GanSchedule.of(settings.plan)
    assert schedule.text(0, schedule.total) == "CCCGCGCCG"
    state = gan_state()
    update = compile_updates(settings, state, tf.distribute.get_strategy())
    for step in range(schedule.total):
        before = values(state)
        update(schedule.update_at(step), train_helpers.batch(0, step), step, 1e-3)
        expected = {
            "critic": {"critic", "critic optimizer"},
            "generator": {"generator weights", "generator statistics", "generator optimizer"},
        }[schedule.update_at(step)]
        assert changed(before, values(state)) == expected, f"step {step}"


def test_the_critic_gets_a_gradient_from_real_from_fake_and_from_the_penalty():
    # Under gradient descent at rate 1 a step subtracts the gradient itself: compare with its three parts.
    low, high = train_helpers.batch(0, 0)
    state, alpha = gan_state(), tf.constant([0.3, 0.6])
    state.critic_optimizer = keras.optimizers.SGD(1.0)
    weights = state.critic.trainable_variables
    fake = state.generator(low, training=True)
    parts = []
    for term in (
        lambda: -tf.reduce_mean(state.critic(high)),
        lambda: tf.reduce_mean(state.critic(fake)),
        lambda: 10 * losses.gradient_penalty(state.critic, tf.constant(high), fake, alpha),
    ):
        with tf.GradientTape() as tape:
            value = term()
        gradients = tape.gradient(value, weights)
        assert float(tf.linalg.global_norm(gradients)) > 1e-3
        parts.append([np.zeros(v.shape) if g is None else g.numpy() for g, v in zip(gradients, weights, strict=True)])
    before = [v.numpy().copy() for v in weights]
    wgan_gp.critic_step(state, gan_options(), low, high, alpha)
    for variable, old, *gradients in zip(weights, before, *parts, strict=True):
        np.testing.assert_allclose(old - variable.numpy(), sum(gradients), rtol=1e-3, atol=1e-4)


def test_without_the_penalty_the_critic_widens_the_earth_mover_estimate():
    low, high = train_helpers.batch(0, 0)
    state, options = gan_state(), gan_options(gradient_penalty_weight=0.0)
    state.critic_optimizer.learning_rate.assign(1e-3)
    estimates = [
        float(wgan_gp.critic_step(state, options, low, high, tf.constant([0.3, 0.6]))["earth_mover"]) for _ in range(12)
    ]
    assert estimates[-1] > estimates[0]


def test_critic_metrics_are_consistent_and_penalised():
    low, high = train_helpers.batch(0, 0)
    found = wgan_gp.critic_step(gan_state(), gan_options(), low, high, tf.constant([0.3, 0.6]))
    found = {name: float(value) for name, value in found.items()}
    assert found["earth_mover"] == pytest.approx(found["score_real"] - found["score_fake"], abs=1e-6)
    assert found["critic_loss"] == pytest.approx(10 * found["penalty"] - found["earth_mover"], rel=1e-5)
    assert found["penalty"] > 0


def test_the_adversarial_term_alone_moves_every_weight_of_the_generator():
    state = gan_state()
    before = values(state)
    options = replace(gan_options(adversarial_weight=1.0), terms=(Term("l1", 0.0),))
    state.generator_optimizer.learning_rate.assign(1e-3)
    low, high = train_helpers.batch(0, 0)
    scores = [float(wgan_gp.generator_step(state, options, low, high)["adversarial_loss"]) for _ in range(8)]
    # A convolution's bias before batch normalisation has no effect, hence weights only.
    paths = [v.path for v in state.generator.trainable_variables]
    after = values(state)
    for path, a, b in zip(paths, before["generator weights"], after["generator weights"], strict=True):
        if path.endswith("kernel"):
            assert not np.array_equal(a, b), path
    assert scores[-1] < scores[0]


def test_the_generators_loss_is_equation_3():
    low, high = train_helpers.batch(0, 0)
    state = gan_state()
    found = wgan_gp.generator_step(state, gan_options(adversarial_weight=0.1), low, high)
    expected = float(found["intensity_loss"]) + 0.1 * float(found["adversarial_loss"])
    assert float(found["loss"]) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(("loss", "power"), [("l1", 1), ("l2", 2)])
def test_the_first_phase_minimises_the_chosen_loss(loss, power):
    keras.utils.set_random_seed(1)
    state = build_state(train_helpers.TINY, "l1")
    low, high = train_helpers.batch(0, 0)
    expected = np.mean(np.abs(state.generator(low, training=True).numpy() - high) ** power)
    options = StepOptions(terms=(Term(loss),))
    state.generator_optimizer.learning_rate.assign(1e-3)
    seen = [float(pixelwise_step(state, options, low, high)["loss"]) for _ in range(20)]
    assert seen[0] == pytest.approx(expected, rel=1e-4)
    assert seen[-1] < 0.95 * seen[0]


def test_the_gradient_norm_is_that_of_all_weights_together():
    keras.utils.set_random_seed(1)
    state = build_state(train_helpers.TINY, "l1")
    low, high = train_helpers.batch(0, 0)
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(tf.abs(state.generator(low, training=True) - high))
    gradients = tape.gradient(loss, state.generator.trainable_variables)
    expected = np.sqrt(sum((g.numpy().astype(np.float64) ** 2).sum() for g in gradients))
    found = float(pixelwise_step(state, StepOptions(), low, high)["gradient_norm"])
    assert found == pytest.approx(expected, rel=1e-4)


def test_in_mixed_precision_the_critic_and_all_variables_stay_float32():
    state = gan_state("mixed_bfloat16")
    convolutions = [layer for layer in state.generator.layers if isinstance(layer, keras.layers.Conv3D)]
    assert {layer.compute_dtype for layer in convolutions[:-1]} == {"bfloat16"}
    assert convolutions[-1].compute_dtype == "float32"
    assert {layer.compute_dtype for layer in state.critic.layers} == {"float32"}
    dtypes = {v.dtype for owner in (state.generator, state.critic) for v in owner.variables}
    assert dtypes == {"float32"}
    low, high = train_helpers.batch(0, 0)
    found = wgan_gp.critic_step(state, gan_options(), low, high, tf.constant([0.3, 0.6]))
    found |= wgan_gp.generator_step(state, gan_options(), low, high)
    assert {value.dtype for value in found.values()} == {tf.float32}
    assert all(np.isfinite(float(value)) for value in found.values())


def test_identity_start_and_rates_come_from_the_recipe():
    phases = (replace(train_helpers.L1, learning_rate=0.002),)
    recipe = replace(train_helpers.TINY.training, init="identity", phases=phases, bn_momentum=0.8)
    state = build_state(replace(train_helpers.TINY, training=recipe), "l1")
    low, _high = train_helpers.batch(0, 0)
    np.testing.assert_allclose(state.generator(low, training=False), low, atol=1e-6)
    assert float(state.generator_optimizer.learning_rate.numpy()) == pytest.approx(0.002)
    norms = [layer for layer in state.generator.layers if hasattr(layer, "momentum")]
    assert {layer.momentum for layer in norms} == {0.8}


def bce_state():
    keras.utils.set_random_seed(1)
    recipe = replace(train_helpers.TINY.training, phases=(train_helpers.BCE,))
    return build_state(replace(train_helpers.TINY, training=recipe), "gan")


def test_a_bce_step_updates_the_critic_and_then_the_generator_against_it():
    state, options = bce_state(), StepOptions(train_helpers.BCE.objective)
    low, high = train_helpers.batch(0, 0)
    state.critic_optimizer = keras.optimizers.SGD(0.5)
    state.generator_optimizer = keras.optimizers.SGD(0.5)
    critic, generator = keras.models.clone_model(state.critic), keras.models.clone_model(state.generator)
    critic.set_weights(state.critic.get_weights())
    generator.set_weights(state.generator.get_weights())
    found = bce_step(state, options, low, high)
    # The same by hand, in two steps of gradient descent.
    bce = keras.losses.BinaryCrossentropy(from_logits=True)
    fake = tf.constant(generator(low, training=True))
    with tf.GradientTape() as tape:
        loss = (bce(np.ones((2, 1)), critic(high)) + bce(np.zeros((2, 1)), critic(fake))) / 2
    weights = critic.trainable_variables
    for variable, gradient in zip(weights, tape.gradient(loss, weights), strict=True):
        variable.assign_sub(0.5 * gradient)
    assert float(found["critic_loss"]) == pytest.approx(float(loss), rel=1e-5)
    for mine, theirs in zip(state.critic.trainable_variables, critic.trainable_variables, strict=True):
        np.testing.assert_allclose(mine.numpy(), theirs.numpy(), rtol=1e-4, atol=1e-6)
    adversarial = float(bce(np.ones((2, 1)), critic(fake)))
    assert float(found["adversarial_loss"]) == pytest.approx(adversarial, rel=1e-4)
    expected = np.mean(np.abs(fake.numpy() - high)) + 0.5 * adversarial
    assert float(found["loss"]) == pytest.approx(expected, rel=1e-4)


def test_several_terms_are_summed_with_their_weights_and_reported_one_by_one():
    low, high = train_helpers.batch(0, 0)
    state = bce_state()
    expected = state.generator(low, training=True).numpy() - high
    found = pixelwise_step(state, StepOptions(terms=(Term("l1", 1.5), Term("l2", 2.0))), low, high)
    assert float(found["l1_loss"]) == pytest.approx(np.abs(expected).mean(), rel=1e-4)
    assert float(found["l2_loss"]) == pytest.approx((expected**2).mean(), rel=1e-4)
    total = 1.5 * float(found["l1_loss"]) + 2 * float(found["l2_loss"])
    assert float(found["loss"]) == pytest.approx(total, rel=1e-5)
