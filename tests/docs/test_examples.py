"""Every example in a docstring is run, and there are enough of them."""

import doctest
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILES = [path for top in ("mdcsrn_tf", "data_prep") for path in sorted((ROOT / top).rglob("*.py"))]
MODULES = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for path in FILES
    if ">>> " in path.read_text(encoding="utf-8")
]


@pytest.mark.parametrize("module", MODULES)
def test_its_examples_say_what_comes_out(module):
    found = doctest.testmod(importlib.import_module(module))
    assert found.attempted and not found.failed


def test_thirty_functions_have_an_example():
    finder = doctest.DocTestFinder(exclude_empty=True)
    examples = [test for name in MODULES for test in finder.find(importlib.import_module(name)) if test.examples]
    assert len(examples) >= 30
