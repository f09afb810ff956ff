"""The 7T paper's comparison without its data: every model on phantoms of another field, made of real scans.

    python benchmarks/field_study.py --data=FOLDER_OF_SCANS [--models=dcsrn2d-l1,unet7,...] [--steps=300] [--write]

Five scans to learn from, two to be measured on (data_prep.field_phantom; other contrast, shading, half the resolution,
noise), 64 x 64 patches of slices of all three axes, each model by the `quick2d` recipe. Beside the networks stand what
costs no network: the input, the input under its best intensity curve (fitted on the test scans: the floor that a
model must pass), a linear regression and the random forest on the same pixels, and both with the integer cast of
the notebook that the paper cites. GANs are trained a second time with an adversarial weight of 0. The record is
benchmarks/results/field_study.json; --write puts the table into docs/field_study.md.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import pages
from benchmarks.data_helpers import ROOT, run, scans_beginning
from data_prep.field_phantom import FieldSettings, write_fields
from data_prep.registration import Placed, register
from data_prep.subjects import stem_of
from mdcsrn_tf.metrics.spectra import band
from mdcsrn_tf.models.forest import features, grow, plain_arrays
from mdcsrn_tf.papers.forests import ForestConfig
from mdcsrn_tf.run_record import RunRecord
from mdcsrn_tf.scans.normalisation import EACH_IMAGE, of_pair
from mdcsrn_tf.scans.volumes import read_volume
from mdcsrn_tf.shards.dataset import read_manifest, validation_batches

LEARN, CHECK, MEASURE = "sub-01_T1w,sub-02_T1w,sub-03_T1w,sub-04_T1w,sub-05_T1w", "sub-06_T1w", "sub-07_T1w,sub-08_T2w"
PAGE = ROOT / "docs" / "field_study.md"
BEGIN, END = "<!-- table of field_study.py -->", "<!-- end of the table -->"
BANDS = {"mid": (0.25, 0.5), "high": (0.5, 1.0)}  # of the Nyquist frequency, in the axial plane
Image = np.ndarray


def main() -> None:
    """Make the pairs, train, measure, keep the record."""
    arguments = parsed()
    record = RunRecord.begin({key: value for key, value in vars(arguments).items() if key not in ("data", "write")})
    with tempfile.TemporaryDirectory() as folder:
        work = arguments.workdir or Path(folder)
        make_pairs(arguments, work)
        tested = sorted(path.name for path in (work / "test" / "high").iterdir())
        pairs = {stem_of(name): test_pair(work, name, arguments.slices) for name in tested}
        rows = {name: measured(apply, pairs) for name, apply in methods(arguments, work).items()}
    record.results = {"scans": sorted(pairs), "rows": rows}
    record.write(pages.RESULTS / "field_study.json", folders_kept=False)
    if arguments.write:
        write_table(json.loads((pages.RESULTS / "field_study.json").read_text(encoding="utf-8")))


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--workdir", type=Path, help="keep pairs and models here")
    parser.add_argument("--models", default="", help="presets without 7t/, as in dcsrn2d-l1,unet7")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--patches", type=int, default=600, help="of each scan")
    parser.add_argument("--pixels", type=int, default=40_000, help="that regression and forest learn from")
    parser.add_argument("--trees", type=int, default=200)
    parser.add_argument("--slices", type=int, default=60, help="of each test scan that are measured")
    parser.add_argument("--write", action="store_true")
    return parser.parse_args()


def make_pairs(arguments: argparse.Namespace, work: Path) -> None:
    """Both fields of all scans, and shards of those to learn from."""
    for kind, beginnings in (("learn", f"{LEARN},{CHECK}"), ("test", MEASURE)):
        for path in scans_beginning(arguments.data, beginnings):
            write_fields(work / kind, stem_of(path.name), read_volume(path), FieldSettings(), seed=0)
    split = work / "split.tsv"
    people = [name.split("_")[0] for name in LEARN.split(",")]
    lines = ["subject\tsplit", *(f"{person}\ttrain" for person in people), f"{CHECK.split('_')[0]}\tvalidation"]
    split.write_text("\n".join(lines) + "\n", encoding="utf-8")
    run(
        "-m",
        "data_prep.make_pairs",
        f"--low={work / 'learn' / 'low'}",
        f"--high={work / 'learn' / 'high'}",
        f"--output={work / 'shards'}",
        "--match=volume",
        "--plane=all",
        f"--patches_per_subject={arguments.patches}",
        f"--split={split}",
        "--workers=1",
        "--overwrite",
    )


def test_pair(work: Path, name: str, count: int) -> dict[str, Any]:
    """A test scan's low field on the high field's grid and the high field, as z-scores; where the head is.

    Of the axial slices through the head `count` are kept, evenly spread.
    """
    low, high = (read_volume(work / "test" / kind / name) for kind in ("low", "high"))
    found = register(Placed(low.data, low.affine), Placed(high.data, high.affine), "none")
    of_low, of_high = of_pair(EACH_IMAGE, found.data[found.inside], high.data[found.inside])
    head = found.inside & (high.data > high.data.mean())
    through = np.flatnonzero(head.mean(axis=(0, 1)) > 0.1)
    kept = through[np.linspace(0, len(through) - 1, min(count, len(through))).astype(int)]
    images = {"low": of_low.apply(found.data), "high": of_high.apply(high.data), "head": head}
    return {**{kind: image[:, :, kept] for kind, image in images.items()}, "std": of_high.std}


def methods(arguments: argparse.Namespace, work: Path) -> dict[str, Callable[[dict[str, Any]], Image]]:
    """Every row: from a test pair to the estimate of its high field, all in z-scores."""
    rows: dict[str, Callable[[dict[str, Any]], Image]] = {
        "input": lambda pair: pair["low"],
        "input under its best curve": best_curve,
    }
    for suffix, integers in (("", False), (", integer cast", True)):
        samples, targets = pixels(work / "shards", arguments.pixels, integers)
        rows[f"linear regression{suffix}"] = per_pixel(regression(samples, targets), integers)
        config = ForestConfig(arguments.trees, 15)
        forest = plain_arrays(grow(samples, targets, config, jobs=2))
        rows[f"rfsr{suffix}"] = per_pixel(forest.predict, integers)
    for name in filter(None, arguments.models.split(",")):
        rows[name] = network(arguments, work, name)
        if not name.startswith(("fcn", "dcsrn")):
            alone = network(arguments, work, name, "--set=gan.adversarial_weight=0.0")
            rows[f"{name} without its discriminator"] = alone
    return rows


def best_curve(pair: dict[str, Any]) -> Image:
    """The cubic of the input that fits the truth best in the head: what no honest method knows."""
    head = pair["head"]
    low, high = (pair[kind][head].astype(np.float64) for kind in ("low", "high"))
    return np.polyval(np.polyfit(low, high, 3), pair["low"])


def pixels(shards: Path, count: int, integers: bool) -> tuple[Image, Image]:
    """Samples and targets, the same places whatever the cast."""
    manifest = read_manifest(shards)
    rng = np.random.default_rng(0)
    each = max(1, count // manifest.pairs("train"))
    samples, targets = [], []
    for low, high in validation_batches(manifest, "train", batch_size=64):
        for one, other in zip(low.numpy()[..., 0], high.numpy()[..., 0], strict=True):
            chosen = rng.permutation(one.size)[:each]
            samples.append(features(one, integers=integers)[chosen])
            targets.append((other - one).ravel()[chosen])
    return np.concatenate(samples), np.concatenate(targets)


def regression(samples: Image, targets: Image) -> Callable[[Image], Image]:
    """Least squares with an offset."""
    with_one = np.column_stack([samples, np.ones(len(samples))])
    weights = np.linalg.lstsq(with_one, targets, rcond=None)[0]
    return lambda found: found @ weights[:-1] + weights[-1]


def per_pixel(predict: Callable[[Image], Image], integers: bool) -> Callable[[dict[str, Any]], Image]:
    """A predictor of what is added to each pixel, on axial slices."""

    def apply(pair: dict[str, Any]) -> Image:
        slices = np.moveaxis(pair["low"], 2, 0)
        added = [predict(features(image, integers=integers)).reshape(image.shape) for image in slices]
        return pair["low"] + np.moveaxis(np.stack(added), 0, 2)

    return apply


def network(arguments: argparse.Namespace, work: Path, name: str, *flags: str) -> Callable[[dict[str, Any]], Image]:
    """A preset trained by quick2d, run over whole axial slices."""
    workdir = work / (f"{name}-alone" if flags else name)
    run(
        "train.py",
        f"--data={work / 'shards'}",
        f"--workdir={workdir}",
        f"--preset=7t/{name}",
        "--recipe=quick2d",
        f"--steps={arguments.steps}",
        f"--batch_size={arguments.batch}",
        "--features=random",
        *flags,
    )
    model = next(path for path in (workdir / "last_gan.keras", workdir / "best_l1.keras") if path.is_file())

    def apply(pair: dict[str, Any]) -> Image:
        from mdcsrn_tf.inference.engines import load_engine
        from mdcsrn_tf.inference.settings import Settings
        from mdcsrn_tf.inference.slices import SliceTiling, super_resolve_planes

        engine: Any = load_engine(model, Settings())
        tiling = SliceTiling(multiple=engine.multiple, batch=4)
        return super_resolve_planes(engine.apply, pair["low"], [2], tiling)

    return apply


def measured(apply: Callable[[dict[str, Any]], Image], pairs: dict[str, dict[str, Any]]) -> dict[str, dict[str, float]]:
    """For each test scan, inside the head: PSNR of the range 0 to 1, energy and correlation of both bands."""
    values = {}
    for name, pair in pairs.items():
        found, high, head = apply(pair), pair["high"], pair["head"]
        error = (found - high)[head] * pair["std"]
        values[name] = {"psnr": float(-10 * np.log10(np.mean(error**2, dtype=np.float64)))}
        for key, (low_end, high_end) in BANDS.items():
            parts = [band(image, (0, 1), (low_end,) * 2, (high_end,) * 2)[head] for image in (found, high)]
            values[name][f"{key}_energy"] = float(np.mean(parts[0] ** 2) / np.mean(parts[1] ** 2))
            values[name][f"{key}_correlation"] = float(np.corrcoef(*parts)[0, 1])
    return values


def write_table(record: dict[str, Any]) -> None:
    """Put the record's table between the page's marks."""
    scans = record["results"]["scans"]
    head = "| | " + " | ".join(f"{scan}: PSNR, mid band, high band" for scan in scans) + " |"
    config = record["config"]
    caption = (
        f"{pages.circumstances(record)} Learned from {config['pixels']} pixels ({config['trees']} trees), networks in "
        f"{config['steps']} steps of {config['batch']}; measured on {config['slices']} axial slices of each scan."
    )
    lines = [BEGIN, caption, "", head, "|---" * (len(scans) + 1) + "|"]
    for name, values in record["results"]["rows"].items():
        cells = [
            f"{value['psnr']:.2f}, {value['mid_energy']:.2f} / {value['mid_correlation']:.2f}, "
            f"{value['high_energy']:.2f} / {value['high_correlation']:.2f}"
            for value in (values[scan] for scan in scans)
        ]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    page = PAGE.read_text(encoding="utf-8")
    before, after = page.split(BEGIN)[0], page.split(END)[1]
    PAGE.write_text(before + "\n".join([*lines, END]) + after, encoding="utf-8")


if __name__ == "__main__":
    main()
