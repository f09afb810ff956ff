"""Label maps of a scan: by the user's segmenter, or by the built-in one (extra `segmentation`)."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from mdcsrn_tf.errors import UserError
from mdcsrn_tf.evaluation.measure import run_command_line
from mdcsrn_tf.scans.volumes import Volume, read_volume, write_volume

BUILTIN = "builtin"
TISSUES = 3  # cerebrospinal fluid, grey and white matter, from dark to bright in a T1-weighted scan
_HMRF_BETA = 0.1
_HMRF_ITERATIONS = 10
_BACKGROUND_NOISE = 0.01  # of the brightest tissue
_LARGEST_LABEL = 2**24 - 1  # scans are read as float32, which skips whole numbers from there on
_ROUNDING = 1e-3  # that a label may have gone through


def segment(segmenter: str, scan: Volume, destination: Path) -> np.ndarray:
    """The scan's label map by `segmenter`, also written to `destination`."""
    if segmenter == BUILTIN:
        labels, like, affine = three_tissues(scan)
        destination.parent.mkdir(parents=True, exist_ok=True)
        write_volume(destination, labels.astype(np.float32), like, affine=affine)
        return labels
    if "{in}" not in segmenter or "{out}" not in segmenter:
        raise UserError("--segmenter is 'builtin' or a command that holds {in} and {out}.")
    destination.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        source, result = Path(folder) / "scan.nii.gz", Path(folder) / "labels.nii.gz"
        write_volume(source, scan.data, scan)
        run_command_line(segmenter, {"in": str(source), "out": str(result)}, "--segmenter")
        if not result.is_file():
            raise UserError("--segmenter: the command ended well but wrote no file at {out}.")
        found = read_volume(result, flat=True)  # no label at all is a finding, too
        labels = whole_labels(found.data, "What --segmenter wrote at {out}")
        write_volume(destination, found.data, found)
    return labels


def whole_labels(voxels: np.ndarray, name: str) -> np.ndarray:
    """The labels, int32, of a label map that was read as a scan; UserError, by that name, where it can't be one."""
    labels = np.round(voxels)
    if np.abs(voxels - labels).max() > _ROUNDING:
        raise UserError(f"{name} is no label map: it holds values that are not whole numbers.")
    if np.abs(labels).max() > _LARGEST_LABEL:
        raise UserError(f"{name} holds labels beyond {_LARGEST_LABEL:,}, which are not told apart; renumber them.")
    return labels.astype(np.int32)


def three_tissues(scan: Volume) -> tuple[np.ndarray, Volume, np.ndarray]:
    """J section 4.1 in a form that runs anywhere: 1 mm, N4 bias correction, three-tissue HMRF.

    Background is 0, tissues 1 to 3 from dark to bright. Foreground is Otsu's, its holes filled: a skull that is
    still on is labelled with the tissue of its brightness, alike in every image that is compared.
    """
    try:
        import SimpleITK as sitk
        from dipy.segment.tissue import TissueClassifierHMRF
    except ImportError as error:
        raise UserError("The built-in segmenter needs: pip install 'mdcsrn-tf[segmentation]'.") from error
    data, affine = _at_one_millimetre(scan)
    image = sitk.GetImageFromArray(data.astype(np.float32))
    mask = sitk.BinaryFillhole(sitk.OtsuThreshold(image, 0, 1, 128))
    corrector = sitk.N4BiasFieldCorrectionImageFilter()
    # The field is smooth: fitted on a quarter of the resolution, applied to all of it.
    corrector.Execute(sitk.Shrink(image, [4] * 3), sitk.Shrink(mask, [4] * 3))
    field = sitk.GetArrayFromImage(corrector.GetLogBiasFieldAsImage(image))
    inside = sitk.GetArrayFromImage(mask).astype(bool)
    corrected = np.where(inside, data / np.exp(field), 0.0).astype(np.float64)
    scaled = np.clip(corrected / np.percentile(corrected[inside], 99.9), 0.0, 1.0)
    # A background of exact zeros has no variance for the Gaussian mixture, and dipy would draw noise of its own.
    noise = np.random.default_rng(0).normal(0, _BACKGROUND_NOISE, scaled.shape)
    scaled = np.where(inside, np.maximum(scaled, _BACKGROUND_NOISE), np.abs(noise) + 1e-6)
    _, labels, _ = TissueClassifierHMRF(verbose=False).classify(scaled, TISSUES, _HMRF_BETA, max_iter=_HMRF_ITERATIONS)
    return np.where(inside, labels, 0).astype(np.int32), scan, affine


def _at_one_millimetre(scan: Volume) -> tuple[np.ndarray, np.ndarray]:
    """Linear resampling to 1 mm voxels along the scan's own axes, antialiased where it is finer."""
    from scipy import ndimage

    step = np.sqrt((scan.affine[:3, :3] ** 2).sum(axis=0))
    blur = np.where(step < 1, 0.5 * np.sqrt(np.maximum(1 / step**2 - 1, 0)), 0)
    smooth = ndimage.gaussian_filter(scan.data, blur)
    shape = np.maximum(1, np.round(np.array(scan.data.shape) * step).astype(int))
    data = ndimage.affine_transform(smooth, 1 / step, output_shape=tuple(shape), order=1, mode="nearest")
    affine = scan.affine.copy()
    affine[:3, :3] /= step
    return data, affine
