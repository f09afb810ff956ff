"""The tables of both mDCSRN papers as data: M is the MICCAI 2018 paper, J the journal version."""

from __future__ import annotations

from mdcsrn_tf.papers.config import Cell, PublishedRow, PublishedTable


def _fidelity(psnr: Cell, ssim: Cell, nrmse: Cell) -> dict[str, Cell]:
    return {"psnr": psnr, "ssim": ssim, "nrmse": nrmse}


def _j(method, preset, psnr, ssim, nrmse, parameters=None, seconds=None):
    return PublishedRow(method, preset, _fidelity(psnr, ssim, nrmse), parameters, None, seconds)


def _m(method, preset, ssim, psnr, nrmse, parameters=None, ops=None, seconds=None):
    return PublishedRow(method, preset, _fidelity(psnr, ssim, nrmse), parameters, ops, seconds)


_M_B4U4 = _m("mDCSRN b4u4", "miccai/b4u4k16", (0.9424, 0.0051), (35.88, 0.78), (0.0852, 0.0038), "0.412", 1.672, 20.87)

MICCAI1 = PublishedTable(
    "miccai1",
    "M Table 1: DCSRN and mDCSRN architectures",
    "HCP, 111 test subjects",
    (
        _m("DCSRN b1u8", "miccai/b1u8k16", (0.9371, 0.0053), (35.35, 0.79), (0.0906, 0.0038), "0.307", 1.247, 13.20),
        _m("mDCSRN b2u4", "miccai/b2u4k16", (0.9381, 0.0053), (35.46, 0.78), (0.0895, 0.0038), "0.200", 0.813, 9.74),
        _m("mDCSRN b3u4", "miccai/b3u4k16", (0.9402, 0.0052), (35.56, 0.79), (0.0884, 0.0038), "0.304", 1.236, 15.13),
        _M_B4U4,
    ),
)

MICCAI2 = PublishedTable(
    "miccai2",
    "M Table 2: comparison with other methods",
    "HCP, 111 test subjects",
    (
        _m("Bicubic", None, (0.8377, 0.0088), (29.07, 0.90), (0.1873, 0.0087)),
        _m("FSRCNN", "fsrcnn3d", (0.9211, 0.0059), (34.11, 0.77), (0.1045, 0.0042), "0.064", 0.261, 21.27),
        _m("SRResNet", "srresnet3d", (0.9412, 0.0052), (35.71, 0.79), (0.0869, 0.0038), "2.005", 8.043, 132.71),
        _M_B4U4,
    ),
)

_J_B4U4_R = _j("b4u4-r", "journal/b4u4k12-r", (35.84, 0.86), (0.9410, 0.0060), (0.0866, 0.0037), "0.26", 12.93)
_J_B4U4K12 = _j("b4u4k12", "journal/b4u4k12", (35.88, 0.85), (0.9408, 0.0060), (0.0864, 0.0037), "0.22", 12.06)

JOURNAL1 = PublishedTable(
    "journal1",
    "J Table 1: ablation",
    "HCP, 111 evaluation subjects",
    (
        _j("b1u16-r", "journal/b1u16k12-r", (35.84, 0.86), (0.9408, 0.0060), (0.0866, 0.0036), "0.35", 18.69),
        _J_B4U4_R,
        _j("b1u12-r", "journal/b1u12k12-r", (35.76, 0.86), (0.9396, 0.0060), (0.0874, 0.0036), "0.25", 12.74),
        _J_B4U4K12,
        _j("b6u4k12", "journal/b6u4k12", (36.06, 0.86), (0.9431, 0.0059), (0.0845, 0.0037), "0.35", 19.14),
        _j("b8u4k12", "journal/b8u4k12", (36.14, 0.87), (0.9442, 0.0059), (0.0836, 0.0037), "0.49", 28.52),
        _j("b4u4k8", "journal/b4u4k8", (35.57, 0.85), (0.9382, 0.0060), (0.0894, 0.0036), "0.10", 7.95),
        _j("b4u4k16", "journal/b4u4k16", (35.96, 0.87), (0.9424, 0.0059), (0.0854, 0.0037), "0.41", 15.37),
        _j("b8u4k8", "journal/b8u4k8", (35.85, 0.86), (0.9415, 0.0059), (0.0863, 0.0037), "0.22", 18.43),
    ),
)


