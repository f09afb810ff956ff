"""The random forest: features by hand, NumPy against scikit-learn, the file, and the whole way by the real commands."""

import json
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest
from sklearn.ensemble import RandomForestRegressor

from mdcsrn_tf.errors import UserError
from mdcsrn_tf.models.forest import Forest, features, grow, load_forest, plain_arrays, save_forest
from mdcsrn_tf.papers.forests import FORESTS, ForestConfig
from mdcsrn_tf.training import forest as growing


def problem(count=3000, seed=0):
    rng = np.random.default_rng(seed)
    samples = rng.standard_normal((count, 25)).astype(np.float32)
    samples[:, 3] = np.round(samples[:, 3])  # ties with thresholds
    return samples, np.sin(samples[:, 0]) + samples[:, 1] * samples[:, 3] + 0.1 * rng.standard_normal(count)


def test_features_by_hand():
    image = np.array([[1.0, 2, 3], [4, 5, 6]])
    found = features(image)
    assert found.shape == (6, 25) and found.dtype == np.float32
    assert not found[:, 12].any()  # the pixel less itself
    by_shift = found[4].reshape(5, 5)  # of the pixel that is 5; rows and columns from -2 to 2
    expected = np.array([[0, 0, 0, 0, 0], [0, 1, 2, 3, 0], [0, 4, 5, 6, 0], [0] * 5, [0] * 5]) - 5.0
    np.testing.assert_array_equal(by_shift, expected)
    small = features(image / 10, integers=True)  # the cited notebook's cast: of fractions nothing but the pixel is left
    np.testing.assert_allclose(small, -np.repeat(image.reshape(-1, 1) / 10, 25, axis=1))


def test_the_presets_are_the_papers_and_the_notebooks():
    paper, notebook = FORESTS["7t/rfsr"], FORESTS["7t/rfsr-notebook"]
    assert (paper.trees, paper.depth, paper.samples) == (200, 15, 200_000)
    assert (notebook.trees, notebook.depth, notebook.min_samples_split) == (100, 12, 200)


@pytest.mark.parametrize("config", [ForestConfig(12, 15), ForestConfig(7, 4, 50)])
def test_numpy_predicts_what_scikit_learn_predicts(tmp_path, config):
    samples, targets = problem()
    heard = []
    grown = grow(samples, targets, config, seed=3, jobs=1, on_progress=heard.append)
    assert heard[-1] == config.trees == len(grown.estimators_) and heard == sorted(heard)
    assert max(tree.get_depth() for tree in grown.estimators_) <= config.depth
    forest = plain_arrays(grown)
    others = np.concatenate([problem(2000, 1)[0], samples])
    np.testing.assert_allclose(forest.predict(others), grown.predict(others), rtol=0, atol=1e-6)
    save_forest(tmp_path / "f.npz", forest, "{}")
    again, card = load_forest(tmp_path / "f.npz")
    np.testing.assert_array_equal(again.predict(others), forest.predict(others))
    assert card == "{}"


