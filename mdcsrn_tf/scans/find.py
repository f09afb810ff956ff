"""Which files and folders are scans: a file, a folder of them, a BIDS tree or a list."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from mdcsrn_tf.errors import UserError
from mdcsrn_tf.files import can_be_read, sha256_of
from mdcsrn_tf.scans.dicom_kinds import is_dicom, is_image
from mdcsrn_tf.scans.dicom_series import is_meant, names_apart, series_in

GENERATOR = "mdcsrn_tf"  # what the sidecars of our results, and our datasets, name as their maker
NIFTI_SUFFIXES = (".nii", ".nii.gz")
PAIR_SUFFIXES = (".hdr", ".img")  # NIfTI in two files
SLICE_SUFFIXES = (".dcm", ".ima")  # of DICOM files, most of which have none
VOLUME_SUFFIXES = (*NIFTI_SUFFIXES, ".mgz", ".mgh")
_LIST_SUFFIXES = (".txt", ".lst", ".list")
# Suffixes of files that cannot be written: other formats, and misspellings of .nii and .nii.gz.
_OTHER_FILE = re.compile(
    r"\.(mgz|mgh|hdr|img|dcm|nrrd|nhdr|mha|mhd|mnc|png|zip|bz2|gz|ni|nni|nifti|nii\.\w+|niigz|nii\.g|tif|tiff)$", re.I
)

# The contrasts of BIDS's anat folders; masks, defacing and segmentations lie there as well.
_BIDS_SCAN = re.compile(r"_(T1w|T2w|PDw|T2starw|FLAIR|PDT2|inplaneT1|inplaneT2|MPRAGE)\.(nii|nii\.gz)$")


def find_volumes(path: str | os.PathLike[str]) -> list[Path]:
    """The scans that `path` stands for, sorted; UserError when there are none.

    A volume file is itself; a `.txt` file lists one path a line, relative to its own folder; a folder of
    DICOM files is one scan; a BIDS tree gives the scans of its `anat` folders; any other folder gives every
    volume file and DICOM folder below it, through links as well. Hidden files are passed over. UserError for a
    folder below it that cannot be read, too: nobody should find out later that its scans are missing.
    """
    path = Path(path)
    if path.is_file():
        return _listed(path) if path.suffix.lower() in _LIST_SUFFIXES else [path]
    if not path.is_dir():
        raise UserError(f"{path} {why_no_file(path)}.")
    found = _bids_scans(path) or _below(path)
    if not found:
        raise UserError(f"{path} holds no {', '.join(VOLUME_SUFFIXES)} file and no DICOM series; check the path.")
    return sorted(found)


def each_series(scans: Sequence[Path], source: Path, wanted: str | None = None) -> list[tuple[Path, str]]:
    """The scans that `source` stands for, and what each is called; of a DICOM folder with several series each of them.

    Such a series is its first slice, which stands for it wherever a scan is read. wanted: keeps the series whose UID it
    is, or whose description has it, and the files whose name has it; UserError where there are none.
    """
    found = [one for scan in scans for one in (_series_of(scan, wanted) if scan.is_dir() else _file(scan, wanted))]
    if not found:
        names = sorted({name for _, name in each_series(scans, source)})
        raise UserError(f"{source} holds no series {wanted!r}; there are {', '.join(names[:8])}.")
    return found


def _file(scan: Path, wanted: str | None) -> Iterator[tuple[Path, str]]:
    name = stem_of(scan)
    if wanted is None or is_meant(wanted, None, name):
        yield scan, name


def _series_of(folder: Path, wanted: str | None) -> Iterator[tuple[Path, str]]:
    series = series_in(folder)
    if len(series) < 2:
        if wanted is None or any(one.is_meant_by(wanted) for one in series):
            yield folder, stem_of(folder)
        return
    for one, name in zip(series, names_apart(series), strict=True):
        if wanted is None or one.is_meant_by(wanted):
            yield one.files[0], name


def without_results(scans: list[Path], source: Path) -> list[Path]:
    """The scans that `source` stands for, without mdcsrn-infer's results among them; a file that was named itself is
    taken. UserError where nothing is left: a network's work is not to be taken for what a scanner measured."""
    if source.is_file() and scans == [source]:
        return scans
    kept = [scan for scan in scans if not is_result(scan)]
    if not kept:
        raise UserError(f"{source} holds results of {GENERATOR} alone; name the folder of the scans.")
    return kept


