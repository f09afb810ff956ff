"""DICOM folders: geometry against SimpleITK, the choice of a series, and what is refused."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK
from dicom_helpers import TURN, VOXELS, write_series
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    BasicTextSRStorage,
    DeflatedExplicitVRLittleEndian,
    EncapsulatedPDFStorage,
    GrayscaleSoftcopyPresentationStateStorage,
    JPEGLSLossless,
    MediaStorageDirectoryStorage,
    MRImageStorage,
    RawDataStorage,
    RLELossless,
    SegmentationStorage,
    generate_uid,
)

from data_prep import degrade
from data_prep.subjects import list_scans
from mdcsrn_tf.errors import UserError
from mdcsrn_tf.evaluation.subjects import match_subjects
from mdcsrn_tf.inference.outputs import plan
from mdcsrn_tf.inference.provenance import source_hash
from mdcsrn_tf.scans.stack import read_stack
from mdcsrn_tf.scans.volumes import find_volumes, read_volume, write_volume


def test_a_series_has_the_geometry_that_simpleitk_gives_it(tmp_path):
    folder = write_series(tmp_path / "series", generate_uid(), slope=(2.0, -7.0))
    (folder / "README").write_text("not an image")
    volume = read_volume(folder)
    np.testing.assert_array_equal(volume.data, VOXELS.astype(np.float32) * 2 - 7)
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    image = reader.Execute()
    np.testing.assert_allclose(SimpleITK.GetArrayFromImage(image).T, volume.data)
    for index in ((0, 0, 0), (5, 4, 6), (2, 3, 1)):
        lps = np.array(image.TransformIndexToPhysicalPoint(index))
        np.testing.assert_allclose((volume.affine @ [*index, 1])[:3], lps * [-1, -1, 1], atol=1e-6)
    write_volume(tmp_path / "out.nii", volume.data, volume, dtype="same")
    again = read_volume(tmp_path / "out.nii")
    np.testing.assert_array_equal(again.data, volume.data)
    np.testing.assert_allclose(again.affine, volume.affine, atol=1e-4)


def test_a_series_is_chosen_by_its_uid(tmp_path):
    first, second = generate_uid(), generate_uid()
    folder = write_series(tmp_path / "two", first)
    write_series(folder, second, voxels=VOXELS + 1, prefix="other")
    with pytest.raises(UserError, match=rf"(?s)two holds 2 series.*{second} \(7 slices\)"):
        read_volume(folder)
    np.testing.assert_array_equal(read_volume(folder, second).data, VOXELS + 1)
    with pytest.raises(UserError, match=r"holds no series 1\.2\.3"):
        read_volume(folder, "1.2.3")
    assert find_volumes(tmp_path) == [folder]


def test_every_series_of_a_folder_is_degraded_by_itself(tmp_path, capsys, studies, monkeypatch):
    monkeypatch.chdir(studies / "A")
    names = ["004_T1_mprage.nii.gz", "004_T2_space.nii.gz"]
    assert [pair[1] for pair in degrade.plan_outputs(Path(), tmp_path)] == [tmp_path / name for name in names]
    assert degrade.main([f"--input={studies}", f"--output={tmp_path}/low", "--series=t2", "--axes=0,1", "--quiet"]) == 0
    written = sorted(path.relative_to(tmp_path / "low") for path in (tmp_path / "low").rglob("*.nii.gz"))
    assert written == [Path("A/004_T2_space.nii.gz"), Path("B/006_T2_space.nii.gz")]
    assert degrade.main([f"--input={studies / 'A'}", f"--output={tmp_path}/o.nii", "--series=T1", "--axes=0,1"]) == 0
    assert degrade.main([f"--input={studies / 'A'}", f"--output={tmp_path}/p.nii"]) == 1
    assert "is a file, but --input" in capsys.readouterr().err


def test_scans_below_a_series_folder_stay_below_the_output(tmp_path):
    folder = write_series(tmp_path / "one", generate_uid())
    write_series(folder / "later", generate_uid())
    planned = [target.relative_to(tmp_path) for _, target in degrade.plan_outputs(folder, tmp_path / "low")]
    assert planned == [Path("low/one.nii.gz"), Path("low/later.nii.gz")]
    assert [job.target.name for job in plan(folder, tmp_path / "sr")] == ["one_sr.nii.gz", "later_sr.nii.gz"]


@pytest.fixture
def studies(tmp_path):
    """Two people's folders, each with two series of 7 slices."""
    for person, number in (("A", 4), ("B", 6)):
        for words, prefix in (("T1 mprage", "x"), ("T2 space", "y")):

            def modify(ds, k, number=number, words=words):
                ds.SeriesNumber, ds.SeriesDescription = number, words

            write_series(tmp_path / "in" / person, generate_uid(), prefix=prefix, modify=modify)
    return tmp_path / "in"


