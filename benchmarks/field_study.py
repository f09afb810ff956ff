"""The 7T paper's comparison without its data: every model on phantoms of another field, made of real scans.

    python benchmarks/field_study.py --data=FOLDER_OF_SCANS [--models=dcsrn2d-l1:300x16,...] [--workdir=WORK] [--write]

Eighteen scans to learn from and three to choose by, two to be measured on (field_pairs.py; data_prep.field_phantom:
other contrast, shading, half the resolution, noise), N4 on both fields, 64 x 64 patches of slices of all three axes,
each model by the `quick2d` recipe in the steps x patches that stand behind its name. Beside the networks stand what
costs no network: the input, the input under its best intensity curve (fitted on the test scans: the floor that a model
must pass), a linear regression and the random forest on the same pixels, and both with the integer cast of the
notebook that the paper cites. GANs are trained a second time without their discriminators. What a model must reach is
in field_page.py, and printed. The record is benchmarks/results/field_study.json; --write puts the table into
docs/field_study.md. A run that was stopped goes on in its --workdir.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import pages
from benchmarks.field_floors import best_curve, best_of_neighbours, best_shaded, common_curve
from benchmarks.field_networks import (
    Apply,
    critic_alone,
    kept_step,
    network,
    seams,
    seconds_of,
    start_flags,
    start_of,
    trained,
    trained_elsewhere,
)
from benchmarks.field_page import FLOOR, UNET, threshold_rows, thresholds, write_table
from benchmarks.field_pairs import make_pairs, test_pair
from benchmarks.field_plan import PLAN, Training, planned
from mdcsrn_tf.metrics.spectra import band
from mdcsrn_tf.models.forest import features, grow, plain_arrays
from mdcsrn_tf.papers.field94t import TILES
from mdcsrn_tf.papers.forests import ForestConfig
from mdcsrn_tf.run_record import RunRecord, plain, write_json
from mdcsrn_tf.scans.find import stem_of
from mdcsrn_tf.shards.dataset import read_manifest, validation_batches

BANDS = {"mid": (0.25, 0.5), "high": (0.5, 1.0)}  # of the Nyquist frequency, in the axial plane
FITTED = {
    FLOOR: best_curve,
    "input under its best shaded curve": best_shaded,
    "the same with its 24 neighbours": best_of_neighbours,
}
Image = np.ndarray


def main() -> None:
    """Make the pairs, train, measure, keep the record."""
    arguments = parsed()
    told_elsewhere = ("data", "write", "record")
    record = RunRecord.begin({key: value for key, value in vars(arguments).items() if key not in told_elsewhere})
    with tempfile.TemporaryDirectory() as folder:
        work = arguments.workdir or Path(folder)
        make_pairs(arguments.data, work, arguments.patches, n4=arguments.n4)
        tested = sorted(path.name for path in (work / "test" / "high").iterdir())
        pairs = {stem_of(name): test_pair(work, name, arguments.slices, n4=arguments.n4) for name in tested}
        record.results = {"scans": sorted(pairs), "rows": all_rows(arguments, work, pairs)}
        if arguments.critic and UNET in record.results["rows"]:
            found = next(training for training in planned(arguments.models) if training.row == UNET)
            record.results["critic_alone"] = float(np.mean(critic_alone(found, work, arguments.precision)))
    record.results["thresholds"] = thresholds(record.results)
    for row in threshold_rows(record.results["thresholds"]):
        print(": ".join(row))
    kept = pages.RESULTS / f"{arguments.record}.json"
    record.write(kept, folders_kept=False)
    if arguments.write:
        write_table(json.loads(kept.read_text(encoding="utf-8")))


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--workdir", type=Path, help="keep pairs and models here, and go on here after a stop")
    parser.add_argument("--models", default=PLAN, help="presets without 7t/, as in dcsrn2d-l1:300x16,unet7:300x32")
    parser.add_argument("--precision", default="mixed_bfloat16", help="of the generators' training")
    parser.add_argument("--patches", type=int, default=210, help="of each scan to learn from")
    unshaded = "take the shading out of both fields first, as the paper does"
    parser.add_argument("--n4", action=argparse.BooleanOptionalAction, default=True, help=unshaded)
    parser.add_argument("--pixels", type=int, default=40_000, help="that regression and forest learn from")
    parser.add_argument("--trees", type=int, default=200)
    parser.add_argument("--slices", type=int, default=16, help="of each test scan that are measured")
    critic = "train the U-net GAN's discriminator against its L1 network, too"
    parser.add_argument("--critic", action=argparse.BooleanOptionalAction, default=True, help=critic)
    parser.add_argument("--record", default="field_study", help="under what name the record is kept")
    parser.add_argument("--write", action="store_true", help="the record's table into docs/field_study.md")
    return parser.parse_args()


def _without_facts(apply: Apply) -> tuple[Apply, dict[str, Any]]:
    return apply, {}


def all_rows(arguments: argparse.Namespace, work: Path, pairs: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Every row's measures; those that a stopped run has left are taken from its folder."""
    rows: dict[str, dict[str, Any]] = {}

    def add(name: str, asked: dict[str, Any], make: Callable[[], tuple[Apply, dict[str, Any]]]) -> None:
        kept = work / "rows" / f"{name.replace(' ', '-')}.json"
        asked = plain({**asked, "slices": arguments.slices, "patches": arguments.patches, "n4": arguments.n4})
        if kept.is_file() and (found := json.loads(kept.read_text(encoding="utf-8")))["asked"] == asked:
            rows[name] = found["row"]
            return
        apply, facts = make()
        rows[name] = {**facts, **measured(apply, pairs)}
        write_json(kept, {"asked": asked, "row": rows[name]})

    add("input", {}, lambda: (lambda pair: pair["low"], {}))
    add("input under one curve for all", {}, partial(common_row, work / "shards"))
    for name, fitted in FITTED.items():
        add(name, {}, partial(_without_facts, fitted))
    trainings = planned(arguments.models)
    for training in trainings:
        asked = {"training": told(training, trainings), "precision": arguments.precision, "tiles": TILES}
        add(training.row, asked, partial(trained_row, training, trainings, arguments.precision, work, pairs))
    for name, asked, make in per_pixel_methods(arguments, work / "shards"):
        add(name, asked, make)
    # What costs no network stands first.
    networks = [training.row for training in trainings]
    return {name: rows[name] for name in sorted(rows, key=networks.__contains__)}


