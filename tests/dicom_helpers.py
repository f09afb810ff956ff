"""A DICOM series written by pydicom, for the tests that read one."""

import numpy as np
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

TURN = np.array([[0.8, -0.6, 0.0], [0.48, 0.64, -0.6], [0.36, 0.48, 0.8]])  # rows: column, row, normal directions
VOXELS = np.random.default_rng(0).integers(-50, 900, (6, 5, 7)).astype(np.int16)  # [column, row, slice]


def write_series(folder, uid, *, voxels=VOXELS, turn=TURN, skip=(), slope=None, modify=None, prefix="im"):
    folder.mkdir(parents=True, exist_ok=True)
    order = np.random.default_rng(1).permutation(voxels.shape[2])  # file names tell nothing of positions
    for number, k in enumerate(order):
        if k in skip:
            continue
        meta = FileMetaDataset()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = MRImageStorage, generate_uid()
        ds = FileDataset(None, {}, file_meta=meta, preamble=bytes(128))
        ds.SOPClassUID, ds.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
        ds.SeriesInstanceUID, ds.Modality = uid, "MR"
        ds.Rows, ds.Columns = voxels.shape[1], voxels.shape[0]
        ds.PixelSpacing = [0.9, 1.2]  # between rows, between columns
        ds.ImageOrientationPatient = [*turn[0], *turn[1]]
        ds.ImagePositionPatient = list(np.array([10, -20, 30]) + 2.5 * k * turn[2])
        ds.InstanceNumber = int(number)
        ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
        ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, 1
        if slope is not None:
            ds.RescaleSlope, ds.RescaleIntercept = slope
        ds.PixelData = np.ascontiguousarray(voxels[:, :, k].T).tobytes()
        if modify is not None:
            modify(ds, int(k))
        ds.save_as(folder / f"{prefix}{number:03d}.dcm", enforce_file_format=True)
    return folder
