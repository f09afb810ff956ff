"""Networks on scans that none was trained on, by the commands a user would type.

    python benchmarks/networks.py --data=FOLDER --development=sub-07,sub-08 [--test=sub-11,...] [--models=A,B]

Every scan is degraded 2x2 along LR and AP by mdcsrn-degrade, super-resolved by infer.py as it comes (`--ways`: the
default network, or one that is named before a colon, with flags of inference too, a row each; what speaks against a
scan is overruled), and measured by
eval.py with the interpolations beside it, split by split. Then what no table of scores shows: registration shift, the
measured k-space kept, patterns of the tiles' period, and the self-check (the network on the scan degraded once more).
NIQE's model is fitted on training scans for blocks of 48 pixels, since small scans hold no two blocks of 96.
`--workdir` keeps the results, and a run that was stopped goes on there. `--beside` keeps the record's other rows, which
take an hour, and its pictures. Writes benchmarks/results/networks.json, docs/images/compare_*.png, and docs/results.md
anew.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import comparison, network_checks, pages
from benchmarks.data_helpers import DEGRADATION, run, scans_beginning
from mdcsrn_tf.evaluation.plan import Conventions
from mdcsrn_tf.evaluation.statistics import FEWEST_PAIRS, compare
from mdcsrn_tf.models.files import read_card
from mdcsrn_tf.run_record import RunRecord
from mdcsrn_tf.weights import find_model, list_models

METRICS = ("psnr", "ssim", "nrmse", "psnr_head", "ssim_head", "nrmse_head", "band_db", "band_corr", "piqe", "niqe")
PAIRED_METRICS = ("psnr_head", "ssim_head", "psnr", "ssim")
NIQE_BLOCK = 48
# Flags of inference that the default network, or another, is measured with as well.
WAYS = {
    "ensemble": "--ensemble=2",
    "ensemble8": "--ensemble=8",
    "consistency": "--consistency",
    "detail": "--detail=1.6",
    "auto": "--detail=auto",
    "int8": "--engine=openvino --precision=int8",
}


def main() -> None:
    """Degrade, super-resolve, evaluate, check, keep the record, regenerate the page."""
    arguments = parsed()
    models = arguments.models.split(",") if arguments.models else bundled()
    ways = [way for way in arguments.ways.split(",") if way]
    splits = {
        name: [stem(path) for path in scans_beginning(arguments.data, found)] if found else []
        for name, found in (("test", arguments.test), ("development", arguments.development))
    }
    config = {
        "metrics": [*METRICS, *(["dice"] if arguments.dice else [])],
        "axes": "LR,AP",
        "factor": [2, 2],
        "splits": splits,
        "precision": arguments.precision,
        "niqe_block": NIQE_BLOCK,
    }
    record = RunRecord.begin(config, data={"models": {name: asdict(read_card(find_model(name))) for name in models}})
    with tempfile.TemporaryDirectory() as folder:
        workdir = arguments.workdir or Path(folder)
        workdir.mkdir(parents=True, exist_ok=True)
        scans = list_file(arguments.data, ",".join(filter(None, (arguments.test, arguments.development))), workdir)
        finished, seconds = super_resolve(scans, models, workdir, arguments.precision, ways)
        record.results = evaluate(arguments, scans, finished, workdir)
        record.results["infer_seconds"] = seconds
        record.results["checks"] = network_checks.all_checks(scans, finished)
        pictures = [] if arguments.beside else arguments.pictures.split(",")
        record.results["pictures"] = comparison.draw_all(scans, pictures, pictured(finished, models, arguments))
    if arguments.beside:
        models = keep_other_rows(record, json.loads((pages.RESULTS / "networks.json").read_text(encoding="utf-8")))
    record.results["paired"] = paired(record.results["values"], splits, models)
    record.write(pages.RESULTS / "networks.json", folders_kept=False)
    from benchmarks import results_doc

    results_doc.main()


def bundled() -> list[str]:
    """The bundled networks for scans that were degraded so, the default one first."""
    return [name for name in list_models() if read_card(find_model(name)).axes == ("LR", "AP")]


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--test", default="", help="beginnings of names, kept apart from all choices")
    parser.add_argument("--development", default="sub-07,sub-08", help="beginnings of names, looked at while choosing")
    parser.add_argument("--models", default="", help="names or files, the default first (default: all bundled for 2x2)")
    parser.add_argument("--niqe_scans", default="sub-01,sub-02,sub-03,sub-04,sub-05", help="training scans")
    parser.add_argument("--pictures", default="sub-13_T1w,sub-15_T2w,sub-28_FLAIR,sub-07_T1w", help="scans to draw")
    parser.add_argument(
        "--picture_models",
        default="",
        help="networks to draw (default: the first, every GAN, and rows of --detail=auto)",
    )
    parser.add_argument("--precision", default="bfloat16", choices=("float32", "bfloat16"))
    parser.add_argument(
        "--ways", default="", help="of the default too, or of NAME:, e.g. ensemble,NAME:ensemble+consistency"
    )
    parser.add_argument(
        "--dice",
        action="store_true",
        help="also tissue Dice of sinc and all rows on the test scans, half a minute each",
    )
    parser.add_argument("--workdir", type=Path, help="keep results here, and go on here after a stop")
    parser.add_argument("--beside", action="store_true", help="keep the record's other rows, and its pictures")
    return parser.parse_args()


def stem(path: Path) -> str:
    """A scan's file name without its suffixes."""
    return path.name.split(".")[0]


