"""`mdcsrn-export`: a trained network as a SavedModel."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from absl import flags

from mdcsrn_tf.chatter import load_tensorflow_quietly
from mdcsrn_tf.command_line import in_own_process, run_command
from mdcsrn_tf.errors import UserError

DESCRIPTION = """Write a trained network as a SavedModel that needs nothing but TensorFlow.

Signatures: serving_default (normalised tiles) and super_resolve (a volume in scanner units); docs/inference.md."""


def define_flags(values: flags.FlagValues) -> None:
    """The model, the folder, and the statistics."""
    flags.DEFINE_string(
        "model",
        None,
        "A bundled network's name or a .keras file (default: the first bundled network).",
        flag_values=values,
    )
    flags.DEFINE_string("output", None, "The folder to write.", flag_values=values)
    flags.DEFINE_enum(
        "bn",
        None,
        ["batch", "moving"],
        "Batch normalisation by each tile's own statistics or by the trained ones (default: the model card's).",
        flag_values=values,
    )
    flags.DEFINE_bool("overwrite", False, "Replace the folder if it is there.", flag_values=values)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; its exit code."""
    return run_command("mdcsrn-export", DESCRIPTION, define_flags, _run, argv)


def _run(values: flags.FlagValues) -> int:
    if not values.output:
        raise UserError("--output=FOLDER is needed.")
    from mdcsrn_tf.weights import find_model

    output, model = Path(values.output), find_model(values.model)
    if model.is_dir():
        raise UserError(f"{model} is an exported folder already; name a .keras file.")
    if output.exists():
        _check_replaceable(output, values.overwrite)
    load_tensorflow_quietly(own_process=in_own_process())
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{output.parent} cannot be made ({error.strerror}); name another --output.") from error
    from mdcsrn_tf.inference.export import export

    export(model, output, values.bn)
    print(f"mdcsrn-export: {model.stem} -> {output}")
    return 0


def _check_replaceable(output: Path, overwrite: bool) -> None:
    """Never replace anything but an earlier export or an empty folder."""
    from mdcsrn_tf.inference.export import is_export_alone

    if output.is_dir() and not any(output.iterdir()):
        return
    if not is_export_alone(output):
        raise UserError(f"{output} is there and is no export of ours, or holds other files too; name another --output.")
    if not overwrite:
        raise UserError(f"{output} is there already; --overwrite replaces it.")
