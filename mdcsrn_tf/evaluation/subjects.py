"""Who is evaluated: files of several folders brought together by subject, and checked against each other."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path

import numpy as np

from mdcsrn_tf.errors import UserError
from mdcsrn_tf.evaluation.plan import Subject
from mdcsrn_tf.scans.find import below_common_folder, each_series, stem_of
from mdcsrn_tf.scans.volumes import Volume, find_volumes

# What a processing step adds to a file's name: BIDS's desc-, rec- and res- entities, and plain _sr, _lr, _hr.
_ADDED = re.compile(r"_(desc|rec|res)-[A-Za-z0-9]+|[_-](sr|lr|hr)(?=_|$)", re.IGNORECASE)
_PLACE_TOLERANCE = 0.1  # voxels
_AFFINE_TOLERANCE = 1e-3  # millimetres: float32 affines of one scan agree better


def subject_name(file: str | os.PathLike[str]) -> str:
    """What a file's name says about whose scan it is: `sub-01_desc-sr_T1w.nii.gz` -> `sub-01_T1w`."""
    return _ADDED.sub("", stem_of(file))


def match_subjects(
    high_res: Path | None, low_res: Path | None, results: Mapping[str, Path], series: str | None = None
) -> tuple[list[Subject], list[str]]:
    """The subjects that have all their files, and a sentence for each that has not.

    high_res, low_res: folders of scans (or a scan each); results: folders of finished results by their method's name;
    series: of the scans those with this in their DICOM description or file's name.
    """
    scans = {flag: folder for flag, folder in (("--hr", high_res), ("--lr", low_res)) if folder is not None}
    folders = {flag: files_by_subject(folder, series) for flag, folder in scans.items()}
    folders |= {f"--sr {method}": files_by_subject(folder) for method, folder in results.items()}
    matched, sentences = match_files(folders, asked=[*folders] if series is None else [*scans])
    return [
        Subject(name, files.get("--hr"), files.get("--lr"), tuple((m, files[f"--sr {m}"]) for m in results))
        for name, files in matched.items()
    ], sentences


def match_files(
    folders: Mapping[str, Mapping[str, Path]], asked: Sequence[str]
) -> tuple[dict[str, dict[str, Path]], list[str]]:
    """By subject the files of those who have one in every folder, and a sentence for each who has not.

    folders: the files by subject, by the flag that names their folder; asked: the flags whose subjects are meant.
    """
    if all(len(files) == 1 for files in folders.values()):
        # One file each: whatever they are called, they are meant for each other.
        name = next(iter(next(iter(folders.values()))))
        return {name: {flag: next(iter(files.values())) for flag, files in folders.items()}}, []
    matched, sentences = {}, []
    for name in sorted(set().union(*(folders[flag] for flag in asked))):
        missing = [flag for flag, files in folders.items() if name not in files]
        if missing:
            sentences.append(f"{name} is left out: it has no scan in {', '.join(missing)}.")
        else:
            matched[name] = {flag: files[name] for flag, files in folders.items()}
    return matched, sentences


def files_by_subject(folder: Path, series: str | None = None) -> dict[str, Path]:
    """The scans by their file's name, or by their subject's folder where all files are named alike, as HCP's are.

    Of a DICOM folder each series is a scan, called as its result is.
    """
    scans = each_series(find_volumes(folder), folder, series)
    paths, names = [path for path, _ in scans], [subject_name(name) for _, name in scans]
    if len(set(names)) < len(names):
        names = _folder_names(paths) or names
    files: dict[str, Path] = {}
    for name, path in zip(names, paths, strict=True):
        if name in files:
            raise UserError(f"{files[name]} and {path} look like the same scan ({name}); keep one of them.")
        files[name] = path
    return files


def check_same_grid(reference: Volume, image: Volume) -> None:
    """Refuse an image whose shape or place in the world is not the reference's."""
    if reference.data.shape != image.data.shape:
        raise UserError(
            f"{image.path} has shape {_size(image)}, but {reference.path} has {_size(reference)}: "
            "they are not on one grid; resample one of them."
        )
    if not np.allclose(reference.affine, image.affine, atol=_AFFINE_TOLERANCE):
        raise UserError(
            f"{image.path} and {reference.path} have different affines: they do not lie at one place; "
            "copy the header if you know that they do, resample otherwise."
        )


def check_place(low_res: Volume, reference: Volume, expected: np.ndarray) -> None:
    """Refuse a scan on the small matrix that does not lie where its affine is `expected` to put it on the reference."""
    corners = np.array(list(product(*((0, size - 1) for size in low_res.data.shape)))).T
    apart = (low_res.affine - expected) @ np.vstack([corners, np.ones((1, corners.shape[1]))])
    voxels = np.linalg.inv(reference.affine[:3, :3]) @ apart[:3]
    if np.abs(voxels).max() > _PLACE_TOLERANCE:
        raise UserError(
            f"{low_res.path} lies up to {np.abs(voxels).max():.2g} voxels of {reference.path} beside its place, which "
            "is sample i at voxel i times --factor: resample it onto that scan's grid, or mend its affine if you know "
            "that they begin at one place."
        )


def check_not_swapped(reference: Volume, low_res: Volume, axes: tuple[int, ...]) -> None:
    """Refuse a pair whose 'low-resolution' scan holds clearly more fine detail along the degraded axes."""
    detail_hr, detail_lr = (fine_detail(volume.data, axes) for volume in (reference, low_res))
    if detail_lr > 2 * detail_hr:
        more = f"{detail_lr / detail_hr:.0f} times the" if detail_lr < 1000 * detail_hr else "by far more"
        raise UserError(f"{low_res.path} has {more} fine detail, beside {reference.path}: --hr and --lr look swapped.")


def fine_detail(data: np.ndarray, axes: tuple[int, ...]) -> float:
    """The share of the energy in the outer half of k-space along `axes`, the mean apart."""
    share = 0.0
    for axis in axes:
        power = np.abs(np.fft.rfft(data - data.mean(), axis=axis)) ** 2
        power = np.moveaxis(power, axis, 0).reshape(power.shape[axis], -1).sum(axis=1)
        # From 5/8 of Nyquist on, so that a taper at the edge of the kept half does not count.
        share += float(power[int(len(power) * 0.625) :].sum() / power.sum())
    return share / len(axes)


def _folder_names(paths: list[Path]) -> list[str]:
    """The first folder below the one they share, for each; nothing if that does not tell them apart."""
    names = [place.partition("/")[0] for place in below_common_folder(paths)]
    return names if len(set(names)) == len(names) else []


def _size(volume: Volume) -> str:
    return "x".join(str(size) for size in volume.data.shape)
