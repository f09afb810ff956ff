"""What the field study's networks make of the validation patches: by this, never by a test scan, anything is chosen.

    python benchmarks/field_validation.py SHARDS MODEL.keras [MODEL.keras ...]

A line a model: mean squared error, energy of the high band over the truth's, correlation of the middle band.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mdcsrn_tf.metrics.spectra import band

CROP = 4  # pixels, as inference throws away


def main() -> None:
    """Measure each model."""
    from mdcsrn_tf.models.files import load_model
    from mdcsrn_tf.shards.dataset import read_manifest, validation_batches

    shards, *models = map(Path, sys.argv[1:])
    batches = [
        [image.numpy() for image in batch]
        for batch in validation_batches(read_manifest(shards), "validation", batch_size=32)
    ]
    truth = np.concatenate([high for _, high in batches])[..., 0]
    for path in models:
        model, _ = load_model(path)
        found = np.concatenate([model(low, training=False).numpy() for low, _ in batches])[..., 0]
        print(path, {name: round(value, 4) for name, value in compared(found, truth).items()}, flush=True)


def compared(found: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Mean squared error of patches [n, side, side] without their borders, high band's energy, middle's correlation.

    The bands are of patches that fade to zero at their edges: without that the step from one edge to the opposite one
    fills the high band (0.35 of the truth's energy for an L1 network that has 0.06 of it) and hides what a GAN adds.
    """
    ours, theirs = (np.moveaxis(patches[:, CROP:-CROP, CROP:-CROP], 0, 2) for patches in (found, truth))
    error = float(np.mean((ours - theirs) ** 2, dtype=np.float64))
    edge = np.hanning(len(ours) + 2)[1:-1]
    window = np.multiply.outer(edge, edge)[..., np.newaxis]
    mid, high = (
        [band(image * window, (0, 1), (a, a), (b, b)) for image in (ours, theirs)] for a, b in ((0.25, 0.5), (0.5, 1))
    )
    return {
        "mse": error,
        "high_energy": float(np.mean(high[0] ** 2) / np.mean(high[1] ** 2)),
        "mid_correlation": float(np.corrcoef(mid[0].ravel(), mid[1].ravel())[0, 1]),
    }


if __name__ == "__main__":
    main()
