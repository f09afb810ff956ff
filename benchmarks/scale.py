"""What large studies would take: docs/scale.md, from this machine's measured unit costs. Generated, never typed.

    python benchmarks/scale.py

Every number is a record of benchmarks/results/ times a count that the page names; nothing is measured here.
"""

from __future__ import annotations

import statistics
import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import pages
from mdcsrn_tf.papers import get_preset
from mdcsrn_tf.training.schedule import GanSchedule

PAGE = pages.ROOT / "docs" / "scale.md"
PRESET = get_preset("journal/b4u4k12")
RECIPE = PRESET.training
HALF = 2  # bytes of a float16, in which patches are stored
STORED = 2  # bytes of a stored voxel, before compression
HOUR, DAY, GB, TB = 3600.0, 86_400.0, 1e9, 1e12


@dataclass(frozen=True)
class Costs:
    """Seconds and bytes of one unit of work on the machine of the records."""

    cores: int
    prepared_voxels: int  # of the scan that the data benchmark prepares
    prepare: float  # seconds a scan, one process
    prepare_gb: float
    pairs_a_second: float  # read, verified and augmented
    l1_step: float
    critic_step: float
    generator_step: float
    inferred_voxels: int
    infer: float  # seconds a volume
    in_eight_bits: float  # as a share of that
    infer_gib: float


@dataclass(frozen=True)
class Study:
    """A number of scans of one size."""

    name: str
    scans: int
    shape: tuple[int, int, int]

    @property
    def voxels(self) -> int:
        """Of one scan."""
        return self.shape[0] * self.shape[1] * self.shape[2]


HCP = Study("HCP (1,113 subjects, as the papers)", 1_113, (256, 320, 320))
BIOBANK = Study("UK Biobank's size (100,000 scans)", 100_000, (208, 256, 256))
STUDIES = (HCP, BIOBANK)


def costs() -> Costs:
    """From the records."""
    shards, reading = pages.read("make_shards.json"), pages.read("read_shards.json")
    steps = {kind: _step(kind) for kind in ("l1", "critic", "generator")}
    volume = pages.read("infer_volume.json")
    rows = {row["contender"]: row for row in volume["results"]["rows"]}
    row = rows["tensorflow-bfloat16"]
    return Costs(
        cores=volume["device"]["cores"],
        prepared_voxels=_product(shards["config"]["shape"]),
        prepare=shards["results"]["best_s"],
        prepare_gb=shards["results"]["peak_gb"],
        pairs_a_second=reading["results"]["augmented"]["pairs_per_s"],
        l1_step=steps["l1"],
        critic_step=steps["critic"],
        generator_step=steps["generator"],
        inferred_voxels=_product(volume["config"]["shape"]),
        infer=row["median_seconds"],
        in_eight_bits=rows["openvino-int8"]["median_seconds"] / row["median_seconds"],
        infer_gib=row["peak_gib"],
    )


def _step(kind: str) -> float:
    """Median seconds of a step in mixed bfloat16: of the processor, over its cores, as other work ran beside it."""
    record = pages.read(f"train_step_{kind}.json")
    rows = {row["contender"]: row for row in record["results"]["contenders"]}
    return statistics.median(rows["tensorflow-mixed_bfloat16"]["cpu_seconds"]) / record["device"]["cores"]


def _product(shape: list[int]) -> int:
    return shape[0] * shape[1] * shape[2]


def preparation(study: Study, unit: Costs) -> dict[str, float]:
    """Core hours and disk of one epoch's patches, and the hours of 8 and of 256 processes."""
    hours = study.scans * unit.prepare * study.voxels / unit.prepared_voxels / HOUR
    pair = 2 * HALF * RECIPE.patch_size**3
    patches = study.scans * RECIPE.patches_per_subject
    return {
        "core_hours": hours,
        "hours_8": hours / 8,
        "hours_256": hours / 256,
        "scans_tb": study.scans * study.voxels * STORED / TB,
        "shards_gb": patches * pair / GB,
    }


def training(unit: Costs) -> dict[str, float]:
    """Days of the journal's schedule on this machine, and what a device must do for it to take a week."""
    l1, gan = RECIPE.phase("l1"), RECIPE.phase("gan")
    shares = GanSchedule.of(gan).shares()
    l1_days = l1.steps * unit.l1_step / DAY
    gan_days = (shares["critic"] * unit.critic_step + shares["generator"] * unit.generator_step) / DAY
    return {
        "l1_days": l1_days,
        "gan_days": gan_days,
        "times_faster_for_a_week": (l1_days + gan_days) / 7,
        "feeds": unit.pairs_a_second / RECIPE.batch_size * unit.l1_step,  # how many such machines one reader feeds
    }


