"""What runs a network, and how exactly: the same flags for every command that runs one."""

from __future__ import annotations

from absl import flags


def define_engine_flags(values: flags.FlagValues) -> None:
    """--precision and --engine."""
    flags.DEFINE_enum(
        "precision",
        "float32",
        ["float32", "tensorfloat32", "bfloat16", "int8"],
        "Of the convolutions. bfloat16 is faster on newer processors, int8 (with --engine=openvino) on most; what they "
        "cost is in docs/results.md. tensorfloat32 is for GPUs.",
        flag_values=values,
    )
    flags.DEFINE_enum("engine", "tensorflow", ["tensorflow", "openvino"], "What runs the network.", flag_values=values)
