"""Degradation against explicit complex FFTs, analytic waves, np.interp, SciPy and nibabel."""

from pathlib import Path

import nibabel as nib
import nibabel.processing
import numpy as np
import pytest
import scipy.ndimage
from scipy.signal.windows import tukey
from skimage.registration import phase_cross_correlation

from data_prep.phantom import make_phantom
from mdcsrn_tf.scans import kspace

REAL_CROP = Path(__file__).parents[1] / "golden" / "real_crop.nii.gz"  # of sub-07, MIT licence
AXIS_PAIRS = [(0, 1), (0, 2), (1, 2), (2, 0)]
SHAPES = [(16, 20, 12), (15, 21, 13), (18, 15, 14), (17, 16, 11)]  # even, odd, mixed; even and odd halves


def random_field(shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def centred_crop(volume, factors, axes):
    """The definition, with NumPy's complex transform: shift, keep the centre, fold Nyquist, come back."""
    spectrum = np.fft.fftshift(np.fft.fftn(volume, axes=axes), axes=axes)
    for axis, factor in zip(axes, factors, strict=True):
        size = volume.shape[axis]
        kept = size // factor
        if kept == size:
            continue
        centre = size // 2
        lines = np.moveaxis(spectrum, axis, 0)
        half = kept // 2
        crop = lines[centre - half : centre - half + kept].copy()
        if kept % 2 == 0:
            crop[0] = (lines[centre - half] + lines[centre + half]) / 2
        spectrum = np.moveaxis(crop, 0, axis) * (kept / size)
    image = np.fft.ifftn(np.fft.ifftshift(spectrum, axes=axes), axes=axes)
    assert np.abs(image.imag).max() < 1e-12
    return image.real


def waves(shape, axes, factors, seed=0):
    """A sum of cosines below the small grid's Nyquist, and the function of (real-valued) indices itself."""
    rng = np.random.default_rng(seed)
    terms = []
    for _ in range(6):
        k = [rng.integers(-(n // 2) + 1, n // 2 + 1) if n > 2 else 0 for n in shape]
        for axis, factor in zip(axes, factors, strict=True):
            limit = (kspace.small_size(shape[axis], factor) - 1) // 2
            k[axis] = rng.integers(-limit, limit + 1)
        terms.append((k, rng.uniform(0, 2 * np.pi), rng.uniform(0.2, 1)))

    def at(*index):
        grids = np.meshgrid(*index, indexing="ij")
        return 2.0 + sum(
            a * np.cos(2 * np.pi * sum(kk * g / n for kk, g, n in zip(k, grids, shape, strict=True)) + phase)
            for k, phase, a in terms
        )

    return at(*(np.arange(n) for n in shape)), at


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("axes", AXIS_PAIRS)
@pytest.mark.parametrize("factors", [(2, 2), (3, 2), (1, 4)])
def test_truncation_is_the_centre_of_the_centred_spectrum(shape, axes, factors):
    volume = random_field(shape)
    small = kspace.truncate(volume, factors, axes)
    assert small.shape == kspace.small_shape(shape, factors, axes)
    np.testing.assert_allclose(small, centred_crop(volume, factors, axes), atol=1e-12)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("axes", AXIS_PAIRS)
def test_small_samples_lie_where_the_convention_says(shape, axes):
    factors = (2, 3)
    volume, function = waves(shape, axes, factors)
    positions = [np.arange(n, dtype=float) for n in shape]
    for axis, factor in zip(axes, factors, strict=True):
        kept = shape[axis] // factor
        positions[axis] = np.arange(kept) * (shape[axis] / kept)
    np.testing.assert_allclose(kspace.truncate(volume, factors, axes), function(*positions), atol=1e-10)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("axes", AXIS_PAIRS)
def test_band_limited_volume_comes_back(shape, axes):
    volume, _ = waves(shape, axes, (2, 2), seed=3)
    volume = (volume - volume.min() + 0.1).astype(np.float32)
    back = kspace.degrade(volume, (2, 2), axes, "sinc")
    assert back.dtype == np.float32
    np.testing.assert_allclose(back, volume, atol=1e-5 * volume.max())


@pytest.mark.parametrize("method", kspace.METHODS)
def test_full_mask_is_the_identity(method):
    volume = random_field((9, 10, 11)).astype(np.float32)
    np.testing.assert_array_equal(kspace.degrade(volume, (1, 1), (0, 1), method), volume)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("axes", AXIS_PAIRS)
def test_mean_is_kept(shape, axes):
    ramp = sum(np.indices(shape)).astype(np.float64)
    for volume in (ramp, random_field(shape) + 3):
        small = kspace.truncate(volume, (2, 2), axes)
        np.testing.assert_allclose(small.mean(), volume.mean(), rtol=1e-10)
        sinc = kspace.interpolate(small, shape, (2, 2), axes, "sinc")
        np.testing.assert_allclose(sinc.mean(), volume.mean(), rtol=1e-10)


@pytest.mark.parametrize("size", [12, 13, 2, 3])
@pytest.mark.parametrize("factor", [2, 3])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_linear_is_numpys_interp(size, factor, axis):
    shape = [5, 6, 7]
    shape[axis] = size
    small = random_field(kspace.small_shape(shape, (factor,), (axis,)))
    kept = small.shape[axis]
    expected = np.apply_along_axis(
        lambda line: np.interp(np.arange(size) * kept / size, np.arange(kept), line), axis, small
    )
    np.testing.assert_allclose(kspace.interpolate(small, shape, (factor,), (axis,)), expected, atol=1e-12)


def test_linear_keeps_a_ramp_and_meets_the_samples():
    small = np.add.outer(np.arange(8.0), 3 * np.arange(6.0))[..., None] * np.ones(4)
    image = kspace.interpolate(small, (16, 12, 4), (2, 2), (0, 1))
    i, j = np.meshgrid(np.arange(15), np.arange(11), indexing="ij")
    np.testing.assert_allclose(image[:15, :11, 0], i / 2 + 3 * j / 2, atol=1e-12)  # past the last sample: repeated
    np.testing.assert_array_equal(image[::2, ::2], small)


@pytest.mark.parametrize("shape", SHAPES)
def test_cubic_is_scipys_spline(shape):
    small = random_field(kspace.small_shape(shape, (2, 2), (0, 2)))
    steps = [kept / size for kept, size in zip(small.shape, shape, strict=True)]
    grid = np.stack(np.meshgrid(*(np.arange(n) * s for n, s in zip(shape, steps, strict=True)), indexing="ij"))
    expected = scipy.ndimage.map_coordinates(small, grid, order=3, mode="mirror")
    np.testing.assert_allclose(kspace.interpolate(small, shape, (2, 2), (0, 2), "cubic"), expected, atol=1e-9)


def test_nearest_takes_the_sample_below():
    small = random_field((3, 4, 5))
    image = kspace.interpolate(small, (6, 4, 10), (2, 2), (0, 2), "nearest")
    np.testing.assert_array_equal(image, np.repeat(np.repeat(small, 2, axis=0), 2, axis=2))


@pytest.mark.parametrize("shape", SHAPES)
def test_sinc_meets_the_samples_where_the_factor_divides(shape):
    small = random_field(kspace.small_shape(shape, (2,), (0,)))
    image = kspace.interpolate(small, (2 * small.shape[0], *shape[1:]), (2,), (0,), "sinc")
    np.testing.assert_allclose(image[::2], small, atol=1e-12)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("axes", AXIS_PAIRS)
def test_putting_the_centre_back_is_consistent_and_touches_nothing_else(shape, axes):
    image = random_field(shape, 1)
    measured = kspace.truncate(random_field(shape, 2), (2, 2), axes)
    mended = kspace.put_back_centre(image, measured, (2, 2), axes)
    np.testing.assert_allclose(kspace.truncate(mended, (2, 2), axes), measured, atol=1e-12)
    np.testing.assert_allclose(kspace.put_back_centre(mended, measured, (2, 2), axes), mended, atol=1e-12)
    change = np.abs(np.fft.fftn(mended - image))
    for axis in axes:
        k = np.abs(np.fft.fftfreq(shape[axis], 1 / shape[axis]))
        outside = np.moveaxis(change, axis, 0)[k > shape[axis] // 2 // 2]
        assert outside.max() < 1e-9


def test_magnitude_images_give_magnitudes_and_signed_ones_stay_signed():
    edge = np.zeros((16, 16, 4))
    edge[4:9, 5:12] = 1
    assert kspace.truncate(edge, (2, 2), (0, 1)).min() < -0.01
    np.testing.assert_allclose(
        kspace.acquire(edge, (2, 2), (0, 1)), np.abs(centred_crop(edge, (2, 2), (0, 1))), atol=1e-12
    )
    assert kspace.acquire(edge - 0.5, (2, 2), (0, 1)).min() < -0.5


def test_noise_is_rician():
    small = np.zeros((40, 40, 40), np.float32)
    small[20:] = 100
    noisy = kspace.add_noise(small, 20.0, np.random.default_rng(0))
    sigma = 100 / 20.0
    assert noisy[:20].mean() == pytest.approx(sigma * np.sqrt(np.pi / 2), rel=0.02)
    assert noisy[20:].std() == pytest.approx(sigma, rel=0.02)
    assert noisy[20:].mean() == pytest.approx(np.sqrt(100**2 + sigma**2), rel=0.005)


@pytest.mark.parametrize("shape", [(48, 40, 30), (45, 51, 30)])
def test_small_grid_resampled_in_world_coordinates_is_the_same_grid(shape):
    volume = make_phantom(shape, seed=1)
    turn = np.array([[0.9, -0.3, 0.1], [0.25, 0.95, 0.2], [-0.1, -0.2, 1.1]])
    affine = nib.affines.from_matvec(turn, [-20, 7, 3])
    small = nib.Nifti1Image(kspace.acquire(volume, (2, 2), (0, 1)), kspace.small_affine(affine, (2, 2), (0, 1), shape))
    same = kspace.degrade(volume, (2, 2), (0, 1), "linear")
    world = nib.processing.resample_from_to(small, (shape, affine), order=1, mode="nearest")
    np.testing.assert_allclose(world.get_fdata(), same, atol=1e-4 * same.max())


def shift_between(reference, moving):
    """Sub-voxel shift by the peak of the Fourier cross-correlation, to 0.01 voxel.

    Without whitening: the low-resolution image has no signal beyond its Nyquist, and whitening would let the
    rounding noise there vote.
    """
    shift, *_ = phase_cross_correlation(reference, moving, upsample_factor=100, normalization=None)
    return np.abs(shift).max()


@pytest.mark.parametrize("method", ["linear", "cubic", "sinc"])
def test_low_resolution_image_is_not_shifted(method):
    scan = nib.load(REAL_CROP).get_fdata(dtype=np.float32)
    for axis, size in enumerate(scan.shape):  # a head ends in air: let the crop do so too
        scan = scan * np.expand_dims(tukey(size, 0.5), [a for a in range(3) if a != axis])
    assert shift_between(scan, kspace.degrade(scan, (2, 2), (0, 1), method)) < 0.02
    small = kspace.acquire(scan, (2, 2), (0, 1))
    wrong = scipy.ndimage.zoom(small, (2, 2, 1), order=1, grid_mode=True, mode="nearest")
    assert shift_between(scan, wrong) > 0.4  # what a half-pixel-centre resizer does


def test_misuse_is_refused():
    volume = random_field((8, 8, 8))
    for factors, axes in (((2,), (0, 1)), ((2, 2), (0, 0)), ((0, 2), (0, 1)), ((2, 2), (0, 3))):
        with pytest.raises(ValueError, match=r"axes|factors"):
            kspace.truncate(volume, factors, axes)
    with pytest.raises(ValueError, match="method"):
        kspace.interpolate(volume, (16, 8, 8), (2,), (0,), "bicubic")
    with pytest.raises(ValueError, match="truncated"):
        kspace.interpolate(volume, (18, 8, 8), (2,), (0,))
    with pytest.raises(ValueError, match="positive"):
        kspace.add_noise(volume, 0, np.random.default_rng(0))
