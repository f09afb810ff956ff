"""What the models of the field study must reach, and the study's tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from benchmarks import pages

PAGE = pages.ROOT / "docs" / "field_study.md"
BEGIN, END = "<!-- table of field_study.py -->", "<!-- end of the table -->"
FLOOR = "input under its best curve"
UNET, GAN, DCSRN, FCN2 = "unet7 without its discriminator", "unet7", "dcsrn2d-l1", "fcn2"
SHORT_FCN2, SHORT_DCSRN = f"{FCN2}, 300 steps", f"{DCSRN}, 300 steps"
FCN2_BY_L1 = f"{FCN2}-by-l1, 300 steps"
Rows = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Threshold:
    """What is asked of a row: a value of each scan, and its limit."""

    asked: str
    rows: tuple[str, ...]  # all that it needs
    limit: float
    value: Callable[[Rows, str], float] | None = None  # of all rows and a scan; None: of the training, kept apart
    bound: Literal["at least", "at most"] = "at least"

    def judged(self, values: Sequence[float]) -> dict[str, Any]:
        """Whether all values meet the limit, as JSON."""
        met = all(value >= self.limit if self.bound == "at least" else value <= self.limit for value in values)
        return {"asked": self.asked, "bound": self.bound, "limit": self.limit, "values": values, "met": met}


def _lead(name: str, other: str, measure: str = "psnr") -> Callable[[Rows, str], float]:
    """PSNR of one row over another's, dB."""
    return lambda rows, scan: rows[name][scan][measure] - rows[other][scan][measure]


THRESHOLDS = (
    Threshold("U-net, L1 alone, over the floor (dB)", (UNET, FLOOR), 0.3, _lead(UNET, FLOOR)),
    Threshold("DCSRN2D, L1, over the floor (dB)", (DCSRN, FLOOR), 0.2, _lead(DCSRN, FLOOR)),
    Threshold(
        "U-net, L1 alone, over the floor where the truth is above its mean (dB)",
        (UNET, FLOOR),
        0.3,
        _lead(UNET, FLOOR, "psnr_bright"),
    ),
    Threshold(
        "DCSRN2D, L1, over the floor where the truth is above its mean (dB)",
        (DCSRN, FLOOR),
        0.2,
        _lead(DCSRN, FLOOR, "psnr_bright"),
    ),
    Threshold("FCN2 over DCSRN2D (dB)", (FCN2, DCSRN), -2.0, _lead(FCN2, DCSRN), "at most"),
    Threshold(
        "FCN2 over DCSRN2D, both after 300 steps (dB)",
        (SHORT_FCN2, SHORT_DCSRN),
        -2.0,
        _lead(SHORT_FCN2, SHORT_DCSRN),
        "at most",
    ),
    Threshold(
        "FCN2 over DCSRN2D, both after 300 steps and by L1 (dB)",
        (FCN2_BY_L1, SHORT_DCSRN),
        -2.0,
        _lead(FCN2_BY_L1, SHORT_DCSRN),
        "at most",
    ),
    Threshold(
        "U-net GAN: energy in the high band over its L1 network's",
        (GAN, UNET),
        2.0,
        lambda rows, scan: rows[GAN][scan]["high_energy"] / rows[UNET][scan]["high_energy"],
    ),
    Threshold(
        "U-net GAN: correlation in the middle band", (GAN,), 0.85, lambda rows, scan: rows[GAN][scan]["mid_correlation"]
    ),
    Threshold("U-net GAN over its L1 network (dB)", (GAN, UNET), -3.0, _lead(GAN, UNET)),
)
CRITIC = Threshold(
    "the discriminator against the L1 network, which stands still: loss over steps 101 to 150 (chance: 0.69)",
    (UNET,),
    0.3,
    bound="at most",
)


def thresholds(results: dict[str, Any]) -> list[dict[str, Any]]:
    """Each threshold whose rows are there, judged."""
    rows, scans = results["rows"], results["scans"]
    there = [entry for entry in THRESHOLDS if set(entry.rows) <= set(rows)]
    found = [entry.judged([entry.value(rows, scan) for scan in scans]) for entry in there if entry.value]
    return [*found, *([CRITIC.judged([results["critic_alone"]])] if "critic_alone" in results else [])]