def test_a_persons_series_are_never_learned_from_and_tested_on(studies):
    for series, sources in (
        ("MPRAGE", ["A/x000.dcm", "B/x000.dcm"]),
        ("t", [f"{p}/{x}000.dcm" for p in "AB" for x in "xy"]),
    ):
        scans = list_scans(studies, "1,1", 0, series=series)
        assert [scan.source for scan in scans] == sources
        assert [scan.subject for scan in scans] == [source[0] for source in sources]
        splits = {scan.subject: scan.split for scan in scans}
        assert len(set(splits.values())) == 2 and all(splits[scan.subject] == scan.split for scan in scans)
    assert [scan.name for scan in list_scans(studies / "A", "1", 0, series="t2")] == ["A_004_T2_space"]
    assert {scan.subject for scan in list_scans(studies / "A", "1", 0, series="t")} == {"A"}
    with pytest.raises(UserError, match="holds no series 'flair'; there are 004_T1_mprage, 004_T2_space, 006_T1"):
        list_scans(studies, "1", 0, series="flair")


def test_results_are_evaluated_beside_the_series_they_are_of(studies, tmp_path):
    results = tmp_path / "sr"
    for job in plan(studies, results):
        job.target.parent.mkdir(parents=True, exist_ok=True)
        job.target.touch()
    complete, sentences = match_subjects(studies, None, {"sr": results}, "mprage")
    assert [(one.name, one.high_res, one.results) for one in complete] == [
        (
            f"00{number}_T1_mprage",
            studies / person / "x000.dcm",
            (("sr", results / person / f"00{number}_T1_mprage_sr.nii.gz"),),
        )
        for person, number in (("A", 4), ("B", 6))
    ]
    assert sentences == []  # nobody is missing whose series was not asked for
    assert len(match_subjects(studies, None, {"sr": results})[0]) == 4


def other_orientation(ds, k):
    if k == 3:
        ds.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]


def other_spacing(ds, k):
    if k == 3:
        ds.PixelSpacing = [1, 1]


def same_position(ds, k):
    if k == 3:
        ds.ImagePositionPatient = [10, -20, 30]


def second_echo(ds, k):
    ds.EchoTime = 90 if k == 3 else 15
    if k == 3:
        ds.ImagePositionPatient = list(np.array([10, -20, 30]) + 2.5 * 4 * TURN[2])


def beside_the_others(ds, k):
    """Along a pixel row, by two thirds of a pixel."""
    if k == 3:
        ds.ImagePositionPatient = list(np.array([*ds.ImagePositionPatient], float) + 0.6 * TURN[0])


def palette(ds, k):
    if k == 3:
        ds.PhotometricInterpretation = "PALETTE COLOR"


def screen_shot(ds, k):
    """One picture of a screen among the slices, which lies nowhere."""
    if k == 3:
        ds.SamplesPerPixel, ds.PhotometricInterpretation = 3, "RGB"
        del ds.ImagePositionPatient


def without_position(ds, k):
    del ds.ImagePositionPatient


def several_frames(ds, k):
    ds.NumberOfFrames = 2
    ds.PixelData = ds.PixelData * 2


def negative(ds, k):
    ds.PhotometricInterpretation = "MONOCHROME1"


def enhanced_colour(ds, k):
    """The slice as an enhanced file of one frame, in red, green and blue."""
    group = Dataset()
    for sequence, names in (
        ("PixelMeasuresSequence", ("PixelSpacing",)),
        ("PlaneOrientationSequence", ("ImageOrientationPatient",)),
        ("PlanePositionSequence", ("ImagePositionPatient",)),
    ):
        item = Dataset()
        for name in names:
            setattr(item, name, ds.get(name))
        setattr(group, sequence, [item])
    ds.NumberOfFrames, ds.PerFrameFunctionalGroupsSequence = 1, [group]
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PlanarConfiguration = 3, "RGB", 0
    ds.PixelRepresentation, ds.PixelData = 0, ds.PixelData * 3


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"skip": (3,)}, "gap between slices"),
        ({"modify": other_orientation}, "mixes slice orientations"),
        ({"modify": other_spacing}, "mixes matrix or voxel sizes"),
        ({"modify": same_position}, "two slices at one position; separate"),
        (
            {"modify": second_echo},
            r"at one position, of another EchoTime \((90\.0 and 15\.0|15\.0 and 90\.0)\)",
        ),
        ({"modify": beside_the_others}, "shifted sideways, unevenly and by up to 0.6 mm"),
        ({"modify": palette}, r"\.dcm is no grey-scale image, as"),
        ({"modify": screen_shot}, r"\.dcm is no grey-scale image, as"),
        ({"modify": without_position}, "lacks ImagePositionPatient"),
        ({"modify": several_frames}, "has 2 frames without saying where each lies"),
        ({"modify": negative}, "MONOCHROME1"),
        ({"modify": enhanced_colour}, r"\.dcm is no grey-scale image, as"),
        ({"skip": range(6)}, "single slice"),
    ],
)
def test_irregular_series_are_refused(tmp_path, options, sentence):
    folder = write_series(tmp_path / "series", generate_uid(), **options)
    with pytest.raises(UserError, match=f"series.*{sentence}"):
        read_volume(folder)