def is_result(scan: Path) -> bool:
    """Whether a file is a result of mdcsrn-infer: the sidecar beside it says so."""
    return made_by_us(scan.with_name(f"{stem_of(scan)}.json"))


def made_by_us(sidecar: Path) -> bool:
    """Whether a JSON file names this package as the maker of what lies beside it."""
    if not can_be_read(sidecar):
        return False
    try:
        generators = json.loads(sidecar.read_text(encoding="utf-8")).get("GeneratedBy", [])
        return any(one.get("Name") == GENERATOR for one in generators)
    except (OSError, ValueError, AttributeError, TypeError, RecursionError):
        return False


def why_no_file(path: Path) -> str:
    """What to say of a path that is no file, or whose file is elsewhere, as data sets in Git have it."""
    if path.is_symlink() and not path.exists():
        return "is a link to nothing; fetch what it stands for (datalad get, git annex get), or mend the link"
    return "is no regular file; check the path" if path.exists() else "does not exist; check the path"


def _listed(path: Path) -> list[Path]:
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is no list of paths, one a line ({error}); write one.") from error
    listed = [line for line in lines if line and not line.startswith("#")]
    entries = [path.parent / os.path.expanduser(line) for line in listed]  # noqa: PTH111 (pathlib raises for no user's ~x)
    if not entries:
        raise UserError(f"{path} lists no scan; write one path a line.")
    return sorted(set(entries))


def _bids_scans(root: Path) -> list[Path]:
    levels = [("sub-*", "anat"), ("sub-*", "ses-*", "anat")]
    if root.name.startswith(("sub-", "ses-")):
        levels.append(("anat",))
    folders = [folder for level in levels for folder in _folders(root, level)]
    scans = [Path(entry) for folder in folders for entry in _entries(folder)]
    return [scan for scan in scans if not scan.name.startswith(".") and _BIDS_SCAN.search(scan.name)]


def _folders(root: Path, patterns: Sequence[str]) -> list[Path]:
    """The folders below `root` whose names, level by level, match the patterns."""
    found = [root]
    for pattern in patterns:
        found = [
            Path(entry)
            for folder in found
            for entry in _entries(folder)
            if fnmatchcase(entry.name, pattern) and entry.is_dir()
        ]
    return found


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError as error:
        raise _unreadable(error) from error


def _below(root: Path) -> list[Path]:
    found: list[Path] = []
    for folder, names in _walked(root):
        here = [Path(folder, name) for name in names if not name.startswith(".")]
        volumes = [file for file in here if file.name.lower().endswith(VOLUME_SUFFIXES) or _is_pair(file)]
        found += volumes
        if any(_may_be_dicom(file) for file in sorted(set(here) - set(volumes))):
            found.append(Path(folder))
    return found


def _walked(root: Path) -> Iterator[tuple[str, list[str]]]:
    """Every folder below `root` once, with its files' names: links after all real folders, so that none renames a scan
    by being added."""
    seen: set[str] = set()
    starts = [root]
    for start in starts:  # grows while it is gone through
        for folder, folders, names in os.walk(start, onerror=_raise_unreadable):
            place = os.path.realpath(folder)
            if place in seen:  # a link to a folder above, or to one that lies here as well
                folders.clear()
                continue
            seen.add(place)
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            starts += [path for name in folders if (path := Path(folder, name)).is_symlink()]
            yield folder, names


def _raise_unreadable(error: OSError) -> None:
    raise _unreadable(error) from error


def _unreadable(error: OSError) -> UserError:
    return UserError(
        f"The folder {error.filename} cannot be read ({error.strerror}); let it be read, or name folders beside it."
    )


