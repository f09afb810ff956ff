"""Several folders of shards for one network: all their pairs, one split of people, one kind of input."""

from collections import Counter
from dataclasses import replace

import pytest
import tensorflow as tf
from shard_helpers import shards_command, write_scans

from data_prep import make_shards
from mdcsrn_tf.errors import UserError
from mdcsrn_tf.papers import get_preset, with_recipe
from mdcsrn_tf.shards.dataset import read_manifest, training_batches
from mdcsrn_tf.shards.joined import join, read_manifests
from mdcsrn_tf.training.run import model_card
from mdcsrn_tf.training.settings import TrainSettings


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """Shards of the same three people: by 2 and by 4 through the slices, by 2 along LR, and otherwise split."""
    base = tmp_path_factory.mktemp("joined")
    scans = write_scans(base / "scans", 3)
    for name, changes in {
        "by2": {"axes": "IS", "factor": "2", "split": "2,1"},
        "by4": {"axes": "IS", "factor": "4", "slice_profile": "box", "split": "2,1"},
        "left,right": {"axes": "LR", "factor": "2", "split": "2,1"},
        "split": {"axes": "IS", "factor": "4", "split": "1,2"},
    }.items():
        assert make_shards.main(shards_command(scans, base / name, **changes)) == 0
    return base


def stored(folder):
    """The training pairs as TensorFlow's own reader finds them."""
    examples = [
        tf.train.Example.FromString(record.numpy()).features.feature
        for path in (folder / "train").glob("*.tfrecord")
        for record in tf.data.TFRecordDataset(str(path))
    ]
    return [feature["high_res"].bytes_list.value[0] for feature in examples]


def test_an_epoch_holds_every_pair_of_every_folder_once(base):
    joined = read_manifests(f"{base / 'by2'},{base / 'by4'}")
    wanted = stored(base / "by2") + stored(base / "by4")
    assert joined.pairs("train") == len(wanted) == 48
    batches = training_batches(joined, "train", batch_size=8, seed=3, augment=False).take(6)
    drawn = [pair.tobytes() for _, high in batches for pair in high.numpy().astype("<f2")]
    assert Counter(drawn) == Counter(wanted)


def test_the_card_names_every_factor_and_the_first_folders_degradation(base):
    joined = read_manifests(f"{base / 'by4'},{base / 'by2'}")
    settings = TrainSettings(with_recipe(get_preset("miccai/b1u8k16"), "quick"), "l1")
    card = model_card(settings, joined, {})
    assert (card.axes, card.factor, card.tested["factors"]) == (("IS",), (4,), [[4], [2]])
    assert card.slices["profile"] == "box"
    assert model_card(settings, read_manifest(base / "by2"), {}).tested == {}


def test_the_checksum_is_of_all_folders_in_their_order(base):
    by2, by4 = read_manifest(base / "by2"), read_manifest(base / "by4")
    assert len({join([by2, by4]).sha256, join([by4, by2]).sha256, by2.sha256, by4.sha256}) == 4


def test_the_foreground_that_any_folder_asked_for_counts(base):
    by2 = read_manifest(base / "by2")
    anywhere = replace(by2, min_foreground=0.0)
    assert by2.min_foreground == 0.25
    assert join([by2, anywhere]).min_foreground == join([anywhere, by2]).min_foreground == 0.25


def test_a_folder_may_have_a_comma_in_its_name(base):
    assert read_manifests(str(base / "left,right")).axes == ("LR",)


def test_other_axes_are_not_mixed(base):
    with pytest.raises(UserError, match=r"their axes are IS and LR; make"):
        join([read_manifest(base / "by2"), read_manifest(base / "left,right")])


def test_nobody_is_learned_from_and_judged_by(base):
    with pytest.raises(UserError, match="is a training subject in one folder of shards and a validation subject"):
        read_manifests(f"{base / 'by2'},{base / 'split'}")


def test_no_scan_is_learned_from_under_one_name_and_judged_by_under_another(base, tmp_path):
    by2 = read_manifest(base / "by2")
    learned, other = (shard.subject for shard in by2.shards("train"))
    scans = write_scans(tmp_path / "scans", 3)
    (scans / f"{learned}_T1w.nii.gz").rename(scans / "sub-09_T1w.nii.gz")
    split = tmp_path / "split.tsv"
    rest = by2.shards("validation")[0].subject
    split.write_text(f"subject\tsplit\n{other}\ttrain\n{rest}\ttest\nsub-09\tvalidation\n")
    assert make_shards.main(shards_command(scans, tmp_path / "shards", axes="IS", factor="2", split=split)) == 0
    with pytest.raises(UserError, match=f"{learned}, a training subject, and sub-09, .* one scan under two names"):
        join([by2, read_manifest(tmp_path / "shards")])
