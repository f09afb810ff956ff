"""The numbers of one image: fidelity to the reference, perceptual scores, overlap of segmentations."""

from __future__ import annotations

import math
import shlex
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mdcsrn_tf.errors import UserError
from mdcsrn_tf.evaluation.plan import BANDS, FIDELITY, FIDELITY_3D, HEAD, HEAD_3D, MSE, PENN, Plan
from mdcsrn_tf.evaluation.scene import Scene, removed_bands
from mdcsrn_tf.metrics import fidelity, spectra
from mdcsrn_tf.metrics.inside import slice_scores_inside, volume_scores_inside
from mdcsrn_tf.metrics.niqe import niqe
from mdcsrn_tf.metrics.niqe_files import load_niqe_model
from mdcsrn_tf.metrics.overlap import overlap
from mdcsrn_tf.metrics.piqe import piqe
from mdcsrn_tf.metrics.slices import eight_bit
from mdcsrn_tf.metrics.zscores import zscore_scores


@dataclass
class Scores:
    """A subject's metrics for one method, slice by slice where they are, and why one is missing."""

    slices: dict[str, list[float]] = field(default_factory=dict)
    values: dict[str, float] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    bands: dict[str, float] = field(default_factory=dict)  # near_db, near_corr, far_db, far_corr

    def add_slices(self, metric: str, values: np.ndarray, why_missing: str) -> None:
        """Keep the slices' values and their mean over the slices that have one."""
        self.slices[metric] = [float(value) for value in values]
        kept = values[~np.isnan(values)]
        self.add(metric, float(kept.mean()) if kept.size else math.nan, why_missing)

    def add(self, metric: str, value: float, why_missing: str) -> None:
        """Keep a volume's value, or why it is NaN."""
        if math.isnan(value):
            self.missing[metric] = why_missing
        else:
            self.values[metric] = value


def measure(image: np.ndarray, scene: Scene, plan: Plan, *, itself: bool = False) -> Scores:
    """All the metrics that the plan asks for, but the overlap of labels.

    image: on the scene's grid and in its unit; `itself`: it is the reference, which has no fidelity to itself.
    """
    scores = Scores()
    if not np.isfinite(image).all():
        raise UserError("the image holds NaN or infinite values")
    if scene.has_reference and not itself:
        _measure_fidelity(image, scene, plan, scores)
        _measure_head(image, scene, plan, scores)
        if plan.asks(*BANDS):
            _measure_bands(image, scene, plan, scores)
        if plan.asks(*PENN, MSE):
            _measure_as_the_slice_papers(image, scene, plan, scores)
    if plan.asks("piqe", "niqe", "ma", "pi"):
        _measure_perceptual(image, scene, plan, scores)
    return scores


def measure_overlap(reference: np.ndarray, labels: np.ndarray, scores: Scores) -> dict[str, Any]:
    """Put the mean Dice and Jaccard of two label maps of one shape into `scores`; what is returned has each label's."""
    result = overlap(reference, labels)
    if not result.labels:
        scores.missing |= dict.fromkeys(("dice", "jaccard"), "neither label map holds a label")
    else:
        scores.values |= {"dice": result.mean_dice, "jaccard": result.mean_jaccard}
    return {"labels": result.labels, "dice": result.dice, "jaccard": result.jaccard}


def _measure_fidelity(image: np.ndarray, scene: Scene, plan: Plan, scores: Scores) -> None:
    reference, settings = scene.volume.data, _settings(scene, plan)
    if plan.asks(*FIDELITY):
        part, first = _measured_part(scene)
        found = fidelity.slice_scores(reference[part], image[part], scene.axis, **settings)
        for metric in FIDELITY:
            if metric in plan.metrics:
                values = found[metric][scene.fidelity_slices - first]
                scores.add_slices(metric, values, _why_missing(metric, "no slice has a reference"))
    if plan.asks(*FIDELITY_3D):
        whole = fidelity.volume_scores(reference, image, **settings)
        for metric in FIDELITY_3D:
            if metric in plan.metrics:
                scores.add(metric, whole[metric], _why_missing(metric, "there is no reference"))


def _measure_head(image: np.ndarray, scene: Scene, plan: Plan, scores: Scores) -> None:
    reference, settings = scene.volume.data, _settings(scene, plan)
    if plan.asks(*HEAD):
        part, first = _measured_part(scene)
        slices = slice_scores_inside(reference[part], image[part], scene.head[part], scene.axis, **settings)
        for metric in HEAD:
            if metric in plan.metrics:
                values = slices[metric.removesuffix("_head")][scene.fidelity_slices - first]
                scores.add_slices(metric, values, _why_missing(metric, "no slice shows the head"))
    if plan.asks(*HEAD_3D):
        whole = volume_scores_inside(reference, image, scene.head, **settings)
        for metric in HEAD_3D:
            if metric in plan.metrics:
                value = whole[metric.replace("3d_head", "")]
                scores.add(metric, value, _why_missing(metric, "no head is seen"))


