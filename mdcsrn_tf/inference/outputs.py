"""Which result goes where: a file for a file, a tree like the input's for a folder, BIDS derivatives for BIDS."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from mdcsrn_tf import __version__
from mdcsrn_tf.errors import UserError
from mdcsrn_tf.files import can_be_read, replace_when_done
from mdcsrn_tf.names import fitting_name
from mdcsrn_tf.scans.find import (
    GENERATOR,
    NIFTI_SUFFIXES,
    each_series,
    find_volumes,
    made_by_us,
    place_below,
    refuse_other_formats,
    stem_of,
    without_results,
)

_BIDS_NAME = re.compile(r"(?P<entities>sub-[A-Za-z0-9]+(?:_[a-z]+-[A-Za-z0-9]+)*)_(?P<suffix>[A-Za-z0-9]+)$")
_DATASET = "dataset_description.json"


@dataclass(frozen=True)
class Job:
    """A scan and where its result goes; `bids_root` is the dataset it belongs to, an absolute path.

    `series` is what one of several series in a DICOM folder is called; its first slice is the source.
    """

    source: Path
    target: Path
    bids_root: Path | None = None
    series: str = ""

    @property
    def title(self) -> str:
        """What it is called on the terminal."""
        return self.series or self.source.name

    @property
    def sidecar(self) -> Path:
        """The JSON file beside the result."""
        return self.target.with_name(f"{stem_of(self.target)}.json")

    @property
    def picture(self) -> Path:
        """The QC picture beside the result."""
        return self.target.with_name(f"{stem_of(self.target)}_qc.png")


def plan(source: Path, output: Path, series: str | None = None) -> list[Job]:
    """The jobs of a run, in order; UserError where two would collide or an input would be overwritten.

    series: of DICOM folders the series with that UID, or whose description has it; of files those whose name has it.
    """
    if source.name in ("", ".."):  # "." and "..": results are called after the folder's own name
        source = source.resolve()
    scans = _chosen(source, series)
    sources = [path for path, _ in scans]
    itself = sources == [source] or source.is_file()
    if output.name.lower().endswith(NIFTI_SUFFIXES) and not output.is_dir():
        jobs = [_only_job(source, scans, output)]
    else:
        refuse_other_formats(output)
        if output.is_file():
            raise UserError(f"--output={output} is a file, neither .nii nor .nii.gz; name one of those or a folder.")
        root = source.parent if itself else _root(source, sources)
        jobs = [_job(path, root, output, name) for path, name in scans]
    _refuse_collisions(jobs)
    return jobs


def _chosen(source: Path, series: str | None) -> list[tuple[Path, str]]:
    """The scans that `source` stands for, and what one of several series in a folder is called; of others: nothing."""
    everything = without_results(find_volumes(source), source)
    places = set(everything)
    return [(path, "" if path in places else name) for path, name in each_series(everything, source, series)]


def _only_job(source: Path, scans: list[tuple[Path, str]], output: Path) -> Job:
    """The job of a run that is to write one file."""
    (path, series), *others = scans
    if others or not (source.is_file() or path == source or series):
        choose = ", or choose one of its series by --series" if series else ""
        raise UserError(
            f"--output={output} is a file, but --input={source} holds several scans; name a folder{choose}."
        )
    return Job(path, output, series=series)


def refuse_pictures_of_others(jobs: list[Job]) -> None:
    """UserError where a picture would replace one that is there and no sidecar of ours stands beside."""
    for job in jobs:
        if os.path.lexists(job.picture) and not made_by_us(job.sidecar):
            raise UserError(
                f"{job.picture}, where the picture of the result would be drawn, is somebody else's file; name another "
                "--output, or leave out --qc."
            )


def remove_picture(job: Job) -> None:
    """Remove the picture of the result that was there before, where it is one that we drew: as a PNG says near its
    beginning."""
    if can_be_read(job.picture):
        with job.picture.open("rb") as stream:
            ours = f"Software\0{GENERATOR}".encode() in stream.read(200)
        if ours:
            job.picture.unlink()


def write_sidecar(job: Job, content: dict) -> None:
    """The JSON beside a result."""
    with replace_when_done(job.sidecar) as partial:
        partial.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def write_dataset_description(output: Path, datasets: Iterable[Path]) -> None:
    """BIDS wants one in a derivatives folder; one that is there is left alone.

    datasets: the scans' own. The sidecars' `bids:raw:...` is found by the link to it, which BIDS asks for; of two
    datasets no one name could stand for both.
    """
    path, found = output / _DATASET, {os.path.realpath(dataset) for dataset in datasets}
    if path.exists():
        return
    content: dict[str, object] = {
        "Name": "mDCSRN super-resolution",
        "BIDSVersion": "1.9.0",
        "DatasetType": "derivative",
        "GeneratedBy": [{"Name": GENERATOR, "Version": __version__}],
    }
    if len(found) == 1:
        way = Path(os.path.relpath(found.pop(), os.path.realpath(output)))
        content["DatasetLinks"] = {"raw": quote(way.as_posix())}
    with replace_when_done(path) as partial:
        partial.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _root(folder: Path, sources: list[Path]) -> Path:
    """Below which folder scans lie as their results will: below a BIDS dataset, also where a subject's is named."""
    around = _around_subjects(folder)
    if (around / _DATASET).is_file():
        return around
    as_in_bids = all(path.parent.name == "anat" and _BIDS_NAME.fullmatch(stem_of(path)) for path in sources)
    return around if as_in_bids else folder  # a dataset that nobody has described yet


