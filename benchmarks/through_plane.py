"""Thick slices of real anatomy to thin ones: slice networks, networks on volumes and interpolation, side by side.

    python benchmarks/through_plane.py --data=FOLDER_OF_SCANS [--models=NAME,FILE] [--workdir=WORK] [--splits=...]

Thick slices (a box of four thin ones, every four) are made of scans with thin slices of about 1 mm. S's Model 1 gets
one slice of the stack that a cubic spline brings back to the thin grid, `stack3` it and its two neighbours; both learn
by the `quick2d` recipe from training scans, Model 1 then goes on as SRGAN (mean squares in place of VGG's features,
whose weights are not here), and learns once more on coronal slices, which show the blur that axial ones hide.
Networks on volumes (--models: bundled names or files) get the thick stack as infer.py does. Measured inside the head,
in a slab around its middle; "between" are the thin slices that no thick one is centred on. The record is
benchmarks/results/through_plane.json; a run that was stopped goes on in its --workdir, and rows whose models are the
same are not made again.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import pages
from benchmarks.data_helpers import scans_beginning
from benchmarks.through_plane_page import ACROSS, AXIS, CUBIC, FACTOR, GAN, MARGIN, MSE, STACK, measured, thresholds
from data_prep.make_pairs import main as make_pairs
from data_prep.subjects import stem_of
from mdcsrn_tf.cli.train import main as train
from mdcsrn_tf.files import sha256_of
from mdcsrn_tf.run_record import RunRecord, plain, write_json
from mdcsrn_tf.scans import kspace
from mdcsrn_tf.scans.head import bounding_box, head_mask
from mdcsrn_tf.scans.slice_profile import SliceProfile
from mdcsrn_tf.scans.volumes import Volume, read_volume, to_ras, write_volume
from mdcsrn_tf.weights import find_model

RESULTS = pages.RESULTS / "through_plane.json"
LEARN = "sub-03_T1w,sub-12_T2w,sub-16,sub-17_T1w,sub-21_T1w,sub-24_T1w,sub-25_T2w"  # one scan a person
CHECK = "sub-06_T1w,sub-14_T2w"
SPLITS = {"development": "sub-07_T1w,sub-08_T2w", "test": "sub-11_T1w,sub-13_T1w,sub-15_T2w"}
PROFILE = SliceProfile("box", FACTOR)
PATCH = 32
EPOCHS = 6  # of patches from the scans to learn from; the others give a sixth of theirs
Method = Callable[[Volume, Volume], np.ndarray]  # of the thick stack and of it on the thin grid, a result there


@dataclass(frozen=True)
class Network:
    """One training by quick2d: its row, its preset, its planes and its phase."""

    row: str
    preset: str
    plane: str = "axial"
    phase: str = "l1"

    @property
    def stack(self) -> int:
        """How many slices it sees."""
        return 3 if self.preset.endswith("stack3") else 1

    @property
    def folder(self) -> str:
        """Of its run; the phases of one run share it."""
        return f"{self.preset.rpartition('/')[2]}-{self.plane}"


NETWORKS = (
    Network(MSE, "srgan2d/model1"),
    Network(STACK, "srgan2d/stack3"),
    Network(GAN, "srgan2d/model1", phase="gan"),
    Network(ACROSS, "srgan2d/model1", plane="coronal"),
)


def main() -> None:
    """Make the pairs, train, measure, keep the record."""
    arguments = parsed()
    record = RunRecord.begin({key: value for key, value in vars(arguments).items() if key != "data"})
    with tempfile.TemporaryDirectory() as folder:
        work = arguments.workdir or Path(folder)
        make_scans(arguments.data, work)
        rows = all_methods(arguments, work)
        for split in arguments.splits.split(","):
            scans = scans_beginning(arguments.data, SPLITS[split])
            found = {stem_of(path.name): measure_scan(path, rows, arguments.slab, work) for path in scans}
            record.results[split] = found
    record.results["thresholds"] = thresholds(record.results["development"])
    for name, met in record.results["thresholds"].items():
        print("met" if met else "not met", name, sep=": ")
    record.write(RESULTS, folders_kept=False)


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--workdir", type=Path, help="keep pairs, models and rows here, and go on here after a stop")
    parser.add_argument("--models", default="", help="networks on volumes: bundled names or files")
    parser.add_argument("--splits", default="development", help="development, or development,test")
    parser.add_argument("--steps", type=int, default=300, help="of each MSE training")
    parser.add_argument("--gan_steps", type=int, default=150)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rate", type=float, default=5e-4)
    parser.add_argument("--patches", type=int, default=300, help="of each scan to learn from")
    parser.add_argument("--precision", default="mixed_bfloat16", help="of the generators' training")
    parser.add_argument("--slab", type=int, default=32, help="thin slices of each scan that are measured")
    return parser.parse_args()


def thin(path: Path) -> Volume:
    """The scan in RAS+ with a multiple of FACTOR slices, float32."""
    volume = read_volume(path)
    data, affine = to_ras(volume.data, volume.affine)
    kept = data.shape[AXIS] - data.shape[AXIS] % FACTOR
    return replace(volume, data=np.ascontiguousarray(data[..., :kept], np.float32), affine=affine)


def thick(volume: Volume) -> Volume:
    """Its thick slices, on their own grid."""
    small = kspace.acquire(volume.data, (FACTOR,), (AXIS,), slices=PROFILE)
    affine = kspace.small_affine(volume.affine, (FACTOR,), (AXIS,), volume.data.shape)
    return replace(volume, data=small, affine=affine)


def brought_back(stack: Volume, grid: Volume, method: str) -> Volume:
    """The thick stack on the thin grid."""
    return replace(grid, data=kspace.interpolate(stack.data, grid.data.shape, (FACTOR,), (AXIS,), method))


def make_scans(data: Path, work: Path) -> None:
    """The scans to learn from, thick (by cubic splines on the thin grid) and thin, and who is in which split."""
    lines = ["subject\tsplit"]
    for beginnings, split in ((LEARN, "train"), (CHECK, "validation")):
        for path in scans_beginning(data, beginnings):
            lines.append(f"{path.name.split('_')[0]}\t{split}")
            name = f"{stem_of(path.name)}.nii"
            if (work / "high" / name).is_file():
                continue
            scan = thin(path)
            for kind, volume in (("low", brought_back(thick(scan), scan, "cubic")), ("high", scan)):
                (work / kind).mkdir(parents=True, exist_ok=True)
                write_volume(work / kind / name, volume.data, volume, affine=volume.affine)
    (work / "split.tsv").write_text("\n".join(dict.fromkeys(lines)) + "\n", encoding="utf-8")


def pairs_for(network: Network, patches: int, work: Path) -> Path:
    """The folder of its shards; what is there already is left as it is."""
    shards = work / f"shards-{network.plane}-{network.stack}"
    command = [
        f"--low={work / 'low'}",
        f"--high={work / 'high'}",
        f"--output={shards}",
        "--match=volume",
        f"--plane={network.plane}",
        f"--stack={network.stack}",
        f"--patch={PATCH}",
        "--normalisation=unit_range_of_low_res",
        f"--patches_per_subject={patches // EPOCHS}",
        f"--epochs_of_patches={EPOCHS}",
        f"--split={work / 'split.tsv'}",
        "--workers=1",
        "--quiet",
    ]
    _must(make_pairs(command))
    return shards


def trained(network: Network, arguments: argparse.Namespace, work: Path) -> Path:
    """The network's file; what is trained already is left as it is."""
    gan = network.phase == "gan"
    command = [
        f"--data={pairs_for(network, arguments.patches, work)}",
        f"--workdir={work / network.folder}",
        f"--preset={network.preset}",
        "--recipe=quick2d",
        f"--phase={network.phase}",
        f"--steps={arguments.gan_steps if gan else arguments.steps}",
        f"--batch_size={arguments.batch}",
        f"--set=patch_size={PATCH}",
        f"--learning_rate={arguments.rate}",
        f"--precision={arguments.precision}",
        "--loss=l2",
        "--set=critic.filters=16",
        f"--set={network.phase}.learning_rate_decay=cosine",
        "--set=run.checkpoint_minutes=3",
        "--set=run.keep_checkpoints=1",
        "--set=run.validate_every=75",
    ]
    _must(train(command))
    return work / network.folder / f"{'last' if gan else 'best'}_{network.phase}.keras"


