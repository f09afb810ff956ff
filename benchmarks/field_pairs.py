"""The pairs of the field study: which scans are learned from, chosen by and measured on, and their two fields.

The test scans are brains without their skulls, one of them T2-weighted; the paper's specimens have no skull either.
So of every whole T1-weighted head its brain is learned from, too, once as it is and once with dark for bright. Each is
a scan of its own to the command that makes the pairs, of a person of its own.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.data_helpers import run, scans_beginning
from data_prep.brain import brain_mask
from data_prep.field_phantom import FieldSettings, write_fields
from data_prep.registration import Placed, register, without_shading
from data_prep.variants import MAKERS
from mdcsrn_tf.scans.find import stem_of
from mdcsrn_tf.scans.head import head_mask
from mdcsrn_tf.scans.normalisation import EACH_IMAGE, of_pair
from mdcsrn_tf.scans.volumes import Volume, read_volume

# Slices of 3 mm and more are no truth across, so their scans are left out.
WHOLE_T1 = ("sub-01_T1w", "sub-02_T1w", "sub-03_T1w", "sub-04_T1w", "sub-05_T1w", "sub-09_T1w", "sub-12_T1w",
            "sub-18_T1w", "sub-20_T1w")  # fmt: skip
LEARN = (*WHOLE_T1, "sub-09_FLAIR", "sub-12_T2w", "sub-16_ce-gd_T1w", "sub-17_T1w", "sub-21_T1w", "sub-22_T1w",
         "sub-23_T1w", "sub-24_T1w", "sub-25_T2w")  # fmt: skip
CHECK = ("sub-06_T1w", "sub-10_T1w", "sub-14_T2w")
MEASURE = ("sub-07_T1w", "sub-08_T2w")
EPOCHS = 2  # of patches from the scans to learn from: one that validates gives half of theirs
MARGIN = 4  # voxels around a brain


def make_pairs(data: Path, work: Path, patches: int, *, n4: bool) -> None:
    """Both fields of all scans, and shards of those to learn from and to choose by; what is there stays."""
    lines = ["subject\tsplit"]
    for split, beginnings in (("train", LEARN), ("validation", CHECK)):
        for path in scans_beginning(data, ",".join(beginnings)):
            lines += [f"{name}\t{split}" for name in write_learned(work / "learn", path)]
    for path in scans_beginning(data, ",".join(MEASURE)):
        write_once(work / "test", {stem_of(path.name): "whole"}, path)
    (work / "split.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    run(
        "-m",
        "data_prep.make_pairs",
        f"--low={work / 'learn' / 'low'}",
        f"--high={work / 'learn' / 'high'}",
        f"--output={work / 'shards'}",
        "--match=volume",
        "--plane=all",
        f"--n4={str(n4).lower()}",
        f"--patches_per_subject={patches // EPOCHS}",
        f"--epochs_of_patches={EPOCHS}",
        f"--split={work / 'split.tsv'}",
    )


def write_learned(folder: Path, path: Path) -> list[str]:
    """Both fields of a scan and, of a whole T1-weighted head, of its brain and of that inverted; their names."""
    scan = stem_of(path.name)
    person = "sub-" + re.sub("[^A-Za-z0-9]", "", scan.removeprefix("sub-"))
    kinds = {person: "whole"} | ({person + kind: kind for kind in MAKERS} if scan in WHOLE_T1 else {})
    write_once(folder, kinds, path)
    return list(kinds)


def write_once(folder: Path, kinds: dict[str, str], path: Path) -> None:
    """Write both fields of each kind of a scan (whole, brain, inverted) under its name; what is there stays."""
    missing = [name for name in kinds if not (folder / "low" / f"{name}.nii.gz").is_file()]
    if not missing:
        return
    scan = read_volume(path)
    mask = np.ones(scan.data.shape, bool)
    if set(kinds.values()) != {"whole"}:
        mask = brain_mask(scan.data, np.linalg.norm(scan.affine[:3, :3], axis=0))
    for name in missing:
        changed = scan if kinds[name] == "whole" else only(scan, mask, MAKERS[kinds[name]])
        write_fields(folder, name, changed, FieldSettings(), seed=0)


def only(scan: Volume, mask: np.ndarray, make: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Volume:
    """What `make` leaves of the scan inside the mask, on the part of the grid around the mask."""
    inside = [np.flatnonzero(mask.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
    first = np.array([max(0, there[0] - MARGIN) for there in inside])
    part = tuple(slice(begin, there[-1] + 1 + MARGIN) for begin, there in zip(first, inside, strict=True))
    affine = scan.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ first
    return replace(scan, data=make(scan.data, mask)[part], affine=affine)


def test_pair(work: Path, name: str, count: int, *, n4: bool) -> dict[str, Any]:
    """A test scan's low field on the high field's grid and the high field, as z-scores; where the head is.

    `bright` is where the truth is above its mean: a mask that is chosen by the truth's own values, so what is fitted
    in it knows more than where the head is. `std` is a z-score's part of the range between the percentiles 0.1 and
    99.9. Of the axial slices through the head `count` are kept, evenly spread.
    """
    low, high = (_placed(work / "test" / kind / name, n4=n4) for kind in ("low", "high"))
    found = register(low, high, "none")
    of_low, of_high = of_pair(EACH_IMAGE, found.data[found.inside], high.data[found.inside])
    head = found.inside & head_mask(high.data, tuple(np.linalg.norm(high.affine[:3, :3], axis=0)))
    bright = found.inside & (high.data > high.data.mean())
    through = np.flatnonzero(head.mean(axis=(0, 1)) > 0.1)
    kept = through[np.linspace(0, len(through) - 1, min(count, len(through))).astype(int)]
    images = {"low": of_low.apply(found.data), "high": of_high.apply(high.data), "head": head, "bright": bright}
    assert of_high.clip is not None  # the 7T paper's z-scores are of clipped images
    bottom, top = of_high.clip
    kept_of = {kind: image[:, :, kept] for kind, image in images.items()}
    return {**kept_of, "name": stem_of(name), "std": of_high.std / (top - bottom)}


def _placed(path: Path, *, n4: bool) -> Placed:
    volume = read_volume(path)
    return Placed(without_shading(volume.data, volume.affine) if n4 else volume.data, volume.affine)