def list_file(data: Path, beginnings: str, workdir: Path, name: str = "scans.txt") -> Path:
    """A list of the scans in `data` whose names begin so, as the commands take it."""
    path = workdir / name
    path.write_text("".join(f"{scan.absolute()}\n" for scan in scans_beginning(data, beginnings)), encoding="utf-8")
    return path


def super_resolve(
    scans: Path, models: Sequence[str], workdir: Path, precision: str, ways: Sequence[str]
) -> tuple[dict[str, Path], dict[str, float]]:
    """A folder of results for every network and way, and the seconds of the command, by the name of the row."""
    small = workdir / "small"
    if not small.is_dir():
        run("-m", "data_prep.degrade", f"--input={scans}", f"--output={small}", "--grid=small", *DEGRADATION)
    finished, kept = {}, workdir / "seconds.json"
    seconds = json.loads(kept.read_text(encoding="utf-8")) if kept.is_file() else {}
    for model, way in [(model, "") for model in models] + [whose(way, models[0]) for way in ways]:
        row = f"{Path(model).stem} {way}".strip()
        finished[row] = workdir / "results" / row.replace(" ", "-")
        places = (f"--input={small}", f"--output={finished[row]}", "--grid=small", f"--model={model}")
        flags = [flag for part in way.split("+") for flag in WAYS[part].split()] if way else ["--self_check"]
        begun, started = finished[row].is_dir(), time.monotonic()
        run("infer.py", *places, *DEGRADATION, f"--precision={precision}", *flags, "--force", "--quiet")
        if not begun:  # what an earlier run has finished costs this one nothing
            seconds[row] = round(time.monotonic() - started, 2)
            kept.write_text(json.dumps(seconds), encoding="utf-8")
    return finished, {row: seconds[row] for row in finished if row in seconds}


def whose(way: str, default: str) -> tuple[str, str]:
    """The network and the flags of a way: `ensemble` is the default's, `NAME:ensemble` another's."""
    name, colon, flags = way.rpartition(":")
    return (name if colon else default), flags


def evaluate(arguments: argparse.Namespace, scans: Path, finished: dict[str, Path], workdir: Path) -> dict[str, Any]:
    """eval.py's results over all rows and scans, and the bands of k-space; tissue Dice too, if that is asked for."""
    niqe = workdir / f"niqe{NIQE_BLOCK}.npz"
    if not niqe.is_file():
        pristine = list_file(arguments.data, arguments.niqe_scans, workdir, "niqe.txt")
        run("eval.py", "fit-niqe", f"--output={niqe}", f"--hr={pristine}", f"--niqe_block={NIQE_BLOCK}", "--quiet")
    output = workdir / "evaluation"
    results = measured(scans, finished, output, f"--metrics={','.join(METRICS)}", f"--niqe_model={niqe}")
    subjects = [json.loads(path.read_text(encoding="utf-8")) for path in sorted((output / "subjects").glob("*.json"))]
    results["bands"] = {
        subject["subject"]: {name: found["bands"] for name, found in subject["methods"].items() if found["bands"]}
        for subject in subjects
    }
    if arguments.dice:
        chosen = list_file(arguments.data, arguments.test or arguments.development, workdir, "dice.txt")
        flags = ("--metrics=dice", "--segmenter=builtin", "--baselines=sinc")
        for row, found in measured(chosen, finished, workdir / "tissues", *flags)["values"].items():
            if "dice" in found:  # the original is its own truth
                results["values"][row]["dice"] = found["dice"]
    return results