def _measure_bands(image: np.ndarray, scene: Scene, plan: Plan, scores: Scores) -> None:
    pairs = {name: (scene.removed_bands[name], found) for name, found in removed_bands(image, scene).items()}
    for name, (reference, found) in pairs.items():
        scores.bands[f"{name}_db"] = spectra.power_db(reference, found, scene.head)
        scores.bands[f"{name}_corr"] = spectra.correlation(reference, found, scene.head)
    reference, found = (np.sum(parts, axis=0) for parts in zip(*pairs.values(), strict=True))
    whole = {
        "band_db": spectra.power_db(reference, found, scene.head),
        "band_corr": spectra.correlation(reference, found, scene.head),
    }
    for metric in BANDS:
        if metric in plan.metrics:
            scores.add(metric, whole[metric], "the removed k-space holds nothing")


def _measure_as_the_slice_papers(image: np.ndarray, scene: Scene, plan: Plan, scores: Scores) -> None:
    """All slices, without a mask."""
    if plan.asks(*PENN):
        found = zscore_scores(scene.volume.data, image, scene.axis, ssim_range=plan.conventions.penn_ssim_range)
        for metric in PENN:
            if metric in plan.metrics:
                scores.add_slices(metric, found[metric], _why_missing(metric, "there is no slice"))
    if plan.asks(MSE):
        scores.values[MSE] = float(fidelity.mean_squared_error(scene.volume.data, image))


def _why_missing(metric: str, otherwise: str) -> str:
    """Why a metric has no value: SSIM also for want of room for its window, in a stack of few slices."""
    if not metric.startswith("ssim"):
        return otherwise
    too_small = "SSIM's window does not fit into the scan"
    return f"{otherwise}, or {too_small}" if metric.endswith("_head") else too_small


def _settings(scene: Scene, plan: Plan) -> dict[str, Any]:
    conventions = plan.conventions
    return {
        "data_range": scene.data_range,
        "window": conventions.ssim_window,
        "sample_covariance": conventions.ssim_covariance == "sample",
        "denominator": conventions.nrmse,
        "threads": plan.threads,
    }


def _measured_part(scene: Scene) -> tuple[tuple[slice, ...], int]:
    """The part of a volume from the first measured slice to the last, and the first one's index."""
    # A plain slice where the measured slices are contiguous: no copy of the volume.
    first, last = int(scene.fidelity_slices[0]), int(scene.fidelity_slices[-1]) + 1
    part = tuple(slice(first, last) if axis == scene.axis else slice(None) for axis in range(3))
    return part, first


def _measure_perceptual(image: np.ndarray, scene: Scene, plan: Plan, scores: Scores) -> None:
    pictures = [eight_bit(image.take(k, scene.axis), scene.top) for k in scene.perceptual_slices]
    if not pictures:
        share = plan.conventions.perceptual_share
        reason = f"no slice has over {share:.0%} foreground"
        scores.missing |= {metric: reason for metric in ("piqe", "niqe", "ma", "pi") if metric in plan.metrics}
        return
    if "piqe" in plan.metrics:
        scores.add_slices("piqe", np.array([piqe(picture) for picture in pictures]), "every slice is zero")
    if plan.asks("niqe", "pi"):
        model = load_niqe_model(plan.niqe_model)
        rows, columns = pictures[0].shape
        reason = f"its slices of {rows}x{columns} hold fewer than two blocks of {model.block} pixels"
        scores.add_slices("niqe", np.array([niqe(picture, model) for picture in pictures]), reason)
    if plan.asks("ma", "pi"):
        _measure_ma(pictures, plan, scores)


def _measure_ma(pictures: list[np.ndarray], plan: Plan, scores: Scores) -> None:
    if plan.ma_command is None:
        reason = "Ma's score needs its authors' release with its model file: name its command with --ma_command"
        scores.missing |= {metric: reason for metric in ("ma", "pi") if metric in plan.metrics}
        return
    ma = run_ma(plan.ma_command, pictures)
    scores.add_slices("ma", ma, "the command gave no number")
    if "pi" in plan.metrics:
        # PIRM challenge 2018, as J section 4.1 has it.
        index = ((10 - ma) + np.array(scores.slices["niqe"])) / 2
        scores.add_slices("pi", index, scores.missing.get("niqe", "no slice has both Ma's score and NIQE"))


def run_ma(command: str, pictures: list[np.ndarray]) -> np.ndarray:
    """Ma's scores of the pictures by the user's command: it gets a folder of PNG files, prints a number a line."""
    if "{in}" not in command:
        raise UserError("--ma_command must hold {in}, the folder of PNG slices it is to score.")
    with tempfile.TemporaryDirectory() as folder:
        for number, picture in enumerate(pictures):
            Image.fromarray(picture.astype(np.uint8)).save(Path(folder) / f"{number:04d}.png")
        output = run_command_line(command, {"in": folder}, "--ma_command")
    numbers = output.split()
    try:
        found = np.array([float(number) for number in numbers])
    except ValueError as error:
        raise UserError(f"--ma_command printed something that is no number ({error}).") from error
    if len(found) != len(pictures):
        raise UserError(f"--ma_command printed {len(found)} numbers for {len(pictures)} slices.")
    return found


def run_command_line(command: str, places: dict[str, str], flag: str) -> str:
    """Run a user's command with its {places} filled in, without a shell; its standard output."""
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise UserError(f"{flag}: {command} is no command line ({error}).") from error
    for name, place in places.items():
        words = [word.replace(f"{{{name}}}", place) for word in words]
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False)
    except OSError as error:
        raise UserError(f"{flag}: {words[0]} cannot be started ({error.strerror}).") from error
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise UserError(f"{flag}: {words[0]} failed with exit code {done.returncode} ({last}).")
    return done.stdout
