"""Flags change one field each, and a changed setting shows."""

from dataclasses import replace

import pytest
import train_helpers

from mdcsrn_tf.errors import UserError
from mdcsrn_tf.papers import get_preset
from mdcsrn_tf.papers.config import Term
from mdcsrn_tf.papers.mdcsrn import JOURNAL
from mdcsrn_tf.training.run import augmentation
from mdcsrn_tf.training.settings import TrainSettings, difference, in_steps, override, with_terms

START = TrainSettings(get_preset("journal/b4u4k12"), "gan")


def test_every_section_can_be_set_by_its_fields_type():
    settings = override(
        START,
        [
            "batch_size=2",
            "learning_rate=3e-4",
            "l1.learning_rate=2e-4",
            "init=identity",
            "gan.steps=7",
            "gan.counted_in=steps",
            "critic.filters=8",
            "run.checkpoint_minutes=0.5",
        ],
    )
    recipe = settings.preset.training
    l1, gan = recipe.phases
    assert (recipe.batch_size, l1.learning_rate, recipe.init) == (2, 2e-4, "identity")
    assert (gan.steps, gan.objective.counted_in, gan.objective.critic.filters) == (7, "steps", 8)
    assert gan.learning_rate == 3e-4  # of the phase that is run, where none is named
    assert settings.upkeep.checkpoint_minutes == 0.5
    # All else is the preset's.
    assert settings.preset.network == START.preset.network
    assert recipe.patch_size == 40
    assert "batch_size=2" in settings.changed
    assert "run.checkpoint_minutes=0.5" not in settings.changed


def test_gamma_can_be_asked_for_and_unfinished_runs_without_it_go_on():
    assert augmentation(START.preset.training).gamma == 0
    bent = override(START, ["gamma=0.25"])
    assert augmentation(bent.preset.training) == replace(augmentation(START.preset.training), gamma=0.25)
    assert not [name for name in START.comparable() if "gamma" in name]
    assert difference(START.comparable(), bent.comparable()) == ["training.gamma: None -> 0.25"]


def test_the_last_of_two_settings_of_a_field_counts_and_is_recorded_once():
    settings = override(START, ["batch_size=2", "batch_size=3"])
    assert settings.preset.training.batch_size == 3
    assert settings.changed == ("batch_size=3",)


@pytest.mark.parametrize(
    ("assignment", "words"),
    [
        ("batch_size", "FIELD=VALUE"),
        ("batchsize=2", "batch_size"),
        ("batch_size=two", "int"),
        ("learning_rate=nan", "finite"),
        ("learning_rate=-1", "at least 0"),
        ("init=zeros", "glorot, identity"),
        ("gan=1", "settings there are"),
        ("network.blocks=2", "sections are l1, gan, critic and run"),
        ("name=x", "settings there are"),
        ("batch_size=0", "batch_size must be at least 1"),
        ("run.log_every=0", "run.log_every must be at least 1"),
        ("gan.extra_critic_every=0", "gan.extra_critic_every must be at least 1"),
        ("critic.filters=0", "critic.filters must be at least 1"),
        ("bn_momentum=1", "bn_momentum must be below 1"),
    ],
)
def test_a_mistake_gets_one_sentence(assignment, words):
    with pytest.raises(UserError, match=words):
        override(START, [assignment])


def test_a_setting_of_a_critic_that_there_is_none_of_is_refused():
    with pytest.raises(UserError, match="7t/fcn1 recipe has no critic"):
        override(TrainSettings(get_preset("7t/fcn1"), "l1"), ["critic.filters=32"])


def test_a_length_in_epochs_takes_the_place_of_one_in_steps():
    settings = in_steps(override(START, ["l1.epochs=2", "gan.steps=5"]), patches=13)
    assert [phase.steps for phase in settings.preset.training.phases] == [2 * 3, 5]  # thirteen patches: three batches


def test_a_difference_names_field_old_and_new():
    old = START.comparable()
    new = override(START, ["gan.steps=9", "batch_size=2"]).comparable()
    assert difference(old, new) == ["phase.steps: 200000 -> 9", "training.batch_size: 6 -> 2"]


def test_a_phase_may_go_on_when_the_other_phase_changes():
    first = train_helpers.settings("l1")
    gan = override(first, ["gan.steps=9", "critic.filters=2"])
    assert difference(first.comparable(), gan.comparable()) == []
    second = train_helpers.settings("gan")
    l1 = override(second, ["l1.steps=9", "l1.learning_rate=0.5", "init=identity"])
    assert difference(second.comparable(), l1.comparable()) == []
    assert len(difference(second.comparable(), override(second, ["gan.learning_rate=0.5"]).comparable())) == 1


def test_upkeep_is_no_difference():
    changed = override(START, ["run.log_every=3", "run.keep_checkpoints=9"])
    assert difference(START.comparable(), changed.comparable()) == []
    assert difference(START.comparable(), train_helpers.settings("l1").comparable()) != []


def test_the_spellings_of_version_0_1_0_go_on():
    assert override(START, ["l1_steps=5", "gan.length=6"]) == override(START, ["l1.steps=5", "gan.steps=6"])


def test_a_field_of_the_objective_and_an_optional_one_are_set_by_name():
    plan = override(START, ["gan.critic_learning_rate=2e-5", "gan.adversarial_weight=0.5"]).plan
    assert (plan.objective.critic_learning_rate, plan.objective.adversarial_weight) == (2e-5, 0.5)
    assert START.plan.objective.critic_learning_rate is None
    bce = replace(START, preset=replace(train_helpers.TINY, training=replace(JOURNAL, phases=(train_helpers.BCE,))))
    assert not override(bce, ["gan.halved=false"]).plan.objective.halved
    with pytest.raises(UserError, match="true or false"):
        override(bce, ["gan.halved=0.5"])


def test_the_content_loss_is_a_sum_of_weighted_terms():
    terms = with_terms(START, "1.5*l1 + 2*mse").plan.terms
    assert terms == (Term("l1", 1.5), Term("l2", 2.0))
    assert with_terms(START, "mse").preset.training.phases[0].terms == (Term("l2"),)


def test_epochs_become_steps_by_the_number_of_patches():
    # Both numbers are the 9.4 T paper's: 30 and 10 epochs of 9300 patches in batches of 32.
    def steps(epochs):
        phases = (replace(train_helpers.BCE, steps=0, epochs=epochs),)
        recipe = replace(JOURNAL, batch_size=32, phases=phases)
        return in_steps(replace(START, preset=replace(train_helpers.TINY, training=recipe)), 9300).plan.steps

    assert (steps(30), steps(10)) == (8730, 2910)
    assert in_steps(START, 9300) == START
