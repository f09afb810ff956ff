"""Splits: apportioning, stability, tables; and which subject a scan belongs to."""

from collections import Counter

import pytest

from data_prep.splits import SPLITS, assign_splits
from data_prep.subjects import Scan, list_scans, lookalikes, phantom_scans, subject_of
from mdcsrn_tf.errors import UserError

HCP = [str(100_000 + 37 * n) for n in range(1113)]


def sizes(assigned):
    counts = Counter(assigned.values())
    return tuple(counts[name] for name in SPLITS)


def test_the_papers_counts():
    assert sizes(assign_splits(HCP, "780,111,111,111", 0)) == (780, 111, 111, 111)
    assert sizes(assign_splits(HCP, "0.7,0.1,0.1,0.1", 0)) == (779, 112, 111, 111)


@pytest.mark.parametrize(
    ("subjects", "split", "expected"),
    [
        (8, "0.7,0.1,0.1,0.1", (5, 1, 1, 1)),
        (3, "0.8,0.1,0.1", (1, 1, 0, 1)),
        (2, "0.9,0.1", (1, 1, 0, 0)),
        (5, "1", (5, 0, 0, 0)),
        (5, "2,1", (2, 1, 0, 0)),
        (20, "0.5,0,0,0.5", (10, 0, 0, 10)),
    ],
)
def test_small_numbers_of_subjects(subjects, split, expected):
    assert sizes(assign_splits(HCP[:subjects], split, 0)) == expected


def test_the_split_depends_on_identifiers_and_seed_alone():
    first = assign_splits(HCP[:50], "0.5,0.5", 3)
    assert assign_splits(HCP[49::-1] + HCP[:10], "0.5,0.5", 3) == first
    assert assign_splits(HCP[:50], "0.5,0.5", 4) != first
    # A literal, so that a release that shuffles people between train and test cannot pass unseen.
    assert assign_splits(["a", "b", "c", "d"], "2,1,1", 0) == {
        "a": "train",
        "b": "test",
        "c": "validation",
        "d": "train",
    }


def test_a_table_decides(tmp_path):
    table = tmp_path / "split.tsv"
    table.write_text("participant_id\tage\tsplit\nsub-1\t30\ttrain\nsub-2\t31\ttest\nsub-9\t9\ttest\n")
    assert assign_splits(["sub-2", "sub-1", "sub-3"], str(table), 0) == {"sub-1": "train", "sub-2": "test"}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("name\tsplit\na\ttrain\n", "columns subject and split"),
        ("subject\tsplit\na\tlearn\n", "gives a the split 'learn'"),
        ("subject\tsplit\na\ttrain\na\ttest\n", "puts a into both train and test"),
        ("subject\tsplit\nz\ttrain\n", "names none of the subjects found, such as a"),
        ("", "columns subject and split"),
    ],
)
def test_wrong_tables_are_refused(tmp_path, text, sentence):
    (tmp_path / "split.tsv").write_text(text)
    with pytest.raises(UserError, match=sentence):
        assign_splits(["a", "b"], str(tmp_path / "split.tsv"), 0)


@pytest.mark.parametrize("split", ["", "a,b", "0.5,0.6", "9,1", "1,1,1,1,1", "-1,2", "0,0", "nan,1", "none.tsv"])
def test_wrong_splits_are_refused(split):
    with pytest.raises(UserError, match=r"split|none\.tsv"):
        assign_splits(["a", "b", "c"], split, 0)


@pytest.mark.parametrize(
    ("path", "subject"),
    [
        ("sub-01/ses-2/anat/sub-01_ses-2_T1w.nii.gz", "sub-01"),
        ("sub-03_T1w.nii.gz", "sub-03"),
        ("IXI002-Guys-0828-T1.nii.gz", "IXI002"),
        ("disc1/OAS1_0001_MR2/scan.nii", "OAS1_0001"),
        ("OAS30017/anat/x.nii.gz", "OAS30017"),
        ("100307/T1w/T1w_acpc_dc_restore.nii.gz", "100307"),
        ("mine.mgz", "mine"),
        ("my.scan.nii.gz", "my.scan"),
    ],
)
def test_subject_of_a_path(path, subject):
    assert subject_of(path) == subject


def test_scans_get_unique_names_and_a_subject_stays_in_one_split(tmp_path):
    for subject in ("100307", "100408", "101006"):
        for session in ("a", "b"):
            (tmp_path / subject / session).mkdir(parents=True)
            (tmp_path / subject / session / "T1w.nii.gz").touch()
    scans = list_scans(tmp_path, "1,1,1", 0)
    assert len({scan.name for scan in scans}) == 6
    by_subject = {scan.subject: {other.split for other in scans if other.subject == scan.subject} for scan in scans}
    assert sorted(by_subject) == ["100307", "100408", "101006"]
    assert all(len(splits) == 1 for splits in by_subject.values())
    assert sorted(scan.source for scan in scans)[0] == "100307/a/T1w.nii.gz"


def test_subjects_whom_no_split_names_are_told_of(tmp_path):
    """Two counted, or two in a table: the third would be missed in silence."""
    for subject in ("sub-1", "sub-2", "sub-3"):
        (tmp_path / f"{subject}_T1w.nii").touch()
    (tmp_path / "split.tsv").write_text("subject\tsplit\nsub-1\ttrain\nsub-3\ttest\n")
    told: list[str] = []
    assert len(list_scans(tmp_path, str(tmp_path / "split.tsv"), 0, told.append)) == 2
    assert told == ["1 of 3 subjects are in no split and left out: sub-2."]
    list_scans(tmp_path, "2,1", 0, told.append)
    assert len(told) == 1


