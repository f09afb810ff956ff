"""A low-resolution scan laid onto a high-resolution one of the same person (SimpleITK: the extra `registration`).

The high-resolution scan is fixed: targets are never resampled. Rigid, then affine, then B-spline, each begun where the
one before ended, by mutual information (two fields, two contrasts) over three levels; the low-resolution scan is
interpolated once, at the end, linearly. A stage after which the low-resolution scan tells less of the target (by the
correlation ratio, which asks for no likeness of contrasts) than what it began with is not believed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mdcsrn_tf.errors import UserError

if TYPE_CHECKING:
    import SimpleITK as sitk

KINDS = ("none", "rigid", "affine", "bspline")
CONTROL_MM = 8.0  # between control points, for a head; a specimen wants about 2
_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
_LEVELS = 32  # of brightness, in the correlation ratio
_SAMPLED = 0.2  # of the fixed image's voxels
_AS_GOOD = 0.01  # of the correlation ratio: a later stage that loses no more found nothing, and the one before stands
_STILL = 0.5  # voxels: a movement below this that gains nothing is noise of the search, not a failure


@dataclass(frozen=True)
class Placed:
    """A volume and where it lies."""

    data: np.ndarray
    affine: np.ndarray  # index -> RAS+ millimetres


@dataclass(frozen=True)
class Registered:
    """The low-resolution scan on the high-resolution one's grid."""

    data: np.ndarray  # float32
    inside: np.ndarray  # bool: where the low-resolution scan's field reaches
    ncc_before: float  # correlation of the two inside, without registration
    ncc_after: float
    ratio: float  # the correlation ratio: by it a stage is judged
    transform: Any  # SimpleITK's, from points of the high-resolution scan to points of the low-resolution one

    def moved(self, points: np.ndarray) -> np.ndarray:
        """Where RAS+ points [n, 3] (mm) of the high-resolution scan lie in the low-resolution one."""
        flip = np.array([-1.0, -1.0, 1.0])
        return np.array([self.transform.TransformPoint((point * flip).tolist()) for point in points]) * flip


def register(low: Placed, high: Placed, kind: str, *, control_mm: float = CONTROL_MM, seed: int = 0) -> Registered:
    """Find the movement (`none`: just resample) and bring `low` to `high`'s grid; UserError where it gets worse."""
    sitk = simpleitk()
    fixed, moving = to_image(high), to_image(low)
    best = _resampled(sitk, fixed, moving, sitk.Transform(3, sitk.sitkIdentity))
    before = best.ncc_after
    for stage in KINDS[1 : KINDS.index(kind) + 1]:
        found = _resampled(sitk, fixed, moving, _stage(sitk, stage, fixed, moving, best.transform, control_mm, seed))
        best = _better(best, found, high, stage)
    return Registered(best.data, best.inside, before, best.ncc_after, best.ratio, best.transform)


