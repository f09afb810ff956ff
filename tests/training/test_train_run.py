"""`train.py` itself, on shards of phantoms: from shards to two models, through kills, signals and mistakes."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
import train_small
from command_helpers import files_of_at_most
from shard_helpers import phantom_shards

from mdcsrn_tf.cli.train import main as train
from mdcsrn_tf.errors import UserError
from mdcsrn_tf.locks import only_run_in
from mdcsrn_tf.models.files import ModelCard, load_model, read_card
from mdcsrn_tf.papers import PRESETS, get_preset, with_recipe
from mdcsrn_tf.papers.mdcsrn import JOURNAL, QUICK, ROBUST
from mdcsrn_tf.shards.augmentation import DARKNESS, Augmentation
from mdcsrn_tf.training import dry_run, run
from mdcsrn_tf.training.checkpoints import CheckpointFolder
from mdcsrn_tf.training.data_check import check_exchange, chosen_places, differences_to_shards, remarks_on
from mdcsrn_tf.training.features import remarks_on_features
from mdcsrn_tf.training.settings import TrainSettings
from mdcsrn_tf.training.state import build_state

SCRIPT = Path(__file__).parents[2] / "train.py"
# On patches of 12^3, with a critic to match: 6 L1 steps, then CCCGCGCCG.
SMALL = (
    "--preset=miccai/b1u8k16",
    "--recipe=quick",
    "--batch_size=2",
    "--set=patch_size=12",
    "--set=critic.filters=4",
    "--set=critic.stages=1",
    "--set=critic.dense_units=8",
    "--set=gan.critic_warmup_steps=2",
    "--set=gan.steps=3",
    "--set=gan.critic_steps_per_generator_step=1",
    "--set=gan.extra_critic_every=2",
    "--set=gan.extra_critic_steps=1",
    "--set=bn_reestimation_batches=2",
    "--set=run.validate_every=3",
    "--set=run.picture_every=0",
    "--set=run.checkpoint_every=1",
    "--set=run.log_every=1",
)
FSRCNN = "--preset=fsrcnn3d"  # where it is no matter what is trained: the smallest


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return phantom_shards(tmp_path_factory.mktemp("shards"), "--phantoms=4", "--split=2,1,1,0")


def train_small_network(*arguments):
    with pytest.MonkeyPatch.context() as patch:
        for name, preset in train_small.SMALL.items():
            patch.setitem(PRESETS, name, preset)
        return train([*SMALL, *arguments])


@pytest.fixture(scope="module")
def uninterrupted(shards, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("uninterrupted")
    assert train_small_network(f"--data={shards}", f"--workdir={workdir}", "--phase=all", "--steps=6") == 0
    return workdir


def start(script, shards, workdir, *arguments):
    command = [sys.executable, str(script), f"--data={shards}", f"--workdir={workdir}", *SMALL, *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def finish(process, code=0):
    output, _ = process.communicate(timeout=300)
    assert process.returncode == code, output
    return output


def wait_for(path, process, seconds=300):
    """However long a busy machine takes to start TensorFlow; a process that is given up does not go on."""
    ends = time.monotonic() + seconds
    while not path.exists():
        if process.poll() is not None or time.monotonic() > ends:
            process.kill()
            pytest.fail(f"no {path}: {process.communicate()[0]}")
        time.sleep(0.02)


def last(workdir, phase):
    return CheckpointFolder(workdir / "checkpoints" / phase, 9).latest()


def test_a_run_leaves_two_models_with_cards_a_record_curves_and_metrics(uninterrupted, shards):
    for name, phase in (("best_l1.keras", "l1"), ("best_gan.keras", "gan")):
        model, card = load_model(uninterrupted / name)
        assert (card.preset, card.interpolation, card.axes, card.factor) == (
            "miccai/b1u8k16",
            "sinc",
            ("LR", "AP"),
            (2, 2),
        )
        assert (card.notes["phase"], card.notes["recipe"]) == (phase, "quick")
        assert model(np.zeros((1, 9, 10, 11, 1), np.float32)).shape == (1, 9, 10, 11, 1)
    record = json.loads((uninterrupted / "run.json").read_text())
    assert record["results"]["l1"]["step"] == 6
    assert record["results"]["gan"]["step"] == 9
    assert len(record["data"]["manifest_sha256"]) == 64
    assert "critic.filters=4" in record["config"][0]["changed"]
    assert (uninterrupted / "curves.png").read_bytes().startswith(b"\x89PNG")
    rows = (uninterrupted / "metrics.csv").read_text().splitlines()
    assert rows[0].startswith("phase,step,kind,learning_rate,loss")
    assert sum(row.startswith("gan,") and ",train," in row for row in rows) == 9


def test_the_network_on_the_small_grid_learns_by_the_robust_recipe(shards, tmp_path):
    small = ["--recipe=robust", "--preset=fast/b4u4k16", "--phase=l1", "--steps=2", "--precision=mixed_bfloat16"]
    assert train_small_network(f"--data={shards}", f"--workdir={tmp_path}", *small) == 0
    model, card = load_model(tmp_path / "last_l1.keras")
    assert (card.preset, card.bn, card.tile, card.margin) == ("fast/b4u4k16", "moving", 70, 3)
    assert np.any(model.get_layer("reconstruct").get_weights()[0]), "it has left the identity"
    (shuffle,) = model.get_layer("depth_to_space").get_weights()
    np.testing.assert_array_equal(shuffle.reshape(4, 4), np.eye(4))


def test_the_gan_starts_from_the_best_model_of_the_first_phase(uninterrupted):
    with (uninterrupted / "metrics.csv").open() as stream:
        validations = [row for row in csv.DictReader(stream) if row["kind"] == "validation"]
    best = min(float(row["mse"]) for row in validations if row["phase"] == "l1")
    at_start = next(row for row in validations if row["phase"] == "gan")
    assert at_start["step"] == "0"
    assert float(at_start["mse"]) == pytest.approx(best, rel=1e-6)


def test_killed_again_and_again_a_run_ends_bit_identical(uninterrupted, shards, tmp_path):
    # Once in each phase, at whatever the process is doing just then, and from there to the end.
    for awaited in ("l1/step-000000002.npz", "gan/step-000000003.npz"):
        process = start(train_small.__file__, shards, tmp_path, "--phase=all", "--steps=6")
        wait_for(tmp_path / "checkpoints" / awaited, process)
        process.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL
    assert last(tmp_path, "gan").meta["progress"]["step"] < 9
    assert train_small_network(f"--data={shards}", f"--workdir={tmp_path}", "--phase=all", "--steps=6") == 0

    for phase in ("l1", "gan"):
        one, two = last(uninterrupted, phase), last(tmp_path, phase)
        assert one.meta["settings"] == two.meta["settings"]
        assert list(one.arrays) == list(two.arrays)
        for name in one.arrays:
            np.testing.assert_array_equal(one.arrays[name], two.arrays[name], err_msg=name)
        models = [load_model(workdir / f"best_{phase}.keras")[0] for workdir in (uninterrupted, tmp_path)]
        for a, b in zip(*(model.get_weights() for model in models), strict=True):
            np.testing.assert_array_equal(a, b)
    assert (uninterrupted / "metrics.csv").read_text() == (tmp_path / "metrics.csv").read_text()
    assert not list(tmp_path.rglob(".partial-*"))


def test_sigterm_saves_exits_with_0_and_says_how_to_go_on(shards, tmp_path):
    process = start(SCRIPT, shards, tmp_path, FSRCNN, "--phase=l1", "--steps=5000")
    wait_for(tmp_path / "checkpoints" / "l1" / "step-000000002.npz", process)
    process.terminate()
    output = finish(process)
    step = last(tmp_path, "l1").meta["progress"]["step"]
    assert f"stopped by SIGTERM after step {step} of 5000" in output
    assert "the same command continues" in output


def test_a_full_disk_ends_in_one_sentence_and_leaves_whole_checkpoints(shards, tmp_path, capsys):
    # A limit on a file's size stands for the disk: the model (280 KB) fits, the checkpoint (790 KB) does not.
    flags = [f"--data={shards}", f"--workdir={tmp_path}", *SMALL, FSRCNN, "--phase=l1", "--steps=6"]
    with files_of_at_most(500 << 10):
        said = mistake(capsys, *flags)
    assert f"mdcsrn-train: error: Cannot write to {tmp_path}: no space left" in said
    assert not list(tmp_path.rglob(".partial-*"))
    assert not list(tmp_path.rglob("step-*.npz"))


@pytest.mark.parametrize(
    "error",
    [
        tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor with shape[6,40,40,40,64]"),
        tf.errors.InternalError(None, None, "Failed to allocate 163296000 bytes"),  # XLA's
        MemoryError(),  # NumPy's
    ],
)
def test_too_little_memory_ends_in_one_sentence(error, shards, tmp_path, capsys, monkeypatch):
    def build_state(*_arguments, **_options):
        raise error

    monkeypatch.setattr(run, "build_state", build_state)
    said = mistake(capsys, f"--data={shards}", f"--workdir={tmp_path}", *SMALL, "--phase=l1")
    assert "The memory does not suffice for batches of 2 patches of 12^3; take a smaller --batch_size" in said


def mistake(capsys, *arguments):
    """Run the command in this process; it must end with 1 and one line, which is returned."""
    assert train(list(arguments)) == 1
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("mdcsrn-train: error: ")]
    assert len(errors) == 1
    return errors[0]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--preset=journal/b4u4k13"], "There is no preset 'journal/b4u4k13'"),
        (["--set=gan.lenght=3"], "no setting 'gan.lenght'"),
        (["--strategy=mirrored", "--jit"], "--strategy=single"),
        (["--init_from="], "--init_from is given without a value"),
        (["--phase=both"], "The quick recipe has no phase 'both'; it has l1, gan."),
        (["--steps=0"], "not a positive integer"),
        (["--seed=-1"], "flag --seed=-1"),
        (["--seed=4294967296"], "flag --seed=4294967296"),
        (["--loss=l3"], "There is no loss 'l3' of volumes; there are l1, l2."),
        (["--loss=l1+gradient"], "There is no loss 'gradient' of volumes"),
        (["--features=random", "--vgg_weights=vgg16.h5"], "--features=random draws VGG's weights"),
        (["--vgg_weights=vgg16.h5"], "--vgg_weights is for losses that read VGG, and miccai/b1u8k16 has none"),
        (["--set=patch_size=40"], "patches of 12^3, but the quick recipe trains on 40^3"),
        (["--set=interpolation=linear"], "--set=interpolation=sinc"),
        (["--recipe=journal"], "make new shards by mdcsrn-shards --recipe=journal, or say --set=interpolation=sinc"),
        (["--phase=gan"], "best_l1.keras: run --phase=l1 first"),
        (["--init_from=nothing.keras"], "no model file nothing.keras"),
        (["--set=init=identity", "--preset=srdensenet3d"], "identity start"),
        (["--strategy=multiworker"], "TF_CONFIG"),
        (["--set=gan.counted_in=steps"], "The gan phase of 3 steps ends before the generator's first update"),
    ],
)
def test_a_mistake_gets_one_sentence(capsys, shards, tmp_path, arguments, words):
    assert words in mistake(capsys, f"--data={shards}", f"--workdir={tmp_path}", *SMALL, *arguments)
    assert not list(tmp_path.iterdir())


def test_a_second_run_in_one_folder_is_refused(capsys, shards, tmp_path):
    with only_run_in(tmp_path):
        assert f"Another run is working in {tmp_path}" in mistake(
            capsys, f"--data={shards}", f"--workdir={tmp_path}", *SMALL, "--phase=l1"
        )
    assert list(tmp_path.iterdir()) == []


def test_a_process_that_writes_nothing_refuses_a_folder_as_the_chief_does(capsys, shards, tmp_path, monkeypatch):
    """Else it would wait for a chief that has gone."""
    monkeypatch.setattr(run, "is_chief", lambda strategy: False)
    (tmp_path / "last_l1.keras").touch()
    arguments = (f"--data={shards}", f"--workdir={tmp_path}", *SMALL, "--phase=l1", "--steps=1")
    assert "last_l1.keras would be replaced" in mistake(capsys, *arguments)


def test_missing_and_damaged_shards_get_one_sentence(capsys, shards, tmp_path):
    assert "holds no manifest.json" in mistake(capsys, f"--data={tmp_path}", f"--workdir={tmp_path}/run", *SMALL)
    copy = tmp_path / "copy"
    subprocess.run(["cp", "-r", str(shards), str(copy)], check=True)
    shard = next((copy / "train").iterdir())
    size = shard.stat().st_size
    with shard.open("r+b") as stream:
        stream.seek(size // 8)
        stream.write(os.urandom(64))
    # The other shards are sound: the damaged record turns up within an epoch of 4 steps.
    small = (FSRCNN, "--phase=l1", "--steps=6")
    text = mistake(capsys, f"--data={copy}", f"--workdir={tmp_path}/run", *SMALL, *small)
    assert f"Shard {shard} is corrupt" in text
    shard.write_bytes(b"")
    assert "truncated" in mistake(capsys, f"--data={copy}", f"--workdir={tmp_path}/run", *SMALL)


def test_a_card_tells_what_its_model_started_from(uninterrupted):
    first, second = (read_card(uninterrupted / f"best_{phase}.keras").notes for phase in ("l1", "gan"))
    assert "started_from" not in first
    assert second["started_from"] == first


def test_a_model_of_another_preset_or_interpolation_is_no_start(capsys, shards, uninterrupted, tmp_path):
    start_from = f"--init_from={uninterrupted / 'best_l1.keras'}"
    text = mistake(
        capsys, f"--data={shards}", f"--workdir={tmp_path}", *SMALL, "--preset=miccai/b2u4k16", "--phase=l1", start_from
    )
    assert "holds a miccai/b1u8k16, but --preset is miccai/b2u4k16" in text


def test_a_model_of_other_scans_goes_on_with_a_warning_of_each_difference():
    card = ModelCard("tiny", "0", "linear", axes=("LR", "AP"), factor=(2, 2), normalisation="zscore-foreground")
    manifest = {"axes": ("LR", "AP"), "factor": (2, 2), "normalisation": "zscore_of_voxels_above_mean", "slices": None}
    assert differences_to_shards(card, SimpleNamespace(**manifest)) == []
    manifest |= {"normalisation": "tissue_level", "axes": ("IS",), "factor": (4,), "slices": {"profile": "gaussian"}}
    assert differences_to_shards(card, SimpleNamespace(**manifest)) == [
        "was trained on scans normalised by zscore-foreground, and goes on with scans normalised by tissue_level.",
        "was trained on scans degraded along LR,AP, and goes on with scans degraded along IS.",
        "was trained on scans degraded by 2x2, and goes on with scans degraded by 4.",
        "was trained on scans made with the slice profile nothing, and goes on with scans made with the slice profile "
        "{'profile': 'gaussian'}.",
    ]


def test_a_papers_recipe_says_that_its_patches_were_to_lie_anywhere():
    """P draws patches at random, mdcsrn-pairs where there is something to see unless told otherwise."""
    unet, quarter = get_preset("7t/unet7"), SimpleNamespace(min_foreground=0.25)
    assert chosen_places(TrainSettings(unet, "gan"), quarter) == (
        "the shards' patches are at least 25% foreground, and the 7t/unet7 recipe asks for 0%: to draw them as its "
        "paper does, make shards by mdcsrn-pairs --min_foreground=0.",
    )
    assert chosen_places(TrainSettings(unet, "gan"), SimpleNamespace(min_foreground=0.0)) == ()
    # Ours asks for what it always has had, and so do the recipes of the volumes' papers.
    assert chosen_places(TrainSettings(with_recipe(unet, "quick2d"), "gan"), quarter) == ()
    assert chosen_places(TrainSettings(get_preset("journal/b4u4k12"), "l1"), quarter) == ()


def test_phases_draw_different_patches_and_so_do_runs_of_other_seeds(monkeypatch):
    monkeypatch.setattr(run.dataset, "training_batches", lambda *_, seed, **__: seed)
    settings = [
        TrainSettings(get_preset("miccai/b1u8k16"), phase, seed=seed) for seed in (0, 1) for phase in ("l1", "gan")
    ]
    assert [run._batches(one, None).training(0) for one in settings] == [0, 1, 2, 3]


def test_contrast_changes_about_darkness_where_it_has_a_place():
    assert run.augmentation(ROBUST) == Augmentation(True, (0, 1), 0.3, DARKNESS, 0.0)
    assert run.augmentation(JOURNAL) == Augmentation(True, None, 0.1, 0.0, 0.1)


def test_random_features_that_no_loss_reads_are_remarked_on():
    said = ("--features=random changes nothing: no loss of journal/b4u4k12 reads VGG.",)
    assert remarks_on_features([TrainSettings(get_preset("journal/b4u4k12"), "l1", features="random")]) == said
    assert remarks_on_features([TrainSettings(get_preset("journal/b4u4k12"), "l1")]) == ()
    # The first phase of this one learns from pixels alone, its GAN from VGG19.
    assert remarks_on_features([TrainSettings(get_preset("srgan2d/model1"), "l1", features="random")]) == ()


def test_a_batch_of_more_than_there_are_patches_is_remarked_on():
    settings = TrainSettings(get_preset("journal/b4u4k12"), "l1")  # whose batches are of six
    few, enough = (SimpleNamespace(min_foreground=0.0, pairs={"train": count}.get) for count in (5, 6))
    assert remarks_on(settings, few) == (
        "a batch of 6 is more than the 5 patches to train on: a step sees some repeatedly.",
    )
    assert remarks_on(settings, enough) == ()


def test_a_changed_flag_is_refused_with_the_difference(capsys, shards, uninterrupted):
    arguments = [f"--data={shards}", f"--workdir={uninterrupted}", *SMALL, "--phase=l1", "--steps=6"]
    assert "seed: 0 -> 5" in mistake(capsys, *arguments, "--seed=5")


def test_a_dry_run_prints_schedule_sizes_memory_and_time(capsys):
    assert train_small_network("--steps=6", "--dry_run") == 0
    text = capsys.readouterr().out
    # Stem 27 * 8 + 8, compressor 9 * 8, units on 8 and 12 channels of 2c + 27c * 4 + 4, reconstruction 24 + 1.
    assert "generator: 2,529 trainable parameters" in text
    assert "6 steps, each of the generator; Adam 0.001 to " in text and ", loss l1" in text
    assert "9 steps: 6 of the critic, 3 of the generator" in text
    assert "from step 2: CGCGCCG" in text
    assert "GiB of memory" in text
    assert " h in all" in text


@pytest.mark.parametrize(("phase", "kinds"), [("l1", ["l1"]), ("gan", ["critic", "generator"])])
def test_the_memory_of_a_dry_run_is_near_what_was_measured(phase, kinds):
    records = Path(__file__).parents[2] / "benchmarks" / "results"
    peaks = []
    for kind in kinds:
        record = json.loads((records / f"train_step_{kind}.json").read_text(encoding="utf-8"))
        assert (record["config"]["preset"], record["config"]["batch_size"]) == ("journal/b4u4k12", 6)
        rows = record["results"]["contenders"]
        peaks += [row["peak_gib"] for row in rows if row["contender"] == "tensorflow-mixed_bfloat16"]
    settings = TrainSettings(PRESETS["journal/b4u4k12"], phase, "mixed_bfloat16")
    state = build_state(settings.preset, phase, precision="mixed_bfloat16")
    assert dry_run.estimated_bytes(settings, state) / 2**30 == pytest.approx(max(peaks), rel=0.2)


@pytest.mark.parametrize(
    ("axes", "factor", "allowed"),
    [
        ("LR,AP", (2, 2), True),
        ("pa,RL", (3, 3), True),
        ("0,1", (2, 2), True),
        ("LR,AP", (2, 3), False),
        ("IS", (2,), False),
        ("AP,IS", (2, 2), False),
        ("1,2", (2, 2), False),
        ("LR,AP,IS", (2, 2, 2), False),
    ],
)
def test_axes_are_exchanged_only_where_both_were_degraded_alike(axes, factor, allowed):
    manifest = SimpleNamespace(axes=tuple(axes.split(",")), factor=factor, factors=(factor,))
    with nullcontext() if allowed else pytest.raises(UserError, match="--set=exchange=never"):
        check_exchange(ROBUST, manifest)
    check_exchange(QUICK, manifest)


def test_axes_are_exchanged_only_where_every_folder_of_shards_allows_it():
    manifest = SimpleNamespace(axes=("LR", "AP"), factor=(2, 2), factors=((2, 2), (4, 2)))
    with pytest.raises(UserError, match="--set=exchange=never"):
        check_exchange(ROBUST, manifest)


def test_a_run_that_goes_on_started_where_its_checkpoint_says(tmp_path, monkeypatch):
    monkeypatch.setattr(run, "read_card", lambda path: SimpleNamespace(notes={"of": path.name}))
    settings, one, other = SimpleNamespace(phase="l1"), tmp_path / "one.keras", tmp_path / "other.keras"
    one.touch()
    other.touch()
    started = {"started_from": {"of": "one.keras"}}
    assert run._history(settings, tmp_path, one, named=True) == started
    CheckpointFolder(tmp_path / "checkpoints/l1", 1).save(1, {}, {"history": started})
    assert run._history(settings, tmp_path, one, named=True) == started
    assert run._history(settings, tmp_path, None, named=False) == started
    with pytest.raises(UserError, match=r"did not start from .*other\.keras"):
        run._history(settings, tmp_path, other, named=True)