def tilted(ds, k):
    """Every slice a millimetre further along its rows than the one below it: the gantry of a CT scanner."""
    ds.ImagePositionPatient = list(np.array([*ds.ImagePositionPatient], float) + k * TURN[0])


def test_a_tilted_gantry_is_kept_in_the_affine_and_told(tmp_path):
    folder = write_series(tmp_path / "series", generate_uid(), modify=tilted)
    volume = read_volume(folder)
    for index in ((0, 0, 0), (5, 0, 6), (2, 4, 3)):
        column, row, k = index
        lps = [10, -20, 30] + (1.2 * column + k) * TURN[0] + 0.9 * row * TURN[1] + 2.5 * k * TURN[2]
        np.testing.assert_allclose((volume.affine @ [*index, 1])[:3], lps * [-1, -1, 1], atol=1e-6)
    (remark,) = volume.remarks
    assert "its axes are not perpendicular but 21.8 degrees off" in remark  # arctan(1 / 2.5)
    write_volume(tmp_path / "out.nii", volume.data, volume)
    again = read_volume(tmp_path / "out.nii")
    np.testing.assert_allclose(again.affine, volume.affine, atol=1e-4)
    assert remark in again.remarks
    for scan in (folder, tmp_path / "out.nii"):
        with pytest.raises(UserError, match=r"shifted sideways, by 6\.0 mm, as a tilted gantry's are"):
            read_stack(scan)
    assert not read_volume(write_series(tmp_path / "upright", generate_uid())).remarks


def test_an_image_that_was_copied_is_named(tmp_path):
    folder = write_series(tmp_path / "series", generate_uid())
    (folder / "im000 (1).dcm").write_bytes((folder / "im000.dcm").read_bytes())
    for read in (read_volume, read_stack):
        with pytest.raises(UserError, match=r"holds one image twice, as im000.* and im000.*; remove one of them"):
            read(folder)


def test_what_cannot_be_decoded_for_lack_of_a_decoder_says_which(tmp_path):
    def compressed(ds, k):
        ds.file_meta.TransferSyntaxUID = JPEGLSLossless
        ds.PixelData = encapsulate([bytes(60)])

    folder = write_series(tmp_path / "series", generate_uid(), modify=compressed)
    with pytest.raises(UserError) as caught:
        read_volume(folder)
    assert "is compressed (JPEG-LS Lossless Image Compression), and nothing that decodes it" in str(caught.value)
    assert "pip install 'pydicom[pixeldata]'" in str(caught.value)


@pytest.mark.parametrize("kind", ["rle", "deflated"])
def test_compression_without_loss_that_needs_no_decoder_is_read(tmp_path, kind):
    def compressed(ds, k):
        if kind == "rle":
            ds.compress(RLELossless)
        else:
            ds.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian

    folder = write_series(tmp_path / "series", generate_uid(), modify=compressed)
    np.testing.assert_array_equal(read_volume(folder).data, VOXELS)


def test_damaged_and_foreign_files(tmp_path):
    folder = write_series(tmp_path / "series", generate_uid())
    file = sorted(folder.iterdir())[2]
    raw = file.read_bytes()
    file.write_bytes(raw[:-10])
    with pytest.raises(UserError, match=f"{file.name} cannot be decoded"):
        read_volume(folder)
    alone = tmp_path / "alone" / "im000.dcm"
    alone.parent.mkdir()
    alone.write_bytes(raw[:132])
    with pytest.raises(UserError, match=r"im000\.dcm should be a DICOM image and holds none"):
        read_volume(alone)
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "note.txt").write_text("x" * 500)
    with pytest.raises(UserError, match="no DICOM image"):
        read_volume(tmp_path / "none")