def test_a_split_that_gets_nobody_is_told_of(tmp_path):
    (tmp_path / "sub-1_T1w.nii").touch()
    told: list[str] = []
    list_scans(tmp_path, "0.6,0.4", 0, told.append)
    assert told == ["--split=0.6,0.4 leaves nobody for validation."]


def test_results_of_a_network_are_not_learned_from(tmp_path):
    """mdcsrn-infer may have written them beside the scans: what it wrote next to each says so."""
    for name in ("a.nii.gz", "a_sr.nii.gz", "b.nii.gz", "b_sr.nii.gz"):
        (tmp_path / name).touch()
    for name in ("a_sr.json", "b_sr.json"):
        (tmp_path / name).write_text('{"GeneratedBy": [{"Name": "mdcsrn_tf", "Version": "0.1.0"}]}')
    (tmp_path / "b.json").write_text('{"Manufacturer": "Siemens"}')
    told = []
    assert [scan.source for scan in list_scans(tmp_path, "1", 0, told.append)] == ["a.nii.gz", "b.nii.gz"]
    assert told == ["2 of 4 files are results of mdcsrn-infer and left out."]
    (tmp_path / "a.nii.gz").unlink()
    (tmp_path / "b.nii.gz").unlink()
    with pytest.raises(UserError, match="holds results of mdcsrn_tf alone; name the folder of the scans"):
        list_scans(tmp_path, "1", 0)


def test_a_list_may_lead_out_of_its_folder(tmp_path):
    for name in ("one/T1w.nii", "lists/two/T1w.nii"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    (tmp_path / "lists" / "list.txt").write_text("two/T1w.nii\n../one/T1w.nii\n")
    assert {scan.subject for scan in list_scans(tmp_path / "lists" / "list.txt", "1", 0)} == {"one", "lists"}


def test_a_list_file_is_a_folder_written_down(tmp_path):
    (tmp_path / "deep").mkdir()
    for name in ("sub-1_T1w.nii", "deep/sub-2_T1w.nii"):
        (tmp_path / name).touch()
    (tmp_path / "list.txt").write_text("sub-1_T1w.nii\ndeep/sub-2_T1w.nii\n")
    assert list_scans(tmp_path / "list.txt", "1,1", 0) == list_scans(tmp_path, "1,1", 0)


def test_phantoms_differ_by_seed():
    assert len({scan.source for seed in (0, 1) for scan in phantom_scans(5, "1", seed)}) == 10
    with pytest.raises(UserError, match="at least 1"):
        phantom_scans(0, "1", 0)


@pytest.mark.parametrize(
    ("one", "other", "subject"),
    [
        ("100307_3T_T1w_MPR1.nii.gz", "100307_3T_T1w_MPR2.nii.gz", "100307"),
        ("0050952_session_1_anat.nii.gz", "0050952_session_2_anat.nii.gz", "0050952"),
        ("A00008326_T1w.nii.gz", "A00008326_T2w.mgz", "A00008326"),
        ("ADNI_002_S_0295_MR_MPRAGE_1.nii", "ADNI_002_S_0295_MR_MPRAGE_2.nii", "002_S_0295"),
    ],
)
def test_two_scans_that_begin_with_one_persons_number_are_one_person(one, other, subject, tmp_path):
    assert subject_of(one) == subject_of(other) == subject
    for name in (one, other, "998877_T1w.nii.gz", "112233_T1w.nii.gz"):
        (tmp_path / name).touch()
    splits = {scan.source: scan.split for scan in list_scans(tmp_path, "0.4,0.2,0.2,0.2", 0)}
    assert len(splits) == 4
    assert splits[one] == splits[other]


def test_dates_and_plain_numbers_are_nobodys_number():
    names = ("20190101_a.nii.gz", "20190101_b.nii.gz", "7T_a.nii.gz", "7T_b.nii.gz", "0001_a.nii.gz", "0001_b.nii.gz")
    assert len({subject_of(name) for name in names}) == len(names)


def test_names_that_share_a_long_prefix_over_two_splits_are_pointed_out():
    def scans(*pairs):
        return [Scan(name, name, split, name) for name, split in pairs]

    named = lookalikes(scans(("patient12_a", "train"), ("patient12_b", "test"), ("patient13_a", "train")))
    assert len(named) == 1
    assert "patient12_a (train) and patient12_b (test) may be one person" in named[0]
    (named,) = lookalikes(
        scans(("patient12_a", "train"), ("patient12_b", "train"), ("patient12_c", "test"), ("x", "test"))
    )
    assert "patient12_a (train) and patient12_c (test) may be one person" in named
    assert not lookalikes(scans(("patient12_a", "train"), ("patient12_b", "train"), ("patient13_a", "test")))
    assert not lookalikes(scans(("study7_01_a", "train"), ("study7_02_a", "test"), ("study7_03_a", "test")))
    assert not lookalikes(scans(*((f"phantom-{n:04d}", "train" if n else "test") for n in range(5))))


def test_one_file_under_two_names_is_refused(tmp_path):
    (tmp_path / "a.nii").touch()
    (tmp_path / "b.nii").touch()
    assert len(list_scans(tmp_path, "1,1", 0)) == 2
    (tmp_path / "c.nii").symlink_to(tmp_path / "a.nii")
    with pytest.raises(UserError, match=r"a\.nii and .*c\.nii are one file"):
        list_scans(tmp_path, "1,1", 0)