def _must(code: int) -> None:
    if code:
        raise SystemExit(code)


def all_methods(arguments: argparse.Namespace, work: Path) -> dict[str, tuple[dict[str, Any], Method]]:
    """Every row: what decides it, and how it is made."""
    rows: dict[str, tuple[dict[str, Any], Method]] = {}
    for name in ("linear", CUBIC, "sinc"):
        rows[name] = ({}, lambda stack, grid, name=name: brought_back(stack, grid, name).data)  # type: ignore[misc]
    for network in NETWORKS:
        path = trained(network, arguments, work)
        rows[network.row] = ({"sha256": sha256_of(path)}, by_slices(path))
    for name in filter(None, arguments.models.split(",")):
        path = find_model(name)
        rows[path.stem] = ({"sha256": sha256_of(path)}, by_volume(path))
    return rows


def by_slices(path: Path) -> Method:
    """A slice network on the stack that cubic splines brought back."""

    def apply(stack: Volume, grid: Volume) -> np.ndarray:
        from mdcsrn_tf.inference.engines import load_engine
        from mdcsrn_tf.inference.settings import Settings
        from mdcsrn_tf.inference.slice_run import run_planes

        engine: Any = load_engine(path, Settings())
        return run_planes(engine, brought_back(stack, grid, "cubic").data, Settings()).data

    return apply


