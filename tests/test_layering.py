"""Who may import whom: the imports of every module, walked by `ast`, against one table.

The table is a plan, not a cage: change it in the same commit that finds a better shape.
"""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("mdcsrn_tf", "data_prep")

# Leaves that anything may import.
COMMON = {"mdcsrn_tf", "mdcsrn_tf.errors", "mdcsrn_tf.files"}

# module -> what of ours it may import besides COMMON; modules that are not here may import only COMMON.
# A name that ends in "." stands for all modules below it.
TABLE = {
    # what a run is configured by and what is left of it
    "command_line": "",
    "presets": "",
    "published": "",
    "run_record": "",
    # networks: never each other, but for the package that leads to them
    "models.mdcsrn": "presets layers",
    "models.srresnet3d": "presets layers",
    "models.srdensenet3d": "presets layers",
    "models.fsrcnn3d": "presets",
    "models.critic": "presets",
    "models": "presets models.",
    "model_files": "layers",
    "architectures": "models presets published",
    # scans and shards
    "volumes": "dicom_series normalisation orientation volume_files",
    "records": "crc32c",
    "dataset": "augmentation records",
    # training
    "train_steps": "losses layers",
    "train_state": "models model_files presets",
    "train_settings": "presets run_record",
    "train_loop": "checkpoints distribution schedule stop_request train_log train_pictures train_settings "
    "train_state train_steps train_validation",
    "train_run": "dataset distribution model_files run_record train_log train_loop train_pictures train_settings "
    "train_state",
    "dry_run": "schedule train_loop train_settings train_state",
    # inference
    "inference": "memory normalisation tiling engines",
    "fused": "kernels",
    "export": "fused model_files tiling",
    "engines": "export fused inference model_files weights",
    "weights": "model_files",
    "frames": "orientation",
    "outputs": "volume_files",
    # evaluation: metrics know arrays only, evaluation knows metrics
    "metrics.niqe": "metrics.luminance",
    "metrics.niqe_files": "metrics.niqe",
    "metrics.piqe": "metrics.luminance",
    "evaluation.": "evaluation. metrics. published run_record volumes",
    # commands
    "cli.train": "chatter command_line dry_run presets train_run train_settings",
    "cli.infer": "chatter cli. command_line engines inference memory orientation outputs weights data_prep.settings",
    "cli.infer_scan": "engines frames inference kspace_check orientation outputs qc run_record tiling volumes "
    "data_prep.kspace data_prep.settings",
    "cli.export": "chatter command_line export weights",
    "cli.eval": "chatter cli. architectures command_line evaluation. metrics. run_record",
    "cli.eval_settings": "cli. evaluation. metrics. published",
    "cli.eval_methods": "chatter architectures engines evaluation. inference models orientation presets volumes "
    "weights data_prep.kspace",
    # preparation: the four at the bottom are NumPy and SciPy only
    "data_prep.kspace": "scans.slice_profile",
    "data_prep.settings": "scans.slice_profile",
    "data_prep.shard_folder": "data_prep.splits",
    "data_prep.scans": "data_prep.splits volumes",
    "data_prep.shard_job": "data_prep.kspace data_prep.patches data_prep.phantom data_prep.scans records "
    "scans.slice_profile volumes",
    "data_prep.degrade": "data_prep. command_line scans.slice_profile volumes",
    "data_prep.variants": "data_prep. command_line volumes",
    "data_prep.make_shards": "data_prep. command_line run_record scans.slice_profile volumes",
}

# Third-party packages that only these may import anywhere, even inside a function.
NUMPY_ONLY = ("data_prep.kspace", "data_prep.patches", "data_prep.splits", "data_prep.phantom")
NO_TENSORFLOW = ("mdcsrn_tf.models", "mdcsrn_tf.tiling", "mdcsrn_tf.metrics", "mdcsrn_tf.volumes", "data_prep")


def modules():
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


MODULES = dict(modules())


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


def full_name(name):
    return name if name.startswith("data_prep") else f"mdcsrn_tf.{name}"


def allowed(module):
    names = []
    for key, value in TABLE.items():
        prefix = full_name(key)
        if module == prefix or (prefix.endswith(".") and (module + ".").startswith(prefix)):
            names += [full_name(name) for name in value.split()]
    return names


def permits(names, target):
    return any(target == name or (name.endswith(".") and (target + ".").startswith(name)) for name in names)


@pytest.mark.parametrize("module", MODULES)
def test_imports_follow_the_table(module):
    ours = {name for name in imports(MODULES[module]) if name.split(".")[0] in PACKAGES}
    names = allowed(module)
    forbidden = {name for name in ours - COMMON - {module} if not permits(names, name)}
    assert not forbidden, f"{module} may not import {sorted(forbidden)}"


def test_the_table_names_only_modules_that_exist():
    for key, value in TABLE.items():
        for name in [key, *value.split()]:
            assert full_name(name).rstrip(".") in MODULES, name


@pytest.mark.parametrize("module", [name for name in MODULES if name.startswith("mdcsrn_tf")])
def test_the_library_never_imports_data_prep(module):
    if ".cli." not in module:
        assert not [name for name in imports(MODULES[module]) if name.startswith("data_prep")]


@pytest.mark.parametrize("module", MODULES)
def test_third_party_imports_stay_where_they_belong(module):
    roots = {name.split(".")[0] for name in imports(MODULES[module])}
    if module in NUMPY_ONLY:
        assert not roots - set(sys.stdlib_module_names) - {"numpy", "scipy", *PACKAGES}
    if module.startswith(NO_TENSORFLOW):
        assert "tensorflow" not in roots
    if module.startswith(("mdcsrn_tf.tiling", "mdcsrn_tf.metrics", "data_prep")):
        assert "keras" not in roots


def test_importing_the_package_is_quick_and_loads_no_tensorflow():
    code = (
        "import time, sys; start = time.perf_counter(); import mdcsrn_tf, data_prep\n"
        "assert time.perf_counter() - start < 0.3\n"
        "assert not {'tensorflow', 'keras', 'numpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
