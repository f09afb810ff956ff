"""The schedule against literal strings, and its totals against arithmetic on the papers' sentences."""

from dataclasses import replace

import pytest

from mdcsrn_tf.papers.mdcsrn import JOURNAL, MICCAI, QUICK
from mdcsrn_tf.training.schedule import EveryStep, GanSchedule, learning_rate_at

M = GanSchedule.of(MICCAI.phase("gan"))
J = GanSchedule.of(JOURNAL.phase("gan"))


def test_both_editions_begin_with_ten_thousand_critic_steps():
    for schedule in (M, J):
        assert schedule.text(0, 10_000) == "C" * 10_000


def test_journal_around_every_boundary():
    # "After then, for 5 iterations of training the D, G was trained once."
    assert J.text(9_998, 10_019) == "CC" + "CCCCCG" * 3 + "C"
    # "after every 500 iterations of G training, D was trained for an extra 200 steps": 500 * 6 = 3000.
    assert J.text(12_988, 13_213) == "CCCCCGCCCCCG" + "C" * 200 + "CCCCCGCCCCCGC"
    assert J.text(16_194, 16_412) == "CCCCCG" + "C" * 200 + "CCCCCGCCCCCG"
    # The last of 200k generator steps, and the extra critic steps after it.
    assert J.text(J.total - 206, J.total + 50) == "CCCCCG" + "C" * 200


def test_miccai_around_every_boundary():
    # "for every 7 steps of training discriminator, we trained the generator once"
    assert M.text(9_998, 10_025) == "CC" + "CCCCCCCG" * 3 + "C"
    # "every 500 steps we train discriminator for an extra 200 step alone": 500 = 62 * 8 + 4, so the extra
    # steps fall into a cycle, which goes on after them.
    assert M.text(10_488, 10_713) == "CCCCCCCG" + "CCCC" + "C" * 200 + "CCCG" + "CCCCCCCG" + "C"
    # "for 550k steps": all of them.
    assert M.text(549_990, 550_010) == "CGCCCCCCCG"
    assert M.total == 550_000


def test_the_journals_full_schedule_in_counts():
    # 10k alone, 5 for each of 200k generator steps, 200 after each of 400 times 500 generator steps.
    assert J.counts_before(J.total) == (10_000 + 5 * 200_000 + 400 * 200, 200_000) == (1_090_000, 200_000)
    assert J.total == 1_290_000


def test_the_miccai_full_schedule_in_counts():
    # 540k steps after the warm-up: 771 times (500 alternating and 200 extra) and 300 alternating.
    assert 771 * 700 + 300 == 540_000
    generator = (771 * 500 + 300) // 8
    assert M.counts_before(M.total) == (550_000 - generator, generator) == (501_775, 48_225)


@pytest.mark.parametrize("recipe", [MICCAI, JOURNAL, QUICK], ids=lambda recipe: recipe.name)
def test_counts_are_those_of_the_letters(recipe):
    phase = recipe.phase("gan")
    gan = replace(phase.objective, critic_warmup_steps=11, extra_critic_every=7, extra_critic_steps=3)
    schedule = GanSchedule.of(replace(phase, steps=90, objective=gan))
    letters = schedule.text(0, schedule.total)
    assert len(letters) == schedule.total
    for step in range(schedule.total + 1):
        assert schedule.counts_before(step) == (letters[:step].count("C"), letters[:step].count("G"))
    if gan.counted_in == "generator_steps":
        assert letters.count("G") == 90
    assert schedule.shares() == {"critic": letters.count("C"), "generator": letters.count("G")}


def test_where_every_step_is_the_same_counts_are_steps():
    alone, both = EveryStep("generator", 9), EveryStep("both", 9)
    assert {alone.update_at(step) for step in range(9)} == {"generator"}
    assert (alone.counts_before(4), both.counts_before(4)) == ((0, 4), (4, 4))
    assert (alone.shares(), both.shares()) == ({"generator": 9}, {"both": 9})


def test_rates_drop_where_the_phase_says():
    # Halfway, and in the third and fifth of five epochs of two steps.
    assert [learning_rate_at(step, 1e-4, 4, "constant", ((0.5, 0.1),)) for step in range(4)] == pytest.approx(
        [1e-4, 1e-4, 1e-5, 1e-5]
    )
    rates = [learning_rate_at(step, 1.0, 10, "constant", ((0.4, 0.1), (0.8, 0.01))) for step in range(10)]
    assert rates == pytest.approx([1, 1, 1, 1, 0.1, 0.1, 0.1, 0.1, 0.01, 0.01])
    # A third of three steps is one step, though 1/3 * 3 may not be 1.
    assert learning_rate_at(1, 1.0, 3, "constant", ((1 / 3, 0.5),)) == 0.5


def test_the_papers_rates_are_constant_and_quicks_decays_to_nothing():
    assert [learning_rate_at(step, 1e-4, 800_000, "constant") for step in (0, 799_999)] == [1e-4, 1e-4]
    rates = [learning_rate_at(step, 1e-3, 900, "cosine") for step in (0, 225, 450, 675, 900)]
    assert rates == pytest.approx([1e-3, 8.5355339e-4, 5e-4, 1.4644661e-4, 0], abs=1e-10)
    with pytest.raises(ValueError, match="linear"):
        learning_rate_at(0, 1e-3, 9, "linear")
