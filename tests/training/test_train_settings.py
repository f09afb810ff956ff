"""Flags change one field each, and a changed setting shows."""

import pytest
import train_helpers

from mdcsrn_tf.errors import UserError
from mdcsrn_tf.papers import get_preset
from mdcsrn_tf.training.settings import TrainSettings, difference, override

START = TrainSettings(get_preset("journal/b4u4k12"), "gan")


def test_every_section_can_be_set_by_its_fields_type():
    settings = override(
        START,
        ["batch_size=2", "learning_rate=3e-4", "init=identity", "gan.length=7", "gan.counted_in=steps",
         "critic.filters=8", "run.checkpoint_minutes=0.5"],
    )  # fmt: skip
    recipe = settings.preset.training
    assert (recipe.batch_size, recipe.learning_rate, recipe.init) == (2, 3e-4, "identity")
    assert (recipe.gan.length, recipe.gan.counted_in) == (7, "steps")
    assert settings.preset.critic.filters == 8
    assert settings.upkeep.checkpoint_minutes == 0.5
    # All else is the preset's.
    assert settings.preset.network == START.preset.network
    assert recipe.patch_size == 40
    assert "batch_size=2" in settings.changed
    assert "run.checkpoint_minutes=0.5" not in settings.changed


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
        ("network.blocks=2", "sections are gan, critic and run"),
        ("name=x", "settings there are"),
    ],
)
def test_a_mistake_gets_one_sentence(assignment, words):
    with pytest.raises(UserError, match=words):
        override(START, [assignment])


def test_a_difference_names_field_old_and_new():
    old = START.comparable()
    new = override(START, ["gan.length=9", "batch_size=2"]).comparable()
    assert difference(old, new) == [
        "preset.training.batch_size: 6 -> 2",
        "preset.training.gan.length: 200000 -> 9",
    ]


def test_a_phase_may_go_on_when_the_other_phase_changes():
    first = train_helpers.settings("l1")
    gan = override(first, ["gan.length=9", "critic.filters=2"])
    assert difference(first.comparable(), gan.comparable()) == []
    second = train_helpers.settings("gan")
    l1 = override(second, ["l1_steps=9", "learning_rate=0.5", "init=identity"])
    assert difference(second.comparable(), l1.comparable()) == []
    assert len(difference(second.comparable(), override(second, ["gan.learning_rate=0.5"]).comparable())) == 1


def test_upkeep_is_no_difference():
    changed = override(START, ["run.log_every=3", "run.keep_checkpoints=9"])
    assert difference(START.comparable(), changed.comparable()) == []
    assert difference(START.comparable(), train_helpers.settings("l1").comparable()) != []