def without_shading(volume: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """N4: the volume [i, j, k] divided by its smooth field, on the same grid.

    The field is estimated inside Otsu's mask, on a quarter of the resolution.
    """
    sitk = simpleitk()
    image = to_image(Placed(volume, affine))
    shrink = [max(1, min(4, size // 24)) for size in image.GetSize()]
    small = sitk.Shrink(image, shrink)
    corrector = sitk.N4BiasFieldCorrectionImageFilter()
    corrector.SetNumberOfThreads(1)
    corrector.Execute(small, sitk.OtsuThreshold(small, 0, 1, 128))
    field = sitk.GetArrayFromImage(corrector.GetLogBiasFieldAsImage(image)).T
    return (volume / np.exp(field)).astype(np.float32)


def simpleitk() -> Any:
    """SimpleITK, or one sentence."""
    try:
        import SimpleITK
    except ImportError as error:
        raise UserError(
            "--match=volume and --n4 need SimpleITK; install it with: pip install 'mdcsrn-tf[registration]'."
        ) from error
    return SimpleITK


def to_image(volume: Placed) -> sitk.Image:
    """A float32 SimpleITK image of the same voxels in the same place (ITK counts LPS)."""
    lps = _LPS @ volume.affine
    steps = np.linalg.norm(lps[:3, :3], axis=0)
    image = simpleitk().GetImageFromArray(np.ascontiguousarray(volume.data.T, np.float32))
    image.SetSpacing(steps.tolist())
    image.SetDirection((lps[:3, :3] / steps).ravel().tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    return image


def correlation(one: np.ndarray, other: np.ndarray, inside: np.ndarray) -> float:
    """Normalised cross-correlation of two images of one grid inside a mask on it; 0 where one of them is constant."""
    a, b = one[inside].astype(np.float64), other[inside].astype(np.float64)
    if a.size < 2 or a.std() == 0 or b.std() == 0:
        return 0.0
    return float(np.mean((a - a.mean()) * (b - b.mean())) / (a.std() * b.std()))


def correlation_ratio(target: np.ndarray, image: np.ndarray, inside: np.ndarray) -> float:
    """How much of a target's contrast another image of its grid tells inside a mask, from 0 to 1.

    It is the root of the share of the target's variance that lies between levels of the image's brightness: near
    |`correlation`| where one contrast is a line of the other, and 1 wherever it is any function of it. T1w and T2w
    images of one head correlate more, now and then, where they do not lie on each other.
    """
    a, b = target[inside].astype(np.float64), image[inside]
    if a.size < 2 or a.std() == 0:
        return 0.0
    level = np.searchsorted(np.quantile(b, np.linspace(0, 1, _LEVELS + 1)[1:-1]), b)
    count = np.bincount(level, minlength=_LEVELS)
    means = np.bincount(level, a, minlength=_LEVELS) / np.maximum(count, 1)
    return float(np.sqrt(np.sum(count * (means - a.mean()) ** 2) / a.size) / a.std())


def _resampled(sitk: Any, fixed: Any, moving: Any, transform: Any) -> Registered:
    data = sitk.GetArrayFromImage(sitk.Resample(moving, fixed, transform, sitk.sitkLinear, 0.0)).T
    field = sitk.Image(moving.GetSize(), sitk.sitkUInt8) + 1
    field.CopyInformation(moving)
    inside = sitk.GetArrayFromImage(sitk.Resample(field, fixed, transform, sitk.sitkNearestNeighbor, 0)).T > 0
    target = sitk.GetArrayViewFromImage(fixed).T
    ncc, ratio = correlation(data, target, inside), correlation_ratio(target, data, inside)
    return Registered(np.ascontiguousarray(data, np.float32), np.ascontiguousarray(inside), ncc, ncc, ratio, transform)


def _stage(sitk: Any, kind: str, fixed: Any, moving: Any, begun: Any, control_mm: float, seed: int) -> Any:
    """The movement so far, followed by what this stage adds."""
    search = sitk.ImageRegistrationMethod()
    search.SetNumberOfThreads(1)  # the order of sums decides the last digits: the same shards everywhere
    search.SetMetricAsMattesMutualInformation(50)
    search.SetMetricSamplingStrategy(search.RANDOM)
    search.SetMetricSamplingPercentage(_SAMPLED, seed + 1)
    search.SetInterpolator(sitk.sitkLinear)
    search.SetMovingInitialTransform(begun)
    search.SmoothingSigmasAreSpecifiedInPhysicalUnitsOff()
    _set_levels(search, fixed)
    if kind == "bspline":
        size = np.multiply(fixed.GetSize(), fixed.GetSpacing())
        mesh = [max(1, round(mm / control_mm)) for mm in size]
        added = sitk.BSplineTransformInitializer(fixed, mesh, 3)
        search.SetOptimizerAsLBFGSB(1e-5, 30, 5, 40)  # tolerance, iterations, corrections kept, evaluations a level
    else:
        added = sitk.Euler3DTransform() if kind == "rigid" else sitk.AffineTransform(3)
        added.SetCenter(_centre(fixed))
        search.SetOptimizerAsRegularStepGradientDescent(1.0, 1e-4, 200, 0.5)
        search.SetOptimizerScalesFromPhysicalShift()
    search.SetInitialTransform(added, inPlace=True)
    try:
        search.Execute(fixed, moving)
    except RuntimeError as error:  # whatever ITK throws, its last line says why
        reason = str(error).strip().splitlines()[-1].rpartition(": ")[2][:120]
        raise UserError(
            f"{kind} registration failed ({reason}); look at the two scans, or leave out --register."
        ) from error
    # A composite applies its last transform first: fixed point -> this stage -> the ones before.
    return sitk.CompositeTransform([begun, added])


def _set_levels(search: Any, fixed: Any) -> None:
    """Three levels, fewer where the image is too small to be shrunk."""
    shrinks = [shrink for shrink in (4, 2, 1) if min(fixed.GetSize()) >= 12 * shrink] or [1]
    search.SetShrinkFactorsPerLevel(shrinks)
    search.SetSmoothingSigmasPerLevel([shrink / 2 if shrink > 1 else 0 for shrink in shrinks])


def _centre(image: Any) -> Any:
    return image.TransformContinuousIndexToPhysicalPoint([(size - 1) / 2 for size in image.GetSize()])


def _better(old: Registered, new: Registered, high: Placed, stage: str) -> Registered:
    if new.inside.sum() >= old.inside.sum() / 2 and new.ratio > old.ratio:
        return new
    corners = np.array(np.meshgrid(*([0.25, 0.75] for _ in range(3)))).reshape(3, -1).T * high.data.shape
    points = corners @ high.affine[:3, :3].T + high.affine[:3, 3]
    voxel = float(np.linalg.norm(high.affine[:3, :3], axis=0).min())
    still = np.linalg.norm(new.moved(points) - old.moved(points), axis=1).max() <= _STILL * voxel
    if still or (stage != KINDS[1] and new.ratio > old.ratio - _AS_GOOD):
        return old
    before = KINDS[KINDS.index(stage) - 1]
    raise UserError(
        f"{stage} registration made it worse (correlation ratio {old.ratio:.3f} -> {new.ratio:.3f}); look at the two "
        f"scans, or {'leave out --register' if before == 'none' else f'take --register={before}'}."
    )
