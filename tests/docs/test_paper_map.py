"""docs/paper_map.md names things that exist, and leaves out nothing of any of the four papers."""

import ast
import re
from pathlib import Path

import pytest
from absl import flags

from mdcsrn_tf.cli.eval import COMMANDS as SUBCOMMANDS
from mdcsrn_tf.cli.eval import chosen

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "paper_map.md").read_text()
NAMES = sorted(set(re.findall(r"`((?:mdcsrn_tf|data_prep)[\w.]*(?::\w+)?)`", TEXT)))
COMMANDS = sorted(set(re.findall(r"`(eval\.py [^`]*)`", TEXT)))

# By the papers' own headings and captions.
MICCAI = [
    *("M 1", "M 2.1", "M 2.2", "M 2.3", "M 2.4", "M 2.5", "M 2.6", "M 3.1", "M 3.2", "M 3.3", "M 4"),
    *(f"M eq. {number}" for number in range(1, 6)),
    *("M Table 1", "M Table 2", "M Fig. 1", "M Fig. 2"),
]
JOURNAL = [
    *("J 1", "J 2", "J 3.1", "J 3.2", "J 3.3", "J 3.4", "J 4.1", "J 4.2", "J 5"),
    *(f"J eq. {number}" for number in range(1, 6)),
    *(f"J Table {number}" for number in range(1, 5)),
    *(f"J Fig. {number}" for number in range(1, 9)),
    *("J 4.1 Datasets", "J 4.1 Training Details", "J 4.1 SR Generation"),
    *("J 4.1 Quality Metrics", "J 4.1 Segmentation Evaluation"),
]


THICK_SLICES = [
    *("S 1", "S 2", "S 3", "S 4", "S 5.1", "S 5.2", "S 5.3", "S 5.4", "S 6", "S Table 1"),
    *(f"S Fig. {number}" for number in range(1, 5)),
]
FIELDS = [
    *("P 1", "P 2", "P 3", "P 4", "P 5.1", "P 5.2", "P 6.1", "P 6.2", "P 6.3", "P 6.4", "P 6.5"),
    *("P 7", "P 7.1", "P 7.2", "P 7.3", "P 7.4", "P 8"),
    *(f"P eq. {number}" for number in range(1, 9)),
    *(f"P Table {number}" for number in range(1, 4)),
    *(f"P Fig. {number}" for number in range(1, 14)),
]


@pytest.mark.parametrize("place", [*MICCAI, *JOURNAL, *THICK_SLICES, *FIELDS])
def test_no_part_of_any_paper_is_missing(place):
    rows = [row for row in TEXT.splitlines() if re.match(rf"\| {re.escape(place)}[ ,]", row)]
    assert rows, f"{place} has no row"
    for row in rows:
        answer = row.split("|")[2]
        reason = re.search(r"not yet|nothing to do|not reproduced|as [MP]|rows|tables? below", answer)
        assert "`" in answer or reason, f"{place} names neither code nor a reason"


@pytest.mark.parametrize("name", NAMES)
def test_the_named_function_exists(name):
    module, _, member = name.partition(":")
    path = ROOT / Path(*module.split("."))
    source = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    assert source.is_file(), f"there is no module {module}"
    if member:
        assert member in top_level_names(ast.parse(source.read_text())), f"{module} has no {member}"


@pytest.mark.parametrize("command", COMMANDS)
def test_the_named_command_has_those_flags(command):
    name, rest = chosen(command.split()[1:])
    values = flags.FlagValues()
    SUBCOMMANDS[name].define_flags(values)
    values(["eval.py", *rest])  # raises for an unknown flag or table


def test_the_map_is_no_skeleton():
    assert len(NAMES) > 30 and len(COMMANDS) >= 7


def top_level_names(tree):
    names = set()
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return names