def _job(path: Path, root: Path, output: Path, series: str) -> Job:
    inside = place_below(_absolute(path) if root.is_absolute() else path, root)
    if series:
        return Job(path, output / inside.with_name(fitting_name(series, "_sr.nii.gz")), series=series)
    match = _BIDS_NAME.fullmatch(stem_of(path))
    if not match:
        return Job(path, output / inside.with_name(fitting_name(stem_of(path), "_sr.nii.gz")))
    entities = re.sub(r"_desc-[A-Za-z0-9]+", "", match["entities"])
    name = fitting_name(entities, f"_desc-sr_{match['suffix']}.nii.gz")
    return Job(path, output / inside.with_name(name), _dataset_of(path, root))


def _dataset_of(path: Path, root: Path) -> Path | None:
    """The BIDS dataset of a scan that is called as BIDS has it; None where it lies in none."""
    around = _around_subjects(path.parent)
    for folder in (around, _absolute(root)):
        if (folder / _DATASET).is_file():
            return folder
    return around if path.parent.name == "anat" else None


def _around_subjects(folder: Path) -> Path:
    """What lies around BIDS's folders of a subject, a session and their scans.

    >>> [_around_subjects(Path(folder)).as_posix() for folder in ("/data/sub-1/ses-2/anat", "/data/sub-1", "/data")]
    ['/data', '/data', '/data']
    """
    folder = _absolute(folder)
    while folder.name.startswith(("sub-", "ses-", "anat")) and not (folder / _DATASET).is_file():
        folder = folder.parent
    return folder


def _absolute(path: Path) -> Path:
    """The path from the top, without `..`; links keep the names that they have here, which resolve() would not."""
    return Path(os.path.abspath(path))  # noqa: PTH100


def _refuse_collisions(jobs: list[Job]) -> None:
    targets: dict[str, Path] = {}
    sources = {os.path.realpath(job.source) for job in jobs}
    for job in jobs:
        target = os.path.realpath(job.target)
        if target in sources:
            raise UserError(f"--output would replace the scan {job.target}; name another file or folder.")
        if target in targets:
            other = targets[target]
            # Of a list's scans outside its folder the names alone are kept.
            remedy = "put the list into a folder above both" if other.name == job.source.name else "rename one"
            raise UserError(f"{other} and {job.source} would both become {job.target}; {remedy}.")
        if job.target.is_dir():
            raise UserError(f"{job.target}, where the result would be written, is a folder; name another --output.")
        if job.sidecar.exists() and not made_by_us(job.sidecar):
            raise UserError(
                f"{job.sidecar}, where the story of the result would be written, is somebody else's file; name another "
                "--output."
            )
        targets[target] = job.source
