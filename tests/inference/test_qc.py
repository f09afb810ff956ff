"""The picture beside a result: no wasted black, right on the left, the measured k-space outlined, a caption."""

import matplotlib.image
import numpy as np
import pytest

from mdcsrn_tf.inference.qc import save_picture
from mdcsrn_tf.scans.kspace import degrade

DPI = 120


def head(shape=(64, 80, 48), corner=(0, 0, 0)):
    """A bright ball with a brighter spot on the patient's right, in a larger volume at `corner`."""
    centre = [c + 20 for c in corner]
    x, y, z = np.indices(shape)
    ball = (x - centre[0]) ** 2 + (y - centre[1]) ** 2 + (z - centre[2]) ** 2 < 18**2
    volume = np.where(ball, 60.0 + 4 * np.abs(y - centre[1]) % 60, 0.0)
    volume[centre[0] + 4 : centre[0] + 13, centre[1] - 4 : centre[1] + 4, centre[2] - 4 : centre[2] + 4] = 400.0
    return volume.astype(np.float32)


def drawn(path, *arguments, **settings):
    save_picture(path, *arguments, **settings)
    return matplotlib.image.imread(path)[..., :3]


def test_air_changes_neither_size_nor_panels(tmp_path):
    tight, wide = head((44, 44, 44)), head((90, 120, 100), (30, 50, 40))
    pictures = [drawn(tmp_path / f"{k}.png", v, v + 1, "t") for k, v in enumerate((tight, wide))]
    assert np.abs(np.subtract(*(p.shape[0] for p in pictures))) <= 2 and pictures[0].shape[1] == pictures[1].shape[1]
    assert all((picture.max(axis=2) > 0.2).mean() > 0.2 for picture in pictures)


def test_panels_are_sized_by_millimetres(tmp_path):
    cube = head((44, 44, 44))
    isotropic = drawn(tmp_path / "a.png", cube, cube, "t")
    thick = drawn(tmp_path / "b.png", cube[:, :, ::4], cube[:, :, ::4], "t", (1, 1, 4))
    assert abs(isotropic.shape[0] - thick.shape[0]) < 0.1 * isotropic.shape[0]


def test_the_patients_right_is_on_the_left(tmp_path):
    volume = head((44, 44, 44))
    picture = drawn(tmp_path / "a.png", volume, volume, "t", measured=(0.5, 0.5, 1))
    width = int(2.7 * DPI)
    axial = picture[-int(2.9 * DPI) : -20, 6 : 6 + width].min(axis=2)
    spot = np.argwhere(axial > 0.95)
    assert len(spot) > 50 and spot[:, 1].mean() < 0.45 * width


def test_the_measured_region_is_outlined_only_where_it_is_not_all(tmp_path):
    volume = head((44, 44, 44))
    low = degrade(volume, (2, 2), (0, 1), "sinc")

    def outline(measured):
        picture = drawn(tmp_path / "a.png", low, volume, "t", measured=measured)
        return np.count_nonzero(np.abs(picture - np.array([0x40, 0xC0, 0xFF]) / 255).max(axis=2) < 0.05)

    assert outline((1, 1, 1)) == 0 and outline((0.5, 0.5, 1)) > 500


@pytest.mark.parametrize("lines", [0, 1, 4])
def test_the_caption_has_room(lines, tmp_path):
    volume = head((44, 44, 44))
    plain = drawn(tmp_path / "a.png", volume, volume, "t")
    found = drawn(tmp_path / "b.png", volume, volume, "t", caption=["warning: $^$ \udcff"] * lines)
    assert (found.shape[0] - plain.shape[0]) == pytest.approx(lines * 0.17 * DPI, abs=1.5)
    assert lines == 0 or found[-int(lines * 0.17 * DPI) : -4].max() == 1.0