def told(training: Training, trainings: list[Training]) -> dict[str, Any]:
    """What a row is known by: its training, and what that goes on from where it took more than one run."""
    start = start_of(training, trainings)
    parts = {key: value for key, value in asdict(training).items() if key not in ("before", "short")}
    return parts | ({"start": start.folder} if start and (training.before or start.before) else {})


def common_row(shards: Path) -> tuple[Apply, dict[str, Any]]:
    """One curve for all scans, of the pairs to learn from."""
    coefficients = common_curve(shards)
    return lambda pair: np.polyval(coefficients, pair["low"]), {}


def trained_row(
    training: Training, trainings: list[Training], precision: str, work: Path, pairs: dict[str, dict[str, Any]]
) -> tuple[Apply, dict[str, Any]]:
    """The network, and what is said of its training and of its tiles' borders beside its measures."""
    begun = start_flags(training, trainings, work)
    workdir = trained(training, work, precision, *begun)
    facts = length_facts(training, work)
    facts |= {"start": "its generator alone"} if begun and not training.before else {}
    if training.random_features:
        facts["features"] = "random"
    averaged = {name: network(workdir)(pair) for name, pair in pairs.items()}
    facts["seams"] = {
        name: {"cores": seams(pair, network(workdir, "core")(pair)), "averaged": seams(pair, averaged[name])}
        for name, pair in pairs.items()
    }
    facts["psnr_under_curve"] = {name: under_curve(pair, averaged[name]) for name, pair in pairs.items()}
    return lambda pair: averaged[pair["name"]], facts


