"""curves.png: only what there is, with the borders of phases and the re-measuring marked."""

import csv
from pathlib import Path

import matplotlib.image
import numpy as np

from mdcsrn_tf.training import pictures
from mdcsrn_tf.training.pictures import draw_curves, remeasured_at

CURVES = Path(__file__).parents[2] / "mdcsrn_tf" / "weights"


def row(phase, step, kind, **values):
    return {"phase": phase, "step": str(step), "kind": kind, **{name: str(value) for name, value in values.items()}}


L1 = [row("l1", k, "train", loss=1 / (k + 1)) for k in range(0, 60, 10)]
L1 += [row("l1", k, "validation", psnr=30 + k / 10, input_psnr=30) for k in (0, 50)]
L1 += [row("l1", 50, "validation", psnr=36, input_psnr=30)]
GAN = [row("gan", k, "train", loss=1.0, earth_mover=5 / (k + 1), penalty=0.1, score_real=1.0) for k in (10, 20)]


def drawn(path, rows):
    draw_curves(path, rows)
    return matplotlib.image.imread(path)


def test_there_is_a_panel_for_what_was_measured_and_no_other(tmp_path):
    one, two = drawn(tmp_path / "a.png", L1), drawn(tmp_path / "b.png", L1 + GAN)
    size = 324  # 3.6 inches of 90 points
    assert one.shape[:2] == (size, 2 * size)  # loss and PSNR
    assert two.shape[:2] == (2 * size, 3 * size)  # also Earth Mover, penalty, scores: five panels


def test_the_second_validation_of_a_step_is_the_re_measuring(tmp_path):
    assert remeasured_at(L1) == [50] and remeasured_at(L1[:-1]) == []
    twice = [row("gan", 20, "validation", psnr=psnr) for psnr in (35, 36)]
    assert remeasured_at([*L1, *GAN, *twice]) == [50, 70]
    green = [
        np.count_nonzero(np.abs(drawn(tmp_path / "a.png", rows)[..., :3] - (0.17, 0.63, 0.17)).max(axis=2) < 0.1)
        for rows in (L1, L1[:-1])
    ]
    assert green[0] > green[1] + 20


def test_the_bundled_networks_curves_can_be_drawn(tmp_path, monkeypatch):
    """Which have no column of phases: each point of the losses is in the picture."""
    kept = []
    monkeypatch.setattr(pictures, "_write", lambda figure, path: kept.append(figure))
    with (CURVES / "fast-b4u4k16.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    draw_curves(tmp_path / "c.png", rows)
    losses = kept[0].axes[0].get_lines()[0]
    assert list(losses.get_xdata()) == [int(row["step"]) for row in rows if row["loss"]]


def test_all_panels_show_the_same_steps(tmp_path, monkeypatch):
    """One validation at the start of a run used to stretch over hundredths of a step."""
    kept = []
    monkeypatch.setattr(pictures, "_write", lambda figure, path: kept.append(figure))
    draw_curves(tmp_path / "a.png", [row for row in L1 if row["kind"] == "train"] + L1[6:7])
    loss, psnr = kept[0].axes
    assert loss.get_xlim() == psnr.get_xlim() == (-1.0, 51.0)
    assert [text.get_text() for text in psnr.get_legend().get_texts()] == [
        "PSNR (validation)",
        "input PSNR (validation)",
    ]


def test_a_single_line_of_the_log_is_seen(tmp_path):
    """As of a trial of a few steps, whose panel was empty but for its legend."""
    blue = np.abs(drawn(tmp_path / "a.png", L1[:1] + L1[6:7])[100:, :324, :3] - (0.12, 0.47, 0.71)).max(axis=2) < 0.1
    assert np.count_nonzero(blue) > 3


def test_no_rows_are_no_error(tmp_path):
    assert drawn(tmp_path / "d.png", []).shape[0] > 0
