"""Every command of this package in docs/ has flags and values that its program takes; nothing is run."""

import re
import shlex
from pathlib import Path

import pytest
from absl import flags

import data_prep.degrade
import data_prep.make_pairs
import data_prep.make_shards
import data_prep.variants
import mdcsrn_tf.cli.export
import mdcsrn_tf.cli.infer
import mdcsrn_tf.cli.train
from mdcsrn_tf.cli.eval import COMMANDS as EVALUATIONS
from mdcsrn_tf.cli.eval import chosen

DOCS = Path(__file__).resolve().parents[2] / "docs"
PROGRAMS = {
    "mdcsrn-degrade": data_prep.degrade.define_flags,
    "mdcsrn-shards": data_prep.make_shards.define_flags,
    "mdcsrn-pairs": data_prep.make_pairs.define_flags,
    "mdcsrn-variants": data_prep.variants.define_flags,
    "mdcsrn-train": mdcsrn_tf.cli.train.define_flags,
    "mdcsrn-infer": mdcsrn_tf.cli.infer.define_flags,
    "mdcsrn-export": mdcsrn_tf.cli.export.define_flags,
}


def commands_of(page):
    """Commands in blocks of code (indented, or fenced), their continued lines joined."""
    text = page.read_text().replace("\\\n", " ")
    return [line.strip() for line in text.splitlines() if re.match(r"( {4})?mdcsrn-[a-z]+ ", line)]


COMMANDS = [(page.name, command) for page in sorted(DOCS.glob("*.md")) for command in commands_of(page)]


@pytest.mark.parametrize(("page", "command"), COMMANDS, ids=[f"{page}: {command[:60]}" for page, command in COMMANDS])
def test_its_flags_and_their_values_are_known(page, command):
    # " ... " stands for further flags, "[--flag=one|other]" for one that may be left out.
    program, *words = shlex.split(command, comments=True)
    rest = [word.strip("[]").partition("|")[0] for word in words if word != "..."]
    values = flags.FlagValues()
    if program == "mdcsrn-eval":
        name, rest = chosen(rest)
        EVALUATIONS[name].define_flags(values)
    else:
        PROGRAMS[program](values)
    assert values([program, *rest]) == [program], "an argument is no flag"


def test_the_pages_hold_commands_of_every_program_that_makes_or_uses_a_network():
    assert {"mdcsrn-eval", *PROGRAMS} - {shlex.split(command, comments=True)[0] for _, command in COMMANDS} == set()
    assert len(COMMANDS) > 40