def _perceptual(piqe: Cell, niqe: Cell, ma: Cell, pi: Cell) -> dict[str, Cell]:
    return {"piqe": piqe, "niqe": niqe, "ma": ma, "pi": pi}


JOURNAL2 = PublishedTable(
    "journal2",
    "J Table 2: comparison with interpolation and other networks",
    "HCP, 111 test subjects",
    (
        _j("NN", None, (29.48, 0.81), (0.8219, 0.0113), (0.2007, 0.0071)),
        PublishedRow(
            "Bicubic",
            None,
            _fidelity((30.30, 0.82), (0.8420, 0.0105), (0.1830, 0.0067))
            | _perceptual((99.54, 1.39), (5.53, 0.13), (3.20, 0.06), (6.17, 0.08)),
        ),
        _j("FSRCNN", "fsrcnn3d", (34.33, 0.81), (0.9207, 0.0062), (0.1142, 0.0050), "0.06", 15.57),
        PublishedRow(
            "SRResNet",
            "srresnet3d",
            _fidelity((36.09, 0.82), (0.9425, 0.0052), (0.0939, 0.0043))
            | _perceptual((80.85, 7.51), (5.92, 0.19), (5.06, 0.03), (5.43, 0.08)),
            "2.01",
            None,
            107.16,
        ),
        _j("SRDenseNet", "srdensenet3d", (35.93, 0.82), (0.9413, 0.0052), (0.0955, 0.0044), "0.39", 17.95),
        _j("b4u4k12", "journal/b4u4k12", (36.08, 0.82), (0.9418, 0.0052), (0.0935, 0.0044), "0.23", 12.54),
        _j("b6u4k12", "journal/b6u4k12", (36.31, 0.82), (0.9438, 0.0051), (0.0915, 0.0043), "0.35", 19.60),
        PublishedRow(
            "b8u4k12",
            "journal/b8u4k12",
            _fidelity((36.39, 0.82), (0.9448, 0.0050), (0.0906, 0.0043))
            | _perceptual((81.04, 7.79), (6.01, 0.19), (5.06, 0.03), (5.48, 0.09)),
            "0.49",
            None,
            27.86,
        ),
        PublishedRow(
            "mDCSRN-GAN b8u4",
            "journal/b8u4k12",
            _perceptual((71.86, 7.24), (5.00, 0.16), (5.04, 0.04), (4.98, 0.07)),
            gan=True,
        ),
        PublishedRow("Original resolution", None, _perceptual((69.70, 7.02), (5.52, 0.14), (5.05, 0.03), (5.23, 0.06))),
    ),
)

JOURNAL3 = PublishedTable(
    "journal3",
    "J Table 3: segmentation overlap, 159 structures",
    "HCP, 111 test subjects",
    (
        PublishedRow("Bicubic", None, {"dice": (0.810, 0.107), "jaccard": (0.691, 0.127)}),
        PublishedRow("SRResNet", "srresnet3d", {"dice": (0.946, 0.047), "jaccard": (0.899, 0.061)}),
        PublishedRow("b8u4k12", "journal/b8u4k12", {"dice": (0.949, 0.045), "jaccard": (0.905, 0.059)}),
        PublishedRow(
            "mDCSRN-GAN b8u4", "journal/b8u4k12", {"dice": (0.929, 0.056), "jaccard": (0.871, 0.071)}, gan=True
        ),
    ),
)

JOURNAL4 = PublishedTable(
    "journal4",
    "J Table 4: real low-resolution scans",
    "7 volunteers, 3T Siemens Verio",
    (
        PublishedRow("Low resolution", None, {"niqe": (7.44, 0.52), "ma": (3.83, 0.19), "pi": (6.80, 0.18)}),
        PublishedRow(
            "mDCSRN-GAN b8u4",
            "journal/b8u4k12",
            {"niqe": (5.66, 0.77), "ma": (4.92, 0.05), "pi": (5.37, 0.39)},
            gan=True,
        ),
        PublishedRow("Full resolution", None, {"niqe": (5.17, 0.16), "ma": (4.97, 0.03), "pi": (5.10, 0.07)}),
    ),
)