def threshold_rows(found: Sequence[dict[str, Any]]) -> list[list[str]]:
    """What is asked, the limit, the values, and whether they meet it."""
    return [
        [
            entry["asked"],
            f"{entry['bound']} {entry['limit']:g}",
            ", ".join(f"{value:.3f}" for value in entry["values"]),
            "met" if entry["met"] else "not met",
        ]
        for entry in found
    ]


def section(record: dict[str, Any]) -> str:
    """The section of docs/results.md: what was asked, and where every model's row stands."""
    results = record["results"]
    lines = [
        "## Two fields from one scan: the 7T paper's models",
        "",
        f"{pages.circumstances(record)} On {' and '.join(results['scans'])}; the row of every model "
        "that was trained, and what the study cannot show, are in [field_study.md](field_study.md).",
        "",
    ]
    return "\n".join([*lines, *_threshold_table(results), ""])


def write_table(record: dict[str, Any]) -> None:
    """Put the record's tables between the page's marks."""
    page = PAGE.read_text(encoding="utf-8")
    before, after = page.split(BEGIN)[0], page.split(END)[1]
    PAGE.write_text(before + "\n".join([BEGIN, *tables(record), END]) + after, encoding="utf-8")


def tables(record: dict[str, Any]) -> list[str]:
    """The lines of a caption, of the table of all rows, and of the thresholds' where any was judged."""
    config, results = record["config"], record["results"]
    caption = (
        f"{pages.circumstances(record)} Regression and forest ({config['trees']} trees) learned from "
        f"{config['pixels']} pixels; measured on {config['slices']} axial slices of each scan."
    )
    scans = results["scans"]
    head = [
        "",
        "steps x patches, rate",
        *(f"{scan}: PSNR, mid band, high band" for scan in scans),
        "seams: side by side / averaged",
    ]
    body = [
        [name, _length(row), *(_cell(row, scan) for scan in scans), _seams(row, scans)]
        for name, row in results["rows"].items()
    ]
    lines = [caption, "", *pages.table(head, body)]
    return [*lines, "", *_threshold_table(results)]


def _threshold_table(results: dict[str, Any]) -> list[str]:
    """Where no model was trained that a threshold is about, there is no table."""
    judged = threshold_rows(results.get("thresholds", []))
    return pages.table(("asked", "limit", "found", ""), judged) if judged else []


def _length(row: dict[str, Any]) -> str:
    if "steps" not in row:
        return ""
    extras = [f"kept at {row['kept']}"] if row.get("kept", row["steps"]) != row["steps"] else []
    extras += ["falling to 0"] if row.get("decay") == "cosine" else []
    extras += ["averaged weights"] if row.get("ema") else []
    extras += ["begun at its generator alone"] if "start" in row else []
    extras += [row["device"]] if "device" in row else []
    extras += ["random features"] if row.get("features") == "random" else []
    found = ", ".join([f"{row['steps']} x {row['batch']} at {row['rate']:g}", *extras])
    return f"{_length(row['before'])}; then {found}" if row.get("before") else found


def _cell(row: dict[str, Any], scan: str) -> str:
    """PSNR, of a network also under its best curve, and the bands' energies and correlations."""
    value = row[scan]
    curved = f" ({row['psnr_under_curve'][scan]:.2f})" if "psnr_under_curve" in row else ""
    bands = (f"{value[f'{band}_energy']:.2f} / {value[f'{band}_correlation']:.2f}" for band in ("mid", "high"))
    return ", ".join([f"{value['psnr']:.2f}{curved}", *bands])


def _seams(row: dict[str, Any], scans: Sequence[str]) -> str:
    """Of cores side by side, then of averaged tiles; the scans' mean."""
    if "seams" not in row:
        return ""
    means = (sum(row["seams"][scan][kind] for scan in scans) / len(scans) for kind in ("cores", "averaged"))
    return " / ".join(f"{mean:.2f}" for mean in means)
