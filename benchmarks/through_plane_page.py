"""What is measured of thick slices made thin, what must be reached, and the section of docs/results.md."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks import pages
from mdcsrn_tf.metrics.inside import slice_scores_inside
from mdcsrn_tf.metrics.spectra import band

AXIS, FACTOR = 2, 4  # through the slices, and how many thin ones make a thick one
MARGIN = 8  # thin slices at either end of the slab that are not measured
HIGH = (0.5, 1.0)  # of the Nyquist frequency, in the axial plane: what a slice network may sharpen
REMOVED = (1 / FACTOR, 1.0)  # along the slices' normal: what thick slices have lost
CUBIC, MSE, STACK, GAN, ACROSS = (
    "cubic",
    "Model 1, MSE",
    "stack3, MSE",
    "Model 1, SRGAN",
    "Model 1, MSE, on coronal slices",
)


def measured(found: np.ndarray, truth: np.ndarray, inside: np.ndarray) -> dict[str, float]:
    """Inside the head: PSNR and SSIM by slice, PSNR between thick slices, energy and correlation of two bands."""
    kept = slice(MARGIN, truth.shape[AXIS] - MARGIN)
    scores = slice_scores_inside(truth, found, inside, AXIS, data_range=float(truth.max()))
    places = np.arange(truth.shape[AXIS])[kept]
    values = {name: float(np.nanmean(scores[name][kept])) for name in ("psnr", "ssim")}
    values["psnr_between"] = float(np.nanmean(scores["psnr"][places[places % FACTOR != 0]]))
    head = inside[..., kept]
    for name, axes, (low, high) in (("high", (0, 1), HIGH), ("removed", (AXIS,), REMOVED)):
        ends = (low,) * len(axes), (high,) * len(axes)
        ours, theirs = (band(image, axes, *ends)[..., kept][head] for image in (found, truth))
        values[f"{name}_energy"] = float(np.mean(ours**2) / np.mean(theirs**2))
        values[f"{name}_correlation"] = float(np.corrcoef(ours, theirs)[0, 1])
    return values


def thresholds(found: dict[str, dict[str, dict[str, float]]]) -> dict[str, bool]:
    """What the slice networks must reach on the development scans."""
    scans = list(found.values())

    def distance(row: dict[str, float]) -> float:
        return abs(np.log(row["high_energy"]))

    return {
        f"{MSE} over {CUBIC} between slices on every development scan": all(
            scan[MSE]["psnr_between"] > scan[CUBIC]["psnr_between"] for scan in scans
        ),
        "SRGAN's energy in the high band nearer to the truth's than the MSE network's": all(
            distance(scan[GAN]) < distance(scan[MSE]) for scan in scans
        ),
    }


def section(record: dict[str, Any]) -> str:
    """A table a split, and what was asked."""
    config = record["config"]
    lines = [
        "## Thick slices to thin ones",
        "",
        f"{pages.circumstances(record)} Thick slices are means of four of about 1 mm. Slice networks learned by "
        f"quick2d in {config['steps']} steps of {config['batch']} patches of 32 x 32 (SRGAN: {config['gan_steps']} "
        "more, mean squares in place of VGG's features). Inside the head, in a slab around its middle; 'between': thin "
        "slices on which no thick one is centred. Of a band, energy over the truth's / correlation with it: the upper "
        f"half in the axial plane, and what thick slices have lost along their normal.{pages.added(config)}",
        "",
    ]
    for split, scans in record["results"].items():
        if split != "thresholds":
            lines += [f"{split.capitalize()} scans:", "", *_split_table(scans), ""]
    for name, met in record["results"]["thresholds"].items():
        lines.append(f"- {name}: {'met' if met else 'not met'}.")
    return "\n".join([*lines, ""])


def _split_table(scans: dict[str, dict[str, dict[str, float]]]) -> list[str]:
    head = ["", *(f"{scan}: PSNR, between, SSIM, high band, removed band" for scan in scans)]
    names = next(iter(scans.values()))
    return pages.table(head, [[name, *(_cell(scan[name]) for scan in scans.values())] for name in names])


def _cell(values: dict[str, float]) -> str:
    bands = (f"{values[f'{name}_energy']:.2f} / {values[f'{name}_correlation']:.2f}" for name in ("high", "removed"))
    return ", ".join([f"{values['psnr']:.2f}", f"{values['psnr_between']:.2f}", f"{values['ssim']:.4f}", *bands])
