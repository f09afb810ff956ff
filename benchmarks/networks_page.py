"""The networks' section of docs/results.md: what benchmarks/networks.py's record says."""

from __future__ import annotations

import math
from typing import Any

from benchmarks.pages import TITLES, added, circumstances, number, table
from mdcsrn_tf.papers import TABLES, get_recipe

HEAD = ("psnr_head", "ssim_head", "nrmse_head", "psnr3d_head", "ssim3d_head")
PAPERS = ("psnr", "ssim", "nrmse")
OTHERS = ("band_db", "band_corr", "piqe", "niqe", "dice")
GROUPS = {
    "Inside the head": HEAD,
    "All voxels, as the papers": PAPERS,
    "Detail, and scores without a reference": OTHERS,
}
SPLITS = {
    "test": "Test scans: never trained on, tuned or chosen by",
    "development": "Development scans: never trained on, but looked at while choosing",
}
WAYS = (
    "Flags after a network's name: `--ensemble=2` (`ensemble8`: 8), `--consistency`, `--detail=1.6` (`detail`), "
    "`--detail=auto` (`auto`), `--engine=openvino --precision=int8` (`int8`)."
)
MEASURES = ("measured_error", "checkerboard_db", "tiles_db")
KINSHIP = (
    "Of the test scans 11 comes from the scanner of a validation scan (10), 19 from that of a training scan (18), "
    "28 and 29 from that of training scans (26, 27); 13 and 15 are other people of the cohort of 07, 08, 12 and 14."
)


def section(record: dict[str, Any]) -> str:
    """All splits, the gains scan by scan, intervals, checks, bands, the papers' numbers and pictures."""
    config = record["config"]
    lines = [
        f"## Networks on scans that none was trained on, degraded 2x2 along {config['axes']}",
        "",
        f"{circumstances(record)} Each scan's small matrix by `infer.py --grid=small "
        f"--precision={config['precision']}`, all else by default; `sinc-dark` is sinc with everything outside its "
        "head mask set to zero. `head`: inside the reference's head alone, where air cannot flatter. Removed band: "
        "power in the k-space that was removed, relative to the original's (0 is right, below it blur), and its "
        "correlation with the original's (1 is truth, 0 invention). NIQE's model has blocks of "
        f"{config['niqe_block']} pixels. {WAYS} DSC: grey and white matter and fluid against the original's, by "
        f"eval.py's own segmenter, where it was measured.{added(config)}",
        "",
    ]
    for split, scans in config["splits"].items():
        if scans:
            lines += [f"### {SPLITS[split]}", "", *means(record, scans), "", *gains(record, scans), ""]
            lines += [KINSHIP, ""] if split == "test" else []
    for part in (intervals, price_of_sharpness, checks, bands, pictures, seconds):
        lines += part(record)
    return "\n".join([*lines, *beside_the_papers(record), ""])


def methods(record: dict[str, Any], metric: str) -> list[str]:
    """The rows that have the metric, in the order of evaluation."""
    return [name for name, found in record["results"]["values"].items() if metric in found]


def networks(record: dict[str, Any]) -> list[str]:
    """The rows that are a network's, its other ways of inference among them, in the order of evaluation."""
    models = record["data"]["models"]
    return [name for name in methods(record, "psnr") if name.split(" ")[0] in models]


def mean(record: dict[str, Any], method: str, metric: str, scans: list[str]) -> float:
    """Over the scans that have a value; NaN where none has."""
    found = record["results"]["values"][method].get(metric, {})
    values = [float(found[scan]) for scan in scans if found.get(scan) is not None]
    return sum(values) / len(values) if values else math.nan


def cell(record: dict[str, Any], method: str, metric: str, scans: list[str]) -> str:
    """The mean as text; with a count where not all scans have a value."""
    having = sum(record["results"]["values"][method].get(metric, {}).get(scan) is not None for scan in scans)
    return number(mean(record, method, metric, scans), metric) + (f" (n = {having})" if 0 < having < len(scans) else "")


def means(record: dict[str, Any], scans: list[str]) -> list[str]:
    """Every method's mean in every metric: inside the head, then the papers', then the others."""
    lines: list[str] = []
    for title, group in GROUPS.items():
        columns = [metric for metric in group if metric in record["config"]["metrics"]]
        names = list(record["results"]["values"]) if group is OTHERS else methods(record, columns[0])
        rows = [[name, *(cell(record, name, metric, scans) for metric in columns)] for name in names]
        heading = f"{title}, mean over {len(scans)} scan{'s' * (len(scans) > 1)}:"
        lines += [heading, "", *table(["", *(TITLES[metric] for metric in columns)], rows), ""]
    return lines[:-1]