def seconds_of_a_scan(study: Study, unit: Costs) -> float:
    """Of inference on this machine: a tile's time goes with the voxels."""
    return unit.infer * study.voxels / unit.inferred_voxels


def inference(study: Study, unit: Costs) -> dict[str, float]:
    """Hours of one machine, and the machines for a week."""
    hours = study.scans * seconds_of_a_scan(study, unit) / HOUR
    return {"hours": hours, "machines_for_a_week": hours / (7 * 24), "results_tb": study.scans * study.voxels * 4 / TB}


def page() -> str:
    """The whole page."""
    unit = costs()
    lines = [INTRODUCTION.format(cores=unit.cores, memory=unit.prepare_gb), *_preparation_table(unit), ""]
    trained = training(unit)
    lines += [TRAINING.format(unit=unit, recipe=RECIPE, **trained)]
    told = {"seconds": seconds_of_a_scan(HCP, unit), "millions": unit.inferred_voxels / 1e6}
    lines += ["## Inference", "", INFERENCE.format(unit=unit, **told), "", *_inference_table(unit), "", LAST]
    return "\n".join(lines)


def _preparation_table(unit: Costs) -> list[str]:
    head = ["study", "core hours", "hours on 8 cores", "hours on 256", "scans (TB)", "shards of an epoch (GB)"]
    rows = []
    for study in STUDIES:
        found = preparation(study, unit)
        rows.append([study.name, *(_figure(value) for value in found.values())])
    return pages.table(head, rows)


def _inference_table(unit: Costs) -> list[str]:
    head = ["study", f"hours on {unit.cores} cores", "such machines for a week", "results, float32 (TB)"]
    rows = [[study.name, *(_figure(value) for value in inference(study, unit).values())] for study in STUDIES]
    return pages.table(head, rows)


def _figure(value: float) -> str:
    """Two significant digits below 10, whole numbers above."""
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


INTRODUCTION = """# What large studies would take

Generated by `python benchmarks/scale.py` from `benchmarks/results/*.json`; do not edit. Unit costs were measured on
{cores} cores without a GPU; everything else is arithmetic with them, and nothing below was run at that size.

## Data preparation

`mdcsrn-shards` takes scans one by one: no scan waits for another, a process needs {memory:.1f} GB, and its time is a
scan's voxels. On a cluster, `--cluster=tcp://SCHEDULER` hands the same work to Dask workers that see the same folders.
"""

TRAINING = """## Training

The schedule of `journal/b4u4k12`, batch {recipe.batch_size} of {recipe.patch_size}^3, on {unit.cores} cores:

| phase | a step (s) | the whole phase (days) |
| --- | ---: | ---: |
| L1 | {unit.l1_step:.2f} | {l1_days:.0f} |
| GAN | {unit.critic_step:.2f} the critic's, {unit.generator_step:.2f} the generator's | {gan_days:.0f} |

A device {times_faster_for_a_week:.1f} times as fast ends both within a week. One process reads, verifies and augments
{unit.pairs_a_second:.0f} pairs a second: enough for {feeds:.0f} times the speed of these cores.

- **8 GPUs, one host**: `--strategy=mirrored --batch_size=48`. Each replica takes its share of a batch; statistics of
  batch normalisation are each replica's own, and the rate is not scaled for you. One host's reader feeds all eight.
- **Several hosts**: `--strategy=multiworker` with `TF_CONFIG`. Each worker reads its share alone, so that reading grows
  with the hosts; a lost worker makes the others wait, and all go on from the last checkpoint, to the bit.
"""

INFERENCE = """A scan of the HCP's size takes {seconds:.0f} s in bfloat16, by what {millions:.1f} million voxels took,
and {unit.infer_gib:.1f} GiB for the tiles beside its own copies;
in eight bits (`--engine=openvino --precision=int8`) {unit.in_eight_bits:.0%} of that time.
Scans share nothing, so a farm is a list of scans cut into parts: one `mdcsrn-infer --input=part07.txt` a machine, all
into one output folder. Finished scans are passed over: a part that was cut short is simply given again."""

LAST = f"""## What breaks first

1. **Disk, in preparation.** A pair is {2 * HALF * RECIPE.patch_size**3 / 1e6:.2f} MB in float16, and more epochs of
   patches (`--epochs_of_patches`) multiply the last column.
2. **Reading, in training.** Several GPUs on one host may ask for more pairs than one process prepares; two hosts read
   twice as much.
3. **Files, in inference.** 100,000 results and their sidecars in one folder are slow to list on most file systems: take
   an output folder a part.
4. **Patience.** No line of this was run on a GPU or a cluster: measure one scan and a hundred steps first.
"""


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