@pytest.mark.parametrize(
    ("whole", "damaged"),
    [(b"\x28\0\x08\0IS\x02\x001 ", b"\x28\0\x08\0IS\x02\x001B"), (b"\x08\0\x60\0CS", b"\x08\0\x60\0C6")],
    ids=["number", "type"],
)
def test_a_damaged_header_stops_no_other_series_and_is_named(tmp_path, whole, damaged):
    folder = write_series(tmp_path / "series", generate_uid(), modify=lambda ds, k: setattr(ds, "NumberOfFrames", 1))
    file = sorted(folder.iterdir())[2]
    raw = file.read_bytes()
    assert raw.count(whole) == 1
    file.write_bytes(raw.replace(whole, damaged))
    assert [job.source for job in plan(tmp_path, tmp_path / "out")] == [folder]
    for scan, sentence in ((folder, "cannot be read"), (file, f"{file.name} should be a DICOM image and holds none")):
        with pytest.raises(UserError, match=sentence):
            read_volume(scan)


@pytest.mark.parametrize("left", [0, 131, 132, 400, 700])
def test_a_slice_that_was_cut_off_makes_no_series_shorter(tmp_path, left):
    folder = write_series(tmp_path / "series", generate_uid())
    (folder / "README").write_text("not an image")
    last = next(file for file in folder.iterdir() if file.suffix and dcmread(file).ImagePositionPatient[2] > 41.9)
    raw = last.read_bytes()
    assert raw.index(VOXELS[:, :, -1].T.tobytes()) > 700
    last.write_bytes(raw[:left])
    with pytest.raises(UserError, match=f"{last.name} should be a DICOM image and holds none"):
        read_volume(folder)


def test_a_file_without_suffix_is_a_slice_if_it_is_called_as_the_others_are(tmp_path):
    folder = write_series(tmp_path / "series", generate_uid())
    for number, file in enumerate(sorted(folder.iterdir())):
        file.rename(folder / f"IM_{number}")
    (folder / "finished").touch()
    assert read_volume(folder).data.shape == (6, 5, 7)
    (folder / "IM_0007").touch()
    with pytest.raises(UserError, match="IM_0007 should be a DICOM image and holds none"):
        read_volume(folder)


def test_a_report_beside_the_slices_is_no_slice(tmp_path):
    folder = write_series(tmp_path / "series", generate_uid())
    report = dcmread(sorted(folder.iterdir())[0])
    report.file_meta.MediaStorageSOPClassUID = report.SOPClassUID = BasicTextSRStorage
    del report.PixelData, report.Rows
    report.save_as(folder / "im900.dcm")
    assert read_volume(folder).data.shape == (6, 5, 7)


def as_kind(file, kind, target):
    """The file's header as an object of another kind, without an image."""
    dataset = dcmread(file)
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = kind
    del dataset.PixelData, dataset.Rows
    target.parent.mkdir(exist_ok=True)
    dataset.save_as(target)


def test_a_folder_of_reports_is_no_scan(tmp_path):
    """A disc has its table of contents above all images, and each report in a folder of its own."""
    folder = write_series(tmp_path / "disc" / "series", generate_uid())
    slice_ = sorted(folder.iterdir())[0]
    kinds = (
        MediaStorageDirectoryStorage,
        BasicTextSRStorage,
        GrayscaleSoftcopyPresentationStateStorage,
        RawDataStorage,
    )
    for number, kind in enumerate((*kinds, EncapsulatedPDFStorage)):
        as_kind(slice_, kind, tmp_path / "disc" / f"{number}" / "r.dcm")
    as_kind(slice_, MediaStorageDirectoryStorage, tmp_path / "disc" / "DICOMDIR")
    assert find_volumes(tmp_path / "disc") == [folder]
    with pytest.raises(UserError, match=r"1 holds no .* and no DICOM series"):
        find_volumes(tmp_path / "disc" / "1")
    as_kind(slice_, MRImageStorage, tmp_path / "disc" / "cut off" / "im.dcm")
    as_kind(slice_, SegmentationStorage, tmp_path / "disc" / "mask" / "im.dcm")
    assert [found.name for found in find_volumes(tmp_path / "disc")] == ["cut off", "mask", "series"]


def test_a_folder_of_files_that_are_only_called_dicom_is_named(tmp_path, capsys):
    write_series(tmp_path / "scans" / "good", generate_uid())
    for file in write_series(tmp_path / "scans" / "old", generate_uid()).iterdir():
        file.write_bytes(file.read_bytes()[132:])  # as programs wrote them before there was a preamble
    assert degrade.main([f"--input={tmp_path / 'scans'}", f"--output={tmp_path / 'o'}", "--factor=1,1", "--quiet"]) == 1
    assert "old/im000.dcm should be a DICOM image and holds none" in capsys.readouterr().err
    assert (tmp_path / "o" / "good.nii.gz").is_file()


