"""Which GAN phase is worth bundling: trials of its weight, rate and length, on validation scans.

    python benchmarks/gan_search.py --data=FOLDER_OF_SCANS --models=L1.keras,TRIAL.keras,...

Each model (the first is the one that the trials started from) super-resolves the 60 middle axial slices of every scan,
degraded 2x2 along LR and AP. A GAN is for detail that looks like the original's: its power in the removed k-space, how
much of that is true (correlation), and PIQE beside the original's; the price is the gain inside the head. The settings
of a trial are read from its card. Writes benchmarks/results/gan_search.json and docs/results.md anew.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from benchmarks import pages
from benchmarks.data_helpers import read_ras, scans_beginning
from mdcsrn_tf.inference.engines import load_engine
from mdcsrn_tf.inference.settings import Settings
from mdcsrn_tf.inference.volume import run
from mdcsrn_tf.metrics import spectra
from mdcsrn_tf.metrics.piqe import piqe
from mdcsrn_tf.metrics.slices import eight_bit
from mdcsrn_tf.run_record import RunRecord
from mdcsrn_tf.scans.head import head_mask
from mdcsrn_tf.scans.kspace import degrade

RESULTS = pages.RESULTS / "gan_search.json"
AXES, FACTORS = (0, 1), (2, 2)
SLICES, STEP = 60, 6  # judged, and between those that PIQE sees
ORIGINAL, SINC = "original", "sinc"
SETTINGS = {"gan.adversarial_weight": "weight", "gan.learning_rate": "rate", "patch_size": "patch"}  # by either trainer


def main() -> None:
    """Measure every scan under every model, print a line for each, write the record and the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--scans", default="sub-06,sub-10,sub-14", help="beginnings of their names: validation scans")
    parser.add_argument("--models", required=True, help="names of bundled networks or .keras files, with commas")
    arguments = parser.parse_args()
    engines = {Path(model).stem: load_engine(model, Settings()) for model in arguments.models.split(",")}
    record = RunRecord.begin({"axes": AXES, "factors": FACTORS, "slices": SLICES, "models": list(engines)})
    record.results = {"settings": {name: settings(engine.card.notes) for name, engine in engines.items()}, "scans": {}}
    for path in scans_beginning(arguments.data, arguments.scans):
        found = examine(read_ras(path)[0], engines)
        record.results["scans"][path.name.split(".")[0]] = found
        for name, scores in found.items():
            print(path.name, name, scores, flush=True)
    record.write(RESULTS, folders_kept=False)
    from benchmarks import results_doc

    results_doc.main()


def settings(notes: dict[str, Any]) -> dict[str, Any]:
    """What a card says of the phase: kept update, lambda and rate, wherever it was trained (recipes/jax_volumes)."""
    told = {"phase": notes.get("phase"), "step": notes.get("step")}
    if told["phase"] != "gan":
        return told
    if mean := notes.get("mean"):
        told["step"] = "mean of " + ", ".join(map(str, mean["steps"]))
    flags = notes.get("trained_with", {}).get("settings", {})
    changed = dict(text.split("=", 1) for text in notes.get("changed", ()) if "=" in text)
    for name, flag in SETTINGS.items():
        if (value := flags.get(flag, changed.get(name))) is not None:
            told[name] = value
    return told


def examine(high_res: np.ndarray, engines: dict[str, Any]) -> dict[str, dict[str, float | None]]:
    """The scores of the original [LR, AP, IS], of sinc and of every model on its middle slices."""
    middle = high_res.shape[2] // 2
    even = [slice(size - size % 2) for size in high_res.shape[:2]]
    window = (*even, slice(middle - SLICES // 2, middle + SLICES // 2))
    truth = high_res[window]
    low_res = degrade(truth, FACTORS, AXES, "sinc")
    head = head_mask(truth)
    found = {ORIGINAL: scores(truth, truth, low_res, head), SINC: scores(low_res, truth, low_res, head)}
    for name, engine in engines.items():
        found[name] = scores(run(engine, low_res, Settings()).data, truth, low_res, head)
    return found


def scores(image: np.ndarray, truth: np.ndarray, low_res: np.ndarray, head: np.ndarray) -> dict[str, float | None]:
    """Gain over sinc inside the head (dB), the removed band's power (dB) and correlation there, and mean PIQE."""
    before, after = (float(np.mean((one - truth)[head] ** 2)) for one in (low_res, image))
    measured = [1 / factor for factor in FACTORS]
    reference, band = (spectra.band(one, AXES, low=measured, high=[1, 1]) for one in (truth, image))
    pictures = [eight_bit(image[..., k], float(truth.max())) for k in range(0, image.shape[2], STEP)]
    return {
        "gain": round(10 * np.log10(before / after), 3) if after else None,  # of the original itself there is none
        "band_db": round(spectra.power_db(reference, band, head), 2),
        "band_corr": round(spectra.correlation(reference, band, head), 3),
        "piqe": round(float(np.nanmean([piqe(picture) for picture in pictures])), 2),
    }


def section(record: dict[str, Any]) -> str:
    """This benchmark's part of docs/results.md: means over the scans."""
    scans = list(record["results"]["scans"].values())

    def mean(name: str, score: str) -> float:
        return float(np.mean([scan[name][score] for scan in scans]))

    rows = [[ORIGINAL, *[""] * 6, f"{mean(ORIGINAL, 'piqe'):.1f}"], [SINC, *[""] * 6, f"{mean(SINC, 'piqe'):.1f}"]]
    for name in record["config"]["models"]:
        trial = record["results"]["settings"][name]
        set_to = [str(trial.get(key, "")) for key in ("gan.adversarial_weight", "gan.learning_rate", "step")]
        found = [f"{mean(name, 'gain'):+.2f}", f"{mean(name, 'band_db'):+.1f}", f"{mean(name, 'band_corr'):.3f}"]
        rows.append([name, *set_to, *found, f"{mean(name, 'piqe'):.1f}"])
    head = ["model", "lambda", "rate", "update", "gain (dB)", "removed band (dB)", "its correlation", "PIQE"]
    lines = [
        f"## The search for a GAN: trials on {len(scans)} validation scans",
        "",
        f"{pages.circumstances(record)} Middle {SLICES} slices of each, means over the scans: gain over sinc inside "
        "the head, power in the removed k-space relative to the original's, its correlation with the original's, and "
        "PIQE (the nearer to the original's the better).",
        "",
        *pages.table(head, rows),
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