def _is_pair(file: Path) -> bool:
    """Whether it is the header of a NIfTI in two files: those count once."""
    return file.suffix.lower() == PAIR_SUFFIXES[0] and pair_of(file)[1].is_file()


def pair_of(path: Path) -> tuple[Path, Path]:
    """The header and the voxels of a NIfTI in two files, by the name of either; in capitals where that is.

    >>> [half.name for half in pair_of(Path("scan.img"))], [half.name for half in pair_of(Path("SCAN.HDR"))]
    (['scan.hdr', 'scan.img'], ['SCAN.HDR', 'SCAN.IMG'])
    """
    header, voxels = (path.with_suffix(one.upper() if path.suffix.isupper() else one) for one in PAIR_SUFFIXES)
    return header, voxels


def _may_be_dicom(file: Path) -> bool:
    """Also a file that is only called so: whoever reads its folder says what is wrong with it."""
    return is_image(file) or (file.suffix.lower() in SLICE_SUFFIXES and not is_dicom(file) and can_be_read(file))


def place_below(path: Path, root: Path) -> Path:
    """Where a scan lies below `root`, for its result to lie alike below another folder; elsewhere its name alone.

    >>> [place_below(Path(path), Path("in")).as_posix() for path in ("in/sub-1/a.nii", "in/../b.nii", "else/c.nii")]
    ['sub-1/a.nii', 'b.nii', 'c.nii']
    """
    inside = path.relative_to(root) if path != root and path.is_relative_to(root) else Path(path.name)
    return Path(path.name) if ".." in inside.parts else inside  # a list's ../scan would lead out of any folder


def below_common_folder(paths: Sequence[Path]) -> list[str]:
    """The files' paths below the folder that they share, with `/`: what their folders are called tells them apart.

    A list may lead through `..`. Links keep the names that they have here, which resolve() would not.
    """
    places = [Path(os.path.abspath(path)) for path in paths]  # noqa: PTH100
    common = os.path.commonpath([place.parent for place in places])
    return [place.relative_to(common).as_posix() for place in places]


def refuse_other_formats(output: Path) -> None:
    """UserError for an output that is not there and is called like a file of another format than NIfTI."""
    if not output.exists() and _OTHER_FILE.search(output.name):
        raise UserError(
            f"--output={output} is no folder, and results are written as .nii or .nii.gz; name one of those, or a "
            "folder."
        )


def files_of(scan: Path) -> list[Path]:
    """The files that a scan consists of: both of a pair, all of a DICOM folder, a slice's series, else itself."""
    if scan.is_dir():
        return [file for file in sorted(scan.iterdir()) if not file.name.startswith(".") and is_dicom(file)]
    if not scan.name.lower().endswith(VOLUME_SUFFIXES) and is_dicom(scan):
        return _series_around(scan)
    if scan.name.lower().endswith(PAIR_SUFFIXES):
        return [part for part in pair_of(scan) if part.is_file()]
    return [scan]


def _series_around(file: Path) -> list[Path]:
    """The files of the series that a slice is of: its folder's where that holds one alone."""
    series = series_in(file.parent)
    if len(series) < 2:
        return files_of(file.parent)
    return next((list(one.files) for one in series if file in one.files), [file])


def sha256_of_scan(scan: Path) -> str:
    """The SHA-256 of a scan's file; of one in several files, of theirs together."""
    sums = [sha256_of(file) for file in files_of(scan)]
    return sums[0] if len(sums) == 1 else hashlib.sha256("".join(sums).encode()).hexdigest()


def stem_of(name: str | os.PathLike[str]) -> str:
    """A file's name without the suffixes of volumes: `sub-01_T1w` of `a/sub-01_T1w.nii.gz`.

    >>> stem_of("a/sub-01_T1w.nii.gz")
    'sub-01_T1w'
    """
    name = Path(name).name
    for suffix in sorted((*VOLUME_SUFFIXES, *PAIR_SUFFIXES), key=len, reverse=True):
        if name.lower().endswith(suffix):
            return name[: -len(suffix)]
    return name
