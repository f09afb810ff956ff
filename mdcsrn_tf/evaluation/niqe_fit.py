"""A pristine NIQE model from somebody's own high-resolution scans."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from tqdm import tqdm

from mdcsrn_tf.errors import UserError
from mdcsrn_tf.evaluation.plan import Conventions, Plan
from mdcsrn_tf.evaluation.scene import set_scene
from mdcsrn_tf.evaluation.subjects import subject_name
from mdcsrn_tf.metrics.niqe import NiqeModel, fit
from mdcsrn_tf.metrics.slices import eight_bit
from mdcsrn_tf.scans.volumes import find_volumes, read_volume


def fit_from_scans(
    scans: Path, axes: str, plane: str, conventions: Conventions, block: int, *, quiet: bool = False
) -> tuple[NiqeModel, list[str]]:
    """Fit on the slices that NIQE would measure; a sentence for every scan that could not be used."""
    paths, used, sentences = find_volumes(scans), [], []

    def pictures() -> Iterator[np.ndarray]:
        plan = Plan((), (), conventions, axes=axes, plane=plane)
        for path in tqdm(paths, unit="scan", disable=quiet, desc="fitting"):
            try:
                scene = set_scene(read_volume(path), plan, has_reference=False)
            except UserError as error:
                sentences.append(f"{path} is left out: {error}")
                continue
            used.append(subject_name(Path(path)))
            for k in scene.perceptual_slices:
                yield eight_bit(scene.volume.data.take(k, scene.axis), scene.top)

    try:
        model = fit(pictures(), block=block)
    except ValueError as error:
        raise UserError(" ".join([f"No NIQE model can be fitted from {scans}: {error}.", *sentences])) from error
    notes = {"scans": used, "axes": axes, "plane": plane, "perceptual_share": conventions.perceptual_share}
    notes["eight_bit_percentile"] = conventions.eight_bit_percentile
    return NiqeModel(model.mean, model.covariance, model.block, {**model.notes, **notes}), sentences