def test_growing_in_steps_is_seeded_and_learns():
    samples, targets = problem()
    config = ForestConfig(10, 8)
    one, other = (plain_arrays(grow(samples, targets, config, seed=1, jobs=jobs)) for jobs in (1, 2))
    for name in ("left", "threshold", "value"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    fresh, truth = problem(2000, 5)
    at_once = RandomForestRegressor(10, max_depth=8, random_state=9, n_jobs=1).fit(samples, targets)
    errors = [np.mean((predict(fresh) - truth) ** 2) for predict in (one.predict, at_once.predict)]
    assert errors[0] < 1.1 * errors[1] < 0.6 * truth.var()


@pytest.mark.parametrize(("count", "expected"), [(5, [0, 1] * 5), (25, [2, 3] * 5), (99, [6] * 10)])
def test_samples_are_spread_over_all_training_pairs(monkeypatch, count, expected):
    pairs = [(np.zeros((2, 3)), np.full((2, 3), number)) for number in range(10)]
    monkeypatch.setattr(growing, "_pairs", lambda manifest, split: iter(pairs))
    samples, targets = growing.sampled_pixels(SimpleNamespace(pairs=lambda split: 10), count, seed=0)
    assert np.bincount(targets.astype(int), minlength=10).tolist() == expected
    assert samples.shape == (sum(expected), 25)


def test_slices_are_predicted_pixel_by_pixel():
    left = np.array([1, 1, 2], np.int32)
    right = np.array([2, 1, 2], np.int32)
    # One split by hand: where the pixel to the right is brighter by more than 0.5, add 10, else subtract 1.
    forest = Forest(
        left,
        right,
        np.array([13, 0, 0], np.int8),
        np.array([0.5, 0, 0], np.float32),
        np.array([0.0, -1, 10]),
        np.array([0], np.int32),
    )
    image = np.array([[0, 1, 1.4, 3]], np.float32)
    found = forest.apply(np.stack([image, image + 1])[..., None])
    np.testing.assert_allclose(found[0, :, :, 0], [[10, 0, 11.4, 2]])
    assert image.tolist() == [[0, 1, pytest.approx(1.4), 3]]  # the input is left alone


@pytest.mark.parametrize("damage", ["pickle", "cycle", "missing", "outside", "text"])
def test_damaged_and_foreign_files_are_refused(tmp_path, damage):
    path = tmp_path / "f.npz"
    arrays = {
        "left": np.array([1, 1, 2], np.int32),
        "right": np.array([2, 1, 2], np.int32),
        "feature": np.zeros(3, np.int8),
        "threshold": np.zeros(3, np.float32),
        "value": np.zeros(3),
        "roots": np.array([0], np.int32),
        "card": np.frombuffer(b"{}", np.uint8),
    }
    if damage == "pickle":
        arrays["value"] = np.array([{}, 1, 2], dtype=object)
    elif damage == "cycle":
        arrays["right"] = np.array([2, 1, 0], np.int32)
    elif damage == "outside":
        arrays["feature"] = np.full(3, 25, np.int8)
    elif damage == "missing":
        del arrays["roots"]
    np.savez(path, **arrays)
    if damage == "text":
        path.write_text("no forest")
    with pytest.raises(UserError, match=r"f\.npz is no forest, or a damaged one"):
        load_forest(path)


def test_pairs_to_a_forest_to_a_better_scan_by_the_real_commands(tmp_path, monkeypatch, capsys):
    from data_prep import make_pairs
    from data_prep.phantom import make_phantom
    from mdcsrn_tf.cli import export, infer, train

    monkeypatch.setitem(FORESTS, "7t/rfsr", ForestConfig(6, 8, samples=4000))
    for number in range(3):
        head = make_phantom((24, 26, 20), number, noise=0.01)
        low = 400 * (head / 1000) ** 1.4 + 30  # another contrast: there is something to learn
        for name, data in (("low", low), ("high", head)):
            (tmp_path / name).mkdir(exist_ok=True)
            nib.save(nib.Nifti1Image(data, np.eye(4)), tmp_path / name / f"sub-{number}.nii.gz")
    asked = [
        f"--low={tmp_path / 'low'}",
        f"--high={tmp_path / 'high'}",
        f"--output={tmp_path / 'shards'}",
        "--split=1,1,1",
        "--match=volume",
        "--plane=axial",
        "--patch=16",
        "--patches_per_subject=20",
        "--workers=1",
        "--quiet",
    ]
    assert make_pairs.main(asked) == 0
    assert train.main([f"--data={tmp_path / 'shards'}", f"--workdir={tmp_path / 'run'}", "--preset=7t/rfsr"]) == 0
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["results"]["validation"]["mse"] < 0.8 * record["results"]["validation"]["input_mse"]
    model = tmp_path / "run" / "best_forest.npz"
    folders = f"--data={tmp_path / 'shards'},{tmp_path / 'shards'}"
    for flag, words in (
        ("--steps=5", "--steps is for networks"),
        ("--phase=l1", "--phase is for networks"),
        ("--precision=mixed_bfloat16", "--precision is for networks"),
        ("--seed=1", f"{model} would be replaced by a new forest"),
    ):
        assert train.main([folders, f"--workdir={tmp_path / 'run'}", "--preset=7t/rfsr", flag]) == 1
        assert words in capsys.readouterr().err
    with monkeypatch.context() as patch:  # shards without a validation split
        patch.setattr(growing, "_grown", lambda *_: (load_forest(model)[0], 1))
        patch.setattr(growing, "_measured", lambda *_: {"split": "train", "mse": 0.25, "input_mse": 1.0})
        assert train.main([f"--data={tmp_path / 'shards'}", f"--workdir={tmp_path / 'two'}", "--preset=7t/rfsr"]) == 0
    assert "mean square error 0.2500, the input's 1.0000 (train)" in capsys.readouterr().out
    assert export.main([f"--model={model}", f"--output={tmp_path / 'saved'}"]) == 1
    assert "is a forest, no network: mdcsrn-infer runs it" in capsys.readouterr().err
    scan = tmp_path / "low" / "sub-0.nii.gz"
    assert infer.main([f"--model={model}", f"--input={scan}", f"--output={tmp_path / 'sr.nii.gz'}", "--force"]) == 0
    low, found = (nib.load(path).get_fdata() for path in (scan, tmp_path / "sr.nii.gz"))
    forest, _ = load_forest(model)
    clipped = np.clip(low, *np.percentile(low, [0.1, 99.9]))
    z = ((clipped - clipped.mean()) / clipped.std())[:, :, 7]
    expected = z + forest.predict(features(z)).reshape(z.shape)
    np.testing.assert_allclose(found[:, :, 7], expected * clipped.std() + clipped.mean(), rtol=1e-3, atol=0.5)
