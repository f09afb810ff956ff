"""The architecture table: counts made on the networks, held to the papers' figures as this file spells them."""

import json

import pytest
from eval_helpers import run_eval

from mdcsrn_tf.evaluation import architectures
from mdcsrn_tf.evaluation.architectures import architecture_rows, format_table, rounds_to
from mdcsrn_tf.models import build_generator
from mdcsrn_tf.models.sizes import macs_per_voxel
from mdcsrn_tf.papers import TABLES
from mdcsrn_tf.papers.config import MdcsrnConfig

# As printed: M Table 1, J Tables 1 and 2.
MICCAI = {"b1u8k16": "0.307", "b2u4k16": "0.200", "b3u4k16": "0.304", "b4u4k16": "0.412"}
JOURNAL = {
    "b1u16k12-r": "0.35",
    "b4u4k12-r": "0.26",
    "b1u12k12-r": "0.25",
    "b4u4k12": "0.23",
    "b6u4k12": "0.35",
    "b8u4k12": "0.49",
    "b4u4k8": "0.10",
    "b4u4k16": "0.41",
    "b8u4k8": "0.22",
}


@pytest.fixture(scope="module")
def command(tmp_path_factory):
    """What the command counts, prints and writes: all networks are built once for this file."""
    path, counted = tmp_path_factory.mktemp("architectures") / "architectures.json", []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(architectures, "architecture_rows", lambda: counted.extend(architecture_rows()) or counted)
        code, out, _ = run_eval("architectures", f"--json={path}")
    assert code == 0
    return counted, out, json.loads(path.read_text())


@pytest.fixture(scope="module")
def rows(command):
    return {row.preset: row for row in command[0]}


def test_all_thirteen_counts_round_to_the_published_figure(rows):
    for edition, printed in (("miccai", MICCAI), ("journal", JOURNAL)):
        for code, figure in printed.items():
            decimals = len(figure) - 2
            assert f"{rows[f'{edition}/{code}'].parameters / 1e6:.{decimals}f}" == figure, code


def test_every_count_printed_in_full_is_ours_to_the_digit(rows):
    printed = {name: row for name, row in rows.items() if row.published_exact is not None}
    assert len(printed) == 5 + 11, "the CNNs and the GANs of P's two tables"
    assert all(row.parameters == row.published_exact for row in printed.values())
    assert {"7t/fcn2", "7t/unet5"} <= {name for name, row in rows.items() if row.receptive_field_radius is None}


def test_the_contradiction_within_the_journal_is_told(rows):
    row = rows["journal/b4u4k12"]
    assert row.published_millions == {"journal1": "0.22", "journal2": "0.23"}
    assert row.rounds_to == {"journal1": False, "journal2": True}
    assert "journal/b4u4k12: the papers' tables contradict each other" in format_table(list(rows.values()))


def test_ops_is_about_four_times_the_parameters_and_no_measure_of_work(rows):
    ratios = [
        row.published_million_ops / float(row.published_millions["miccai1" if "/" in name else "miccai2"])
        for name, row in rows.items()
        if row.published_million_ops
    ]
    assert len(ratios) == 6
    assert (f"{min(ratios):.2f}", f"{max(ratios):.2f}") == ("4.01", "4.08")
    assert "4.01 to 4.08" in format_table(list(rows.values()))


def test_receptive_fields_by_hand(rows):
    assert rows["journal/b4u4k12"].receptive_field_radius == 1 + 4 * 4
    assert rows["journal/b8u4k12"].receptive_field_radius == 1 + 8 * 4
    assert rows["journal/b4u4k12-r"].receptive_field_radius == 1 + 4 * 4 + 1
    assert rows["fsrcnn3d"].receptive_field_radius == 2 + 4 + 4


def test_our_own_network_stands_as_ours(rows):
    row = rows["fast/b4u4k16"]
    assert (row.published_millions, row.published_exact, row.published_million_ops) == ({}, None, None)
    assert not any(published.preset == "fast/b4u4k16" for table in TABLES.values() for published in table.rows)
    text = format_table(list(rows.values()))
    assert "| fast/b4u4k16 |  | 415,488 |  |  | 103,428 |  |" in text
    assert "Those named fast/ are ours" in text


def test_macs_by_hand():
    model = build_generator(MdcsrnConfig(1, 1, 2, compress_first=True, bottleneck=True, use_bias=True))
    assert macs_per_voxel(model) == 27 * 1 * 4 + 4 * 4 + 27 * 4 * 2 + (4 + 4 + 2)


@pytest.mark.parametrize(("count", "printed", "expected"), [(229_561, "0.23", True), (229_561, "0.22", False)])
def test_rounding(count, printed, expected):
    assert rounds_to(count, printed) is expected


def test_published_tables_hold_the_papers_cells():
    cells = sum(len(row.metrics) for table in TABLES.values() for row in table.rows)
    assert {name: len(table.rows) for name, table in TABLES.items()} == {
        "miccai1": 4,
        "miccai2": 4,
        "journal1": 9,
        "journal2": 10,
        "journal3": 4,
        "journal4": 3,
        "srgan2d1": 4,
        "penn2": 5,
        "penn3": 11,
    }
    assert cells == 3 * (4 + 4 + 9) + (3 * 8 + 4 * 5) + 2 * 4 + 3 * 3 + 4 + 3 * (5 + 11)
    b8u4 = next(row for row in TABLES["journal2"].rows if row.method == "b8u4k12")
    assert b8u4.metrics["psnr"] == (36.39, 0.82)
    assert b8u4.seconds == 27.86


def test_the_command_prints_the_table_and_writes_json(command):
    counted, out, content = command
    assert "| journal/b4u4k12 | 0.22 / 0.23 | 229,561 | yes (journal2) | 17 |" in out
    assert "| 7t/dcgan1 | 6,885 | 6,885 | yes, exactly | 5 | 6,704 |" in out
    assert "| srgan2d/model2 |  | 1,223,107 |  | 35 |" in out
    assert [row["preset"] for row in content["rows"]] == [row.preset for row in counted]
    assert content["rows"][0]["parameters"] == 306_592