def measured(scans: Path, finished: dict[str, Path], output: Path, *flags: str) -> dict[str, Any]:
    """What eval.py records of the finished rows."""
    folders = ",".join(f"{name}={folder}" for name, folder in finished.items())
    places = (f"--hr={scans}", f"--sr={folders}", f"--output={output}")
    (output / "run.json").unlink(missing_ok=True)  # an earlier run's would hide that this one failed
    # Results of scans that are not asked for are left out, which makes its exit code 1.
    run("eval.py", *places, "--nofigures", "--workers=2", *DEGRADATION, *flags, check=False)
    results = dict(json.loads((output / "run.json").read_text(encoding="utf-8"))["results"])
    asked = {stem(Path(line)) for line in scans.read_text(encoding="utf-8").splitlines()}
    if set(results["subjects"]) != asked:
        raise SystemExit(f"{output} holds results of {sorted(results['subjects'])}, not of {sorted(asked)}.")
    return results


def paired(values: dict[str, Any], splits: dict[str, list[str]], models: Sequence[str]) -> list[dict[str, Any]]:
    """Differences over the scans of a split that has enough: each network less sinc, the GANs less their like."""
    names = [Path(model).stem for model in models]
    pairs = [(name, other) for name in names for other in ("sinc", "sinc-dark")]
    pairs += [(name, names[0]) for name in names[1:]]
    found = []
    for split, scans in splits.items():
        if len(scans) < FEWEST_PAIRS:
            continue
        for first, second in pairs:
            for metric in PAIRED_METRICS:
                one, two = ([float(values[name][metric][scan]) for scan in scans] for name in (first, second))
                found.append({"split": split, **asdict(compare(metric, first, second, one, two, Conventions()))})
    return found


def keep_other_rows(record: RunRecord, older: dict[str, Any]) -> list[str]:
    """Put the rows of an older record beside those that were measured now; the names of all networks."""
    if any(older["config"][key] != record.config[key] for key in ("splits", "precision", "niqe_block")):
        raise SystemExit("The record is of other scans, or measured otherwise: measure all rows.")
    new = record.results
    fresh = [name for name in new["values"] if name not in older["results"]["values"]]
    for key in ("methods", "values", "checks"):
        new[key] = {**older["results"][key], **new[key]}
    new["infer_seconds"] = older["results"]["infer_seconds"]  # those of another day do not compare
    new["bands"] = {scan: {**older["results"]["bands"][scan], **found} for scan, found in new["bands"].items()}
    new["pictures"] = older["results"]["pictures"]
    record.data["models"] = {**older["data"]["models"], **record.data["models"]}
    record.config["metrics"] = older["config"]["metrics"]
    first = older["config"].get("added") or {"rows": [], "to": older["started"], "by": older["command"]}
    record.config["added"] = {**first, "rows": [*first["rows"], *fresh]}
    return list(record.data["models"])


def pictured(finished: dict[str, Path], models: Sequence[str], arguments: argparse.Namespace) -> dict[str, Path]:
    """The folders of the rows that are drawn: the networks that were named, else the first and whatever is sharp."""
    if arguments.picture_models:
        return {name: finished[name] for name in (Path(named).stem for named in arguments.picture_models.split(","))}
    first = Path(models[0]).stem
    sharp = [name for name in finished if ("gan" in name.lower() and " " not in name) or name.endswith(" auto")]
    return {name: finished[name] for name in dict.fromkeys([first, *sharp])}


if __name__ == "__main__":
    main()