def by_volume(path: Path) -> Method:
    """A network on volumes on the thick stack itself, as infer.py goes about it."""

    def apply(stack: Volume, grid: Volume) -> np.ndarray:
        from mdcsrn_tf.inference.engines import load_engine
        from mdcsrn_tf.inference.scan import super_resolve_scan
        from mdcsrn_tf.inference.settings import ScanSettings, Settings

        settings = Settings(precision="bfloat16")
        wanted = ScanSettings(grid="small", axes="IS", factor=str(FACTOR), force=True)
        return super_resolve_scan(stack, load_engine(path, settings), settings, wanted).data

    return apply


def measure_scan(
    path: Path, rows: dict[str, tuple[dict[str, Any], Method]], slab: int, work: Path
) -> dict[str, dict[str, float]]:
    """Every row's measures of one scan; those that a stopped run has left are taken from its folder."""
    scan = middle(thin(path), slab + 2 * MARGIN)
    stack = thick(scan)
    inside = head_mask(scan.data, np.linalg.norm(scan.affine[:3, :3], axis=0))
    found = {}
    for name, (decided, make) in rows.items():
        asked = plain({**decided, "slab": slab})
        kept = work / "rows" / stem_of(path.name) / f"{name.replace(' ', '-')}.json"
        if kept.is_file() and (old := json.loads(kept.read_text(encoding="utf-8")))["asked"] == asked:
            found[name] = old["values"]
            continue
        found[name] = measured(make(stack, scan), scan.data, inside)
        write_json(kept, {"asked": asked, "values": found[name]})
        print(stem_of(path.name), name, *(f"{key} {value:.3f}" for key, value in found[name].items()), flush=True)
    return found


def middle(volume: Volume, slices: int) -> Volume:
    """So many slices around the head's middle (whole thick ones), and in the plane the head with a border."""
    box = bounding_box(head_mask(volume.data, np.linalg.norm(volume.affine[:3, :3], axis=0)), border=4)
    centre = (box[AXIS].start + box[AXIS].stop) // 2
    first = max(0, min(centre - slices // 2, volume.data.shape[AXIS] - slices)) // FACTOR * FACTOR
    corner = (box[0].start, box[1].start, first)
    affine = volume.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ np.array(corner)
    data = np.ascontiguousarray(volume.data[box[0], box[1], first : first + slices])
    return replace(volume, data=data, affine=affine)


if __name__ == "__main__":
    main()