def length_facts(training: Training, work: Path) -> dict[str, Any]:
    """How long and where a network was trained, as it came to be, and the same of what it went on from."""
    workdir = work / training.folder
    facts: dict[str, Any] = {**asdict(training), "seconds": seconds_of(workdir), "kept": kept_step(workdir)}
    elsewhere = trained_elsewhere(workdir)
    facts |= {key: elsewhere[key] for key in ("steps", "device", "start", "ema") if elsewhere.get(key)}
    return facts | {"before": length_facts(training.before, work) if training.before else None}


def per_pixel_methods(
    arguments: argparse.Namespace, shards: Path
) -> Iterator[tuple[str, dict[str, Any], Callable[[], tuple[Apply, dict[str, Any]]]]]:
    """Name, settings and maker of the regression and the forest, with and without the integer cast."""
    chosen = {"pixels": arguments.pixels}
    for suffix, integers in (("", False), (", integer cast", True)):
        learned = partial(pixels, shards, arguments.pixels, integers)
        yield f"linear regression{suffix}", chosen, partial(_regressed, learned, integers)
        forest = ForestConfig(arguments.trees, 15)
        yield f"rfsr{suffix}", {**chosen, "forest": forest}, partial(_grown, learned, integers, forest)


def _regressed(learned: Callable[[], tuple[Image, Image]], integers: bool) -> tuple[Apply, dict[str, Any]]:
    return per_pixel(regression(*learned()), integers), {}


def _grown(
    learned: Callable[[], tuple[Image, Image]], integers: bool, config: ForestConfig
) -> tuple[Apply, dict[str, Any]]:
    return per_pixel(plain_arrays(grow(*learned(), config, jobs=2)).predict, integers), {}


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


def per_pixel(predict: Callable[[Image], Image], integers: bool) -> Apply:
    """A predictor of what is added to each pixel, on axial slices."""

    def apply(pair: dict[str, Any]) -> Image:
        slices = np.moveaxis(pair["low"], 2, 0)
        added = [predict(features(image, integers=integers)).reshape(image.shape) for image in slices]
        return pair["low"] + np.moveaxis(np.stack(added), 0, 2)

    return apply


def under_curve(pair: dict[str, Any], result: Image) -> float:
    """PSNR of the result under its own best curve: what remains if a scan's curve, which no patch shows, is given."""
    return psnr(best_curve({**pair, "low": result}), pair)


def psnr(found: Image, pair: dict[str, Any]) -> float:
    """Inside the head, of the range 0 to 1, dB."""
    error = (found - pair["high"])[pair["head"]] * pair["std"]
    return float(-10 * np.log10(np.mean(error**2, dtype=np.float64)))


def measured(apply: Apply, pairs: dict[str, dict[str, Any]]) -> dict[str, dict[str, float]]:
    """For each test scan, inside the head: PSNR of the range 0 to 1, energy and correlation of both bands.

    `psnr_bright` is of the pixels whose truth is above its mean alone, and what is fitted is fitted on them.
    """
    values = {}
    for name, pair in pairs.items():
        found, high, head = apply(pair), pair["high"], pair["head"]
        values[name] = {"psnr": psnr(found, pair)}
        if "bright" in pair:
            bright = {**pair, "head": pair["bright"]}
            values[name]["psnr_bright"] = psnr(apply(bright), bright)
        for key, (low_end, high_end) in BANDS.items():
            parts = [band(image, (0, 1), (low_end,) * 2, (high_end,) * 2)[head] for image in (found, high)]
            values[name][f"{key}_energy"] = float(np.mean(parts[0] ** 2) / np.mean(parts[1] ** 2))
            values[name][f"{key}_correlation"] = float(np.corrcoef(*parts)[0, 1])
    return values


if __name__ == "__main__":
    main()
