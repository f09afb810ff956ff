"""Who may import whom: every import of every module, walked by `ast`, against one table of packages.

The table is a plan, not a cage: change it in the same commit that finds a better shape.
"""

import ast
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TOPS = ("mdcsrn_tf", "data_prep")

# The ground floor: what every room may enter.
_GROUND = "errors files locks names npz streams workers run_record command_line chatter"
GROUND = {"mdcsrn_tf", *(f"mdcsrn_tf.{name}" for name in _GROUND.split())}

# package (or single module) -> the packages of ours it may import, besides itself and the ground floor
TABLE = {
    "mdcsrn_tf.papers": "",
    "mdcsrn_tf.metrics": "",
    "mdcsrn_tf.scans": "",
    "mdcsrn_tf.shards": "",
    "mdcsrn_tf.models": "mdcsrn_tf.papers",
    "mdcsrn_tf.weights": "mdcsrn_tf.models.files",
    "mdcsrn_tf.training": "mdcsrn_tf.papers mdcsrn_tf.models",
    "mdcsrn_tf.training.run": "mdcsrn_tf.shards",
    "mdcsrn_tf.training.forest": "mdcsrn_tf.shards",
    "mdcsrn_tf.inference": "mdcsrn_tf.models mdcsrn_tf.scans mdcsrn_tf.weights",
    "mdcsrn_tf.evaluation": "mdcsrn_tf.inference mdcsrn_tf.metrics mdcsrn_tf.models mdcsrn_tf.papers mdcsrn_tf.scans "
    "mdcsrn_tf.weights",
    "mdcsrn_tf.api": "mdcsrn_tf",
    "mdcsrn_tf.cli": "mdcsrn_tf",
    "data_prep": "mdcsrn_tf.papers mdcsrn_tf.scans mdcsrn_tf.shards mdcsrn_tf.cli.slice_flags",
}

# Third-party packages that only these may import anywhere, even inside a function.
NUMPY_ONLY = ("mdcsrn_tf.scans.kspace", "data_prep.patches", "data_prep.splits", "data_prep.phantom")
NO_TENSORFLOW = ("mdcsrn_tf.papers", "mdcsrn_tf.scans", "mdcsrn_tf.metrics", "mdcsrn_tf.inference.tiling", "data_prep")


def module_name(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for top in TOPS for path in sorted((ROOT / top).rglob("*.py"))}


def imports(path):
    """Every module that a file imports, wherever in it the import stands (but for type checkers' alone)."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typing_only = {
        node
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and "TYPE_CHECKING" in ast.unparse(block.test)
        for node in ast.walk(block)
    }
    for node in ast.walk(tree):
        if node in typing_only:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: imports are absolute here"
            for alias in node.names:
                deeper = f"{node.module}.{alias.name}"
                yield deeper if deeper in MODULES else node.module


IMPORTS = {module: set(imports(path)) for module, path in MODULES.items()}
OURS = {module: {name for name in names if name.split(".")[0] in TOPS} for module, names in IMPORTS.items()}


def within(module, package):
    return (module + ".").startswith(package + ".")


def package_of(module):
    """The room: `mdcsrn_tf.training`, or a module of the ground floor, or `data_prep`."""
    return ".".join(module.split(".")[: 2 if module.startswith("mdcsrn_tf") else 1])


def permits(module, target):
    if target in GROUND or within(target, package_of(module)):
        return True
    allowed = [name for package, names in TABLE.items() if within(module, package) for name in names.split()]
    return any(within(target, name) for name in allowed)


@pytest.mark.parametrize("module", MODULES)
def test_imports_follow_the_table(module):
    forbidden = sorted(target for target in OURS[module] if not permits(module, target))
    assert not forbidden, f"{module} may not import {forbidden}"


def test_the_table_names_only_packages_that_exist():
    for package, names in TABLE.items():
        assert {package, *names.split()} <= MODULES.keys()


def test_every_room_has_its_line_in_the_table():
    rooms = {package_of(module) for module in MODULES} - GROUND
    assert rooms == {package_of(package) for package in TABLE}


def test_no_circle_of_modules_wherever_the_imports_stand():
    try:
        list(TopologicalSorter({module: names - {module} for module, names in OURS.items()}).static_order())
    except CycleError as error:
        pytest.fail(f"these import one another: {' -> '.join(error.args[1])}")


def test_no_circle_of_packages():
    graph: dict[str, set[str]] = {}
    for module, names in OURS.items():
        room = package_of(module)
        graph.setdefault(room, set()).update({package_of(name) for name in names} - {room})
    try:
        list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(f"these import one another: {' -> '.join(error.args[1])}")


@pytest.mark.parametrize("module", MODULES)
def test_third_party_imports_stay_where_they_belong(module):
    roots = {name.split(".")[0] for name in IMPORTS[module]}
    if module in NUMPY_ONLY:
        assert not roots - set(sys.stdlib_module_names) - {"numpy", "scipy", *TOPS}
    if any(within(module, package) for package in NO_TENSORFLOW):
        assert not roots & {"tensorflow", "keras"}


def test_the_house_has_at_most_25_rooms_and_no_module_over_300_lines():
    assert len({package_of(module) for module in MODULES if module != "mdcsrn_tf"}) <= 25
    long = {module: lines for module, path in MODULES.items() if (lines := len(path.read_text().splitlines())) > 300}
    assert not long


def functions():
    """(module:name, lines, lines of the body without its docstring) of every function, methods and inner ones too."""
    for module, path in MODULES.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef):
                body = node.body[1:] if ast.get_docstring(node) else node.body
                lines = body[-1].end_lineno - body[0].lineno + 1 if body else 0
                yield f"{module}:{node.name}", node.end_lineno - node.lineno + 1, lines


def test_no_function_over_40_lines_and_19_of_20_bodies_within_20():
    sizes = list(functions())
    assert not [(name, lines) for name, lines, _ in sizes if lines > 40]
    bodies = sorted(body for _, _, body in sizes)
    assert bodies[int(0.95 * len(bodies))] <= 20


def test_importing_the_package_is_quick_and_loads_no_tensorflow():
    code = (
        "import time, sys; start = time.perf_counter(); import mdcsrn_tf, data_prep\n"
        "assert time.perf_counter() - start < 0.3\n"
        "assert not {'tensorflow', 'keras', 'numpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
