"""What train_slices.py wrote, as model files in the field study's work folder.

    python recipes/jax_slices/to_keras.py RESULTS WORK

WORK holds the shards that the patches came from (a run of benchmarks/field_study.py --workdir=WORK makes them). Each
network is compared with JAX's output on one patch, and left out where they differ. Last stands the --models that
field_study.py finds them by.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
sys.path.insert(0, str(Path.cwd()))

import numpy as np

from benchmarks.field_plan import Training
from mdcsrn_tf.models import build_generator
from mdcsrn_tf.models.files import load_model, save_model
from mdcsrn_tf.papers.quick2d import quick2d
from mdcsrn_tf.run_record import write_json
from mdcsrn_tf.shards.dataset import read_manifest
from mdcsrn_tf.training.run import model_card
from mdcsrn_tf.training.settings import TrainSettings

TOLERANCE = 0.02  # in z-scores: a GPU's convolutions may round their factors to 10 bits


def main() -> None:
    """Convert every network of the folder."""
    results, work = map(Path, sys.argv[1:])
    manifest = read_manifest(work / "shards")
    planned = []
    for _, weights, told in stored(results):
        training = Training(**told["training"])
        if told["data_sha256"] != manifest.sha256:
            raise SystemExit(f"{results} was trained on other shards than {work / 'shards'}.")
        if convert(training, weights, told, manifest, work / training.folder):
            name = training.name + "-alone" * training.alone
            planned.append(f"{name}:{training.steps}x{training.batch}@{training.rate:g}:{training.decay}")
    planned.sort(key=lambda part: "-alone:" not in part)  # a plan has a generator alone before its GANs
    print(f"--models={','.join(planned)}")


def stored(results: Path) -> Iterator[tuple[str, dict[str, np.ndarray], dict[str, Any]]]:
    """Name, weights by path and card of each network."""
    for path in sorted(results.rglob("weights-*.npz")):
        with np.load(path) as archive:
            found = dict(archive)
        for card in [name for name in found if name.endswith("/card")]:
            row = card.removesuffix("/card")
            weights = {
                name.removeprefix(f"{row}/"): value for name, value in found.items() if name.startswith(f"{row}/")
            }
            told = json.loads(str(weights.pop("card")))
            yield row, weights, told


def convert(
    training: Training, weights: dict[str, np.ndarray], told: dict[str, Any], manifest: Any, folder: Path
) -> bool:
    """Write best_*.keras, last_*.keras (the same) and run.json; False where its output is not JAX's."""
    preset = quick2d(training.preset)
    model = build_generator(preset.network, bn_momentum=preset.training.bn_momentum)
    for variable in model.variables:
        variable.assign(weights[variable.path].astype(np.float32))
    phase = preset.training.phases[0].name
    best = folder / f"best_{phase}.keras"
    folder.mkdir(parents=True, exist_ok=True)
    save_model(best, model, model_card(TrainSettings(preset, phase), manifest, notes(training, told)))
    probe = np.array(told["probe_input"], np.float32)[np.newaxis, ..., np.newaxis]
    found = np.asarray(load_model(best)[0](probe, training=False))[0, ..., 0]
    apart = float(np.abs(found - np.array(told["probe"])).max())
    print(f"{folder.name}: MSE {told['mse']:.4f} at step {told['kept']}, {apart:.1e} from JAX's output")
    if not apart <= TOLERANCE:
        best.unlink()
        return False
    shutil.copyfile(best, folder / f"last_{phase}.keras")
    results = {"seconds": told["seconds"], "steps": told["steps"]}
    write_json(folder / "run.json", {"results": {phase: results}, "curve": told["curve"]})
    return True


def notes(training: Training, told: dict[str, Any]) -> dict[str, Any]:
    """For the card: how it was trained, where that is not by mdcsrn-train."""
    return {
        "kept": "best",
        "step": told["kept"],
        "validation": {"mse": told["mse"]},
        "data_sha256": told["data_sha256"],
        "trained_with": {**told["trained_with"], "steps": told["steps"], "batch": training.batch,
                         "rate": training.rate, "decay": training.decay},
    } | ({"features": [{"features": "vgg16", "weights": "random"}]} if training.random_features else {})  # fmt: skip


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    main()
