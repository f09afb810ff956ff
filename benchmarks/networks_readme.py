"""The README's table: the bundled networks beside interpolation, from benchmarks/networks.py's record."""

from __future__ import annotations

from typing import Any

from benchmarks.networks_page import cell, methods
from benchmarks.pages import table

# Of the rows with flags, those that the README shows, and what to type for them; docs/results.md has all.
SHOWN = {
    "fast-b4u4k16 ensemble8+consistency": "fast-b4u4k16 `--ensemble=8 --consistency`",
    "fast-b4u4k16 auto": "fast-b4u4k16 `--detail=auto`",
    "fast-b4u4k16 int8": "fast-b4u4k16 `--engine=openvino --precision=int8`",
}


def readme_lines(record: dict[str, Any]) -> list[str]:
    """PSNR and SSIM of every interpolation and network, inside the head first, a column a split."""
    splits = {name: scans for name, scans in record["config"]["splits"].items() if scans}
    head = [""]
    for name, scans in splits.items():
        head += [f"{name} ({len(scans)} scans), inside the head", f"{name}, all voxels"]
    rows = []
    for method in methods(record, "psnr"):
        cells = [
            f"{cell(record, method, psnr, scans)} / {cell(record, method, ssim, scans)}"
            for scans in splits.values()
            for psnr, ssim in (("psnr_head", "ssim_head"), ("psnr", "ssim"))
        ]
        if method in SHOWN or " " not in method:
            rows.append([SHOWN.get(method, method), *cells])
    sentence = (
        "PSNR (dB) / SSIM, slice by slice in the degraded plane, means over scans that no network was trained on. "
        "Inside the head first: in all voxels most of a gain on stripped scans is air made dark, as `sinc-dark` "
        "(sinc with its air set to zero) shows. More ways of inference are in [docs/results.md](docs/results.md)."
    )
    return [sentence, "", *table(head, rows), ""]
