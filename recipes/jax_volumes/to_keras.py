"""Weights of `train.py` into the project's model file, and a check that they give the same image.

    python recipes/jax_volumes/to_keras.py WEIGHTS.npz MODEL.keras [EARLIER ...]

From the project's root, where TensorFlow is. EARLIER are the .npz or .keras files of the parts that came before, in
order: the card tells of them.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
sys.path.insert(0, str(Path.cwd()))

import numpy as np

from mdcsrn_tf import __version__
from mdcsrn_tf.models import build_generator
from mdcsrn_tf.models.files import ModelCard, load_model, read_card, save_model
from mdcsrn_tf.papers import get_preset

FILES = ("init_from", "resume")  # flags that name files
TOLERANCE = 1e-3  # in the network's unit, on the patch that the training wrote with its output
# For what the card lets inference take a network without a word: what it was trained on, and measured to help with.
TESTED = {"contrasts": ["T1w", "T2w", "FLAIR"], "voxel_mm": [0.5, 1.25]}
IN_PLANE = {**TESTED, "axes": [["LR", "AP"], ["LR", "IS"], ["AP", "IS"]], "factors": [[2, 2]]}
THROUGH = {**TESTED, "axes": [["IS"], ["AP"], ["LR"]], "factors": [[3], [4]]}


def main(weights: Path, target: Path, *earlier: Path) -> None:
    """Convert, save, load again, compare."""
    with np.load(weights) as archive:
        found = dict(archive)
    told = json.loads(str(found["card"]))
    settings = told["settings"]
    preset = get_preset(settings["preset"])
    model = build_generator(preset.network, bn_momentum=settings["bn_momentum"])
    for variable in model.variables:
        variable.assign(found[variable.path])
    save_model(target, model, card_of(told, [told_by(path) for path in earlier]))
    again, _ = load_model(target)
    output = np.asarray(again(found["probe_input"], training=False))
    apart = float(np.abs(output - found["probe_output"]).max())
    print(f"{target}: {settings['phase']} update {told['step']}, gain {told['validation']['gain']:.3f} dB")
    print(f"largest difference to JAX's output: {apart:.2e} (outputs up to {np.abs(output).max():.2f})")
    if not apart <= TOLERANCE:
        target.unlink()
        raise SystemExit(f"That is more than {TOLERANCE}: the model file was removed.")


def told_by(path: Path) -> dict[str, Any]:
    """What an earlier part of the training, or the model that it began with, says of itself."""
    if path.suffix == ".keras":
        notes = read_card(path).notes
        return {"step": notes["step"], "validation": notes["validation"], **notes["trained_with"]}
    with np.load(path) as archive:
        return json.loads(str(archive["card"]))


def card_of(told: dict[str, Any], earlier: Sequence[dict[str, Any]] = ()) -> ModelCard:
    """The card of a network trained so, after the `earlier` parts."""
    settings = told["settings"]
    preset = get_preset(settings["preset"])
    through = settings["data"].startswith("through")
    return ModelCard(
        preset=preset.name,
        version=__version__,
        interpolation="linear" if settings["data"].startswith("linear") else "sinc",
        axes=("IS",) if through else ("LR", "AP"),
        factor=(3,) if through else (2, 2),
        tile=preset.inference.tile,
        margin=preset.inference.margin,
        bn="moving",  # they were measured anew
        normalisation="tissue_level",
        slices={"profile": "box", "thickness": "", "gap": ""} if through else None,
        tested=tested_on(settings["data"]),
        notes={
            "recipe": "robust",
            "phase": settings["phase"],
            "changed": [f"batch_size={settings['batch']}", f"learning_rate={settings['rate']:g}"],
            "step": told["step"],
            "validation": told["validation"],
            # recipes/jax_volumes in the project's repository
            "trained_with": trained_with(told),
            **({"earlier": [part_of(one) for one in earlier]} if earlier else {}),
        },
    )


def trained_with(told: dict[str, Any]) -> dict[str, Any]:
    """Machine, minutes and flags, of which files keep their names alone."""
    settings = {name: Path(v).name if name in FILES and v else v for name, v in told["settings"].items()}
    return {name: told[name] for name in ("jax", "device", "minutes")} | {"settings": settings}


def part_of(told: dict[str, Any]) -> dict[str, Any]:
    """An earlier part in short."""
    return {"step": told["step"], "gain": told["validation"]["gain"], **trained_with(told)}


def tested_on(data: str) -> dict[str, Any]:
    """What inference may take the network for by itself; nothing for one that is there to be compared with."""
    return {"sinc": IN_PLANE, "through": THROUGH}.get(data, {})


if __name__ == "__main__":
    if len(sys.argv) < 3:
        raise SystemExit(__doc__)
    main(*map(Path, sys.argv[1:]))
