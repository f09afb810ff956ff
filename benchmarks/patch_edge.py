"""Voxels a second of an L1 step of journal/b4u4k12 by the edge of its patches: does a smaller patch, or one alone, pay?

    python benchmarks/patch_edge.py [--forms=16x94,24x28,...] [--rounds=3]

A form is an edge and how many patches a step takes. Each takes turns with the papers' (40^3, six at a time), two
processes at a time, in mixed bfloat16; the papers' form is its own measure, 1. Writes
benchmarks/results/patch_edge.json and docs/images/patch_edge.png.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import pages, side_by_side
from benchmarks.train_step import PRESET, RECIPE
from mdcsrn_tf.run_record import RunRecord
from mdcsrn_tf.workers import available_cores

RECORD = "patch_edge.json"
PICTURE = pages.ROOT / "docs" / "images" / "patch_edge.png"
PAPERS = (RECIPE.patch_size, RECIPE.batch_size)
# About as many voxels a step as the papers', and one patch at a time: feature maps that a cache might hold.
FORMS = "16x94,24x28,32x12,48x3,64x1,16x8,24x1,32x1,40x1"
ENGINE = "tensorflow-mixed_bfloat16"


def main() -> None:
    """Let every form take turns with the papers', keep the record after each, draw it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--forms", default=FORMS)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    record = RunRecord.begin({"preset": PRESET.name, "papers": PAPERS, "rounds": arguments.rounds})
    record.results["forms"] = rows = []
    for edge, batch in parsed(arguments.forms):
        pair = [contender(edge, batch), contender(*PAPERS)]
        side_by_side.take_turns(pair, arguments.rounds)
        rows.append({"edge": edge, "batch": batch, **side_by_side.result(*pair)})
        side_by_side.print_row(rows[-1])
        record.write(pages.RESULTS / RECORD, folders_kept=False)
    draw(pages.read(RECORD))


def parsed(forms: str) -> list[tuple[int, int]]:
    """`16x94,24x28` as edges and counts."""
    pairs = (form.split("x") for form in forms.split(","))
    return [(int(edge), int(batch)) for edge, batch in pairs]


def contender(edge: int, batch: int) -> side_by_side.Contender:
    """A process that takes L1 steps of that form."""
    script = Path(__file__).with_name("train_step.py")
    flags = [f"--engine={ENGINE}", "--kinds=l1", f"--patch={edge}", f"--batch_size={batch}"]
    command = [sys.executable, str(script), *flags, f"--threads={available_cores()}"]
    return side_by_side.Contender(f"{edge}^3 x {batch}", command)


def speeds(record: dict[str, Any]) -> list[tuple[int, int, float, float]]:
    """Edge, count, and voxels a second over the papers' form's, by the clock and by the processor's."""
    edge, batch = record["config"]["papers"]
    found = [(edge, batch, 1.0, 1.0)]
    for row in record["results"]["forms"]:
        voxels = row["batch"] * row["edge"] ** 3 / (batch * edge**3)
        found.append((row["edge"], row["batch"], voxels / row["ratio"], voxels / row["cpu_ratio"]))
    return sorted(found)


def of_full_steps(record: dict[str, Any], batch: int, edge: int) -> bool:
    """Whether a form takes about as many voxels a step as the papers'."""
    papers = record["config"]["papers"]
    return batch * edge**3 > papers[1] * papers[0] ** 3 / 2


def draw(record: dict[str, Any]) -> None:
    """The speeds over the edge: a line for steps of equal voxels, squares for smaller steps."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3.6), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    for full, title in ((True, "as many voxels a step as 6 of 40³"), (False, "fewer")):
        found = [x for x in speeds(record) if of_full_steps(record, x[1], x[0]) == full]
        axis.plot([x[0] for x in found], [x[2] for x in found], "o-" if full else "s", label=title)
        for edge, batch, speed, _ in found:
            axis.annotate(f"{batch}", (edge, speed), textcoords="offset points", xytext=(0, 6), ha="center", fontsize=8)
    axis.set_xlabel("edge of a patch (voxels); the numbers are patches a step")
    axis.set_ylabel("voxels a second, 6 of 40³ = 1")
    axis.set_xticks(sorted({x[0] for x in speeds(record)}))
    axis.set_ylim(0, 1.2)
    axis.legend(loc="lower right")
    figure.savefig(PICTURE)


def section(record: dict[str, Any]) -> str:
    """The speeds, and the picture."""
    config = record["config"]
    edge, batch = config["papers"]
    found, peaks = speeds(record), {(row["edge"], row["batch"]): row for row in record["results"]["forms"]}
    papers_peak = statistics.median(row["reference_peak_gib"] for row in peaks.values())
    rows = []
    for one, count, speed, cpu in found:
        peak = peaks[one, count]["peak_gib"] if (one, count) in peaks else papers_peak
        rows.append([f"{count} of {one}^3", f"{speed:.2f}", f"{cpu:.2f}", f"{peak * 2**30 / 1e9:.2f}"])
    lines = [
        f"## One L1 step of {config['preset']} by the edge of its patches",
        "",
        f"{pages.circumstances(record)} Medians of {config['rounds']} rounds, mixed bfloat16. Voxels a second, of the "
        f"clock and of the processor's seconds, each timed in turns with the papers' {batch} of {edge}^3, which is 1. "
        "Fewer patches a step are other statistics and another training, too; steps of less than 32,768 voxels run by "
        "Keras's own layers.",
        "",
        *pages.table(["a step", "voxels a second", "a CPU second", "peak GB"], rows),
        "",
        f"![Voxels a second by the edge of a patch](images/{PICTURE.name})",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