@pytest.mark.parametrize(
    "key",
    [
        "RescaleSlope",
        "RescaleIntercept",
        "NumberOfFrames",
        "PixelSpacing",
        "ImagePositionPatient",
        "Rows",
        "ImageOrientationPatient",
        "PixelRepresentation",
    ],
)
def test_an_empty_field_is_a_sentence_or_means_nothing_and_costs_no_other_scan(tmp_path, capsys, key):
    def emptied(ds, k):
        if k == 3:
            setattr(ds, key, None)

    write_series(tmp_path / "scans" / "bad", generate_uid(), modify=emptied)
    write_series(tmp_path / "scans" / "good", generate_uid())
    code = degrade.main([f"--input={tmp_path / 'scans'}", f"--output={tmp_path / 'out'}", "--factor=1,1", "--quiet"])
    said = capsys.readouterr().err
    assert "Traceback" not in said
    assert (tmp_path / "out" / "good.nii.gz").is_file()
    if code:
        (sentence,) = [line for line in said.splitlines() if "error:" in line]
        assert "bad" in sentence
    else:
        assert key in ("NumberOfFrames", "PixelRepresentation")


def test_the_stored_type_is_that_of_the_pixels(tmp_path):
    def in_octets(ds, k):
        ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 8, 8, 7, 0
        ds.PixelData = bytes(range(ds.Rows * ds.Columns))

    assert read_volume(write_series(tmp_path / "int16", generate_uid())).stored_dtype == np.int16
    assert read_volume(write_series(tmp_path / "uint8", generate_uid(), modify=in_octets)).stored_dtype == np.uint8


@pytest.mark.parametrize(("key", "dtype"), [("FloatPixelData", np.float32), ("DoubleFloatPixelData", np.float64)])
def test_pixels_may_be_fractions(tmp_path, key, dtype):
    """As parametric maps have them, without a slope."""

    def fractions(ds, k):
        del ds.PixelData, ds.PixelRepresentation
        ds.BitsAllocated = ds.BitsStored = 8 * np.dtype(dtype).itemsize
        ds.HighBit = ds.BitsStored - 1
        setattr(ds, key, (VOXELS[:, :, k].T / 8).astype(dtype).tobytes())

    volume = read_volume(write_series(tmp_path / "maps", generate_uid(), modify=fractions))
    np.testing.assert_array_equal(volume.data, VOXELS / 8)
    assert volume.stored_dtype == dtype


def test_a_series_beside_a_volume_file_is_a_scan_too(tmp_path):
    folder = write_series(tmp_path / "series", generate_uid())
    (folder / "a.nii").touch()
    assert find_volumes(tmp_path) == [folder, folder / "a.nii"]
    targets = [job.target.relative_to(tmp_path).as_posix() for job in plan(folder, tmp_path / "out")]
    assert targets == ["out/series_sr.nii.gz", "out/a_sr.nii.gz"]


@pytest.mark.parametrize("where", ["series", "series/deeper"])
def test_a_result_is_called_after_the_folder_that_a_dot_stands_for(tmp_path, monkeypatch, where):
    write_series(tmp_path / "series", generate_uid())
    (tmp_path / where).mkdir(exist_ok=True)
    monkeypatch.chdir(tmp_path / where)
    (job,) = plan(Path("." if where == "series" else ".."), tmp_path / "out")
    assert job.target == tmp_path / "out/series_sr.nii.gz"


def test_a_changed_pixel_changes_the_hash_of_a_series(tmp_path):
    folder = write_series(tmp_path / "series", generate_uid())
    slices, before = sorted(folder.iterdir()), source_hash(folder)
    (folder / "notes.txt").write_text("no part of the scan")
    assert source_hash(folder) == source_hash(slices[0]) == before
    slices[3].write_bytes(slices[3].read_bytes()[:-2] + b"xy")
    assert source_hash(folder) != before


def test_a_changed_voxel_changes_the_hash_of_a_scan_in_two_files(tmp_path):
    header, voxels = tmp_path / "a.hdr", tmp_path / "a.img"
    header.write_bytes(b"header")
    voxels.write_bytes(b"voxels")
    before = source_hash(header)
    assert source_hash(voxels) == before
    voxels.write_bytes(b"others")
    assert source_hash(header) != before
    assert source_hash(tmp_path / "none.hdr") is None
