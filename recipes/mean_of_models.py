"""The weighted mean of one run's models, weight by weight: between two updates of a GAN phase lies a better bargain.

    python recipes/mean_of_models.py RESULT.keras SHARE=MODEL.keras SHARE=MODEL.keras

A negative share goes beyond the other, along the line through both. The card is the last model's, with a word about the
mean, and without a validation, which none made of it.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path.cwd()))

from mdcsrn_tf.models.files import load_model, save_model


def main(target: Path, *named: str) -> None:
    """Read, average, save."""
    shares = [float(text.partition("=")[0]) for text in named]
    models = [load_model(text.partition("=")[2]) for text in named]
    weights = zip(*(model.get_weights() for model, _ in models), strict=True)
    last, card = models[-1]
    total = sum(shares)
    last.set_weights(
        [sum(share / total * array for share, array in zip(shares, arrays, strict=True)) for arrays in weights]
    )
    steps = [model_card.notes.get("step") for _, model_card in models]
    notes = {name: value for name, value in card.notes.items() if name != "validation"}
    notes |= {"kept": "mean", "mean": {"steps": steps, "shares": [round(share / total, 4) for share in shares]}}
    save_model(target, last, replace(card, notes=notes))


if __name__ == "__main__":
    if len(sys.argv) < 3:
        raise SystemExit(__doc__)
    main(Path(sys.argv[1]), *sys.argv[2:])