def gains(record: dict[str, Any], scans: list[str]) -> list[str]:
    """Each network less zero-filled sinc, scan by scan and by contrast, inside the head."""
    groups = {scan: [scan] for scan in scans}
    for contrast in sorted({scan.rpartition("_")[2] for scan in scans}):
        chosen = [scan for scan in scans if scan.endswith(f"_{contrast}")]
        if len(chosen) > 1:
            groups[f"**all {len(chosen)} {contrast}**"] = chosen
    groups[f"**all {len(scans)}**"] = scans
    rows = [[name, *(gain(record, name, chosen) for chosen in groups.values())] for name in networks(record)]
    text = "Gain over zero-filled sinc inside the head, PSNR (dB) / SSIM:"
    return [text, "", *table(["", *groups], rows)]


def gain(record: dict[str, Any], name: str, scans: list[str]) -> str:
    """A network's mean less sinc's."""
    cells = (
        number(mean(record, name, metric, scans) - mean(record, "sinc", metric, scans), metric, sign=True)
        for metric in ("psnr_head", "ssim_head")
    )
    return " / ".join(cells)


def intervals(record: dict[str, Any]) -> list[str]:
    """Paired differences over the scans of a split that has enough of them."""
    found = record["results"]["paired"]
    if not found:
        return []
    rows = []
    for pair in found:
        numbers = [number(pair[key], pair["metric"], sign=True) for key in ("difference", "low", "high")]
        p_value = "" if pair["p_value"] is None else f"{pair['p_value']:.3f}"
        names = f"{pair['first']} less {pair['second']}"
        rows.append(
            [
                names,
                pair["split"],
                str(pair["subjects"]),
                TITLES[pair["metric"]],
                numbers[0],
                f"{numbers[1]} to {numbers[2]}",
                p_value,
            ]
        )
    head = ["", "scans", "n", "metric", "mean difference", "95 % interval", "Wilcoxon p"]
    text = "Scan by scan: the mean over scans, its bootstrap interval, and Wilcoxon's signed rank test (two-sided)."
    return ["### Paired differences over scans", "", text, "", *table(head, rows), ""]


def price_of_sharpness(record: dict[str, Any]) -> list[str]:
    """What each GAN, and detail as strong as an original's, gains in sharpness and loses in fidelity, scan by scan."""
    default, *others = record["data"]["models"]
    lines: list[str] = []
    for name in [*filter(is_gan, others), *(name for name in networks(record) if name.endswith(" auto"))]:
        rows = [_price(record, default, name, scan) for scan in record["results"]["subjects"]]
        nearer = [sum(row[k].endswith("yes") for row in rows) for k in (5, 6)]
        text = (
            f"`{name}` beside `{default}`: what it costs inside the head (PSNR, dB), power in the removed band (dB, "
            "0 is the original's), and the distance of PIQE and NIQE from the original's own, of the default and "
            f"of this: nearer on {nearer[0]} and {nearer[1]} of {len(rows)} scans. Measured k-space: see Checks."
        )
        head = [
            "",
            "PSNR less default",
            "less bicubic",
            "band: default",
            "band: this",
            "PIQE: nearer?",
            "NIQE: nearer?",
        ]
        lines += [f"### The price of {name}", "", text, "", *table(head, rows), ""]
    return lines


def _price(record: dict[str, Any], default: str, sharp: str, scan: str) -> list[str]:
    values = record["results"]["values"]
    psnr = {name: float(values[name]["psnr_head"][scan]) for name in (default, sharp, "bicubic")}
    row = [scan, *(number(psnr[sharp] - psnr[name], "psnr", sign=True) for name in (default, "bicubic"))]
    row += [number(values[name].get("band_db", {}).get(scan), "band_db") for name in (default, sharp)]
    for metric in ("piqe", "niqe"):
        found = [values[name].get(metric, {}).get(scan) for name in (default, sharp, "original")]
        if None in found:
            row.append("")
            continue
        one, two = (abs(float(value) - float(found[2])) for value in found[:2])
        row.append(f"{number(one, metric)}, {number(two, metric)}: {'yes' if two < one else 'no'}")
    return row


