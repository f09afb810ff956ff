"""What `make demo` shows: a low-resolution scan super-resolved by the bundled network, beside interpolation.

    python demo/run.py [--output=demo_output] [--model=NAME]

Writes sr.nii.gz, sr_qc.png and scores.json, and prints PSNR and SSIM against the bundled high-resolution scan.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from absl import flags

from mdcsrn_tf.cli import infer
from mdcsrn_tf.command_line import run_command
from mdcsrn_tf.metrics.fidelity import slice_scores
from mdcsrn_tf.run_record import write_json
from mdcsrn_tf.scans.kspace import interpolate
from mdcsrn_tf.scans.volumes import read_volume
from mdcsrn_tf.weights import find_model

HERE = Path(__file__).resolve().parent
METHODS = {"nearest neighbour": "nearest", "cubic": "cubic", "sinc": "sinc"}
FACTORS, AXES, AXIAL = (2, 2), (0, 1), 2


def define_flags(values: flags.FlagValues) -> None:
    """Where to write, and by which network."""
    flags.DEFINE_string("output", "demo_output", "The folder to write.", flag_values=values)
    flags.DEFINE_string("model", None, "A bundled network or a file (default: the first bundled).", flag_values=values)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demo; its exit code."""
    return run_command("demo", __doc__ or "", define_flags, _run, argv)


def _run(values: flags.FlagValues) -> int:
    model, output = find_model(values.model), Path(values.output)
    result = output / "sr.nii.gz"
    code = infer.main(
        [
            f"--input={HERE / 'small.nii.gz'}",
            "--grid=small",
            "--axes=LR,AP",
            "--factor=2,2",
            "--qc",
            "--overwrite",
            f"--model={model}",
            f"--output={result}",
        ]
    )
    if code:
        return code
    high = read_volume(HERE / "hr.nii.gz").data
    small = read_volume(HERE / "small.nii.gz").data
    images = {name: interpolate(small, high.shape, FACTORS, AXES, method) for name, method in METHODS.items()}
    images[model.stem] = read_volume(result).data
    scores = {name: score(high, image) for name, image in images.items()}
    write_json(output / "scores.json", scores)
    print(f"{'':28s}{'PSNR':>8s}{'SSIM':>9s}   (axial slices, as in the paper)")
    for name, row in scores.items():
        print(f"{name:28s}{row['psnr']:8.2f}{row['ssim']:9.4f}")
    print(f"Look at {output / 'sr_qc.png'}")
    return 0


def score(high: np.ndarray, image: np.ndarray) -> dict[str, float]:
    """PSNR and SSIM, slice by slice, over the slices of which over a tenth is head."""
    shown = (high > 0.05 * high.max()).mean(axis=(0, 1)) > 0.1
    scores = slice_scores(high, image.astype(np.float32), AXIAL, data_range=float(high.max()))
    return {name: float(np.mean(scores[name][shown])) for name in ("psnr", "ssim")}


if __name__ == "__main__":
    sys.exit(main())
