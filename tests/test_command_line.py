"""Commands under hostile circumstances: nothing printed is worth a lost result, refusals are sentences."""

import errno
import importlib
import os
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from absl import flags

from mdcsrn_tf.command_line import in_own_process, run_command
from mdcsrn_tf.errors import UserError, is_out_of_memory

ROOT = Path(__file__).parents[1]
RNG = np.random.default_rng(0)


@pytest.fixture
def scans(tmp_path):
    folder = tmp_path / "scans"
    folder.mkdir()
    for name in ("M\u00fcller.nii", "plain.nii", os.fsdecode(b"latin-\xfc.nii")):
        nib.save(nib.Nifti1Image(RNG.integers(0, 99, (8, 8, 8)).astype(np.int16), np.eye(4)), folder / "x.nii")
        (folder / "x.nii").rename(folder / name)
    (folder / "M\u00f6ller-damaged.nii").write_bytes(b"no scan")
    return folder


@pytest.mark.parametrize(
    ("shell", "environment"),
    [
        ("{} 2>&-", {}),
        ("{} >&-", {}),
        ("{} <&- >&- 2>&-", {}),
        ("{} 2>/dev/full", {}),
        ("{} 2>&1 | true; exit ${{PIPESTATUS[0]}}", {}),
        ("{}", {"PYTHONIOENCODING": "ascii"}),
        ("{}", {"PYTHONIOENCODING": "latin-1", "LC_ALL": "C"}),
    ],
    ids=["no stderr", "no stdout", "no streams", "full stderr", "closed pipe", "ascii", "latin-1"],
)
def test_what_cannot_be_printed_costs_no_result(scans, tmp_path, shell, environment):
    command = f"{sys.executable} -m data_prep.degrade --input={scans} --output={tmp_path / 'out'} --factor=1,1"
    done = subprocess.run(
        ["bash", "-c", shell.format(command)],
        cwd=ROOT,
        capture_output=True,
        timeout=120,
        check=False,
        env={**os.environ, **environment},
    )
    assert done.returncode == 1, done.stderr  # for the damaged one
    assert b"Traceback" not in done.stderr
    written = sorted(path.name for path in (tmp_path / "out").iterdir())
    written.remove("degraded.json")
    assert written == sorted(["M\u00fcller.nii.gz", "plain.nii.gz", os.fsdecode(b"latin-\xfc.nii.gz")])
    for name in written:
        path = tmp_path / "out" / name
        assert path.rename(tmp_path / "x.nii.gz") and nib.load(tmp_path / "x.nii.gz").shape == (8, 8, 8)


@pytest.mark.parametrize(("argv", "own", "expected"), [(None, None, True), ([], None, False), ([], True, True)])
def test_a_command_knows_whether_another_program_called_it(monkeypatch, argv, own, expected):
    monkeypatch.setattr(sys, "argv", ["mdcsrn-test"])
    found = []

    def main(_values):
        found.append(in_own_process())

    assert run_command("mdcsrn-test", "A test.", lambda values: None, main, argv, own_process=own) == 0
    assert found == [expected] and not in_own_process()


@pytest.mark.parametrize("own", [True, False])
def test_only_a_process_of_its_own_is_changed_to_start_sooner(monkeypatch, own):
    """A notebook that calls a command keeps its garbage collector, XLA_FLAGS and KERAS_BACKEND."""
    asked = []

    def load(own_process=False):
        asked.append(own_process)
        raise UserError("That will do.")

    monkeypatch.setattr("mdcsrn_tf.weights.find_model", Path)
    commands = [("export", "export", ["--output=o", "--model=m.keras"]), ("eval", "eval_others", ["architectures"])]
    for name, loads, given in commands:
        monkeypatch.setattr(f"mdcsrn_tf.cli.{loads}.load_tensorflow_quietly", load)
        monkeypatch.setattr(sys, "argv", [name, *given])
        command = importlib.import_module(f"mdcsrn_tf.cli.{name}")
        assert command.main(None if own else given) == 1
    assert asked == [own, own]


def run_raising(error):
    def main(_values: flags.FlagValues) -> int:
        raise error

    return run_command("mdcsrn-test", "A test.", lambda values: None, main, [])


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EDQUOT, errno.EIO, errno.EMFILE])
def test_the_systems_refusals_are_one_sentence(capsys, code):
    assert run_raising(OSError(code, os.strerror(code), "/data/results/table.csv")) == 1
    (line,) = capsys.readouterr().err.splitlines()
    said = f"/data/results/table.csv: {os.strerror(code)}; check the path, its rights and the space there."
    assert line == f"mdcsrn-test: error: {said}"


