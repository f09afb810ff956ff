"""P's Tables 2 and 3 as data (its Table 1 is the presets). They print no deviations; the random forest has no row."""

from __future__ import annotations

from mdcsrn_tf.papers.config import Cell, PublishedRow, PublishedTable

_SUBJECTS = "4 of 44 post-mortem specimens"
_REMARKS = (
    "The paper's PSNR takes a peak of 255 on images that are z-scores; with a peak that fits images in [0, 1] every "
    "figure is 48.13 dB lower. The range of its SSIM is not said: psnr_penn and ssim_penn follow --conventions.",
    "Means of images, of a plane that is not named, without a mask. Its claim that GANs are better than CNNs compares "
    "different generators: set each GAN beside its own generator trained without a discriminator.",
)


def _row(method: str, preset: str, psnr: float, mse: float, ssim: float, parameters: int, gan: bool) -> PublishedRow:
    metrics: dict[str, Cell] = {"psnr_penn": (psnr, None), "mse_penn": (mse, None), "ssim_penn": (ssim, None)}
    return PublishedRow(method, f"7t/{preset}", metrics, parameters=parameters, gan=gan)


PENN2 = PublishedTable(
    "penn2",
    "P Table 2: convolutional networks, 7T to 9.4T",
    _SUBJECTS,
    (
        _row("FCN 1", "fcn1", 57.01, 0.147, 0.116, 308_545, False),
        _row("FCN 2", "fcn2", 56.47, 0.151, 0.0679, 155_681, False),
        _row("DCSRN L1", "dcsrn2d-l1", 65.51, 0.0236, 0.358, 53_977, False),
        _row("DCSRN L2", "dcsrn2d-l2", 62.83, 0.0406, 0.254, 53_977, False),
        _row("DCSRN P", "dcsrn2d-p", 64.1, 0.0316, 0.211, 53_977, False),
    ),
    remarks=_REMARKS,
)
PENN3 = PublishedTable(
    "penn3",
    "P Table 3: GANs, 7T to 9.4T",
    _SUBJECTS,
    (
        _row("DCGAN 1", "dcgan1", 65.31, 0.022, 0.255, 6_885, True),
        _row("DCGAN 2", "dcgan2", 67.44, 0.0178, 0.578, 458_385, True),
        _row("DCGAN 3", "dcgan3", 67.06, 0.0194, 0.588, 868_369, True),
        _row("DCGAN 4", "dcgan4", 65.67, 0.0225, 0.358, 868_369, True),
        _row("U-net Gen 5", "unet5", 65.90, 0.0229, 0.500, 1_829_025, True),
        _row("U-net Gen 6", "unet6", 66.17, 0.0213, 0.498, 1_829_025, True),
        _row("U-net Gen 7", "unet7", 67.55, 0.0174, 0.593, 1_829_025, True),
        _row("U-net Gen 8", "unet8", 66.27, 0.0223, 0.508, 1_829_025, True),
        _row("pix2pix 9", "pix2pix9", 65.87, 0.0249, 0.544, 1_829_025, True),
        _row("pix2pix 10", "pix2pix10", 63.18, 0.0333, 0.237, 1_829_025, True),
        _row("pix2pix 11", "pix2pix11", 61.07, 0.0517, 0.443, 1_829_025, True),
    ),
    remarks=_REMARKS,
)
