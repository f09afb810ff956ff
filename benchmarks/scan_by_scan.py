"""What benchmarks share that measure one scan after the other: their command line, slabs, the loop, and the end."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import pages
from benchmarks.data_helpers import read_ras, scans_beginning
from mdcsrn_tf.inference.self_check import psnr_inside
from mdcsrn_tf.run_record import RunRecord
from mdcsrn_tf.scans.head import head_mask
from mdcsrn_tf.scans.volume import Volume, new_header


@dataclass(frozen=True)
class Slab:
    """Axial slices around the middle of a scan, axes R, A, S: those that are compared, and some on either side that the
    network sees as well."""

    path: Path
    truth: np.ndarray  # float32
    head: np.ndarray  # a boolean mask of the slices that are compared
    affine: np.ndarray
    edge: int

    @classmethod
    def of(cls, path: Path, compared: int, edge: int) -> Slab:
        """So many slices of the scan in that file."""
        whole, spacing = read_ras(path)
        start = (whole.shape[2] - compared) // 2
        truth = np.ascontiguousarray(whole[..., start - edge : start + compared + edge], np.float32)
        head = head_mask(whole, spacing)[..., start : start + compared]
        return cls(path, truth, head, np.diag([*spacing, 1.0]), edge)

    def scan(self, data: np.ndarray) -> Volume:
        """A scan of other voxels on the same grid."""
        return Volume(data, self.affine, self.path, new_header(self.affine), np.dtype(np.float32))

    def psnr(self, image: np.ndarray) -> float:
        """PSNR of an image on the same grid, dB inside the head."""
        inner = (..., slice(self.edge, image.shape[2] - self.edge))
        return round(psnr_inside(image[inner], self.truth[inner], self.head), 3)


def parser_of(description: str | None, model: str | None = None) -> argparse.ArgumentParser:
    """Which scans, and by which network: `model` if none is named; without one that is no question."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--test", default="", help="beginnings of names, kept apart from all choices")
    parser.add_argument("--development", default="", help="beginnings of names, looked at while choosing")
    if model:
        parser.add_argument("--model", default=model)
    return parser


def tables(results: dict[str, Any], head: list[str], cells: Callable[[Any], list[str]]) -> list[str]:
    """A table of each split's scans for the page: `head` over the cells of what was found of a scan."""
    lines: list[str] = []
    for split, scans in results.items():
        if scans:
            rows = [[scan, *cells(found)] for scan, found in scans.items()]
            lines += [f"### {split.capitalize()} scans", "", *pages.table(["", *head], rows), ""]
    return lines


def measure(arguments: argparse.Namespace, examine: Callable[[Path], Any], record: RunRecord, results: Path) -> None:
    """Every scan, a line for each; then the record, and docs/results.md anew."""
    for split in ("test", "development"):
        beginnings = getattr(arguments, split)
        record.results[split] = {}
        for path in scans_beginning(arguments.data, beginnings) if beginnings else []:
            found = examine(path)
            record.results[split][path.name.split(".")[0]] = found
            print(path.name, found, flush=True)
    record.write(results, folders_kept=False)
    from benchmarks import results_doc

    results_doc.main()
