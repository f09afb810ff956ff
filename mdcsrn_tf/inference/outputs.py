"""Which result goes where: a file for a file, a tree like the input's for a folder, BIDS derivatives for BIDS."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

from mdcsrn_tf import __version__
from mdcsrn_tf.errors import UserError
from mdcsrn_tf.files import can_be_read, replace_when_done
from mdcsrn_tf.names import fitting_name
from mdcsrn_tf.scans.find import NIFTI_SUFFIXES, find_volumes, place_below, refuse_other_formats, stem_of

_BIDS_NAME = re.compile(r"(?P<entities>sub-[A-Za-z0-9]+(?:_[a-z]+-[A-Za-z0-9]+)*)_(?P<suffix>[A-Za-z0-9]+)$")


GENERATOR = "mdcsrn_tf"  # what our sidecars and datasets name as their maker


@dataclass(frozen=True)
class Job:
    """A scan and where its result goes; `bids_root` is the dataset it belongs to."""

    source: Path
    target: Path
    bids_root: Path | None = None

    @property
    def sidecar(self) -> Path:
        """The JSON file beside the result."""
        return self.target.with_name(f"{stem_of(self.target)}.json")

    @property
    def picture(self) -> Path:
        """The QC picture beside the result."""
        return self.target.with_name(f"{stem_of(self.target)}_qc.png")


def plan(source: Path, output: Path) -> list[Job]:
    """The jobs of a run, in order; UserError where two would collide or an input would be overwritten."""
    if source.name in ("", ".."):  # "." and "..": results are called after the folder's own name
        source = source.resolve()
    sources = _without_our_own(find_volumes(source), source)
    single = len(sources) == 1 and (source.is_file() or sources == [source])
    if output.name.lower().endswith(NIFTI_SUFFIXES) and not output.is_dir():
        if not single:
            raise UserError(f"--output={output} is a file, but --input={source} holds several scans; name a folder.")
        jobs = [Job(sources[0], output)]
    else:
        refuse_other_formats(output)
        if output.is_file():
            raise UserError(f"--output={output} is a file, neither .nii nor .nii.gz; name one of those or a folder.")
        root = source if source.is_dir() and not single else source.parent
        jobs = [_job(path, root, output) for path in sources]
    _refuse_collisions(jobs)
    return jobs


def is_ours(scan: Path) -> bool:
    """Whether a file is a result of ours: the sidecar beside it says so."""
    return _made_by_us(scan.with_name(f"{stem_of(scan)}.json"))


def _made_by_us(sidecar: Path) -> bool:
    if not can_be_read(sidecar):
        return False
    try:
        generators = json.loads(sidecar.read_text(encoding="utf-8")).get("GeneratedBy", [])
        return any(one.get("Name") == GENERATOR for one in generators)
    except (OSError, ValueError, AttributeError, TypeError, RecursionError):
        return False


def refuse_pictures_of_others(jobs: list[Job]) -> None:
    """UserError where a picture would replace one that is there and no sidecar of ours stands beside."""
    for job in jobs:
        if os.path.lexists(job.picture) and not _made_by_us(job.sidecar):
            raise UserError(
                f"{job.picture}, where the picture of the result would be drawn, is somebody else's file; name another "
                "--output, or leave out --qc."
            )


def write_sidecar(job: Job, content: dict) -> None:
    """The JSON beside a result."""
    with replace_when_done(job.sidecar) as partial:
        partial.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def write_dataset_description(output: Path) -> None:
    """BIDS wants one in a derivatives folder; one that is there is left alone."""
    path = output / "dataset_description.json"
    if path.exists():
        return
    content = {
        "Name": "mDCSRN super-resolution",
        "BIDSVersion": "1.9.0",
        "DatasetType": "derivative",
        "GeneratedBy": [{"Name": GENERATOR, "Version": __version__}],
    }
    with replace_when_done(path) as partial:
        partial.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _job(path: Path, root: Path, output: Path) -> Job:
    inside = place_below(path, root)
    match = _BIDS_NAME.fullmatch(stem_of(path))
    if not match:
        return Job(path, output / inside.with_name(fitting_name(stem_of(path), "_sr.nii.gz")))
    entities = re.sub(r"_desc-[A-Za-z0-9]+", "", match["entities"])
    name = fitting_name(entities, f"_desc-sr_{match['suffix']}.nii.gz")
    in_dataset = (root / "dataset_description.json").is_file() or path.parent.name == "anat"
    return Job(path, output / inside.with_name(name), root if in_dataset else None)


def _without_our_own(sources: list[Path], source: Path) -> list[Path]:
    """The scans of a folder without the results of earlier runs in it; a file that was named itself is taken."""
    if source.is_file() and sources == [source]:
        return sources
    scans = [path for path in sources if not is_ours(path)]
    if not scans:
        raise UserError(f"{source} holds results of {GENERATOR} alone; name the folder of the scans.")
    return scans


def _refuse_collisions(jobs: list[Job]) -> None:
    targets: dict[str, Path] = {}
    sources = {os.path.realpath(job.source) for job in jobs}
    for job in jobs:
        target = os.path.realpath(job.target)
        if target in sources:
            raise UserError(f"--output would replace the scan {job.target}; name another file or folder.")
        if target in targets:
            raise UserError(f"{targets[target]} and {job.source} would both become {job.target}; rename one.")
        if job.sidecar.exists() and not _made_by_us(job.sidecar):
            raise UserError(
                f"{job.sidecar}, where the story of the result would be written, is somebody else's file; name another "
                "--output."
            )
        targets[target] = job.source
