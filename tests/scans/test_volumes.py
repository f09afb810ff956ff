"""Reading and writing scans: random headers both ways, odd inputs, axes, normalisation."""

import gzip
import os
import shutil
import tempfile
import tracemalloc
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mdcsrn_tf.errors import UserError
from mdcsrn_tf.scans import inflate, volumes
from mdcsrn_tf.scans.volumes import (
    Normalisation,
    axes_are_anatomical,
    find_volumes,
    from_ras,
    read_volume,
    resolve_axes,
    to_ras,
    write_volume,
)

INTEGERS = [np.uint8, np.int8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64]
FLOATS = [np.float32, np.float64]
UNITS = ["mm", "meter", "micron", "unknown"]


def rotation(angles):
    matrix = np.eye(3)
    for axis, angle in enumerate(angles):
        turn = np.eye(3)
        i, j = [a for a in range(3) if a != axis]
        turn[[i, j], [i, j]] = np.cos(angle)
        turn[i, j], turn[j, i] = -np.sin(angle), np.sin(angle)
        matrix = turn @ matrix
    return matrix


@st.composite
def images(draw):
    """A NIfTI image with a header of every make, and its values."""
    shape = tuple(draw(st.lists(st.integers(1, 64), min_size=3, max_size=3)))
    while np.prod(shape) > 40_000:
        shape = (shape[0], shape[1], max(1, shape[2] // 2)) if shape[2] > 1 else (shape[0] // 2, *shape[1:])
    shape = shape if np.prod(shape) > 1 else (2, 1, 1)
    dtype = np.dtype(draw(st.sampled_from(INTEGERS + FLOATS)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    if dtype.kind == "f":
        stored = rng.normal(0, 10.0 ** draw(st.integers(-3, 5)), shape).astype(dtype)
    else:
        low = 0 if dtype.kind == "u" else -100
        stored = rng.integers(low, 120, shape).astype(dtype)
    stored.flat[0], stored.flat[1] = 1, 5
    header = nib.Nifti1Header(endianness=draw(st.sampled_from("<>")))
    header.set_data_dtype(dtype)
    angles = draw(st.tuples(*[st.floats(-3.1, 3.1)] * 3))
    zooms = draw(st.tuples(*[st.floats(0.2, 5)] * 3))
    offset = draw(st.tuples(*[st.floats(-200, 200)] * 3))
    affine = nib.affines.from_matvec(rotation(angles) @ np.diag(zooms), offset)
    image = nib.Nifti1Image(stored, affine, header)
    image.set_qform(affine, code=draw(st.integers(0, 4)))
    sheared = affine.copy()
    sheared[0, 1] += draw(st.floats(-0.2, 0.2))
    image.set_sform(sheared, code=draw(st.integers(0, 4)))
    image.header.set_xyzt_units(draw(st.sampled_from(UNITS)), "sec")
    image.header["descrip"] = draw(st.text("abc XYZ19-", max_size=70)).encode()
    if draw(st.booleans()):
        slope, inter = draw(st.floats(0.01, 100)), draw(st.floats(-500, 500))
        image.header.set_slope_inter(slope, inter)
        return image, stored.astype(np.float64) * np.float32(slope) + np.float32(inter)
    return image, stored.astype(np.float64)


@settings(max_examples=200, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(images(), st.booleans())
def test_random_headers_survive_the_round_trip(case, compressed):
    image, values = case
    with tempfile.TemporaryDirectory() as folder:
        suffix = ".nii.gz" if compressed else ".nii"
        source, target, same = (Path(folder, name + suffix) for name in ("source", "target", "same"))
        nib.save(image, source)
        volume = read_volume(source)
        tolerance = 1e-4 * np.abs(values).max()
        np.testing.assert_allclose(volume.data, values, atol=tolerance)
        np.testing.assert_array_equal(volume.affine, nib.load(source).affine)
        normalisation = Normalisation.from_low_res(volume.data)
        back = normalisation.undo(normalisation.apply(volume.data))
        write_volume(target, back, volume, keep_text=True)
        write_volume(same, back, volume, dtype="same", keep_text=True)
        for written in (nib.load(target), nib.load(same)):
            np.testing.assert_allclose(written.get_fdata(), values, atol=tolerance)
            check_geometry_kept(nib.load(source), written)
        assert nib.load(target).get_data_dtype().newbyteorder("=") == np.float32
        assert nib.load(target).dataobj.slope == 1 and nib.load(target).dataobj.inter == 0
        assert nib.load(same).get_data_dtype() == image.get_data_dtype()
        assert sorted(Path(folder).iterdir()) == sorted((source, target, same))


def check_geometry_kept(before, after):
    assert after.shape == before.shape
    np.testing.assert_array_equal(after.affine, before.affine)
    for form in ("get_sform", "get_qform"):
        old, new = getattr(before, form)(coded=True), getattr(after, form)(coded=True)
        assert old[1] == new[1]
        if old[0] is not None:
            np.testing.assert_array_equal(old[0], new[0])
    assert after.header.get_zooms() == before.header.get_zooms()
    assert after.header.get_xyzt_units() == before.header.get_xyzt_units()
    assert after.header["descrip"] == before.header["descrip"]


def save(path, data, affine=None, **header):
    image = nib.Nifti1Image(data, np.eye(4) if affine is None else affine)
    for key, value in header.items():
        image.header[key] = value
    nib.save(image, path)
    return path


def ramp(shape=(4, 5, 6), dtype=np.int16):
    return np.arange(np.prod(shape)).reshape(shape).astype(dtype)


def test_one_volume_in_four_dimensions_is_accepted_and_two_are_not(tmp_path):
    volume = read_volume(save(tmp_path / "one.nii", ramp((4, 5, 6, 1))))
    assert volume.data.shape == (4, 5, 6)
    assert volume.data.flags.c_contiguous and volume.data.dtype == np.float32
    with pytest.raises(UserError, match=r"two\.nii holds 2 volumes.*split"):
        read_volume(save(tmp_path / "two.nii", ramp((4, 5, 6, 2))))


def test_same_type_clips_and_rounds(tmp_path):
    volume = read_volume(save(tmp_path / "scan.nii", ramp(dtype=np.uint8)))
    write_volume(tmp_path / "out.nii", np.full((4, 5, 6), 7.6, np.float32) * np.float32(1), volume, dtype="same")
    assert (nib.load(tmp_path / "out.nii").get_fdata() == 8).all()
    data = ramp().astype(np.float32) * 10 - 100
    write_volume(tmp_path / "out.nii", data, volume, dtype="same")
    np.testing.assert_array_equal(nib.load(tmp_path / "out.nii").get_fdata(), data.clip(0, 255))


def test_another_grid_moves_both_forms(tmp_path):
    affine = nib.affines.from_matvec(rotation((0.3, -0.2, 0.1)) @ np.diag([1, 2, 3]), [4, 5, 6])
    other = affine.copy()
    other[:3, 3] += 10
    image = nib.Nifti1Image(ramp(), affine)
    image.set_sform(affine, 1)
    image.set_qform(other, 2)
    image.header.set_dim_info(0, 1, 2)
    times = {"slice_start": 1, "slice_end": 2, "slice_code": 3, "slice_duration": 0.5}
    for name, value in times.items():
        image.header[name] = value
    nib.save(image, tmp_path / "scan.nii")
    volume = read_volume(tmp_path / "scan.nii")
    new = affine @ np.diag([2, 2, 1, 1])
    write_volume(tmp_path / "small.nii", volume.data[::2, ::2], volume, affine=new)
    written = nib.load(tmp_path / "small.nii")
    np.testing.assert_allclose(written.affine, new, atol=1e-5)
    qform, code = written.get_qform(coded=True)
    assert code == 2 and written.get_sform(coded=True)[1] == 1
    np.testing.assert_allclose(qform, other @ np.diag([2, 2, 1, 1]), atol=1e-5)
    np.testing.assert_allclose(written.header.get_zooms(), [2, 4, 3], rtol=1e-6)
    assert written.header.get_dim_info() == (0, 1, 2), "the axes are the same"
    assert not any(written.header[name] for name in times), "the slices are others"
    write_volume(tmp_path / "same.nii", volume.data, volume)
    assert {name: float(nib.load(tmp_path / "same.nii").header[name]) for name in times} == times


def test_another_grid_of_a_scan_without_forms(tmp_path):
    path = save(tmp_path / "scan.nii", ramp(), sform_code=0, qform_code=0)
    volume = read_volume(path)
    new = volume.affine @ np.diag([2, 1, 1, 1])
    write_volume(tmp_path / "small.nii", volume.data[::2], volume, affine=new)
    np.testing.assert_allclose(nib.load(tmp_path / "small.nii").affine, new, atol=1e-5)


def test_mgz_becomes_nifti1_and_nifti2_stays_it_with_their_geometry(tmp_path):
    affine = nib.affines.from_matvec(rotation((0.1, 0.4, -0.7)) @ np.diag([1, 1.5, 2]), [-3, 8, 1])
    nib.save(nib.MGHImage(ramp(), affine), tmp_path / "scan.mgz")
    nib.save(nib.Nifti2Image(ramp(), affine), tmp_path / "two.nii.gz")
    for name in ("scan.mgz", "two.nii.gz"):
        volume = read_volume(tmp_path / name)
        np.testing.assert_array_equal(volume.data, ramp())
        for dtype in ("float32", "same"):
            write_volume(tmp_path / "out.nii", volume.data, volume, dtype=dtype)
            written = nib.load(tmp_path / "out.nii")
            assert type(written) is (nib.Nifti2Image if name == "two.nii.gz" else nib.Nifti1Image)
            np.testing.assert_array_equal(written.get_fdata(), ramp())
            np.testing.assert_allclose(written.affine, affine, atol=1e-5)
            assert written.get_data_dtype() == (np.float32 if dtype == "float32" else np.int16)


def test_only_nifti_is_written_and_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    volume = read_volume(save(tmp_path / "scan.nii", ramp()))
    with pytest.raises(UserError, match=r"out\.mgz must end in"):
        write_volume(tmp_path / "out.mgz", volume.data, volume)
    before = (tmp_path / "scan.nii").read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(nib, "save", full)
    with pytest.raises(UserError, match=r"scan\.nii cannot be written.*No space left"):
        write_volume(tmp_path / "scan.nii", volume.data, volume)
    assert (tmp_path / "scan.nii").read_bytes() == before and list(tmp_path.iterdir()) == [tmp_path / "scan.nii"]


@pytest.mark.parametrize("codes", ["RAS", "LPS", "PIR", "SLA", "ASL"])
def test_axes_follow_the_head_not_the_array(codes):
    affine = nib.orientations.inv_ornt_aff(
        nib.orientations.ornt_transform(nib.orientations.axcodes2ornt("RAS"), nib.orientations.axcodes2ornt(codes)),
        (4, 5, 6),
    )
    assert nib.aff2axcodes(affine) == tuple(codes)
    for name, letters in (("LR", "RL"), ("AP", "AP"), ("IS", "SI"), ("RL", "RL"), ("si", "SI")):
        (axis,) = resolve_axes(name, affine)
        assert codes[axis] in letters
    data = ramp()
    turned, turned_affine = to_ras(data, affine)
    assert nib.aff2axcodes(turned_affine) == ("R", "A", "S")
    reference = nib.as_closest_canonical(nib.Nifti1Image(data, affine))
    np.testing.assert_array_equal(turned, reference.get_fdata())
    np.testing.assert_allclose(turned_affine, reference.affine)
    np.testing.assert_array_equal(from_ras(turned, affine), data)


def test_axes_by_index_and_mistakes():
    assert resolve_axes("2,0", np.eye(4)) == (2, 0)
    assert axes_are_anatomical("LR,AP") and not axes_are_anatomical("0,1")
    for wrong in ("LR,LR", "LR,0", "", "XY", "3"):
        with pytest.raises(UserError, match=r"axis|axes"):
            resolve_axes(wrong, np.eye(4))


def test_normalisation_uses_the_voxels_above_the_mean():
    values = np.array([0, 0, 0, 0, 4, 8], np.float32).reshape(1, 2, 3)
    normalisation = Normalisation.from_low_res(values)
    assert (normalisation.mean, normalisation.std) == (6.0, 2.0)
    np.testing.assert_allclose(normalisation.apply(values).ravel(), [-3, -3, -3, -3, -1, 1])
    two_levels = np.array([0, 0, 0, 3], np.float32)
    assert Normalisation.from_low_res(two_levels).std == pytest.approx(two_levels.std())
    with pytest.raises(UserError, match="one constant value"):
        Normalisation.from_low_res(np.ones((2, 2, 2), np.float32))


def test_volumes_are_found_in_files_folders_trees_and_lists(tmp_path):
    plain = tmp_path / "plain"
    (plain / "deep").mkdir(parents=True)
    for name in ("b.nii", "a.nii.gz", "deep/c.mgz", ".hidden.nii", "notes.txt", "._b.nii"):
        (plain / name).touch()
    assert find_volumes(plain) == [plain / "a.nii.gz", plain / "b.nii", plain / "deep/c.mgz"]
    assert find_volumes(plain / "b.nii") == [plain / "b.nii"]
    (tmp_path / "scans.txt").write_text("# mine\nplain/b.nii\n\nplain/missing.nii\n")
    assert find_volumes(tmp_path / "scans.txt") == [plain / "b.nii", plain / "missing.nii"]
    (tmp_path / "home.txt").write_bytes(b"\xef\xbb\xbf# from Windows\r\n~/c.nii\r\n")
    assert find_volumes(tmp_path / "home.txt") == [Path.home() / "c.nii"]
    bids = tmp_path / "bids"
    wanted = ["sub-01/anat/sub-01_T1w.nii.gz", "sub-02/ses-1/anat/sub-02_ses-1_acq-x_T2w.nii"]
    others = [
        "sub-01/func/sub-01_bold.nii.gz",
        "sub-01/anat/sub-01_desc-brain_mask.nii.gz",
        "derivatives/x/sub-01/anat/sub-01_T1w.nii.gz",
        "sub-01/anat/sub-01_T1w.json",
    ]
    for name in wanted + others:
        (bids / name).parent.mkdir(parents=True, exist_ok=True)
        (bids / name).touch()
    assert find_volumes(bids) == [bids / name for name in wanted]
    (tmp_path / "empty").mkdir()
    for wrong in ("empty", "nowhere"):
        with pytest.raises(UserError, match=f"{wrong}.*check the path"):
            find_volumes(tmp_path / wrong)
    (tmp_path / "none.txt").write_text("# nothing\n")
    with pytest.raises(UserError, match="lists no scan"):
        find_volumes(tmp_path / "none.txt")


def test_linked_folders_are_searched_once_and_circles_end(tmp_path):
    for name in ("store/sub-1/a.nii", "scans/sub-2/b.nii", "scans/deep/c.nii"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    scans = tmp_path / "scans"
    (scans / "sub-1").symlink_to(tmp_path / "store" / "sub-1")
    (scans / "again").symlink_to(scans / "deep")
    (scans / "deep" / "circle").symlink_to(scans)
    assert find_volumes(scans) == [scans / "deep/c.nii", scans / "sub-1/a.nii", scans / "sub-2/b.nii"]


@pytest.mark.parametrize(("first", "second"), [("data", "data/deep"), ("data/deep", "data")])
def test_links_to_folders_that_overlap_give_each_scan_once(tmp_path, first, second):
    for name in ("data/x.nii", "data/deep/y.nii", "scans/z.nii"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    for name, target in (("a", first), ("b", second)):
        (tmp_path / "scans" / name).symlink_to(tmp_path / target)
    found = [path.resolve() for path in find_volumes(tmp_path / "scans")]
    assert sorted(found) == [tmp_path / name for name in ("data/deep/y.nii", "data/x.nii", "scans/z.nii")]


def test_a_link_that_is_added_renames_no_scan(tmp_path):
    for name in ("a/w.nii", "b/x.nii", "b/deep/y.nii"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    before = find_volumes(tmp_path)
    assert before == [tmp_path / "a/w.nii", tmp_path / "b/deep/y.nii", tmp_path / "b/x.nii"]
    (tmp_path / "a" / "link").symlink_to("../b")
    assert find_volumes(tmp_path) == before


def test_a_list_that_notepad_wrote_is_read(tmp_path):
    (tmp_path / "a.nii").touch()
    (tmp_path / "scans.txt").write_bytes(b"\xef\xbb\xbfa.nii\r\n")
    assert find_volumes(tmp_path / "scans.txt") == [tmp_path / "a.nii"]


def test_a_damaged_end_of_a_gzip_file_is_noticed(tmp_path):
    path = save(tmp_path / "scan.nii.gz", ramp((30, 30, 30)))
    raw = path.read_bytes()
    path.write_bytes(raw[:-8] + bytes([raw[-8] ^ 1]) + raw[-7:])  # the checksum of the content
    with pytest.raises(UserError, match=r"scan\.nii\.gz cannot be read"):
        read_volume(path)
    path.write_bytes(gzip.compress(gzip.decompress(raw)))
    shutil.copy(path, tmp_path / "copy.nii")  # compressed under the plain name: read all the same
    np.testing.assert_array_equal(read_volume(tmp_path / "copy.nii").data, ramp((30, 30, 30)))


@pytest.mark.parametrize("place", ["sub-02/anat", "sub-02", "."])
@pytest.mark.parametrize("bids", [True, False])
def test_a_folder_that_cannot_be_read_is_named(tmp_path, monkeypatch, place, bids):
    prefix = "sub" if bids else "head"
    place = place.replace("sub", prefix)
    for subject in (f"{prefix}-01", f"{prefix}-02"):
        scan = tmp_path / subject / "anat" / (f"{subject}_T1w.nii" if bids else "scan.nii")
        scan.parent.mkdir(parents=True)
        scan.touch()
    assert len(find_volumes(tmp_path)) == 2
    scandir, closed = os.scandir, tmp_path / place

    def refusing(path="."):  # as for anybody but root
        if Path(path) == closed:
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    with pytest.raises(UserError, match=rf"folder {closed} cannot be read \(Permission denied\)"):
        find_volumes(tmp_path)


@pytest.mark.parametrize(("size", "shape"), [(1e-7, (4, 4, 4)), (60.0, (4, 4, 4)), (40.0, (100, 4, 4))])
def test_voxel_sizes_that_no_scanner_makes_are_refused(tmp_path, size, shape):
    data = np.arange(np.prod(shape), dtype=np.int16).reshape(shape)
    save(tmp_path / "scan.nii", data, np.diag([size, 1.0, 1.0, 1.0]))
    with pytest.raises(UserError, match=r"scan\.nii has voxels of .* mm over a matrix of .*, which no scanner makes"):
        read_volume(tmp_path / "scan.nii")


@pytest.mark.parametrize("scale", [1e30, 1e-30])
def test_values_whose_squares_are_no_float32_are_refused(tmp_path, scale):
    path = save(tmp_path / "scan.nii", (ramp((4, 4, 4)) * scale).astype(np.float32))
    with pytest.raises(UserError, match=r"scan\.nii has voxels of up to .*e[+-].*; rescale it"):
        read_volume(path)


def test_an_offset_within_the_header_is_refused(tmp_path):
    path = save(tmp_path / "scan.nii", ramp())
    raw = bytearray(path.read_bytes())
    raw[108:112] = np.float32(0).tobytes()  # vox_offset
    path.write_bytes(raw)
    with pytest.raises(UserError, match="voxels begin within its header"):
        read_volume(path)


def test_a_small_file_that_grows_beyond_any_scan_is_refused_before_it_is_in_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(inflate, "_ALWAYS_ALLOWED", 4 << 20)
    header = nib.Nifti1Header()
    header.set_data_shape((400, 400, 400))
    header.set_data_dtype(np.uint8)
    header["vox_offset"], header["magic"] = 352, b"n+1"
    path, zeros = tmp_path / "bomb.nii.gz", bytes(1 << 20)
    with gzip.open(path, "wb", compresslevel=1) as stream:
        stream.write(header.binaryblock + bytes(4))
        for _ in range(64):
            stream.write(zeros)
    tracemalloc.start()
    with pytest.raises(UserError, match=r"bomb\.nii\.gz grows to more than"):
        read_volume(path)
    assert tracemalloc.get_traced_memory()[1] < 32 << 20
    tracemalloc.stop()


def test_gzip_members_strung_together_and_padded_are_read(tmp_path):
    save(tmp_path / "scan.nii", ramp())
    raw = (tmp_path / "scan.nii").read_bytes()
    (tmp_path / "scan.nii.gz").write_bytes(gzip.compress(raw[:500]) + gzip.compress(raw[500:]) + bytes(512))
    np.testing.assert_array_equal(read_volume(tmp_path / "scan.nii.gz").data, ramp())


def test_what_nibabel_mends_is_not_said(tmp_path, capfd):
    path = tmp_path / "scan.nii"
    save(path, ramp())
    raw = bytearray(path.read_bytes())
    raw[76:80] = np.float32(7).tobytes()  # qfac
    raw[252:254] = np.int16(1).tobytes()  # a qform, so that it is looked at
    path.write_bytes(raw)
    volume = read_volume(path)
    write_volume(tmp_path / "out.nii", volume.data, volume)
    assert capfd.readouterr().err == ""


def test_a_named_pipe_is_no_scan_and_nobody_waits_for_it(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "scan.nii").touch()
    assert find_volumes(tmp_path) == [tmp_path / "scan.nii"]
    (tmp_path / "scan.nii").unlink()
    with pytest.raises(UserError, match="holds no"):
        find_volumes(tmp_path)
    os.mkfifo(tmp_path / "pipe.nii")
    (found,) = find_volumes(tmp_path)
    with pytest.raises(UserError, match="is no regular file"):
        read_volume(found)


def test_what_git_keeps_elsewhere_is_to_be_fetched(tmp_path):
    (tmp_path / "a.nii.gz").symlink_to(tmp_path / ".git" / "annex" / "objects" / "MD5E-s9--0.nii.gz")
    (tmp_path / "b.nii.gz").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    (tmp_path / "c.nii").write_text("/annex/objects/MD5E-s9--0.nii\n")
    assert len(find_volumes(tmp_path)) == 3
    for path in find_volumes(tmp_path):
        with pytest.raises(
            UserError, match=rf"{path} (is a link to nothing; fetch|only points to the scan; fetch).*annex get"
        ):
            read_volume(path)
    with pytest.raises(UserError, match="is a link to nothing"):
        find_volumes(tmp_path / "a.nii.gz")


def test_a_file_that_may_not_be_read_is_no_damaged_one(tmp_path, monkeypatch):
    file = tmp_path / "closed.nii"
    nib.save(nib.Nifti1Image(np.arange(60, dtype=np.int16).reshape(3, 4, 5), np.eye(4)), file)

    def refusing(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(volumes, "_read_image", refusing)
    with pytest.raises(UserError, match=rf"^{file} cannot be read \(Permission denied\); let it be read\.$"):
        read_volume(file)


def test_a_lack_of_memory_is_no_fault_of_the_file(tmp_path, monkeypatch):
    path = save(tmp_path / "a.nii", ramp())

    def without_memory(path):
        raise MemoryError

    monkeypatch.setattr(volumes, "_read_image", without_memory)
    with pytest.raises(MemoryError):
        read_volume(path)