def checks(record: dict[str, Any]) -> list[str]:
    """Shift, consistency, patterns and self-check: the worst over scans."""
    rows = []
    for name, scans in record["results"]["checks"].items():
        shift = max(abs(value) for found in scans.values() for value in found["shift_voxels"])
        worst = [max(found[key] for found in scans.values()) for key in MEASURES]
        gains = [found["self_check_db"] for found in scans.values() if found.get("self_check_db") is not None]
        self_check = f"{sum(gains) / len(gains):+.2f} ({min(gains):+.2f})" if gains else ""
        rows.append([name, f"{shift:.2f}", f"{worst[0]:.4f}", f"{worst[1]:.1f}", f"{worst[2]:.1f}", self_check])
    text = (
        "The worst scan of each row. Shift: voxels along any axis that register it to the original. Measured "
        "k-space: RMS of the difference between the result's own low-resolution image and the one it was made of, "
        "over its RMS. Patterns: how far the mean spectrum of the difference from the original stands out at the "
        "periods of 2 and 4 voxels and of the tiles (64). Self-check: gain over sinc, inside the head, on the "
        "low-resolution scan degraded once more: mean (worst); it needs no original."
    )
    head = ["", "shift", "measured k-space", "checkerboard (dB)", "tiles (dB)", "self-check (dB)"]
    return ["### Checks", "", text, "", *table(head, rows), ""]


def bands(record: dict[str, Any]) -> list[str]:
    """Power and correlation near the measured centre and far from it, mean over all scans."""
    found = record["results"]["bands"]
    names = list(dict.fromkeys(name for scan in found.values() for name in scan))
    rows = []
    for name in names:
        cells = []
        for key in ("near_db", "near_corr", "far_db", "far_corr"):
            values = [float(scan[name][key]) for scan in found.values() if scan[name].get(key) is not None]
            metric = "band_db" if key.endswith("db") else "band_corr"
            cells.append(number(sum(values) / len(values), metric) if values else "")
        rows.append([name, *cells])
    head = ["", "near: power (dB)", "near: correlation", "far: power (dB)", "far: correlation"]
    text = "The removed k-space in two frames, mean over all scans: up to 3/4 of the Nyquist frequency, and beyond."
    return ["### Bands", "", text, "", *table(head, rows), ""]


def pictures(record: dict[str, Any]) -> list[str]:
    """The comparisons drawn."""
    found = record["results"]["pictures"]
    if not found:
        return []
    lines = [f"![{name.removesuffix('.png')}: methods side by side](images/{name})" for name in found]
    text = "Voxel by voxel, nothing smoothed: the slice, two insets, and their differences from the original."
    return ["### Side by side", "", text, "", *lines, ""]


def seconds(record: dict[str, Any]) -> list[str]:
    """What each row's command took."""
    found, scans = record["results"]["infer_seconds"], len(record["results"]["subjects"])
    if not found:
        return []
    each = ", ".join(f"`{name}` {value / scans:.0f}" for name, value in found.items())
    return [f"Seconds a scan, start and files included, while other work ran beside some: {each}.", ""]


def beside_the_papers(record: dict[str, Any]) -> list[str]:
    """Each method's mean beside what the papers print for it: other scans, other training."""
    cards, scans = record["data"]["models"], record["results"]["subjects"]
    rows = []
    for name in methods(record, "psnr"):
        card = cards.get(name)
        ours = " / ".join(cell(record, name, metric, scans) for metric in PAPERS)
        preset = card["preset"] if card else ""
        rows.append([name, preset, trained(card), ours, _published(preset or name, is_gan(name))])
    text = (
        "The papers (M: MICCAI 2018, J: journal) tested on 111 people of HCP after training on 780; ours are other "
        "scans and other training. **Neither digits nor ranks of the two columns compare.** Updates are those of the "
        "last run up to the model that was kept; earlier runs are in the networks' card."
    )
    head = ["", "network", "updates x patches", "ours: PSNR / SSIM / NRMSE", "the papers'"]
    return ["### Beside the papers' numbers", "", text, "", *table(head, rows)]


def trained(card: dict[str, Any] | None) -> str:
    """Updates and patches of a network's last run, as far as its card says."""
    notes = card["notes"] if card else {}
    if not notes.get("step"):
        return ""
    changed = dict(entry.split("=", 1) for entry in notes.get("changed", []))
    recipe = notes.get("recipe")
    batch = changed.get("batch_size") or (str(get_recipe(recipe).batch_size) if recipe else "")
    return f"{notes['step']:,} x {batch}" if batch else f"{notes['step']:,}"


def is_gan(name: str) -> bool:
    """Whether the row is a GAN's."""
    return "gan" in name.lower()


def _published(name: str, gan: bool) -> str:
    """What the papers print for a preset's L1 network, its GAN or an interpolation: test sets before ablations."""
    for edition, key in (("J", "journal2"), ("M", "miccai2"), ("M", "miccai1"), ("J", "journal1")):
        for row in TABLES[key].rows:
            if row.gan == gan and name in (row.preset, row.method.lower()):
                return f"{edition}: " + " / ".join(number(row.metrics[metric][0], metric) for metric in PAPERS)
    return ""
