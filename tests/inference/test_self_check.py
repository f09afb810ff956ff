"""The self-check's measure, and the check on a zero-filled scan; tests/cli/test_infer_sidecar.py runs the command's."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mdcsrn_tf.inference.decision import decide
from mdcsrn_tf.inference.engine import Engine
from mdcsrn_tf.inference.prepared import prepare
from mdcsrn_tf.inference.self_check import check_itself, psnr_inside
from mdcsrn_tf.inference.settings import ScanSettings, Settings
from mdcsrn_tf.inference.sight import look
from mdcsrn_tf.models.files import ModelCard
from mdcsrn_tf.scans import kspace
from mdcsrn_tf.scans.volumes import read_volume

CROP = Path(__file__).parents[1] / "golden" / "real_crop.nii.gz"


class Unchanging(Engine):
    """Gives each tile back: sinc interpolation."""

    def _build(self, tile, batch):
        return lambda tiles: tiles


def test_a_zero_filled_scan_is_checked_as_what_was_measured_of_it():
    whole = read_volume(CROP)
    scan = replace(whole, data=kspace.degrade(whole.data, (2, 2), (0, 1), method="sinc").astype(np.float32))
    card = ModelCard("tiny", "0", "sinc", axes=("LR", "AP"), factor=(2, 2))
    decision = decide(look(scan), ScanSettings(), card)
    assert [finding.method for finding in decision.findings] == ["sinc", "sinc"]
    check = check_itself(prepare(scan, decision, card), Unchanging(card, "moving", 0), Settings(tile=38))
    assert check.gain == pytest.approx(0, abs=0.1)


def test_the_error_counts_inside_the_mask_alone():
    truth = np.zeros((4, 4, 4), np.float32)
    truth[:2] = 100
    image = truth.copy()
    image[:2] += 1  # 40 dB below the largest value
    image[2:] += 50  # air
    assert psnr_inside(image, truth, truth > 0) == pytest.approx(40.0)
    truth[3, 3, 3] = 1000  # the range is the mask's own as well
    assert psnr_inside(image, truth, (truth > 0) & (truth < 1000)) == pytest.approx(40.0)