@pytest.mark.parametrize(
    ("error", "memory"),
    [
        (MemoryError(), True),
        (RuntimeError("could not allocate 3 bytes"), True),
        (RuntimeError("Check 'ptr' failed\nFailed to allocate 163296000 bytes of memory\n"), True),
        (RuntimeError("Exception from plugin.cpp:54:\ncan't alloc\n"), True),
        (ValueError("shape"), False),
    ],
)
def test_signs_of_exhausted_memory(error, memory):
    assert is_out_of_memory(error) is memory


def test_no_memory_and_no_temporary_folder_are_sentences_and_bugs_keep_their_traceback(capsys):
    exhausted = type("ResourceExhaustedError", (Exception,), {})("OOM when allocating tensor")
    for lacking in (MemoryError(), exhausted, RuntimeError("std::bad_alloc")):
        assert run_raising(lacking) == 1
        assert "memory does not suffice" in capsys.readouterr().err
    missing = FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/tmp']")
    assert run_raising(missing) == 1
    assert "TMPDIR" in capsys.readouterr().err
    assert run_raising(OSError("Matplotlib requires access to a writable cache directory, but there is none.")) == 1
    assert "TMPDIR" in capsys.readouterr().err
    with pytest.raises(ZeroDivisionError):
        run_raising(ZeroDivisionError())


def _define(values):
    flags.DEFINE_string("input", None, "What to read.", flag_values=values)
    flags.DEFINE_string("nothing", "", "An empty default is none.", flag_values=values)
    flags.DEFINE_bool("qc", False, "A picture.", flag_values=values)
    flags.DEFINE_multi_string("set", [], "FIELD=VALUE.", flag_values=values)


def test_bash_completes_the_flags(capsys):
    assert run_command("mdcsrn-x", "", _define, lambda values: 1, ["--completion"]) == 0
    script = f'{capsys.readouterr().out}\nwords=$(complete -p mdcsrn-x); [[ $words == *nospace* ]] && echo "$words"'
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("-W '--input= --nothing= --qc --set= --help --version' mdcsrn-x\n")


def test_a_home_that_no_shell_has_put_in_is_put_in(monkeypatch):
    monkeypatch.setenv("HOME", "/home/anna")
    found = []

    def main(values):
        found.extend([values.input, *values.set])

    given = ["--input=~/scans", "--set=7t/unet7=~/results,~/b", "--set=./~/c,d~/e", "--set", "~", "--set=~anna/f"]
    assert run_command("mdcsrn-x", "", _define, main, given) == 0
    assert found == ["/home/anna/scans", "7t/unet7=/home/anna/results,/home/anna/b", "./~/c,d~/e", "~", "~anna/f"]


def test_help_names_no_empty_default_and_words_repeated_flags_itself(capsys):
    assert run_command("mdcsrn-x", "Does x.", _define, lambda values: 1, ["--help"]) == 0
    said = capsys.readouterr().out
    assert "  --nothing\n      An empty default" in said and "  --qc (default: false)" in said
    assert "  --set\n      FIELD=VALUE. May be given several times." in said


def test_an_unwritable_home_is_worth_no_line_and_the_users_matplotlibrc_is_not_read(tmp_path):
    code = "from mdcsrn_tf.command_line import run_command; import sys; "
    code += "run_command('x', 'x', lambda values: None, lambda values: print(__import__('matplotlib').get_cachedir(), "
    code += "__import__('matplotlib').rcParams['text.usetex']), [], own_process=True)"
    (tmp_path / "matplotlibrc").write_text("text.usetex: True\n")
    others = {"MPLBACKEND": "a backend of old", "MATPLOTLIBRC": str(tmp_path / "matplotlibrc")}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "HOME": "/proc", "XDG_CONFIG_HOME": "/proc", "XDG_CACHE_HOME": "/proc", **others},
    )
    assert (done.returncode, done.stderr) == (0, "") and done.stdout.endswith(" False\n")


@pytest.mark.parametrize(("given", "told"), [("--input=", "--input is given without a value"), ("--note=", "")])
def test_an_unset_variable_is_not_passed_over(capsys, given, told):
    def define(values):
        _define(values)
        flags.DEFINE_string("note", "nothing", "May be empty.", flag_values=values)

    assert run_command("mdcsrn-test", "A test.", define, lambda values: None, [given]) == (1 if told else 0)
    assert told in capsys.readouterr().err
